import hashlib

import numpy as np
import pytest

from ssgan_tf.data.folder.train_test_split import UNKNOWN, find_copies, path_hash, set_aside


def test_the_hash_is_that_of_the_path_on_every_machine() -> None:
    expected = int(hashlib.sha256("train/é/1.png".encode()).hexdigest()[:16], 16) / 2**64
    assert path_hash("train/é/1.png") == pytest.approx(expected, rel=1e-15)
    hashes = [path_hash(f"train/cat/{index}.png") for index in range(2000)]
    assert 0.18 < np.mean(np.array(hashes) < 0.2) < 0.22


def test_an_image_set_aside_stays_so_whatever_else_is_there() -> None:
    ids = [f"train/{label}/{index}.png" for label in range(3) for index in range(100)]
    labels = np.repeat([0, 1, 2], 100)
    chosen = set_aside(labels, ids, 0.2)
    assert [bool(value) for value in chosen] == [path_hash(identity) < 0.2 for identity in ids]
    fewer = np.arange(0, 300, 7)
    part = set_aside(labels[fewer], [ids[index] for index in fewer], 0.2)
    np.testing.assert_array_equal(part, chosen[fewer])
    assert not (chosen & ~set_aside(labels, ids, 0.5)).any()  # a larger part holds a smaller one


def test_each_class_keeps_an_image_and_those_without_a_label_are_not_taken() -> None:
    ids = [f"{index}.png" for index in range(12)]
    labels = np.repeat([0, 1, 2, UNKNOWN], 3)
    chosen = set_aside(labels, ids, 1.0)
    kept = [max(range(start, start + 3), key=lambda i: path_hash(ids[i])) for start in (0, 3, 6)]
    assert np.flatnonzero(~chosen).tolist() == [*kept, 9, 10, 11]


def test_where_no_hash_is_below_the_fraction_the_lowest_is_taken() -> None:
    ids = [f"{index}.png" for index in range(11)]
    labels = np.array([0] * 5 + [1] * 4 + [2, UNKNOWN])
    hashes = [path_hash(identity) for identity in ids]
    fraction = min(hashes) / 2
    lowest = min(range(9), key=hashes.__getitem__)  # class 2 needs its only image for training
    assert np.flatnonzero(set_aside(labels, ids, fraction)).tolist() == [lowest]
    assert not set_aside(labels, ids, 0.0).any()
    assert not set_aside(np.arange(11), ids, fraction).any()
    order = np.random.default_rng(0).permutation(11)  # of the paths alone, not of their order
    shuffled = set_aside(labels[order], [ids[index] for index in order], fraction)
    assert order[shuffled].tolist() == [lowest]


def copies(*images: tuple[str, str, int]) -> tuple[list[int], list[int], list[int]]:
    """Of (pixels, part, label): which are kept, their labels, and the counts."""
    digests = [pixels.encode() for pixels, _, _ in images]
    labels = np.array([label for _, _, label in images])
    ids = [f"{index}.png" for index in range(len(images))]
    found = find_copies(digests, labels, [part for _, part, _ in images], ids)
    kept = np.flatnonzero(found.keep)
    counts = [found.of_test, found.of_validation, found.within_train, found.within_test]
    return kept.tolist(), found.labels[kept].tolist(), [*counts, len(found.two_labels)]


def test_images_that_occur_once_are_left_alone() -> None:
    images = ("a", "train", 0), ("b", "train", 1), ("c", "train", UNKNOWN), ("d", "test", 0)
    assert copies(*images) == ([0, 1, 2, 3], [0, 1, UNKNOWN, 0], [0, 0, 0, 0, 0])


def test_copies_of_test_images_are_not_trained_on_with_or_without_a_label() -> None:
    images = (
        *(("a", "train", 0), ("a", "train", UNKNOWN), ("a", "validation", 0), ("a", "test", 0)),
        *(("b", "train", 1), ("a", "test", 0)),
    )
    assert copies(*images) == ([3, 4, 5], [0, 1, 0], [3, 0, 0, 1, 0])


def test_copies_of_validation_images_are_not_trained_on() -> None:
    images = ("a", "train", 0), ("a", "validation", 0), ("a", "train", UNKNOWN), ("b", "train", 1)
    assert copies(*images) == ([1, 3], [0, 1], [0, 2, 0, 0, 0])


def test_copies_within_the_validation_part_are_counted() -> None:
    digests, labels = [b"a", b"a", b"b", b"b", b"c"], np.array([0, 0, 0, 1, 1])
    ids = [f"valid/{index}.png" for index in range(5)]
    found = find_copies(digests, labels, ["validation"] * 5, ids)
    # One of a; none of b, whose label nobody knows; c.
    assert np.flatnonzero(found.keep).tolist() == [min((0, 1), key=lambda i: path_hash(ids[i])), 4]
    assert (found.within_validation, found.two_labels) == (2, [[2, 3]])
    assert found.within_train == found.of_validation == 0


def test_of_copies_within_the_training_part_one_stays_if_possible_with_its_label() -> None:
    images = ("a", "train", UNKNOWN), ("a", "train", 1), ("b", "train", UNKNOWN)
    assert copies(*images) == ([1, 2], [1, UNKNOWN], [0, 0, 1, 0, 0])
    # Of equals the lowest hash, so that a test image stays one when copies come.
    lowest = min(range(3), key=lambda index: path_hash(f"{index}.png"))
    same = [("a", "train", 0)] * 3
    assert copies(*same) == ([lowest], [0], [0, 0, 2, 0, 0])


def test_two_labels_of_one_image_are_neither_used() -> None:
    kept, labels, counts = copies(("a", "train", 0), ("a", "train", 1), ("b", "train", 0))
    assert (len(kept), labels, counts) == (2, sorted(labels), [0, 0, 1, 0, 1])
    assert sorted(labels) == [UNKNOWN, 0]
    # A test part stays as it was given.
    assert copies(("a", "train", 0), ("a", "test", 1)) == ([1], [1], [1, 0, 0, 0, 1])
    assert copies(("a", "test", 0), ("a", "test", 1)) == ([0, 1], [0, 1], [0, 0, 0, 1, 1])
    # A validation part is not trained on, so it has no use for images without a label.
    kept, _, counts = copies(("a", "validation", 0), ("a", "validation", 1), ("b", "train", 0))
    assert (kept, counts[-1]) == ([2], 1)
