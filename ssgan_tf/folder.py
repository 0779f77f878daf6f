"""A folder of images as a data set.

my_images/train/<class name>/*     labelled images
my_images/unlabeled/**/*           images without labels (optional)
my_images/test/<class name>/*      optional: else a part of the labelled ones is set aside
"""

import os
from pathlib import Path

import numpy as np

from ssgan_tf.cache import Decoded, decode_files
from ssgan_tf.config import UserError, expand_user
from ssgan_tf.datasets import Dataset, Split
from ssgan_tf.images import SUFFIXES, Fit
from ssgan_tf.label_split import stratified
from ssgan_tf.walk import natural_key

UNKNOWN = -1  # the label of images under unlabeled/
_SHOWN = 5  # skipped files that are named


def load(
    path: str,
    image_size: int = 32,
    fit: Fit = "crop",
    channels: int = 3,
    test_fraction: float = 0.2,
    seed: int = 0,
    memory_budget_gb: float = 0.0,
    cache_dir: str = "",
) -> Dataset:
    """Reads a folder of images.

    Args:
        path: of the folder.
        image_size: S; every image is brought to S x S, see `images.read_image`.
        fit: what to do with images that are not square.
        channels: 3 or 1.
        test_fraction: of the labelled images of each class, where there is no `test/`.
        seed: draws them.
        memory_budget_gb: what images may take in memory, see `storage.Storage`.
        cache_dir: where decoded images are kept, see `cache.decode_files`.

    Returns:
        The data set; its classes are the folders under `train/`, in order. Images under
        `unlabeled/` are training images with the label -1. Its `report` says what was found.

    Raises:
        UserError: if there is no such folder, it has no `train/`, fewer than two classes, a class
            without a readable image, or one whose name cannot be written in a line of text.
    """
    root = expand_user(path)
    flag = f"--dataset=folder:{path}"
    if not root.is_dir():
        raise UserError(f"{flag}: there is no such folder.")
    if not (root / "train").is_dir():
        raise UserError(
            f"{flag}: has no folder train/; labelled images go to {root}/train/<class name>/."
        )
    names = _classes(root / "train", flag)
    if len(names) < 2:
        raise UserError(
            f"{flag}: train/ has {len(names)} class folders; a classifier needs at least two, such "
            f"as {root}/train/cat/ and {root}/train/dog/."
        )
    reader = _Reader(root)
    files, labels = reader.find_labelled("train", names)
    for label, name in enumerate(names):
        if label not in labels:
            raise UserError(f"{flag}: class {name} has no images in train/{name}/.")
    files += reader.find("unlabeled")
    labels += [UNKNOWN] * (len(files) - len(labels))
    count = len(files)
    if has_test := (root / "test").is_dir():
        unknown = sorted(set(_classes(root / "test", flag)) - set(names))
        if unknown:
            raise UserError(f"{flag}: test/ has the class {unknown[0]}, which train/ has not.")
        test_files, test_labels = reader.find_labelled("test", names)
        files, labels = files + test_files, labels + test_labels
    decoded = decode_files(root, files, image_size, channels, fit, cache_dir, memory_budget_gb)
    both = reader.split(files, labels, decoded)
    train = both.take(np.flatnonzero(decoded.kept < count))
    for label, name in enumerate(names):
        if label not in train.labels:
            raise UserError(
                f"{flag}: class {name} has no image that can be read; "
                f"the first one {reader.why_skipped(f'train/{name}/')}."
            )
    if has_test:
        test = both.take(np.flatnonzero(decoded.kept >= count))
        if not len(test):
            raise UserError(f"{flag}: test/ has no image that can be read; fill or remove it.")
        source = "test/"
    else:
        labelled = np.flatnonzero(train.labels != UNKNOWN)
        chosen = stratified(train.labels, labelled, test_fraction, seed)
        if not len(chosen):
            raise UserError(
                f"--test_fraction={test_fraction}: leaves no test image of {len(labelled)} "
                "labelled ones; give more, or a folder test/."
            )
        test = train.take(chosen)
        train = train.take(np.setdiff1d(np.arange(len(train)), chosen))
        source = f"set aside, --test_fraction={test_fraction}"
    return Dataset(
        f"folder:{root.absolute().name}",
        names,
        train,
        test,
        tuple(_report(names, train, test, source, reader)),
    )


