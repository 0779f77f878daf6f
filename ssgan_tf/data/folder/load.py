"""A folder of images as a data set; see `folder_layout` for what it may look like."""

import os

import numpy as np

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data.cache import Decoded, decode_files, pixels_digest
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split
from ssgan_tf.data.folder.layout import Layout, read_layout
from ssgan_tf.data.folder.summary import summarize
from ssgan_tf.data.folder.train_test_split import Copies, find_copies, set_aside
from ssgan_tf.data.images.decoding import Fit


def load_folder(
    path: str,
    image_size: int = 32,
    fit: Fit = "crop",
    channels: int = 3,
    test_fraction: float = 0.2,
    memory_budget_gb: float = 0.0,
    cache_dir: str = "",
) -> Dataset:
    """Reads a folder of images.

    Args:
        path: of the folder.
        image_size: S; every image is brought to S x S, see `images.read_picture`.
        fit: what to do with images that are not square.
        channels: 3 or 1.
        test_fraction: of the labeled images of each class, where there is no `test/`; which ones
            depends on nothing but their paths within the folder.
        memory_budget_gb: what images may take in memory, see `storage.Storage`.
        cache_dir: where decoded images are kept, see `cache.decode_files`.

    Returns:
        The data set. Training images without a label have the label -1; those of `valid/` are
        training images with their ids in `validation_ids`. No image of the test part is in the
        training part. Its `report` says what was found.

    Raises:
        UserError: if the folder cannot be understood, see `folder_layout.read_layout`, or a part
            or class has no image that can be used.
    """
    root = expand_user(path).absolute()
    flag = f"--dataset=folder:{path}"
    layout = read_layout(root, flag)
    files = [item.path for item in layout.items]
    decoded = decode_files(root, files, image_size, channels, fit, cache_dir, memory_budget_gb)
    label_of = {name: label for label, name in enumerate(layout.class_names)}
    items = [layout.items[index] for index in decoded.kept]
    ids = [item.id for item in items]
    labels = np.array([label_of.get(item.label, UNKNOWN) for item in items], np.int64)
    parts = np.array([item.part for item in items], dtype="U10")
    _check_readable(layout, decoded, labels, parts, flag)
    copies = find_copies(decoded.digests, labels, parts.tolist(), ids)
    labels = copies.labels
    parts[~copies.keep] = ""
    _check_left(layout, copies, ids, parts, flag)
    source = "test/"
    if not layout.has_test:
        source = f"set aside, --test_fraction={test_fraction}"
        candidates = np.where(parts == "train", labels, UNKNOWN)
        parts[set_aside(candidates, ids, test_fraction)] = "test"
        if "test" not in parts:
            raise UserError(
                f"--test_fraction={test_fraction}: leaves no test image of "
                f"{np.sum(candidates != UNKNOWN):,} labeled ones; give more, or a folder test/."
            )
    used = np.flatnonzero(parts != "")
    pixels = pixels_digest([ids[i] for i in used], [decoded.digests[i] for i in used])
    everything = Split(decoded.images, labels, np.array(ids, dtype=str))
    return Dataset(
        f"folder:{os.path.basename(os.path.abspath(root))}",
        layout.class_names,
        everything.take(np.flatnonzero((parts == "train") | (parts == "validation"))),
        everything.take(np.flatnonzero(parts == "test")),
        (f"test images: {source}", *summarize(layout, decoded, copies, labels, parts)),
        frozenset(np.array(ids, dtype=object)[parts == "validation"]),
        pixels,
    )


def _check_readable(
    layout: Layout, decoded: Decoded, labels: np.ndarray, parts: np.ndarray, flag: str
) -> None:
    for label, name in enumerate(layout.class_names):
        if label not in labels[parts == "train"]:
            why = next(
                reason
                for index, reason in decoded.problems.items()
                if layout.items[index].label == name and layout.items[index].part == "train"
            )
            raise UserError(
                f"{flag}: class {name} has no image that can be read; the first one {why}."
            )
    if layout.has_test and "test" not in parts:
        raise UserError(f"{flag}: test/ has no image that can be read; fill or remove it.")


def _check_left(
    layout: Layout, copies: Copies, ids: list[str], parts: np.ndarray, flag: str
) -> None:
    """Raises UserError if copies leave a class nothing to train on."""
    left = set(copies.labels[parts == "train"].tolist())
    for label, name in enumerate(layout.class_names):
        if label not in left:
            raise UserError(
                f"{flag}: all training images of class {name} are also test or validation images, "
                "or in another class: no label is left to train on. Move them so that each "
                "image is in one class and one part."
            )
