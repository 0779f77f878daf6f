"""Labels that may be wrong: those that a classifier trained without them does not expect.

A logistic regression on the features, trained on the other labels, says what it takes each labeled
image for (cross-validation). Where that is another class, the label is suspicious, the more so the
further its own probability is below that of the other class (the margin by which Northcutt et al.
2021, "Confident Learning", https://arxiv.org/abs/1911.00068, rank labels). The features are the
same for all folds, so that no network has to be trained again.
"""

from typing import NamedTuple

import numpy as np

STRENGTH = 10.0  # C of the logistic regression: features have length 1


class Suspicious(NamedTuple):
    """A labeled image whose label should be checked.

    Attributes:
        image: its index among the labeled ones.
        predicted: class by the classifier trained without its label.
        probability: of that class.
        of_label: the probability of the class that the label says.
    """

    image: int
    predicted: int
    probability: float
    of_label: float


def held_out_probabilities(
    features: np.ndarray, labels: np.ndarray, num_classes: int, folds: int, seed: int = 0
) -> np.ndarray:
    """What each image is by a classifier that was trained without its label.

    Args:
        features: (M, F) float32.
        labels: (M,) int64, each class `folds` times or more.
        num_classes: K.
        folds: parts, each of which is predicted by a classifier of the others.
        seed: of the parts.

    Returns:
        (M, K) float64; 0 for classes without an image.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = LogisticRegression(C=STRENGTH, max_iter=1000)
    found = cross_val_predict(model, features, labels, cv=parts, method="predict_proba")
    result = np.zeros((len(labels), num_classes))
    result[:, np.unique(labels)] = np.asarray(found)
    return result


def find_suspicious(
    features: np.ndarray, labels: np.ndarray, num_classes: int, folds: int = 3, seed: int = 0
) -> list[Suspicious]:
    """Labels that should be checked, the most suspicious one first.

    Args:
        features: (M, F) float32, of length 1 each.
        labels: (M,) int64, those that were given.
        num_classes: K.
        folds: see `held_out_probabilities`; classes with fewer labels are not checked.
        seed: the same.
    """
    checked = np.flatnonzero(np.bincount(labels, minlength=num_classes)[labels] >= folds)
    if len(np.unique(labels[checked])) < 2:
        return []
    given = labels[checked]
    probabilities = held_out_probabilities(features[checked], given, num_classes, folds, seed)
    of_label = probabilities[np.arange(len(given)), given]
    predicted, probability = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != given)
    order = wrong[np.argsort((of_label - probability)[wrong], kind="stable")]
    return [
        Suspicious(int(checked[i]), int(predicted[i]), float(probability[i]), float(of_label[i]))
        for i in order
    ]
