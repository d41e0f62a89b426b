"""How an update is run: op by op, as a plan, as compiled code, or as a captured CUDA graph."""
