"""The report on a folder of images, printed before training."""

import difflib
import math
from collections.abc import Sequence

import numpy as np

from ssgan_tf.data.cache import Decoded
from ssgan_tf.data.dataset import UNKNOWN
from ssgan_tf.data.folder.layout import Item, Layout
from ssgan_tf.data.folder.names import PARTS, listed, shown
from ssgan_tf.data.folder.train_test_split import Copies
from ssgan_tf.data.sampling import imbalanced
from ssgan_tf.system.text import counted, display_width, padded

_SHOWN = 5  # files that are named, of each kind
_ALMOST = 0.85  # of difflib: dres and dress, not male and female
_FEW_CLASSES = 100  # whose names are compared with each other


def summarize(layout: Layout, decoded: Decoded, copies: Copies, parts: np.ndarray) -> list[str]:
    """Lines on the parts and the classes, and on anything unexpected.

    Args:
        layout: of the folder.
        decoded: its images.
        copies: among the M images that could be read, with their labels as they are used.
        parts: (M,) "train", "validation" or "test", as they are used; "": left out.
    """
    names, labels = layout.class_names, copies.labels
    ids = [layout.items[index].id for index in decoded.kept]
    return [
        *_table(names, labels, parts),
        _sizes(decoded.sizes),
        *_on_classes(layout, labels, parts),
        *_inner_folders(layout.items),
        *_on_copies(copies, ids, parts),
        *layout.notes,
        *on_files(layout, decoded),
    ]


def _table(names: list[str], labels: np.ndarray, parts: np.ndarray) -> list[str]:
    """Images of each class and part."""
    columns = [part for part in ("train", "validation", "test") if np.any(parts == part)]
    width = max(5, *map(display_width, names))
    lines = [f"{'class':<{width}}  " + "  ".join(f"{part:>10}" for part in columns)]
    for label, name in enumerate(names):
        counts = (np.sum(labels[parts == part] == label) for part in columns)
        cells = [padded(name, width), *(f"{count:>10,}" for count in counts)]
        lines.append("  ".join(cells))
    unlabeled = np.sum(labels[parts == "train"] == UNKNOWN)
    return [*lines, f"{'':<{width}}  {unlabeled:>10,}  without a label"]


def _sizes(sizes: list[tuple[int, int]]) -> str:
    widths, heights = zip(*sizes, strict=True)
    smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
    return (
        f"sizes: {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} pixels, median "
        f"{np.median(widths):.0f} x {np.median(heights):.0f}"
    )


def _on_classes(layout: Layout, labels: np.ndarray, parts: np.ndarray) -> list[str]:
    names, lines = layout.class_names, []
    trained_on = labels[parts == "train"]
    counts = np.bincount(trained_on[trained_on != UNKNOWN], minlength=len(names))
    if imbalanced(counts):
        most, least = counts.argmax(), counts.argmin()
        lines.append(
            f"imbalanced: {counted(counts[most], 'image')} of {names[most]} and {counts[least]:,} "
            f"of {names[least]} to train on; see --balance_classes"
        )
    lines += _on_names(names, counts)
    tested = set(labels[parts == "test"].tolist())
    untested = [label for label in range(len(names)) if label not in tested]
    if layout.has_test:
        reasons = {"": untested}
    else:
        alone = [label for label in untested if counts[label] == 1]
        others = [label for label in untested if counts[label] > 1]
        whose = "its" if len(others) == 1 else "their"
        reasons = {
            ": a single image is trained on; give test/": alone,
            f": by chance none of {whose} images is set aside; give test/": others,
        }
    for why, labels_of in reasons.items():
        if labels_of:
            lines.append(f"no test image of {listed([names[label] for label in labels_of])}{why}")
    return lines


def _on_names(names: list[str], counts: np.ndarray) -> list[str]:
    """Names that are the same but for case and spaces, or of a rare class, such as by a slip."""
    folded = [name.strip().casefold() for name in names]
    twins = [name for name in names if folded.count(name.strip().casefold()) > 1]
    lines = []
    if twins:
        quoted = listed([repr(name) for name in twins])
        lines.append(f"classes that differ only in upper and lower case or spaces: {quoted}")
    for rare, name in enumerate(names if len(names) <= _FEW_CLASSES else []):
        often = [
            other for other, count in zip(names, counts, strict=True) if count > 4 * counts[rare]
        ]
        close = difflib.get_close_matches(name, often, 1, _ALMOST)
        if close and name not in twins and not any(map(str.isdigit, name)):
            lines.append(
                f"almost the same name: {name} ({counted(counts[rare], 'image')}) and {close[0]}; "
                "rename one if they are one class"
            )
    return lines


def _inner_folders(items: Sequence[Item]) -> list[str]:
    """Names the folders within class folders: people may mean them to be the classes."""
    inner, has_train = set(), any(item.id.startswith("train/") for item in items)
    for item in items:
        folders = item.id.split("/")[:-1]
        in_part = len(folders) > 1 and PARTS.get(folders[0], "unlabeled") != "unlabeled"
        deep = len(folders) > 1 + in_part and (in_part or not has_train)
        if deep and folders[in_part] == item.label:
            inner.add("/".join(folders))
    if not inner:
        return []
    return [f"folders within a class, whose images are of that class: {listed(sorted(inner))}"]


def _on_copies(copies: Copies, ids: list[str], parts: np.ndarray) -> list[str]:
    kinds = (
        (copies.of_test, "of test images, left out of training"),
        (copies.of_validation, "of validation images, left out of training"),
        (copies.within_train, "within the training part, left out"),
        (copies.within_validation, "within the validation part, left out"),
        (copies.within_test, "within the test part, where they stay"),
    )
    lines = [f"copies: {count:,} {what}" for count, what in kinds if count]
    return lines + _two_labels(copies.two_labels, ids, parts)


def _two_labels(groups: list[list[int]], ids: list[str], parts: np.ndarray) -> list[str]:
    """The images that have two labels, by what becomes of them."""
    stays_in = [next((parts[index] for index in group if parts[index]), "") for group in groups]
    lines = []
    for part, what in (
        ("train", "used without a label"),
        ("", "left out of the validation part"),
        ("validation", "used with the label of the validation part"),
        ("test", "used with the label of the test part"),
    ):
        found = [group for group, stays in zip(groups, stays_in, strict=True) if stays == part]
        if found:
            have = "image has" if len(found) == 1 else "images have"
            lines.append(f"two labels: {len(found):,} {have} more than one; {what}")
            lines += _some(
                [" = ".join(shown(ids[index]) for index in group[:3]) for group in found]
            )
    return lines


def on_files(layout: Layout, decoded: Decoded) -> list[str]:
    """Lines on the files that are skipped, and on those that are read with a remark.

    Args:
        layout: of the folder.
        decoded: its images.
    """
    lines = []
    unreadable = [(layout.items[i].id, reason) for i, reason in decoded.problems.items()]
    if skipped := [*layout.skipped, *unreadable]:
        lines.append(f"skipped: {counted(len(skipped), 'file')} that cannot be read")
        lines += _some([f"{shown(name)}: {reason}" for name, reason in skipped])
    if decoded.notes:
        lines.append(f"with remarks: {counted(len(decoded.notes), 'file')}")
        lines += _some(
            [f"{shown(layout.items[i].id)}: {note}" for i, note in decoded.notes.items()]
        )
    if layout.others:
        lines.append(f"not read: {counted(layout.others, 'file')} without an image's name")
    return lines


def _some(lines: Sequence[str]) -> list[str]:
    """The first of some lines, and how many more there are."""
    more = [f"  and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return [f"  {line}" for line in lines[:_SHOWN]] + more
