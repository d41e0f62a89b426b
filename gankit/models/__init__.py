"""What a variant is made of: the interface, networks, losses, conditioning."""