class _Reader:
    """Finds the images of one folder, and remembers their sizes and what was skipped."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.sizes: list[tuple[int, int]] = []
        self.skipped: list[tuple[str, str]] = []
        self.others = 0  # files that are not images by their names

    def find(self, part: str) -> list[Path]:
        """All image files below a part, in order."""
        found = []
        for directory, folders, files in os.walk(self._root / part, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in files:
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    found.append(Path(directory) / name)
                elif not name.startswith("."):
                    self.others += 1
        return sorted(found, key=lambda path: natural_key(str(path)))

    def find_labelled(self, part: str, names: list[str]) -> tuple[list[Path], list[int]]:
        """Image files below the class folders of a part, and their labels."""
        files: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(names):
            found = self.find(f"{part}/{name}")
            files += found
            labels += [label] * len(found)
        return files, labels

    def split(self, files: list[Path], labels: list[int], decoded: Decoded) -> Split:
        """What could be decoded of all files; ids are the paths within the folder."""
        self.sizes = decoded.sizes
        self.skipped = [(self._id(files[index]), why) for index, why in decoded.problems.items()]
        ids = np.array([self._id(files[index]) for index in decoded.kept], dtype=str)
        return Split(decoded.images, np.array(labels, np.int64)[decoded.kept], ids)

    def why_skipped(self, start: str) -> str:
        """Of the first skipped file whose id begins so."""
        return next((reason for name, reason in self.skipped if name.startswith(start)), "")

    def _id(self, path: Path) -> str:
        name = path.relative_to(self._root).as_posix()
        # It is printed and stands in the report, where bytes that are not UTF-8 cannot.
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _classes(directory: Path, flag: str) -> list[str]:
    """Names of the class folders, in order.

    Raises:
        UserError: if one cannot be a line of the exported model's class_names.txt.
    """
    names = [
        path.name for path in directory.iterdir() if path.is_dir() and path.name[0] not in "._"
    ]
    for name in names:
        surrogates = any("\ud800" <= character <= "\udfff" for character in name)
        if surrogates or name.splitlines() != [name]:
            wrong = "is not UTF-8" if surrogates else "holds a line break"
            raise UserError(
                f"{flag}: the name of the class folder {name!a} in {directory.name}/ {wrong}; "
                "rename it."
            )
    return sorted(names, key=natural_key)


def _report(names: list[str], train: Split, test: Split, source: str, reader: _Reader) -> list[str]:
    """What a person wants to know before training."""
    lines = [f"test images: {source}"]
    width = max(5, *map(len, names))
    lines.append(f"{'class':<{width}}  {'train':>7}  {'test':>7}")
    for label, name in enumerate(names):
        counts = (np.sum(part.labels == label) for part in (train, test))
        lines.append(f"{name:<{width}}  " + "  ".join(f"{count:>7,}" for count in counts))
    unlabeled = int(np.sum(train.labels == UNKNOWN))
    lines.append(f"{'':<{width}}  {unlabeled:>7,}  without a label (unlabeled/)")
    widths, heights = zip(*reader.sizes, strict=True)
    smallest, largest = min(reader.sizes, key=np.prod), max(reader.sizes, key=np.prod)
    lines.append(
        f"sizes: {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} pixels, median "
        f"{np.median(widths):.0f} x {np.median(heights):.0f}"
    )
    if reader.skipped:
        lines.append(f"skipped: {len(reader.skipped):,} files that cannot be read")
        lines += [f"  {name}: {reason}" for name, reason in reader.skipped[:_SHOWN]]
        if len(reader.skipped) > _SHOWN:
            lines.append(f"  and {len(reader.skipped) - _SHOWN:,} more")
    if reader.others:
        lines.append(f"not looked at: {reader.others:,} files without an image's name")
    return lines
