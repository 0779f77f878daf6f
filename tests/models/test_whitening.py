import numpy as np
import tensorflow as tf

from ssgan_tf.models.whitening import EPSILON, whitening_conv, whitening_kernel


def correlated_images() -> np.ndarray:
    """Blurred noise: neighbors, and the channels of a pixel, are alike."""
    noise = np.random.default_rng(0).uniform(-1, 1, (40, 20, 20, 1)).astype(np.float32)
    blurred = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3
    return np.concatenate([blurred, 0.5 * blurred, noise], axis=-1)


def test_outputs_over_all_patches_are_uncorrelated_and_of_mean_square_one() -> None:
    images = correlated_images()
    outputs = tf.nn.conv2d(images, whitening_kernel(images), 1, "VALID").numpy()
    assert outputs.shape == (40, 19, 19, 24)
    rows = outputs.reshape(-1, 24)[:, :12].astype(np.float64)
    moments = rows.T @ rows / len(rows)
    off = moments - np.diag(np.diag(moments))
    assert np.abs(off).max() < 1e-4
    # w / (w + epsilon) for each direction of mean square w; some have none
    patches = np.stack(
        [images[:, i : i + 19, j : j + 19, c] for i in (0, 1) for j in (0, 1) for c in range(3)], -1
    ).reshape(-1, 12)
    squares = np.linalg.eigvalsh((patches.T @ patches / len(patches)).astype(np.float64))
    expected = squares / (squares + EPSILON)
    np.testing.assert_allclose(np.sort(np.diag(moments)), expected, atol=1e-3)
    assert expected[0] < 0.01 and expected[-1] > 0.99


def test_with_jitter_outputs_of_jittered_gray_images_have_a_mean_square_of_at_most_one() -> None:
    gray = np.repeat(0.5 * correlated_images()[..., :1], 3, axis=-1)
    draws = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 100, 40, 1, 1, 3))
    jittered = (gray * (1 + draws[0]) + draws[1]).reshape(-1, 20, 20, 3).astype(np.float32)
    assert np.abs(jittered).max() < 1  # nothing is clipped

    def largest(kernel: np.ndarray) -> float:
        return float(np.square(tf.nn.conv2d(jittered, kernel, 1, "VALID")).mean((0, 1, 2)).max())

    assert 0.9 < largest(whitening_kernel(gray, 0.3)) < 1.1
    assert largest(whitening_kernel(gray)) > 10  # colors, which the images do not have


def test_the_second_half_is_the_negative_of_the_first() -> None:
    kernel = whitening_kernel(correlated_images())
    assert kernel.shape == (2, 2, 3, 24) and kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])


def test_black_images_and_gray_ones_have_finite_filters() -> None:
    for value, channels in ((-1.0, 1), (0.0, 3)):
        kernel = whitening_kernel(np.full((2, 16, 16, channels), value, np.float32))
        assert kernel.shape == (2, 2, channels, 8 * channels)
        assert np.isfinite(kernel).all() and np.abs(kernel).max() <= EPSILON**-0.5 + 1e-3


def test_the_convolution_has_room_for_the_kernel_and_is_not_trained() -> None:
    conv = whitening_conv(3, "conv1", "float32")
    images = correlated_images()
    conv.build(images.shape)
    conv.kernel.assign(whitening_kernel(images))
    assert conv.trainable_weights == [] and [w.name for w in conv.weights] == ["kernel"]
    expected = tf.nn.conv2d(images, conv.kernel, 1, "VALID")
    np.testing.assert_allclose(conv(images), expected, atol=1e-5)
