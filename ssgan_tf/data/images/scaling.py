"""Between the pixels of image files and the range of the networks."""

import tensorflow as tf


def scale(images: tf.Tensor) -> tf.Tensor:
    """uint8 0 .. 255 -> float32 in [-1, 1], the range of the generator's tanh."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def unscale(images: tf.Tensor) -> tf.Tensor:
    """The reverse of `scale`: float32 in [-1, 1] -> uint8."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0, 255), tf.uint8)
