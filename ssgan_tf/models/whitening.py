"""A first convolution that is not trained: it whitens the patches of the images.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", "frozen patch-whitening
initialization" (https://arxiv.org/abs/2404.00498).
"""

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


def whitening_kernel(images: np.ndarray) -> np.ndarray:
    """Filters whose outputs, over all patches p of the images, are uncorrelated, of mean square 1:

        mean p p^T = V diag(w) V^T,  filters: the columns of V (w + epsilon)^(-1/2)

    and, since an activation follows, their negatives.

    Args:
        images: (N, H, W, C) float in [-1, 1], N > 0.

    Returns:
        (2, 2, C, 8 C) float32.
    """
    channels = images.shape[-1]
    size = SIDE * SIDE * channels
    moment, count = np.zeros((size, size)), 0
    for image in images:  # one by one: all patches together may not fit into memory
        windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), axis=(0, 1))
        patches = np.moveaxis(windows, 2, 4).reshape(-1, size)  # each by row, column, channel
        moment += patches.T @ patches
        count += len(patches)
    squares, vectors = np.linalg.eigh(moment / count)
    filters = vectors / np.sqrt(np.maximum(squares, 0.0) + EPSILON)  # (4 C, 4 C), in columns
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(SIDE, SIDE, channels, -1).astype(np.float32)
