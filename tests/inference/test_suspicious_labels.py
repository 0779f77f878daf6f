"""Wrong labels are found, on features whose classes are known."""

import numpy as np

from ssgan_tf.inference.suspicious_labels import find_suspicious, held_out_probabilities


def classes(each: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Features near the three axes of space, and their classes."""
    labels = np.repeat(np.arange(3), each)
    noise = np.random.default_rng(0).normal(0, 0.15, (len(labels), 3))
    features = np.eye(3)[labels] + noise
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32), labels


def test_labels_that_were_made_wrong_come_first() -> None:
    features, labels = classes()
    given = labels.copy()
    wrong = [3, 70, 130]
    given[wrong] = (labels[wrong] + 1) % 3
    found = find_suspicious(features, given, 3)
    assert sorted(item.image for item in found[:3]) == wrong
    for item in found[:3]:
        assert item.predicted == labels[item.image]
        assert item.probability > 0.5 > item.of_label


def test_correct_labels_of_separate_classes_are_not_suspicious() -> None:
    assert find_suspicious(*classes(), 3) == []


def test_probabilities_are_those_of_classifiers_that_did_not_see_the_label() -> None:
    features, labels = classes()
    labels[0] = 2
    found = held_out_probabilities(features, labels, num_classes=5, folds=3)
    assert found.shape == (180, 5)
    assert np.allclose(found.sum(axis=1), 1) and not found[:, 3:].any()
    assert found[0].argmax() == 0


def test_classes_with_fewer_labels_than_folds_are_not_checked() -> None:
    features, labels = classes(each=10)
    labels[0] = 7
    assert 0 not in [item.image for item in find_suspicious(features, labels, 8)]
    assert find_suspicious(features[:4], np.array([0, 0, 1, 1]), 2) == []
    assert find_suspicious(features[:0], labels[:0], 2) == []
