"""A first convolution that is not trained: it whitens the patches of the images.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", "frozen patch-whitening
initialization" (https://arxiv.org/abs/2404.00498).
"""

from collections.abc import Iterable

import numpy as np

from ssgan_tf.models.convolutions import Conv2D

SIDE = 2  # of a patch, in pixels
EPSILON = 2e-3  # added to the mean squares, so that faint noise in smooth images stays faint
IMAGES = 1000  # that suffice for `whitening_kernel`


def whitening_conv(channels: int, name: str, dtype: str) -> Conv2D:
    """A convolution with two filters for each number of a patch; its weights are to be set."""
    return Conv2D(
        2 * SIDE * SIDE * channels, SIDE, use_bias=False, trainable=False, name=name, dtype=dtype
    )


def whitening_kernel(images: Iterable[np.ndarray], jitter: float = 0.0) -> np.ndarray:
    """Filters whose outputs, over all patches p of the images, are uncorrelated, of mean square 1:

        mean p p^T = V diag(w) V^T,  filters: the columns of V (w + epsilon)^(-1/2)

    and, since an activation follows, their negatives.

    Training changes the colors of the images, so the filters are those of changed images. Otherwise
    the filters of gray photos would amplify colors, which only the changes bring.

    Args:
        images: (H, W, C) float in [-1, 1] each, at least one.
        jitter: the strength of `data.augment.jitter_color`, whose a x + b has the mean square of
            (1 + jitter^2 / 3) x^2 + jitter^2 / 3 if nothing is clipped.

    Returns:
        (2, 2, C, 8 C) float32.
    """
    total, count = np.zeros(()), 0
    for image in images:  # one by one: all patches together may not fit into memory
        windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), axis=(0, 1))
        patches = np.moveaxis(windows, 2, 4).reshape(-1, SIDE * SIDE * image.shape[-1])
        total = total + patches.T @ patches  # rows of p: by row, column, channel of the pixel
        count += len(patches)
    moment = total / count  # (4 C, 4 C)
    channels = len(moment) // SIDE**2
    drawn_together = np.tile(np.eye(channels), (SIDE**2, SIDE**2))  # a, b: one each per channel
    moment += drawn_together * (moment + 1) * jitter**2 / 3
    squares, vectors = np.linalg.eigh(moment)
    filters = vectors / np.sqrt(np.maximum(squares, 0.0) + EPSILON)  # (4 C, 4 C), in columns
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(SIDE, SIDE, channels, -1).astype(np.float32)
