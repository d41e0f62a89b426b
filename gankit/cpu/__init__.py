"""What makes a CPU fast: convolutions, plans of updates, the memory they use. A first reading skips it."""
