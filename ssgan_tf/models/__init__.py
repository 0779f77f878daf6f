"""Generator and discriminator, layer for layer."""
