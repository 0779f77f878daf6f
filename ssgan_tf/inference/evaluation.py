"""How good a classifier is: accuracy over every image, with its interval, and the mistakes."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import expit, logsumexp

from ssgan_tf.data.dataset import Split
from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.storage import rows
from ssgan_tf.inference import calibration
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.generator import Generator
from ssgan_tf.models.layers import Statistics
from ssgan_tf.training import losses


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions for all images of one part.

    Attributes:
        labels: (N,) int64, what the images show.
        logits: (N, K) float32, the outputs of the classifier.
    """

    labels: np.ndarray
    logits: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """(N,) int64, the classes with the largest logit."""
        return np.argmax(self.logits, axis=1)

    @property
    def probabilities(self) -> np.ndarray:
        """(N, K) float64: softmax(logits)."""
        return calibration.probabilities(self.logits)

    @property
    def p_real(self) -> np.ndarray:
        """(N,) float64: sigmoid(logsumexp(logits)), 0 to 1."""
        return expit(logsumexp(self.logits.astype(np.float64), axis=1))

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are classified correctly, 0 to 1."""
        return float(np.mean(self.labels == self.predictions))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy, for other images of the same kind (Wilson)."""
        return wilson_interval(int(np.sum(self.labels == self.predictions)), len(self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """(K, K) int64: how many images of class row were predicted as class column."""
        num_classes = self.logits.shape[1]
        matrix = np.zeros((num_classes, num_classes), np.int64)
        np.add.at(matrix, (self.labels, self.predictions), 1)
        return matrix

    @property
    def precision_and_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) float each: which part of the images predicted as a class, and of its own images.

        NaN for a class that was never predicted, or has no images.
        """
        confusion = self.confusion
        with np.errstate(invalid="ignore"):
            correct = np.diag(confusion)
            return correct / confusion.sum(axis=0), correct / confusion.sum(axis=1)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images, 0 to 1: each class counts the same."""
        return float(np.nanmean(self.precision_and_recall[1]))

    def per_class(self, names: list[str]) -> dict[str, Any]:
        """What a run's records say about the classes.

        Args:
            names: of the K classes.

        Returns:
            `balanced_accuracy`, and `recall` by name, None for a class without images.
        """
        recall = map(_number, self.precision_and_recall[1])
        found = dict(zip(names, recall, strict=True))
        return {"balanced_accuracy": self.balanced_accuracy, "recall": found}

    def summary(self, names: list[str]) -> dict[str, Any]:
        """All measures, as JSON holds them; None where a class has no images, or no predictions.

        Args:
            names: of the K classes.
        """
        precision, recall = self.precision_and_recall
        images = self.confusion.sum(axis=1)
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": self.interval,
            "balanced_accuracy": self.balanced_accuracy,
            "log_loss": calibration.log_loss(self.logits, self.labels),
            "expected_calibration_error": calibration.expected_calibration_error(
                self.probabilities, self.labels
            ),
            "classes": [
                {
                    "name": name,
                    "images": int(images[k]),
                    "precision": _number(precision[k]),
                    "recall": _number(recall[k]),
                }
                for k, name in enumerate(names)
            ],
            "confusion": self.confusion.tolist(),
        }

    def first_half(self) -> "Evaluation":
        """The half of the test images, by id, that the article's code tested on."""
        half = len(self.labels) // 2
        return Evaluation(self.labels[:half], self.logits[:half])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Args:
        correct: 0 to `total`.
        total: > 0.
        z: 1.96 for 95%.

    Returns:
        Lowest and highest, each 0 to 1.
    """
    fraction = correct / total
    center = fraction + z * z / (2 * total)
    spread = z * math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    return (center - spread) / (1 + z * z / total), (center + spread) / (1 + z * z / total)


def gain_and_chance(first: dict[str, Any], second: dict[str, Any]) -> tuple[float, float]:
    """Difference of the test accuracies of two runs, and how far chance alone goes.

    The test images count as drawn twice: that both runs saw the same ones makes the true error
    smaller. With two successes and two failures added (Agresti and Coull 1998), so that an accuracy
    of 100% on few images is not taken for certain.

    Args:
        first: a `results.json`.
        second: another, of as many test images.

    Returns:
        The accuracy of `first` less that of `second`, -1 to 1, and 1.96 standard errors of it.
    """
    accuracies = [found["test_accuracy"] for found in (first, second)]
    images = first["test_images"]
    shares = [(accuracy * images + 2) / (images + 4) for accuracy in accuracies]
    variance = sum(share * (1 - share) / (images + 4) for share in shares)
    return accuracies[0] - accuracies[1], 1.96 * math.sqrt(variance)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The probability that a positive scores higher than a negative, ties halved (Mann-Whitney).

    Args:
        positive: (N,) scores, N > 0.
        negative: (M,) scores, M > 0.

    Returns:
        0 to 1; 0.5 if the scores say nothing.
    """
    from scipy.stats import mannwhitneyu  # a second that no start needs

    return float(mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


class Evaluator:
    """Runs a discriminator over a part; its graph serves every evaluation."""

    def __init__(
        self, discriminator: Discriminator, statistics: Statistics, batch_size: int
    ) -> None:
        """
        Args:
            discriminator: the classifier; without dropout here.
            statistics: "moving" for inference as it should be, where no image depends on those that
                share its batch; "batch" for what the article's code did.
            batch_size: with "batch" statistics a part of the result.
        """
        self._discriminator, self._statistics = discriminator, statistics
        self._batch_size = batch_size

    def __call__(self, split: Split) -> Evaluation:
        """Classifies every image of `split`."""
        logits = [
            self._logits(
                tf.constant(rows(split.images, slice(start, start + self._batch_size)))
            ).numpy()
            for start in range(0, len(split), self._batch_size)
        ]
        return Evaluation(split.labels, np.concatenate(logits))

    @tf.function(autograph=False, reduce_retracing=True)
    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        return self._discriminator(scale(images), statistics=self._statistics).class_logits


def realness_auroc(
    discriminator: Discriminator, generator: Generator, evaluation: Evaluation, seed: int
) -> float:
    """How well p_real separates real images from generated ones, by `auroc`.

    By moving averages, as p_real of the exported model is: a batch of generated images alone has
    statistics of its own, which would separate it from real ones.

    Args:
        discriminator: the classifier.
        generator: of the 2,048 images that it is compared with.
        evaluation: of real images, by moving averages.
        seed: another seed, other generated images.

    Returns:
        0 to 1; 0.5 is not at all.
    """
    z = tf.random.stateless_normal((2048, generator.latent_dim), (seed, 0))
    fakes = [
        losses.gan_logit(
            discriminator(generator(part, statistics="moving"), statistics="moving").class_logits
        )
        for part in tf.split(z, 16)
    ]
    # By the logits: in p_real, a sigmoid, small differences would be rounded away.
    return auroc(np.asarray(logsumexp(evaluation.logits, axis=1)), np.concatenate(fakes))
