"""Features of images without any network: their colors, and where their edges run.

Colors are means over 8 x 8 tiles. Edges are histograms of the directions of the gradient in 4 x 4
tiles, as in Dalal and Triggs 2005, "Histograms of Oriented Gradients". Principal components make
them few: those of larger variance keep more weight.
"""

import numpy as np

from ssgan_tf.data.storage import Rows, rows

COLOR_TILES, EDGE_TILES, DIRECTIONS = 8, 4, 8
COMPONENTS = 64
_BATCH, _FITTED_ON = 1024, 10_000


def describe(images: np.ndarray | Rows, seed: int = 0) -> np.ndarray:
    """(N, at most 64) float32 features of length 1 each.

    Args:
        images: (N, S, S, channels) uint8, S a multiple of 8.
        seed: of the images that the principal components are those of, if there are many.
    """
    from sklearn.decomposition import PCA

    count = len(images)
    sample = np.sort(np.random.default_rng(seed).permutation(count)[:_FITTED_ON])
    raw = np.concatenate(
        [_raw(rows(images, sample[i : i + _BATCH])) for i in range(0, len(sample), _BATCH)]
    )
    with np.errstate(invalid="ignore"):  # images that are all the same have no variance
        components = PCA(min(COMPONENTS, *raw.shape), random_state=seed).fit(raw)
    found = np.concatenate(
        [
            components.transform(_raw(rows(images, slice(start, start + _BATCH))))
            for start in range(0, count, _BATCH)
        ]
    )
    return unit_length(found)


def unit_length(features: np.ndarray) -> np.ndarray:
    """(N, F) float32, each row divided by its length; one of zeros stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)


def _raw(images: np.ndarray) -> np.ndarray:
    """(B, D) float32: colors and edges, each of the same total weight."""
    values = images.astype(np.float32) / 255
    colors = _tiles(values).reshape(len(values), -1)
    colors = (colors - 0.5) / np.sqrt(colors.shape[1])
    edges = np.sqrt(_edges(values.mean(axis=-1)))
    edges /= np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-6)
    return np.concatenate([colors, edges], axis=1).astype(np.float32)


def _tiles(values: np.ndarray) -> np.ndarray:
    """(B, S, S, C) -> means over tiles (B, 8, 8, C)."""
    tile = values.shape[1] // COLOR_TILES
    starts = np.arange(COLOR_TILES) * tile
    sums = np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2)
    return sums / tile**2


def _edges(gray: np.ndarray) -> np.ndarray:
    """(B, S, S) -> (B, 4 * 4 * 8): the strength of the gradient by tile and direction."""
    batch, side, _ = gray.shape
    down, right = np.gradient(gray, axis=(1, 2))
    turns = np.arctan2(down, right) * (DIRECTIONS / np.pi)  # black on white is white on black
    direction = np.rint(turns).astype(np.int64) % DIRECTIONS
    tile = np.arange(side) * EDGE_TILES // side
    tiles = tile[:, np.newaxis] * EDGE_TILES + tile  # (S, S)
    place = np.arange(batch)[:, np.newaxis, np.newaxis] * EDGE_TILES**2 + tiles
    bins = batch * EDGE_TILES**2 * DIRECTIONS
    found = np.bincount(
        (place * DIRECTIONS + direction).ravel(), np.hypot(down, right).ravel(), bins
    )
    return found.reshape(batch, -1)
