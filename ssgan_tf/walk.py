"""Image files below a folder."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from ssgan_tf.images import SUFFIXES


class Found(NamedTuple):
    """What is below a folder.

    Attributes:
        files: images by their names, in order.
        skipped: what has an image's name and cannot be one, and why.
        others: how many files have other names.
    """

    files: list[Path]
    skipped: list[tuple[Path, str]]
    others: int


def walk_images(folder: str | Path) -> Found:
    """Image files below a folder, through links, each directory once."""
    seen: set[tuple[int, int]] = set()
    files, skipped, others = [], [], 0
    for directory, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(directory)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if name[0] not in ".@")
        for name in sorted(names):
            path = Path(directory, name)
            if not name.lower().endswith(SUFFIXES) or name.startswith("."):
                others += 1
            elif path.exists() and not stat.S_ISREG(path.stat().st_mode):
                skipped.append((path, "is not a plain file"))
            else:
                files.append(path)
    return Found(files, skipped, others)
