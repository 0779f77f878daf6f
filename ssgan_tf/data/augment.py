"""Augmentation: changes of training images that keep their class, each a function of its seed."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import tensorflow as tf

from ssgan_tf.config import Config


class Seeds(NamedTuple):
    """Of which the changes of a batch of images are a pure function, (2,) int32 each.

    Attributes:
        shift: of how far each image is moved; None: no shifts, and so on.
        flip: of which images are mirrored.
        color: of the changes of contrast and brightness.
        cutout: of where the gray square is.
    """

    shift: tf.Tensor | None = None
    flip: tf.Tensor | None = None
    color: tf.Tensor | None = None
    cutout: tf.Tensor | None = None


class Places(NamedTuple):
    """Where the images of a replica stand in the global batch, for which changes are drawn.

    Attributes:
        indices: (B,) int32.
        total: how many images the global batch has.
    """

    indices: tf.Tensor
    total: int | tf.Tensor


def augment(
    images: tf.Tensor, config: Config, seeds: Seeds, places: Places | None = None
) -> tf.Tensor:
    """All changes that the flags ask for, in this order: shift, flip, color, cutout.

    Args:
        images: (B, H, W, channels) float in [-1, 1], real or generated; gradients go through.
        config: of the run.
        seeds: of the changes; what has none is left out.
        places: where `images` is a part of a larger batch, its places there.

    Returns:
        Same shape, dtype and range as `images`.
    """
    images = shift(images, round(config.augment_shift * config.image_size), seeds.shift, places)
    if config.augment_flip:
        images = flip(images, seeds.flip, places)
    images = jitter_color(images, config.augment_color, seeds.color, places)
    return cutout(images, round(config.augment_cutout * config.image_size), seeds.cutout, places)


def shift(
    images: tf.Tensor, pixels: int, seed: tf.Tensor | None, places: Places | None = None
) -> tf.Tensor:
    """Moves each image by up to `pixels` in both directions; border pixels are repeated.

    Args:
        images: (B, H, W, channels), any dtype.
        pixels: >= 0.
        seed: (2,) int32, of which the shifts are a pure function; None: no shifts.
        places: where `images` is a part of a larger batch, its places there.

    Returns:
        Same shape and dtype as `images`.
    """
    if seed is None or pixels == 0:
        return images
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    shifts = _drawn(2, batch, (1,), places, seed, -pixels, pixels + 1, tf.int32)  # (2, B, 1)
    rows = tf.clip_by_value(tf.range(height) + shifts[0], 0, height - 1)  # (B, H)
    columns = tf.clip_by_value(tf.range(width) + shifts[1], 0, width - 1)  # (B, W)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def flip(images: tf.Tensor, seed: tf.Tensor | None, places: Places | None = None) -> tf.Tensor:
    """Mirrors each image left to right, or leaves it as it is, with even odds.

    Args:
        images: (B, H, W, channels), any dtype.
        seed: (2,) int32, of which the choice is a pure function; None: nothing is mirrored.
        places: where `images` is a part of a larger batch, its places there.

    Returns:
        Same shape and dtype as `images`.
    """
    if seed is None:
        return images
    batch, _, width = tf.unstack(tf.shape(images)[:3])
    mirrored = _drawn(1, batch, (1,), places, seed, 0, 2, tf.int32)[0]  # (B, 1)
    columns = tf.range(width)
    columns += mirrored * (width - 1 - 2 * columns)  # (B, W), width - 1 - column where mirrored
    return tf.gather(images, columns, axis=2, batch_dims=1)


def jitter_color(
    images: tf.Tensor, strength: float, seed: tf.Tensor | None, places: Places | None = None
) -> tf.Tensor:
    """Changes contrast and brightness of each channel of each image: a x + b, clipped to [-1, 1].

    Args:
        images: (B, H, W, channels) float in [-1, 1].
        strength: a is uniform in [1 - strength, 1 + strength], b in [-strength, strength].
        seed: (2,) int32, of which both are a pure function; None: nothing is changed.
        places: where `images` is a part of a larger batch, its places there.

    Returns:
        Same shape, dtype and range as `images`.
    """
    if seed is None or strength == 0:
        return images
    each = (1, 1, cast(int, images.shape[-1]))
    changes = _drawn(2, tf.shape(images)[0], each, places, seed, -strength, strength, tf.float32)
    return tf.clip_by_value(images * (1.0 + changes[0]) + changes[1], -1.0, 1.0)


def cutout(
    images: tf.Tensor, side: int, seed: tf.Tensor | None, places: Places | None = None
) -> tf.Tensor:
    """Makes a square of each image gray (DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552).

    Args:
        images: (B, H, W, channels) float in [-1, 1].
        side: of the square, in pixels. Its center is any pixel, so that it may reach over the
            border.
        seed: (2,) int32, of which the center is a pure function; None: nothing is changed.
        places: where `images` is a part of a larger batch, its places there.

    Returns:
        Same shape, dtype and range as `images`.
    """
    if seed is None or side == 0:
        return images
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    centers = _drawn(2, batch, (1,), places, seed, 0.0, 1.0, tf.float32)  # (2, B, 1)

    def covered(size: tf.Tensor, center: tf.Tensor) -> tf.Tensor:
        """(B, size): 1 where the square is."""
        first = tf.cast(center * tf.cast(size, tf.float32), tf.int32) - side // 2  # (B, 1)
        position = tf.range(size)
        return tf.cast((position >= first) & (position < first + side), images.dtype)

    rows = covered(height, centers[0])[:, :, tf.newaxis, tf.newaxis]  # (B, H, 1, 1)
    columns = covered(width, centers[1])[:, tf.newaxis, :, tf.newaxis]  # (B, 1, W, 1)
    return images * (1.0 - rows * columns)


def _drawn(
    count: int,
    batch: tf.Tensor,
    each: tuple[int, ...],
    places: Places | None,
    seed: tf.Tensor,
    lowest: float,
    bound: float,
    dtype: tf.DType,
) -> tf.Tensor:
    """Uniform random numbers from `lowest` to below `bound`, (count, batch, *each).

    They are drawn for the global batch: on each replica an image gets the numbers of its place.
    """
    shape = cast(Sequence[int], (count, batch if places is None else places.total, *each))
    found = tf.random.stateless_uniform(shape, seed, lowest, bound, dtype)
    return found if places is None else tf.gather(found, places.indices, axis=1)
