"""Decoded images, kept between runs: each file is decoded once."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ssgan_tf.images import Fit, ImageError, Picture, read_picture
from ssgan_tf.storage import Rows


class Decoded(NamedTuple):
    """What was found in M of N files.

    Attributes:
        images: (M, S, S, C) uint8, in the order of the files: an array in memory, or `Rows` of a
            file. Both are read by `images[indices]` and `len(images)`.
        kept: (M,) int64, ascending: which of the files these are.
        sizes: M times (width, height) in pixels, of the image in the file.
        digests: M times a hash of the S x S pixels; equal images have equal ones.
        notes: index of a file -> what a person should know of it; only where there is something.
        problems: index of a file -> why it cannot be read. It is not among `kept`.
    """

    images: np.ndarray | Rows
    kept: np.ndarray
    sizes: list[tuple[int, int]]
    digests: list[bytes]
    notes: dict[int, str]
    problems: dict[int, str]


def decode_files(
    root: Path,
    files: Sequence[Path],
    size: int,
    channels: int,
    fit: Fit,
    cache_dir: str = "",
    memory_budget_gb: float = 0.0,
) -> Decoded:
    """Decodes image files, or takes from the cache what it has of them.

    Call it once with all files of a data set: each call may use the whole memory budget.

    Args:
        root: the folder of the data set; all files are below it.
        files: paths that start with `root`, of plain files.
        size: S, the side of the images, see `images.read_picture`.
        channels: 3 or 1.
        fit: "crop", "pad" or "stretch".
        cache_dir: where the cache is; empty: the usual place for such files.
        memory_budget_gb: what images may take in memory, see `storage.Storage`.

    Returns:
        The images, with what is known of each file.

    Raises:
        UserError: if the images fit neither into memory nor on the disk.
    """

    def decode(path: Path) -> Picture | ImageError:
        try:
            return read_picture(path, size, channels, fit)
        except ImageError as error:
            return error

    images = np.empty((len(files), size, size, channels), np.uint8)
    kept, found = [], Decoded(images, np.empty(0, np.int64), [], [], {}, {})
    with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
        pictures = executor.map(decode, files)
        bar = tqdm(pictures, total=len(files), desc="Reading images", disable=None, leave=False)
        for index, picture in enumerate(bar):
            if isinstance(picture, ImageError):
                found.problems[index] = str(picture)
                continue
            images[len(kept)] = picture.pixels
            kept.append(index)
            found.sizes.append((picture.width, picture.height))
            found.digests.append(blake2b(picture.pixels.tobytes(), digest_size=16).digest())
            if picture.note:
                found.notes[index] = picture.note
    return found._replace(images=images[: len(kept)], kept=np.array(kept, np.int64))
