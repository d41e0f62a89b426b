"""gankit: train, compare and study generative adversarial networks on images."""
