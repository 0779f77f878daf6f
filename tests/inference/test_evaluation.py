import numpy as np
import pytest
from conftest import make_dataset

from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference.evaluation import Evaluation, Evaluator, auroc, wilson_interval
from ssgan_tf.models.discriminator import Discriminator


def test_accuracy_and_confusion_worked_out_by_hand() -> None:
    evaluation = Evaluation(np.array([0, 0, 1, 2]), np.eye(3)[[0, 1, 1, 0]])
    assert evaluation.accuracy == 0.5
    np.testing.assert_array_equal(evaluation.confusion, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_precision_and_recall_worked_out_by_hand() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), [0, 1, 1, 1]
    precision, recall = Evaluation(labels, np.eye(3)[predictions]).precision_and_recall
    np.testing.assert_allclose(precision, [1, 2 / 3, np.nan])
    np.testing.assert_allclose(recall, [1 / 2, 1, np.nan])


def test_auroc_counts_ordered_pairs_and_halves_ties() -> None:
    # (3 > 1), (3 > 2), (2 > 1), (2 = 2): 3.5 of 4
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == 0.875


def test_first_half_is_the_articles_half_of_the_test_images() -> None:
    evaluation = Evaluation(np.array([0, 0, 1, 2]), np.eye(3)[[0, 1, 1, 0]])
    assert evaluation.first_half().labels.tolist() == [0, 0]
    assert evaluation.first_half().accuracy == 0.5


def test_wilson_interval_worked_out_by_hand() -> None:
    # 8 of 10, z = 1.96: centre 0.7168, half width 0.2266 (the textbook example)
    low, high = wilson_interval(8, 10)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(10, 10)[1] == pytest.approx(1)


def test_batch_statistics_make_the_answer_depend_on_the_batch() -> None:
    part = make_dataset(test=30).test
    discriminator = Discriminator(width=8)
    logits = discriminator(scale(part.images[:8]), statistics="batch").class_logits.numpy()
    found = Evaluator(discriminator, "batch", 8)(part)
    np.testing.assert_array_equal(found.predictions[:8], logits.argmax(axis=1))
    assert (found.predictions != Evaluator(discriminator, "moving", 8)(part).predictions).any()


def test_every_image_is_evaluated_and_the_batch_size_does_not_matter() -> None:
    part = make_dataset(test=30).test
    discriminator = Discriminator(width=8)
    expected = discriminator(scale(part.images)).class_logits.numpy().argmax(axis=1)
    for batch_size in (7, 30, 64):
        evaluation = Evaluator(discriminator, "moving", batch_size)(part)
        np.testing.assert_array_equal(evaluation.predictions, expected)
        np.testing.assert_array_equal(evaluation.labels, part.labels)
        assert evaluation.logits.shape == (30, 10)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_have_images() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    predicted = np.array([0] * 7 + [1] + [1, 0])
    found = Evaluation(labels, np.eye(3, dtype=np.float32)[predicted])
    assert found.accuracy == 0.8
    assert found.balanced_accuracy == (7 / 8 + 1 / 2) / 2
    assert found.per_class(["a", "b", "c"]) == {
        "balanced_accuracy": 0.6875,
        "recall": {"a": 0.875, "b": 0.5, "c": None},
    }
