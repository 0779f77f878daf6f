import keras
import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.models.convolutions import (
    Conv2D,
    _kernel_gradient_pays,
    conv,
    kernel_gradient,
    sub_pixel_transpose_conv,
    transpose_conv,
)


@pytest.mark.parametrize(
    ("height", "width", "size", "stride", "padding"),
    [
        (4, 5, 3, 1, "SAME"),
        (8, 6, 3, 2, "SAME"),
        (7, 8, 5, 2, "SAME"),
        (5, 4, 3, 1, "VALID"),
        (6, 7, 3, 2, "VALID"),
        (4, 4, 1, 2, "SAME"),
        (20, 9, 3, 1, "SAME"),
    ],
)
def test_conv_is_tensorflows_in_value_and_gradients(
    height: int, width: int, size: int, stride: int, padding: str
) -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(6, height, width, 3)), tf.float32)
    kernel = tf.constant(rng.normal(size=(size, size, 3, 5)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((x, kernel))
        ours = conv(x, kernel, stride, padding)
        theirs = tf.nn.conv2d(x, kernel, stride, padding)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    dy = tf.constant(rng.normal(size=theirs.shape), tf.float32)
    for gradient, expected in zip(
        tape.gradient(ours, (x, kernel), dy), tape.gradient(theirs, (x, kernel), dy), strict=True
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "stride"), [(16, 1), (12, 1), (8, 1), (32, 2), (8, 2)])
@pytest.mark.parametrize("batch", [4, 8, 16, 48])
def test_gradients_in_bfloat16_are_those_in_float32_within_rounding(
    batch: int, side: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(batch, side, side, 3)), tf.bfloat16)
    kernel = tf.constant(rng.normal(size=(3, 3, 3, 5)), tf.bfloat16)
    assert _kernel_gradient_pays(x, stride) == (batch % 16 == 0)
    found = {}
    for dtype in (tf.bfloat16, tf.float32):
        inputs = tf.cast(x, dtype), tf.cast(kernel, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = conv(*inputs, stride)
        dy = tf.cast(tf.constant(np.random.default_rng(1).normal(size=y.shape)), dtype)
        found[dtype] = [tf.cast(value, tf.float32) for value in tape.gradient(y, inputs, dy)]
    # 8 bits: 0.004. TensorFlow's own kernels add up in bfloat16 on some processors.
    bound = 0.01 if _kernel_gradient_pays(x, stride) else 0.05
    for ours, exact in zip(found[tf.bfloat16], found[tf.float32], strict=True):
        assert np.linalg.norm(ours - exact) < bound * np.linalg.norm(exact)


def test_kernel_gradient_sums_over_images_and_places() -> None:
    # One channel, one filter, 2x2 kernel on 3x3 images: k[i, j] meets x[i .. i + 1, j .. j + 1].
    x = np.arange(18, dtype=np.float32).reshape(2, 3, 3, 1)
    dy = np.zeros((2, 2, 2, 1), np.float32)
    dy[0, 0, 0], dy[1, 1, 1] = 1, 10
    # Of image 0 the top left corner once, of image 1 the bottom right corner ten times.
    expected = [[0 + 10 * 13, 1 + 10 * 14], [3 + 10 * 16, 4 + 10 * 17]]
    ours = kernel_gradient(tf.constant(x), tf.constant(dy), 2, 1, "VALID")
    np.testing.assert_allclose(ours[:, :, 0, 0], expected)


def test_conv2d_layer_is_keras_own() -> None:
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 4)).astype(np.float32)
    ours = Conv2D(6, 3, strides=2, padding="same")
    theirs = keras.layers.Conv2D(6, 3, strides=2, padding="same")
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights([theirs.kernel.numpy(), np.arange(6)])
    theirs.set_weights([theirs.kernel.numpy(), np.arange(6)])
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_transpose_conv_is_keras_transpose_convolution_in_value_and_gradients() -> None:
    rng = np.random.default_rng(0)
    layer = keras.layers.Conv2DTranspose(3, 5, strides=2, padding="same")
    layer.build((None, 4, 3, 6))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    x = tf.constant(rng.normal(size=(2, 4, 3, 6)), tf.float32)
    kernel, bias = layer.kernel.value, layer.bias.value
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = transpose_conv(x, kernel, bias), layer(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    dy = tf.constant(rng.normal(size=theirs.shape), tf.float32)
    for gradient, expected in zip(
        tape.gradient(ours, (x, kernel, bias), dy),
        tape.gradient(theirs, (x, kernel, bias), dy),
        strict=True,
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_sub_pixel_transpose_conv_is_keras_transpose_convolution() -> None:
    rng = np.random.default_rng(0)
    layer = keras.layers.Conv2DTranspose(3, 5, strides=2, padding="same")
    layer.build((None, 6, 7, 4))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    x = tf.constant(rng.normal(size=(2, 6, 7, 4)), tf.float32)
    ours = sub_pixel_transpose_conv(x, tf.constant(layer.kernel), tf.constant(layer.bias))
    np.testing.assert_allclose(ours, layer(x), rtol=1e-4, atol=1e-4)
