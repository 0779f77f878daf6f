"""What the classifier sees in images: the pooled features of its last layer, and its logits."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.storage import Rows, rows
from ssgan_tf.inference.pixel_features import unit_length  # which does without TensorFlow
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.layers import Statistics

_BATCH = 256


class Seen(NamedTuple):
    """What `see` gives.

    Attributes:
        features: (N, F) float32, of length 1 each.
        logits: (N, K) float32.
    """

    features: np.ndarray
    logits: np.ndarray


def see(
    discriminator: Discriminator, images: np.ndarray | Rows, statistics: Statistics = "moving"
) -> Seen:
    """Shows images to the classifier, batch by batch; nothing but the result stays in memory.

    Args:
        discriminator: the classifier; without dropout here.
        images: (N, S, S, channels) uint8.
        statistics: how batch norm normalizes.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def outputs(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = discriminator(scale(batch), statistics=statistics)
        return found.features, found.class_logits

    features = np.zeros((len(images), discriminator.num_features), np.float32)
    logits = np.zeros((len(images), discriminator.classifier.units), np.float32)
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        features[part], logits[part] = outputs(tf.constant(rows(images, part)))
    return Seen(unit_length(features), logits)
