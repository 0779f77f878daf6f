"""Semi-supervised image classification with a GAN: few labels, many images."""

__version__ = "0.1.0"
