"""Plans: traced updates as steps that the C extension runs; docs/engine.md says how."""
