"""What every other package stands on: errors, options, files, randomness, the types that pass between packages."""
