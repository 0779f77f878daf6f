"""How good a classifier is: accuracy over every image, with its interval, and the confusions."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.stats import mannwhitneyu

from ssgan_tf.data.dataset import Split
from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.storage import rows
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.layers import Statistics


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions for all images of one part.

    Attributes:
        labels: (N,) int64, what the images show.
        logits: (N, K) float32, what the classifier says.
    """

    labels: np.ndarray
    logits: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """(N,) int64, the classes with the largest logit."""
        return np.argmax(self.logits, axis=1)

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are classified rightly, 0 to 1."""
        return float(np.mean(self.labels == self.predictions))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy, for other images of the same kind (Wilson)."""
        return wilson_interval(int(np.sum(self.labels == self.predictions)), len(self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """(K, K) int64: how many images of class row were taken for class column."""
        num_classes = self.logits.shape[1]
        matrix = np.zeros((num_classes, num_classes), np.int64)
        np.add.at(matrix, (self.labels, self.predictions), 1)
        return matrix

    @property
    def precision_and_recall(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) float each: of the images taken for a class, and of those of it, how many are right.

        NaN for a class that was never predicted, or has no images.
        """
        confusion = self.confusion
        with np.errstate(invalid="ignore"):
            right = np.diag(confusion)
            return right / confusion.sum(axis=0), right / confusion.sum(axis=1)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images, 0 to 1: each class counts the same."""
        return float(np.nanmean(self.precision_and_recall[1]))

    def per_class(self, names: list[str]) -> dict[str, Any]:
        """What a run's records say of the classes.

        Args:
            names: of the K classes.

        Returns:
            `balanced_accuracy`, and `recall` by name, None for a class without images.
        """
        recall = self.precision_and_recall[1].tolist()
        found = {
            name: None if math.isnan(value) else value
            for name, value in zip(names, recall, strict=True)
        }
        return {"balanced_accuracy": self.balanced_accuracy, "recall": found}

    def first_half(self) -> "Evaluation":
        """The half of the test images, by id, that the article's code tested on."""
        half = len(self.labels) // 2
        return Evaluation(self.labels[:half], self.logits[:half])


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion; z = 1.96 for 95%."""
    fraction = correct / total
    center = fraction + z * z / (2 * total)
    spread = z * math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    return (center - spread) / (1 + z * z / total), (center + spread) / (1 + z * z / total)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative, ties halved (Mann-Whitney)."""
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
