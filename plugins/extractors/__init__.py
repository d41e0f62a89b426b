"""Built-in feature extractors, one file each."""
