"""What both networks share, and Keras has not: batch norm and dropout that say what they do."""

from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

LEAKY_RELU_SLOPE = 0.2
BN_MOMENTUM = 0.99  # TF1's defaults, as in the article's code
BN_EPSILON = 1e-3

# How a batch norm normalises, and whether its moving averages follow:
#   batch_and_update: by this batch's statistics, which also move the averages (training, real)
#   batch:            by this batch's statistics, averages untouched          (training, fakes)
#   moving:           by the moving averages                                  (inference)
Statistics = Literal["batch_and_update", "batch", "moving"]


@tf.custom_gradient
def leaky_relu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """max(x, 0.2 x), elementwise.

    Its gradient is taken from the sign of the output, which is that of the input. So nothing needs
    the input any more, and TensorFlow can compute convolution, bias and this in one kernel.
    """
    y = tf.nn.leaky_relu(x, LEAKY_RELU_SLOPE)

    def gradient(dy: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=LEAKY_RELU_SLOPE)

    return y, gradient


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Zeroes elements with probability `rate` and scales the others by 1 / (1 - rate).

    The mask is a pure function of the seed, so that a resumed run draws the same masks. It is made
    from 16 random bits an element (the rate is rounded to 1 / 65536), two from each 32-bit draw:
    half the cost of `tf.nn.experimental.stateless_dropout`, which showed in the time of a step.

    Args:
        x: any shape, float.
        rate: 0 <= rate < 1.
        seed: (2,) int32; None switches dropout off (inference).

    Returns:
        Same shape and dtype as `x`.
    """
    if seed is None or rate == 0:
        return x
    threshold = round(rate * 65536)
    draws = tf.random.stateless_uniform(((tf.size(x) + 1) // 2,), seed, None, None, tf.uint32)
    bits = tf.reshape(tf.bitcast(draws, tf.uint16), (-1,))[: tf.size(x)]  # (N / 2,) -> (N,)
    keep = tf.reshape(bits, tf.shape(x)) >= tf.constant(threshold, tf.uint16)
    return x * (tf.cast(keep, x.dtype) * (65536 / (65536 - threshold)))


def gaussian_noise(x: tf.Tensor, stddev: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Adds N(0, stddev^2) to each element; the noise is a pure function of the seed.

    Salimans et al. put noise of 0.15 on the discriminator's input for SVHN.

    Args:
        x: any shape, float.
        stddev: standard deviation, >= 0.
        seed: (2,) int32; None switches the noise off (inference).

    Returns:
        Same shape and dtype as `x`.
    """
    if seed is None or stddev == 0:
        return x
    return x + stddev * tf.random.stateless_normal(tf.shape(x), seed)


def sub_pixel_transpose_conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """A 5x5 transpose convolution of stride 2 with same padding, computed as a 3x3 convolution.

    Each pixel of `x` becomes four of the output, so a convolution with 4 C outputs and a reshuffle
    give the same numbers. With C = 3 that takes two thirds of the time on a CPU; with many
    channels it would take more, since 11 of 36 weights are zeros.

    Args:
        x: (B, H, W, F) float.
        kernel: (5, 5, C, F), as `keras.layers.Conv2DTranspose` has it.
        bias: (C,).

    Returns:
        (B, 2 H, 2 W, C).
    """
    channels, filters = kernel.shape[2:]
    # Output pixel 2 i + p takes from pixel i + d the tap p + 2 - 2 d, with a zero put in front.
    taps = tf.reshape(
        tf.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]]), (3, 2, 3, 2, channels, filters)
    )
    taps = tf.transpose(taps[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))  # (3, 3, F, 2, 2, C)
    four = tf.nn.conv2d(x, tf.reshape(taps, (3, 3, filters, 4 * channels)), 1, "SAME")
    return tf.nn.depth_to_space(tf.nn.bias_add(four, tf.tile(bias, [4])), 2)


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over all but the last axis, on TensorFlow's fused kernel.

    Keras' own layer either uses batch statistics and moves its averages, or neither. A
    discriminator must do a third thing: normalise fakes by their own statistics while the averages,
    which serve inference, follow real images alone (`Statistics`).

    Weights: `gamma`, `beta`, `moving_mean`, `moving_variance`, each (C,). As in TF1's layer the
    moving variance follows the batch's unbiased variance.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the four weights for inputs of shape (..., C)."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer="zeros", trainable=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer="ones", trainable=False
        )

    def call(self, x: tf.Tensor, statistics: Statistics = "moving") -> tf.Tensor:
        """Normalises `x` (B, H, W, C), float; returns the same shape and dtype."""
        if statistics == "moving":
            return tf.nn.batch_normalization(
                x, self.moving_mean, self.moving_variance, self.beta, self.gamma, BN_EPSILON
            )
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, self.gamma, self.beta, epsilon=BN_EPSILON, is_training=True
        )
        if statistics == "batch_and_update":
            self.moving_mean.assign_sub((1 - BN_MOMENTUM) * (self.moving_mean - mean))
            self.moving_variance.assign_sub((1 - BN_MOMENTUM) * (self.moving_variance - variance))
        return y
