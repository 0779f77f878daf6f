"""A folder of images as a data set; see `layout` for what it may look like."""

import os
from collections.abc import Sequence

import numpy as np

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data.cache import Decoded, decode_files, pixels_digest
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split
from ssgan_tf.data.folder.layout import Item, Layout, read_layout
from ssgan_tf.data.folder.summary import on_files, summarize
from ssgan_tf.data.folder.train_test_split import Copies, find_copies, set_aside
from ssgan_tf.data.images.resize import Fit


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
        image_size: S; every image is resized to S x S, see `decoding.read_picture`.
        fit: what to do with images that are not square.
        channels: 3 or 1.
        test_fraction: of the labeled images of each class, where there is no `test/`; the choice
            depends only on the paths within the folder.
        memory_budget_gb: how much memory images may take, see `storage.Storage`.
        cache_dir: where decoded images are kept, see `cache.decode_files`.

    Returns:
        The data set. Images of `valid/` are training images with their ids in `validation_ids`. No
        image of the test part is in the training part. `report` says what was found.

    Raises:
        UserError: if the folder cannot be understood, see `layout.read_layout`, or a part
            or class has no image that can be used.
    """
    root = expand_user(path).absolute()
    flag = f"--dataset=folder:{path}"
    layout = read_layout(root, flag)
    files = [item.path for item in layout.items]
    decoded = decode_files(root, files, image_size, channels, fit, cache_dir, memory_budget_gb)
    items = [layout.items[index] for index in decoded.kept]
    ids = [item.id for item in items]
    labels = _labels(items, layout.class_names)
    parts = np.array([item.part for item in items], dtype="U10")
    _check_readable(layout, decoded, labels, parts, flag)

    copies = find_copies(decoded.digests, labels, parts.tolist(), ids)
    parts[~copies.keep] = ""
    _check_left(layout, copies, parts, flag)
    test_source = "test/"
    if not layout.has_test:
        _set_test_aside(parts, copies.labels, ids, test_fraction)
        test_source = f"set aside, --test_fraction={test_fraction}"

    used = np.flatnonzero(parts != "")
    images = Split(decoded.images, copies.labels, np.array(ids, dtype=str))
    return Dataset(
        f"folder:{os.path.basename(os.path.abspath(root))}",
        layout.class_names,
        images.take(np.flatnonzero((parts == "train") | (parts == "validation"))),
        images.take(np.flatnonzero(parts == "test")),
        (f"test images: {test_source}", *summarize(layout, decoded, copies, parts)),
        frozenset(np.array(ids, dtype=object)[parts == "validation"]),
        pixels_digest([ids[i] for i in used], [decoded.digests[i] for i in used]),
        Split(decoded.images, labels, images.ids).take(np.flatnonzero(~copies.keep)),
    )


def load_pool(
    path: str,
    image_size: int = 32,
    fit: Fit = "crop",
    channels: int = 3,
    memory_budget_gb: float = 0.0,
    cache_dir: str = "",
) -> Dataset:
    """Reads a folder that may have no label yet, to choose images from it that should get one.

    No test images are set aside. An image that the folders give two labels is left out.

    Args:
        path: of the folder.
        image_size: see `load_folder`, as for all that follow.
        fit: how images become square.
        channels: 3 or 1.
        memory_budget_gb: of the images.
        cache_dir: of decoded images.

    Returns:
        The data set; `report` names files that cannot be read, and what is not used.

    Raises:
        UserError: if the folder cannot be understood, or has no image that can be read.
    """
    root = expand_user(path).absolute()
    flag = f"--dataset=folder:{path}"
    layout = read_layout(root, flag, labels_needed=False)
    files = [item.path for item in layout.items]
    if not files:
        raise UserError(f"{flag}: has no images; put them into {root}/unlabeled/.")
    decoded = decode_files(root, files, image_size, channels, fit, cache_dir, memory_budget_gb)
    if not len(decoded.kept):
        raise UserError(f"{flag}: has no image that can be read; {_first(decoded.problems)}.")
    items = [layout.items[index] for index in decoded.kept]
    ids, parts = np.array([item.id for item in items]), np.array([item.part for item in items])
    labels = _labels(items, layout.class_names)
    copies = find_copies(decoded.digests, labels, parts.tolist(), ids.tolist())
    used = copies.keep & ~((labels != UNKNOWN) & (copies.labels == UNKNOWN))
    images = Split(decoded.images, copies.labels, ids)
    return Dataset(
        f"folder:{os.path.basename(os.path.abspath(root))}",
        layout.class_names,
        images.take(np.flatnonzero(used & (parts != "test"))),
        images.take(np.flatnonzero(used & (parts == "test"))),
        (*layout.notes, *on_files(layout, decoded)),
        frozenset(ids[parts == "validation"].tolist()),
    )


def check_test_images(layout: Layout, test_fraction: float) -> None:
    """Makes sure, without reading the images, that some of them can be for the test.

    Images that occur twice are not known here.

    Args:
        layout: of the folder.
        test_fraction: see `load_folder`.

    Raises:
        UserError: if there is no `test/`, and no image can be set aside.
    """
    if not layout.has_test:
        labels = _labels(layout.items, layout.class_names)
        parts = np.array([item.part for item in layout.items], dtype="U10")
        _set_test_aside(parts, labels, [item.id for item in layout.items], test_fraction)


def _labels(items: Sequence[Item], class_names: Sequence[str]) -> np.ndarray:
    """(N,) the places of the images' classes in `class_names`, or `UNKNOWN`."""
    places: dict[str | None, int] = {name: place for place, name in enumerate(class_names)}
    return np.array([places.get(item.label, UNKNOWN) for item in items], np.int64)


def _first(problems: dict[int, str]) -> str:
    return f"the first one {next(iter(problems.values()))}"


def _set_test_aside(parts: np.ndarray, labels: np.ndarray, ids: list[str], fraction: float) -> None:
    """Makes some training images test images, in `parts`.

    Raises:
        UserError: if none can be.
    """
    candidates = np.where(parts == "train", labels, UNKNOWN)
    parts[set_aside(candidates, ids, fraction)] = "test"
    if "test" not in parts:
        raise UserError(
            f"--test_fraction={fraction}: leaves no test image of "
            f"{np.sum(candidates != UNKNOWN):,} labeled ones; give a class a second label, or make "
            "a folder test/."
        )


def _check_readable(
    layout: Layout, decoded: Decoded, labels: np.ndarray, parts: np.ndarray, flag: str
) -> None:
    """Raises UserError if no image of a class, or of the test part, can be read."""
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


def _check_left(layout: Layout, copies: Copies, parts: np.ndarray, flag: str) -> None:
    """Raises UserError if copies leave a class nothing to train on."""
    left = set(copies.labels[parts == "train"].tolist())
    for label, name in enumerate(layout.class_names):
        if label not in left:
            raise UserError(
                f"{flag}: all training images of class {name} are also test or validation images, "
                "or in another class: no label is left to train on. Move them so that each "
                "image is in one class and one part."
            )
