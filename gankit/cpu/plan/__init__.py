"""The compiler of plans: traced updates to bytecode that the C extension runs. docs/engine.md explains the passes."""
