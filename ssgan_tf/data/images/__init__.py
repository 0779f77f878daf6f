"""Image files and pixels: decoding, the one resize rule, scaling."""
