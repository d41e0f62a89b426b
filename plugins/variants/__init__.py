"""Built-in variants, one file each."""
