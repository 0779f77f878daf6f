import numpy as np
import pytest
import tensorflow as tf
from conftest import make_dataset

from ssgan_tf.config import Config
from ssgan_tf.label_split import LabelSplit, split_labels
from ssgan_tf.pipeline import (
    HIDDEN_LABEL,
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


def test_the_control_draws_labelled_images_alone() -> None:
    config = Config(batch_size=16, labeled=20, method="supervised")
    split = split_labels(config, make_dataset())
    for batch in batches(config, split, 0, 5):
        assert batch.label_mask.numpy().all()
        assert (batch.labels.numpy() != HIDDEN_LABEL).all()


def test_a_labelled_batch_takes_over_all_labels() -> None:
    config = Config(batch_size=16, labeled=20, labeled_batch_size=6)
    dataset = make_dataset()
    split = split_labels(config, dataset)
    labeled = {dataset.train.images[index].tobytes() for index in split.labeled}
    for batch in batches(config, split, 0, 5):
        assert not batch.label_mask.numpy().any()
        assert batch.labeled_images.shape == (6, 32, 32, 3)
        assert {image.tobytes() for image in batch.labeled_images.numpy()} <= labeled
        assert (batch.labeled_labels.numpy() >= 0).all()


def test_no_thread_is_left_that_could_hold_up_a_run_that_is_told_to_stop() -> None:
    """TensorFlow's autotuning thread may sleep for up to a minute when its iterator goes away."""
    config = Config.from_preset("article", batch_size=16, labeled=20)
    dataset = make_dataset()
    stream = training_batches(config, dataset, split_labels(config, dataset), 0, 10)
    assert stream.options().autotune.enabled is False
