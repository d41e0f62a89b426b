"""Where the time goes: in the fused ops, in a step."""
