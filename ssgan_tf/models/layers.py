"""What both networks share, and Keras has not: batch norm and dropout that say what they do."""

from collections.abc import Callable
from typing import Any, Literal, cast

import keras
import tensorflow as tf

from ssgan_tf.models.convolutions import custom_gradient
from ssgan_tf.system import keras_settings
from ssgan_tf.system.replicas import mean_over_replicas, replica

keras_settings.check_backend()

LEAKY_RELU_SLOPE = 0.2
BN_MOMENTUM = 0.99  # TF1's defaults, as in the article's code
BN_EPSILON = 1e-3

# How a batch norm normalizes, and whether its moving averages follow:
#   batch_and_update: by this batch's statistics, which also move the averages (training, real)
#   batch:            by this batch's statistics, averages untouched          (training, fakes)
#   moving:           by the moving averages                                  (inference)
Statistics = Literal["batch_and_update", "batch", "moving"]


def policy(precision: str) -> str:
    """Keras' name for: weights in float32, computed in "float32", "bfloat16" or "float16"."""
    return precision if precision == "float32" else f"mixed_{precision}"


@custom_gradient
def leaky_relu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """max(x, 0.2 x), elementwise.

    Its gradient is taken from the sign of the output, which is that of the input. So nothing needs
    the input any more, and TensorFlow can compute convolution, bias and this in one kernel.
    """
    y = tf.nn.leaky_relu(x, LEAKY_RELU_SLOPE)

    def gradient(dy: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=LEAKY_RELU_SLOPE)

    return y, gradient


def max_pool(x: tf.Tensor) -> tf.Tensor:
    """The largest of each 2 x 2: (B, H, W, C) -> (B, H / 2, W / 2, C), H and W static and even.

    Where a number is NaN, TensorFlow's own kernel returns the smallest float, which would hide a
    divergence; `tf.maximum` returns NaN. Which one is faster on a CPU depends on the processor.
    """
    _, height, width, channels = cast(tuple[int, ...], tuple(x.shape))
    rows = tf.unstack(tf.reshape(x, (-1, height // 2, 2, width * channels)), axis=2)
    x = tf.reshape(tf.maximum(*rows), (-1, height // 2, width // 2, 2, channels))
    return tf.maximum(*tf.unstack(x, axis=3))


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate).

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
    shape = ((tf.size(x) + 1) // 2,)
    draws = cast(Any, tf.random).stateless_uniform(shape, seed, None, None, tf.uint32)
    bits = tf.reshape(tf.bitcast(draws, tf.uint16), (-1,))[: tf.size(x)]  # (N / 2,) -> (N,)
    keep = tf.reshape(bits, tf.shape(x)) >= tf.constant(threshold, tf.uint16)
    return x * (tf.cast(keep, x.dtype) * (65536 / (65536 - threshold)))


class BatchNorm(keras.layers.Layer):
    """Batch normalization over all but the last axis, on TensorFlow's fused kernel.

    Keras' own layer either uses batch statistics and moves its averages, or neither. A
    discriminator must do a third thing: normalize fakes by their own statistics while the averages,
    which serve inference, follow real images alone (`Statistics`).

    With several replicas the statistics are those of the global batch. They are float32 whatever
    the precision of the input.

    Weights: `gamma`, `beta`, `moving_mean`, `moving_variance`, each (C,). As in TF1's layer the
    moving variance follows the batch's unbiased variance.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(
            name=name, autocast=False, dtype="float32"
        )  # weights and statistics stay float32

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the four weights for inputs of shape (..., C)."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        # All replicas compute the same averages: any one's will do.
        average = {"shape": shape, "trainable": False, "aggregation": "only_first_replica"}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **average)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", **average
        )

    def call(
        self,
        x: tf.Tensor,
        statistics: Statistics = "moving",
        momentum: float | tf.Tensor = BN_MOMENTUM,
    ) -> tf.Tensor:
        """Normalizes.

        Args:
            x: (B, H, W, C) float.
            statistics: whose, and whether the averages follow.
            momentum: of the averages, scalar float32: they become momentum * average +
                (1 - momentum) * statistics. `schedule.statistics_momentum` corrects their start.

        Returns:
            Same shape and dtype as `x`.
        """
        if statistics == "moving":
            y = tf.nn.batch_normalization(
                tf.cast(x, tf.float32),
                self.moving_mean,
                self.moving_variance,
                self.beta,
                self.gamma,
                BN_EPSILON,
            )
            return tf.cast(y, x.dtype)
        if replica()[1] > 1:
            y, mean, variance = self._synchronized(x)
        else:
            y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                x, self.gamma, self.beta, epsilon=BN_EPSILON, is_training=True
            )
        if statistics == "batch_and_update":
            self.moving_mean.assign_sub((1 - momentum) * (self.moving_mean - mean))
            self.moving_variance.assign_sub((1 - momentum) * (self.moving_variance - variance))
        return y

    def _synchronized(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the fused kernel returns, over the global batch: output, mean, unbiased variance."""
        whole = tf.cast(x, tf.float32)
        mean = mean_over_replicas(tf.reduce_mean(whole, axis=(0, 1, 2)))  # (C,)
        centered = whole - mean  # first, as in the kernel: values near 0 keep their sign
        variance = mean_over_replicas(tf.reduce_mean(tf.square(centered), axis=(0, 1, 2)))
        y = centered * (self.gamma * tf.math.rsqrt(variance + BN_EPSILON)) + self.beta
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]) * replica()[1], tf.float32)
        return tf.cast(y, x.dtype), mean, variance * count / (count - 1.0)
