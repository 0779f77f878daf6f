"""Whether a classifier's probabilities are what they claim: reliability, and a temperature.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks"
(https://arxiv.org/abs/1706.04599).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

LEAST_IMAGES = 20  # fewer say nothing about probabilities


class Calibration(NamedTuple):
    """What a temperature does to the images that it is fitted on.

    Attributes:
        temperature: T of softmax(logits / T).
        images: how many there are.
        error_before: expected calibration error at T = 1.
        error_after: the same at the fitted T.
    """

    temperature: float
    images: int
    error_before: float
    error_after: float


class Reliability(NamedTuple):
    """Images sorted into bins by the probability of their predicted class.

    Attributes:
        images: (bins,) int, how many are in each bin.
        confidence: (bins,) float, mean probability of the predicted class; NaN in an empty bin.
        accuracy: (bins,) float, fraction that is classified correctly; NaN in an empty bin.
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Reliability:
    """Confidence beside accuracy, in bins of equal width from 0 to 1 (Guo et al., section 2).

    Args:
        probabilities: (N, K) float, each row sums to 1.
        labels: (N,) int, 0 .. K - 1.
        bins: number of bins.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # (a, b] as in the paper; 0 cannot occur
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            count,
            np.bincount(place, confidence, minlength=bins) / count,
            np.bincount(place, correct, minlength=bins) / count,
        )


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """sum_b n_b / N * |accuracy_b - confidence_b|, 0 to 1 (Guo et al., equation 3).

    Args:
        probabilities: (N, K) float, rows sum to 1, N > 0.
        labels: (N,) int.
        bins: of equal width, by the largest probability.
    """
    found = reliability(probabilities, labels, bins)
    gaps = np.abs(found.accuracy - found.confidence)
    return float(np.nansum(found.images * gaps) / found.images.sum())


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(logits / temperature), (N, K) float64."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean of -log softmax(logits / temperature)[label], in nats.

    Args:
        logits: (N, K) float, N > 0.
        labels: (N,) int.
        temperature: > 0.
    """
    log_probabilities = log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T of softmax(logits / T) with the least log loss (Guo et al., section 4.2).

    It changes no prediction. Fit it on images that neither trained nor test the classifier.

    Args:
        logits: (N, K) float.
        labels: (N,) int.

    Returns:
        T, 0.05 to 20; above 1 where the classifier is too sure of itself.
    """
    from scipy.optimize import minimize_scalar  # half a second that no start needs

    found = minimize_scalar(
        lambda log_temperature: log_loss(logits, labels, np.exp(log_temperature)),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fits a temperature, and measures what it does to the same images.

    Args:
        logits: (N, K) float.
        labels: (N,) int, at least `LEAST_IMAGES` of them.
    """
    temperature = fit_temperature(logits, labels)
    before, after = (
        expected_calibration_error(probabilities(logits, t), labels) for t in (1.0, temperature)
    )
    return Calibration(temperature, len(labels), before, after)
