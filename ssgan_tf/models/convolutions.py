"""What makes the convolutions fast; the numbers are those of TensorFlow's own."""

from collections.abc import Callable
from typing import Any, Literal, cast

import keras
import tensorflow as tf

from ssgan_tf.system.device import gpus

# Side up to which `kernel_gradient` pays on a CPU, by measurement; bfloat16 with AMX.
LARGEST_SMALL_MAP = {tf.float32: 8, tf.bfloat16: 16}
# In bfloat16 with AMX, TensorFlow 2.21's convolution with fewer than 16 input channels may give
# wrong numbers. Here the batch takes the place of the channels.
BFLOAT16_BATCH = 16

Padding = Literal["SAME", "VALID"]
# Its stub gives a decorated function the type of the pair that it computes from.
custom_gradient: Any = tf.custom_gradient


class Conv2D(keras.layers.Conv2D):
    """Keras' layer, with the faster gradient of `conv`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, data_format="channels_last")

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """(B, H, W, C), (k, k, C, F) -> (B, H', W', F)."""
        padding: Padding = "SAME" if self.padding == "same" else "VALID"
        return conv(inputs, kernel, self.strides[0], padding)


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' layer, with stride 2 and same padding, computed in the faster ways below."""

    def __init__(self, filters: int, size: int, few_channels: bool = False, **kwargs: Any) -> None:
        """
        Args:
            filters: channels of the output.
            size: of the kernel; 5 with `few_channels`.
            few_channels: computed by `sub_pixel_transpose_conv`.
            kwargs: of Keras' layer.
        """
        super().__init__(
            filters, size, strides=2, padding="same", data_format="channels_last", **kwargs
        )
        self.few_channels = few_channels

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """(B, H, W, F) -> (B, 2 H, 2 W, C)."""
        op = sub_pixel_transpose_conv if self.few_channels else transpose_conv
        return op(inputs, self.kernel, self.bias)


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

    @custom_gradient
    def op(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            dx = tf.nn.conv2d_transpose(dy, kernel, tf.shape(x), stride, padding)
            return dx, kernel_gradient(x, dy, _sides(kernel)[0], stride, padding)

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
    size, _, channels, _ = _sides(kernel)
    _, height, width, _ = _sides(x)
    kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
    shape: Any = (tf.shape(x)[0], 2 * height, 2 * width, channels)  # a tensor and numbers

    if not _kernel_gradient_pays(x, 1):
        return tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, shape, 2), bias)

    @custom_gradient
    def op(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.nn.conv2d(dy, kernel, 2, "SAME"), kernel_gradient(dy, x, size, 2, "SAME")

        return tf.nn.conv2d_transpose(x, kernel, shape, 2), gradient

    return tf.nn.bias_add(op(x, tf.convert_to_tensor(kernel)), bias)


def _kernel_gradient_pays(x: tf.Tensor, stride: int) -> bool:
    """Whether `kernel_gradient` is the faster one: on a CPU, for small maps.

    Args:
        x: (B, H, W, C), whose map the stride divides.
        stride: of the convolution.
    """
    batch: int | None = x.shape[0]
    if x.dtype == tf.bfloat16 and (batch is None or batch % BFLOAT16_BATCH):
        return False
    side = max(_sides(x)[1:3])
    return side <= LARGEST_SMALL_MAP.get(x.dtype, 0) * stride and not gpus()


def kernel_gradient(
    x: tf.Tensor, dy: tf.Tensor, size: int, stride: int, padding: Padding
) -> tf.Tensor:
    """The gradient of a convolution by its kernel, computed as a convolution.

    dk[i, j, c, f] = sum over b, u, v of x[b, s u + i, s v + j, c] dy[b, u, v, f], which is `x`
    convolved with `dy`: the batch takes the channels' place, and the stride dilates. For small maps
    that can be faster on a CPU than TensorFlow's own kernel, in bfloat16 (docs/performance.md).

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
    for side, side_out in zip(_sides(x)[1:3], _sides(dy)[1:3], strict=True):
        total = max((side_out - 1) * stride + size - side, 0)  # 0 for "VALID"
        pads.append([total // 2, total - total // 2])
    images = tf.transpose(x, (3, 1, 2, 0))  # (C, H, W, B)
    filters = tf.transpose(dy, (1, 2, 0, 3))  # (H', W', B, F)
    padded = cast(Any, [*pads, [0, 0]])  # the stub knows the words alone
    gradient = tf.nn.conv2d(images, filters, 1, padded, dilations=stride)
    # A stride may leave rows of `x` that the convolution never read; what they give falls away.
    return tf.transpose(gradient[:, :size, :size], (1, 2, 0, 3))  # (C, k, k, F) -> (k, k, C, F)


def sub_pixel_transpose_conv(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """A 5x5 transpose convolution of stride 2 with same padding, computed as a 3x3 convolution.

    Each pixel of `x` becomes four of the output, so a convolution with 4 C outputs and a reshuffle
    give the same numbers. Chosen for C = 3 on a CPU without AVX-512; on one with it, no difference
    was measured (docs/performance.md). With many channels it would be slower, since 11 of 36
    weights are zeros.

    Args:
        x: (B, H, W, F) float.
        kernel: (5, 5, C, F), as `keras.layers.Conv2DTranspose` has it.
        bias: (C,).

    Returns:
        (B, 2 H, 2 W, C).
    """
    channels, filters = _sides(kernel)[2:]
    kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
    # Output pixel 2 i + p takes from pixel i + d the tap p + 2 - 2 d, with a zero put in front.
    taps = tf.reshape(
        tf.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]]), (3, 2, 3, 2, channels, filters)
    )
    taps = tf.transpose(taps[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))  # (3, 3, F, 2, 2, C)
    four = tf.nn.conv2d(x, tf.reshape(taps, (3, 3, filters, 4 * channels)), 1, "SAME")
    return tf.nn.depth_to_space(tf.nn.bias_add(four, tf.tile(bias, [4])), 2)


def _sides(x: tf.Tensor) -> tuple[int, ...]:
    """The static shape, in which only that of the batch may be None."""
    return cast(tuple[int, ...], tuple(x.shape))
