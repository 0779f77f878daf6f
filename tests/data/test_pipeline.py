import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import make_dataset

from ssgan_tf.config import Config
from ssgan_tf.data.label_split import LabelSplit, split_labels
from ssgan_tf.data.pipeline import (
    HIDDEN_LABEL,
    balanced_by_class,
    balanced_indices,
    shuffled_indices,
    training_batches,
)


def indices(count: int, size: int, seed: int = 0, stream: int = 0, first: int = 0) -> np.ndarray:
    drawn = shuffled_indices(size, seed, stream, first).take(count)
    return np.array(list(drawn.as_numpy_iterator()))


@pytest.mark.parametrize("size", [1, 5, 40])
def test_each_pass_holds_every_image_once(size: int) -> None:
    for one_pass in indices(3 * size, size).reshape(3, size):
        assert sorted(one_pass) == list(range(size))


def test_passes_differ_from_one_another_and_between_seeds_and_streams() -> None:
    first, second = indices(1000, 500).reshape(2, 500)
    for other in (second, np.arange(500), indices(500, 500, seed=1), indices(500, 500, stream=1)):
        assert (first == other).mean() < 0.05  # for independent orders 1 / 500


def test_the_order_looks_random() -> None:
    """Correlations of two independent orders of 10,000 are 0.01 (one standard deviation)."""
    first, second = indices(20_000, 10_000).reshape(2, 10_000)
    for a, b in ((np.arange(10_000), first), (first[:-1], first[1:]), (first, second)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.04


@pytest.mark.parametrize("first", [1, 39, 40, 57, 120])
def test_indices_go_on_where_they_stopped(first: int) -> None:
    np.testing.assert_array_equal(indices(50, 40, first=first), indices(first + 50, 40)[first:])


def test_the_order_of_a_seed_stays_what_it_was() -> None:
    """Runs of the versions before go on as they would have."""
    assert indices(12, 10, seed=3, stream=1).tolist() == [4, 5, 2, 0, 1, 8, 6, 3, 7, 9, 8, 4]
    assert indices(6, 10, seed=3, stream=2, first=7).tolist() == [2, 7, 1, 8, 0, 1]


UNEVEN = np.array([4] * 11 + [0] * 20 + [7] * 3)  # three classes


def balanced(count: int, first: int = 0, seed: int = 0, stream: int = 0) -> np.ndarray:
    drawn = balanced_indices(UNEVEN, seed, stream, first).take(count)
    return np.array(list(drawn.as_numpy_iterator()))


def test_balanced_indices_hold_each_class_once_in_each_round() -> None:
    rounds = UNEVEN[balanced(300)].reshape(100, 3)
    assert {tuple(sorted(one)) for one in rounds} == {(0, 4, 7)}
    assert len({tuple(one) for one in rounds}) == 6  # in every order


def test_balanced_indices_hold_each_image_of_a_class_equally_often() -> None:
    counts = np.bincount(balanced(300), minlength=len(UNEVEN))
    for label, size in ((0, 20), (4, 11), (7, 3)):
        of_class = counts[label == UNEVEN]
        assert of_class.sum() == 100
        assert set(of_class.tolist()) <= {100 // size, -(-100 // size)}
    of_one_class = balanced(300)[UNEVEN[balanced(300)] == 0].reshape(5, 20)
    assert not np.array_equal(of_one_class[0], of_one_class[1])  # passes have orders of their own


@pytest.mark.parametrize("first", [1, 2, 3, 60, 97])
def test_balanced_indices_go_on_where_they_stopped(first: int) -> None:
    np.testing.assert_array_equal(balanced(50, first), balanced(first + 50)[first:])


def test_balanced_indices_differ_between_seeds_and_streams() -> None:
    assert (balanced(300) == balanced(300, seed=1)).mean() < 0.15
    # A stream has the classes in an order of its own: one in three is at the same place.
    classes, others = UNEVEN[balanced(300)], UNEVEN[balanced(300, stream=1)]
    assert 0.2 < (classes == others).mean() < 0.5


@pytest.mark.parametrize(
    ("changes", "counts", "expected"),
    [
        ({}, [50, 20], True),
        ({}, [40, 20], False),  # twice is not more than twice
        ({}, [41, 20, 0], True),
        ({}, [30, 20, 0], False),  # a class without images cannot be drawn
        ({"balance_classes": "false"}, [50, 20], False),
        ({"balance_classes": "true"}, [20, 20], True),
        ({"dataset": "cifar10"}, [50, 20], False),
        ({"dataset": "cifar10", "balance_classes": "true"}, [50, 20], True),
        ({"labeled_batch_size": 0}, [50, 20], False),
        ({"labeled_batch_size": 0, "method": "supervised"}, [50, 20], True),
    ],
)
def test_auto_balances_folders_with_uneven_classes(
    changes: dict, counts: list[int], expected: bool
) -> None:
    config = Config(**{"dataset": "folder:x", "labeled_batch_size": 8} | changes)
    assert balanced_by_class(config, np.repeat(np.arange(len(counts)), counts)) is expected


def uneven_split() -> LabelSplit:
    """Of `make_dataset`: all ten images of class 3, two each of 1 and 5."""
    labeled = np.array([1, 5, 11, 15, *range(3, 100, 10)])
    return LabelSplit(np.sort(labeled), np.setdiff1d(np.arange(100), labeled), np.array([]))


@pytest.mark.parametrize("method", ["semi_supervised", "supervised"])
def test_labeled_batches_are_drawn_by_class_and_a_resumed_run_goes_on_exactly(method: str) -> None:
    extra = {"labeled_batch_size": 6} if method == "semi_supervised" else {"batch_size": 6}
    config = Config(method=method, balance_classes="true", **({"batch_size": 16} | extra))
    straight = batches(config, uneven_split(), 0, 9)
    for batch in straight:
        labels = batch.labeled_labels if method == "semi_supervised" else batch.labels
        assert sorted(labels.numpy().tolist()) == [1, 1, 3, 3, 5, 5]
    if method == "semi_supervised":  # the others are drawn as ever
        plain = batches(dataclasses.replace(config, balance_classes="false"), uneven_split(), 0, 9)
        for ours, theirs in zip(straight, plain, strict=True):
            np.testing.assert_array_equal(ours.images, theirs.images)
    for expected, found in zip(straight[5:], batches(config, uneven_split(), 5, 9), strict=True):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_auto_leaves_the_order_of_other_data_as_it_was() -> None:
    """Golden: the labeled images of uneven TFDS data, in the order of `shuffled_indices`."""
    config = Config(batch_size=16, labeled_batch_size=7)
    split = uneven_split()
    expected = make_dataset().train.labels[split.labeled[indices(21, 14, stream=2)]]
    found = np.concatenate([b.labeled_labels.numpy() for b in batches(config, split, 0, 3)])
    np.testing.assert_array_equal(found, expected)


def batches(config: Config, split: LabelSplit, first: int, total: int) -> list:
    return list(training_batches(config, make_dataset(), split, first, total))


def test_a_resumed_pipeline_continues_exactly() -> None:
    config = Config(batch_size=16, labeled=20)
    split = split_labels(config, make_dataset())
    straight = batches(config, split, 0, 12)
    for expected, found in zip(straight[7:], batches(config, split, 7, 12), strict=True):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_batches_hold_uint8_images_and_only_the_labels_that_may_be_used() -> None:
    config = Config(batch_size=16, labeled=20)
    dataset = make_dataset()
    split = split_labels(config, dataset)
    index_of = {image.tobytes(): index for index, image in enumerate(dataset.train.images)}
    seen = set()
    for batch in batches(config, split, 0, 7):
        assert batch.images.dtype == tf.uint8
        assert batch.images.shape == (16, 32, 32, 3)
        assert batch.labeled_images.shape[0] == 0
        for image, label, mask in zip(
            batch.images.numpy(), batch.labels.numpy(), batch.label_mask.numpy(), strict=True
        ):
            index = index_of[image.tobytes()]
            seen.add(index)
            labeled = index in split.labeled
            assert mask == labeled
            assert label == (dataset.train.labels[index] if labeled else HIDDEN_LABEL)
    assert seen == set(range(100))


def test_validation_images_are_in_no_batch() -> None:
    config = Config(batch_size=16, labeled=20, validation_fraction=0.3)
    dataset = make_dataset()
    split = split_labels(config, dataset)
    held_out = {dataset.train.images[index].tobytes() for index in split.validation}
    for batch in batches(config, split, 0, 20):
        assert not held_out & {image.tobytes() for image in batch.images.numpy()}


def test_the_control_draws_labeled_images_alone() -> None:
    config = Config(batch_size=16, labeled=20, method="supervised")
    split = split_labels(config, make_dataset())
    for batch in batches(config, split, 0, 5):
        assert batch.label_mask.numpy().all()
        assert (batch.labels.numpy() != HIDDEN_LABEL).all()


def test_a_labeled_batch_takes_over_all_labels() -> None:
    config = Config(batch_size=16, labeled=20, labeled_batch_size=6)
    dataset = make_dataset()
    split = split_labels(config, dataset)
    labeled = {dataset.train.images[index].tobytes() for index in split.labeled}
    for batch in batches(config, split, 0, 5):
        assert not batch.label_mask.numpy().any()
        assert batch.labeled_images.shape == (6, 32, 32, 3)
        assert {image.tobytes() for image in batch.labeled_images.numpy()} <= labeled
        assert (batch.labeled_labels.numpy() >= 0).all()


def test_no_thread_is_left_that_could_hold_up_a_run_that_is_asked_to_stop() -> None:
    """TensorFlow's autotuning thread may sleep for up to a minute when its iterator goes away."""
    config = Config.from_preset("article", batch_size=16, labeled=20)
    dataset = make_dataset()
    stream = training_batches(config, dataset, split_labels(config, dataset), 0, 10)
    assert stream.options().autotune.enabled is False
