"""What moves the weights: the trainer, the engines that run its updates, the loop around it."""
