import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.data.augment import Places, Seeds, augment, cutout, flip, jitter_color, shift

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


def test_shift_moves_each_image_by_a_whole_number_of_pixels_and_repeats_the_border() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 6, 5, 2), np.uint8)
    found = shift(tf.constant(images), 2, tf.constant([1, 2])).numpy()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    moves = set()
    for image, frame in zip(found, padded, strict=True):
        fits = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if np.array_equal(image, frame[dy : dy + 6, dx : dx + 5])
        ]
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) == 25  # all of them occur


def test_shift_is_a_function_of_its_seed_and_off_without() -> None:
    images = tf.constant(IMAGES)
    first, again, other = (shift(images, 2, tf.constant([1, seed])) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(shift(images, 0, tf.constant([1, 2])), images)
    np.testing.assert_array_equal(shift(images, 2, None), images)


def test_jitter_color_is_one_gain_and_offset_per_channel_and_stays_in_range() -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(-0.5, 0.5, (300, 4, 4, 3)).astype(np.float32)
    found = jitter_color(tf.constant(images), 0.3, tf.constant([1, 2])).numpy()
    x, y = (array.reshape(300, 16, 3) for array in (images, found))
    # Two pixels give gain and offset of their channel; all others must lie on that line.
    gain = (y[:, 0] - y[:, 1]) / (x[:, 0] - x[:, 1])
    offset = y[:, 0] - gain * x[:, 0]
    np.testing.assert_allclose(gain[:, None] * x + offset[:, None], y, atol=2e-3)
    assert 0.7 <= gain.min() < 0.75 and 1.25 < gain.max() <= 1.3
    assert -0.3 <= offset.min() < -0.25 and 0.25 < offset.max() <= 0.3
    bright = jitter_color(tf.ones((50, 4, 4, 3)), 0.3, tf.constant([1, 2])).numpy()
    assert bright.max() == 1 and bright.min() < 0.8


def test_jitter_color_is_a_function_of_its_seed_and_off_without() -> None:
    images = tf.constant(IMAGES / 127.5 - 1, tf.float32)
    first, again, other = (jitter_color(images, 0.3, tf.constant([1, s])) for s in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(jitter_color(images, 0.3, None), images)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_flip_mirrors_about_half_of_the_images_and_leaves_the_others(
    dtype: type, compiled: bool
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 4, 5, 3)).astype(dtype)
    mirror = tf.function(flip, jit_compile=compiled)
    found = mirror(tf.constant(images), tf.constant([1, 2])).numpy()
    assert found.dtype == dtype
    same = (found == images).all(axis=(1, 2, 3))
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()  # one of both, whole images
    assert 150 < mirrored.sum() < 250  # five standard deviations


def test_flip_is_a_function_of_its_seed_and_off_without() -> None:
    images = tf.constant(IMAGES)
    first, again, other = (flip(images, tf.constant([1, seed])) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(flip(images, None), images)


def test_a_replica_mirrors_its_part_as_one_device_would() -> None:
    images, seed = tf.constant(IMAGES), tf.constant([1, 2])
    whole = flip(images, seed)
    assert not np.array_equal(whole[5:], images[5:])
    part = flip(images[5:], seed, Places(tf.range(5, 8), 8))
    np.testing.assert_array_equal(part, whole[5:])


def test_cutout_makes_one_square_gray_which_may_reach_over_the_border() -> None:
    images = np.random.default_rng(0).uniform(0.1, 1.0, (500, 8, 6, 3)).astype(np.float32)
    found = cutout(tf.constant(images), 4, tf.constant([1, 2])).numpy()
    heights, widths = set(), set()
    for image, before in zip(found, images, strict=True):
        gray = (image == 0).all(axis=2)
        rows, columns = np.flatnonzero(gray.any(axis=1)), np.flatnonzero(gray.any(axis=0))
        assert gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert gray.sum() == len(rows) * len(columns)  # one rectangle
        np.testing.assert_array_equal(image[~gray], before[~gray])
        heights.add(len(rows))
        widths.add(len(columns))
    assert heights == widths == {2, 3, 4}  # half of it is inside at least


def test_cutout_is_a_function_of_its_seed_and_off_without() -> None:
    images = tf.constant(IMAGES / 127.5 - 1, tf.float32)
    first, again, other = (cutout(images, 12, tf.constant([1, seed])) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(cutout(images, 0, tf.constant([1, 2])), images)
    np.testing.assert_array_equal(cutout(images, 12, None), images)
    part = cutout(images[5:], 12, tf.constant([1, 2]), Places(tf.range(5, 8), 8))
    np.testing.assert_array_equal(part, first[5:])


def test_augment_does_what_the_flags_say_and_gradients_go_through() -> None:
    images = tf.constant(IMAGES[:4] / 255 - 0.5, tf.float32)
    seeds = Seeds(*(tf.constant([1, seed]) for seed in range(4)))
    assert augment(images, Config(), seeds) is images
    config = Config(augment_shift=0.125, augment_flip=True, augment_color=0.1, augment_cutout=0.25)
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = augment(images, config, seeds)
        total = tf.reduce_sum(found)
    expected = flip(shift(images, 4, seeds.shift), seeds.flip)
    expected = cutout(jitter_color(expected, 0.1, seeds.color), 8, seeds.cutout)
    np.testing.assert_array_equal(found, expected)
    assert np.count_nonzero(tape.gradient(total, images)) > images.shape.num_elements() / 2
    np.testing.assert_array_equal(augment(images, config, Seeds()), images)


def test_augment_can_be_compiled_with_its_gradient() -> None:
    config = Config(augment_shift=0.125, augment_flip=True, augment_color=0.1, augment_cutout=0.25)
    seeds = Seeds(*(tf.constant([1, seed]) for seed in range(4)))

    @tf.function(jit_compile=True)
    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(augment(images, config, seeds))
        return tape.gradient(total, images)

    found = gradient(tf.constant(IMAGES / 255 - 0.5, tf.float32)).numpy()
    assert np.isfinite(found).all() and np.count_nonzero(found) > IMAGES.size / 2
