"""Which images of a folder are for training and which for the test; none is for both."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssgan_tf.data.dataset import UNKNOWN


class Copies(NamedTuple):
    """What becomes of images that occur more than once.

    Attributes:
        keep: (N,) bool, whether an image stays in its part.
        labels: (N,) int64; `UNKNOWN` also where copies of an image have several.
        of_test: how many training or validation images are left out as copies of test images.
        of_validation: how many training images are left out as copies of validation images.
        within_train: how many training images are left out as copies of training images.
        within_validation: the same among validation images.
        within_test: how many test images are copies of other test images; they stay.
        two_labels: groups of indices: one image, several labels.
    """

    keep: np.ndarray
    labels: np.ndarray
    of_test: int
    of_validation: int
    within_train: int
    within_validation: int
    within_test: int
    two_labels: list[list[int]]


def find_copies(
    digests: Sequence[bytes], labels: np.ndarray, parts: Sequence[str], ids: Sequence[str]
) -> Copies:
    """Decides on images that occur more than once.

    A test part stays as it is, and copies of its images are left out of the other parts. So are
    copies of validation images from training. Of copies within the training or validation part one
    stays, with a label if one of them has a label. Where their labels differ, nobody knows the
    correct one: in the training part the image stays without a label, from the validation part it
    is left out.

    Args:
        digests: equal where the pixels are equal.
        labels: (N,) int64, or `UNKNOWN`.
        parts: "train", "validation" or "test".
        ids: of the images.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        groups[digest].append(index)
    keep, labels = np.ones(len(labels), bool), labels.copy()
    left_out = {"test": 0, "validation": 0, "train": 0}  # of other parts, as copies in this part
    within = {"train": 0, "validation": 0, "test": 0}
    two_labels = []
    for group in groups.values():
        if len(group) == 1:
            continue
        if len({labels[index] for index in group} - {UNKNOWN}) > 1:
            two_labels.append(group)
        there = {parts[index] for index in group}
        part = next(part for part in left_out if part in there)
        members = [index for index in group if parts[index] == part]
        stay = members
        if part != "test":
            known = {labels[index] for index in members} - {UNKNOWN}
            # By hash: an image for the test stays one when further copies of it come.
            chosen = min(
                members, key=lambda index: (labels[index] == UNKNOWN, path_hash(ids[index]))
            )
            stay = [chosen] if part == "train" or len(known) == 1 else []
            if len(known) > 1:
                labels[chosen] = UNKNOWN
        keep[group] = False
        keep[stay] = True
        left_out[part] += len(group) - len(members)
        within[part] += len(members) - 1
    return Copies(
        keep,
        labels,
        of_test=left_out["test"],
        of_validation=left_out["validation"],
        within_train=within["train"],
        within_validation=within["validation"],
        within_test=within["test"],
        two_labels=two_labels,
    )


def set_aside(labels: np.ndarray, ids: Sequence[str], fraction: float) -> np.ndarray:
    """The test images of a folder without a test part.

    An image is a test image if the hash of its path within the folder is below `fraction`. So it
    remains one, whatever else is in the folder, and wherever the folder is. Each class keeps its
    image with the highest hash for training.

    In a small folder no hash may be below `fraction`. Then the image with the lowest hash is taken,
    among the classes of two images or more; with more images it may be another one.

    Args:
        labels: (N,) int64; images that are `UNKNOWN` are not taken.
        ids: of the images.
        fraction: the expected share of each class.

    Returns:
        (N,) bool.
    """
    hashes = np.array([path_hash(identity) for identity in ids])
    chosen = (labels != UNKNOWN) & (hashes < fraction)
    for label in np.unique(labels[chosen]):
        members = np.flatnonzero(labels == label)
        chosen[members[hashes[members].argmax()]] = False
    if fraction > 0 and not chosen.any():
        known, counts = np.unique(labels[labels != UNKNOWN], return_counts=True)
        candidates = np.flatnonzero(np.isin(labels, known[counts > 1]))
        chosen[candidates[np.argsort(hashes[candidates])[:1]]] = True
    return chosen


def path_hash(identity: str) -> float:
    """A number from 0 to 1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
