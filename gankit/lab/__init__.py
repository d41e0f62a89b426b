"""The Lab: from runs to conclusions."""
