import numpy as np
import pytest

from ssgan_tf.inference.pixel_features import (
    COMPONENTS,
    _edges,
    _raw,
    _tiles,
    describe,
    unit_length,
)


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (32, 3), (128, 3)])
def test_features_are_few_and_of_length_one(side: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, side, side, channels), dtype=np.uint8)
    found = describe(images)
    assert found.shape == (90, COMPONENTS) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_colors_are_means_over_tiles() -> None:
    values = np.random.default_rng(0).random((2, 32, 32, 3))
    found = _tiles(values)
    assert found.shape == (2, 8, 8, 3)
    assert np.allclose(found[1, 2, 5], values[1, 8:12, 20:24].mean(axis=(0, 1)))


def test_edges_are_counted_by_tile_and_direction() -> None:
    gray = np.zeros((1, 32, 32))
    gray[0, :, 20:] = 1  # one vertical edge, in the third column of tiles
    found = _edges(gray).reshape(4, 4, 8)
    expected = np.zeros((4, 4, 8))
    expected[:, 2, 0] = 8  # two columns of strength 1/2, eight rows in a tile
    assert np.allclose(found, expected)
    assert np.allclose(_edges(1 - gray), _edges(gray))
    assert np.allclose(_edges(gray.swapaxes(1, 2)).reshape(4, 4, 8)[2, :, 4], 8)


def test_images_in_one_color_have_features_too() -> None:
    assert np.isfinite(_raw(np.zeros((3, 32, 32, 3), np.uint8))).all()
    assert np.isfinite(describe(np.full((3, 32, 32, 3), 7, np.uint8))).all()


def test_features_of_length_zero_stay() -> None:
    found = unit_length(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]])
