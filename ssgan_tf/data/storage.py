"""Where the images are: in memory, or in a file if there are too many for it."""

import contextlib
import errno
import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ssgan_tf.config import UserError

SAFE_SHARE = 0.6  # of the free memory
AT_ONCE = 16  # rows read before memory is given back: each may bring in a megabyte around it
COPIES = 2  # as they are read, and as the train step gathers them


def free_memory() -> float:
    """Bytes that the system and the container let this process take now."""
    free = [math.inf]
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = Path("/proc/meminfo").read_text()
        free.append(1024 * int(text.split("MemAvailable:")[1].split()[0]))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        free.append(limit - int((group / "memory.current").read_text()))
    return min(free)


class Storage:
    """Allocates room for images in memory, or else in a file."""

    def __init__(self, budget_gb: float, directory: Path) -> None:
        """
        Args:
            budget_gb: how much memory images may take, in GB; 0: a safe share of the free memory.
            directory: where their file goes if they take more. The file has no name there, so it
                is deleted when the process ends, however that happens.
        """
        self._budget = budget_gb * 1e9 if budget_gb else SAFE_SHARE * free_memory()
        self._directory = directory

    def reserve(self, shape: tuple[int, ...]) -> bool:
        """Whether uint8 images (N, S, S, C) fit into memory; if so, their room is reserved."""
        size = math.prod(shape) * COPIES
        fits = size <= self._budget
        self._budget -= size * fits
        return fits

    def announce(self, shape: tuple[int, ...], directory: str | Path) -> None:
        """Prints that images do not fit, and that they are in a file in `directory`."""
        print(
            f"Images:   {shape[0]:,} take {math.prod(shape) * COPIES / 1e9:,.3g} GB in memory, "
            f"more than the {max(0, self._budget) / 1e9:,.3g} GB left of "
            f"--memory_budget_gb; they are read from a file in {directory} as they are needed",
            flush=True,
        )

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray:
        """Room for uint8 images (N, S, S, C): an array, or an `np.memmap`.

        Raises:
            UserError: if there is no room on the disk either.
        """
        if self.reserve(shape):
            return np.empty(shape, np.uint8)
        size = math.prod(shape)
        self.announce(shape, self._directory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._directory) as file:
                if hasattr(
                    os, "posix_fallocate"
                ):  # otherwise a full disk would crash the program later
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, np.uint8, "w+", shape=shape)
        except OSError as error:
            why = "is full" if error.errno == errno.ENOSPC else f"cannot be used ({error.strerror})"
            raise UserError(
                f"--memory_budget_gb: {size / 1e9:,.3g} GB of images do not fit into memory, and "
                f"the disk of {self._directory} {why}; make room there."
            ) from error


class Rows:
    """Images at some places of an array, read when they are needed.

    `rows[places]` and `np.asarray(rows)` are arrays in memory; nothing else makes a copy.

    Attributes:
        array: (M, S, S, C) uint8, an array, or an `np.memmap` of a file.
        index: (N,) int64, the place of each image in `array`.
    """

    def __init__(self, array: np.ndarray, index: np.ndarray) -> None:
        self.array, self.index = array, np.asarray(index, np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, C)."""
        return len(self.index), *self.array.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """Of the images."""
        return self.array.dtype

    @property
    def in_file(self) -> bool:
        """Whether they are in a file, and not in memory."""
        return isinstance(self.array, np.memmap)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, places: Any) -> np.ndarray:
        if isinstance(places, tuple):  # as in images[:, 0, 0]
            return self[:][places]
        index = self.index[places]
        return rows(self.array, np.atleast_1d(index)).reshape(*index.shape, *self.array.shape[1:])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images that are read from their places are always a copy")
        return self[:].astype(dtype or self.dtype, copy=False)


def take(images: np.ndarray | Rows, indices: np.ndarray) -> Rows:
    """The images at `indices`, without a copy."""
    if isinstance(images, Rows):
        return Rows(images.array, images.index[indices])
    return Rows(images, np.arange(len(images))[indices])


def reordered(images: np.ndarray, order: np.ndarray) -> np.ndarray | Rows:
    """The images at `order`: in memory as a new array, in a file without a copy."""
    return Rows(images, order) if isinstance(images, np.memmap) else images[order]


def rows(images: np.ndarray | Rows, places: np.ndarray | slice) -> np.ndarray:
    """`images[places]`, in memory; of a file, nothing but these images stays in memory."""
    if isinstance(images, Rows):
        return images[places]
    if not isinstance(images, np.memmap):
        return images[places]
    if isinstance(places, slice):
        places = np.arange(*places.indices(len(images)))
    found = np.empty((len(places), *images.shape[1:]), images.dtype)
    for start in range(0, len(places), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found[part] = images[places[part]]
        give_back(images)
    return found


def give_back(images: np.ndarray) -> None:
    """Removes the parts of a file of images that were used from this process's memory.

    They remain in the file, which the system caches as long as it has free memory.
    """
    if isinstance(images, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        # numpy has no public name for it.
        images._mmap.madvise(mmap.MADV_DONTNEED)  # pyright: ignore[reportAttributeAccessIssue]
