"""What both networks share, and Keras has not: batch norm and dropout that say what they do."""

from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from ssgan_tf.system import keras_settings
from ssgan_tf.system.device import gpus
from ssgan_tf.system.replicas import mean_over_replicas, replica

keras_settings.check_backend()

LEAKY_RELU_SLOPE = 0.2
BN_MOMENTUM = 0.99  # TF1's defaults, as in the article's code
BN_EPSILON = 1e-3
LARGEST_SMALL_MAP = 8  # side up to which `kernel_gradient` pays, measured on a CPU

Padding = Literal["SAME", "VALID"]

# How a batch norm normalizes, and whether its moving averages follow:
#   batch_and_update: by this batch's statistics, which also move the averages (training, real)
#   batch:            by this batch's statistics, averages untouched          (training, fakes)
#   moving:           by the moving averages                                  (inference)
Statistics = Literal["batch_and_update", "batch", "moving"]


def policy(precision: str) -> str:
    """Keras' name for: weights in float32, computed in "float32", "bfloat16" or "float16"."""
    return precision if precision == "float32" else f"mixed_{precision}"


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


def conv(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: Padding = "SAME") -> tf.Tensor:
    """A 2-D convolution, as `tf.nn.conv2d` has it; its gradient is `kernel_gradient` if that pays.

    Args:
        x: (B, H, W, C) float, H and W static.
        kernel: (k, k, C, F), a tensor or a variable.
        stride: 1 or 2.
        padding: "SAME" or "VALID".

    Returns:
        (B, H', W', F).
    """
    if not _kernel_gradient_pays(x, stride):
        return tf.nn.conv2d(x, kernel, stride, padding)

    @tf.custom_gradient
    def op(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            dx = tf.nn.conv2d_transpose(dy, kernel, tf.shape(x), stride, padding)
            return dx, kernel_gradient(x, dy, kernel.shape[0], stride, padding)

        return tf.nn.conv2d(x, kernel, stride, padding), gradient

    return op(x, tf.convert_to_tensor(kernel))


def transpose_conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """A 2-D transpose convolution of stride 2 with same padding, its gradient as `conv`'s.

    Args:
        x: (B, H, W, F) float, H and W static.
        kernel: (k, k, C, F), as `keras.layers.Conv2DTranspose` has it.
        bias: (C,).

    Returns:
        (B, 2 H, 2 W, C).
    """
    size, _, channels, _ = kernel.shape
    kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
    shape = (tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], channels)

    if not _kernel_gradient_pays(x, 1):
        return tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, shape, 2), bias)

    @tf.custom_gradient
    def op(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.nn.conv2d(dy, kernel, 2, "SAME"), kernel_gradient(dy, x, size, 2, "SAME")

        return tf.nn.conv2d_transpose(x, kernel, shape, 2), gradient

    return tf.nn.bias_add(op(x, tf.convert_to_tensor(kernel)), bias)


def _kernel_gradient_pays(x: tf.Tensor, stride: int) -> bool:
    """Whether `kernel_gradient` is the faster one: on a CPU, in float32, for small maps.

    Args:
        x: (B, H, W, C), whose map the stride divides.
        stride: of the convolution.
    """
    return not gpus() and x.dtype == tf.float32 and max(x.shape[1:3]) <= LARGEST_SMALL_MAP * stride


def kernel_gradient(
    x: tf.Tensor, dy: tf.Tensor, size: int, stride: int, padding: Padding
) -> tf.Tensor:
    """The gradient of a convolution by its kernel, computed as a convolution.

    dk[i, j, c, f] = sum over b, u, v of x[b, s u + i, s v + j, c] dy[b, u, v, f], which is `x`
    convolved with `dy`: the batch takes the channels' place, and the stride dilates. For small maps
    that takes on a CPU a third to nine tenths of the time of TensorFlow's own kernel.

    Args:
        x: (B, H, W, C) float, H and W static; what the convolution read.
        dy: (B, H', W', F), the gradient by what it returned.
        size: k, the side of the kernel.
        stride: s.
        padding: of the convolution.

    Returns:
        (k, k, C, F).
    """
    pads = [[0, 0]]
    for side, side_out in zip(x.shape[1:3], dy.shape[1:3], strict=True):
        total = max((side_out - 1) * stride + size - side, 0)  # 0 for "VALID"
        pads.append([total // 2, total - total // 2])
    images = tf.transpose(x, (3, 1, 2, 0))  # (C, H, W, B)
    filters = tf.transpose(dy, (1, 2, 0, 3))  # (H', W', B, F)
    gradient = tf.nn.conv2d(images, filters, 1, [*pads, [0, 0]], dilations=stride)
    # A stride may leave rows of `x` that the convolution never read; what they give falls away.
    return tf.transpose(gradient[:, :size, :size], (1, 2, 0, 3))  # (C, k, k, F) -> (k, k, C, F)


class Conv2D(keras.layers.Conv2D):
    """Keras' layer, with the faster gradient of `conv`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, data_format="channels_last")

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C), (k, k, C, F) -> (B, H', W', F)."""
        return conv(inputs, kernel, self.strides[0], self.padding.upper())


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
    kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
    # Output pixel 2 i + p takes from pixel i + d the tap p + 2 - 2 d, with a zero put in front.
    taps = tf.reshape(
        tf.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]]), (3, 2, 3, 2, channels, filters)
    )
    taps = tf.transpose(taps[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))  # (3, 3, F, 2, 2, C)
    four = tf.nn.conv2d(x, tf.reshape(taps, (3, 3, filters, 4 * channels)), 1, "SAME")
    return tf.nn.depth_to_space(tf.nn.bias_add(four, tf.tile(bias, [4])), 2)


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
        count = tf.cast(tf.size(x[..., 0]) * replica()[1], tf.float32)
        return tf.cast(y, x.dtype), mean, variance * count / (count - 1.0)
