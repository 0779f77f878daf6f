"""In-memory uint8 images -> batches, by shuffled indices.

The order is a pure function of (seed, position): no shuffle buffer, nothing to save. A run resumed
at step s reads from there on what an uninterrupted one would.
"""

import numpy as np
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.datasets import Dataset, Split
from ssgan_tf.label_split import LabelSplit
from ssgan_tf.trainer import Batch

HIDDEN_LABEL = -1  # stands for the labels that training must not see


def shuffled_indices(
    step: tf.Tensor, batch_size: int, size: int, seed: int, stream: int
) -> tf.Tensor:
    """Which of `size` images make up the batch of a step.

    The images are gone through again and again, each time in another order: image number p of all
    that are ever drawn is at place p mod `size` of the shuffle number p div `size`. No image is
    left out, and a batch may reach from one pass into the next.

    Args:
        step: scalar int64, counted from 0.
        batch_size: B, > 0.
        size: number of images, > 0.
        seed: the run's seed.
        stream: another stream draws in another order.

    Returns:
        (B,) int64, each in [0, size).
    """
    positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)  # (B,)
    constants = tf.constant([[seed, stream]], tf.int64) * tf.ones((batch_size, 1), tf.int64)
    seeds = tf.concat([constants, positions[:, tf.newaxis] // size], axis=1)  # (B, 3)
    # The raw op: `tf.random.experimental.index_shuffle` mishandles one seed per index.
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % size, seed=seeds, max_index=tf.constant(size - 1, tf.int64), rounds=4
    )


def training_batches(
    config: Config, dataset: Dataset, split: LabelSplit, first_step: int, total_steps: int
) -> tf.data.Dataset:
    """The batches of the steps `first_step` to `total_steps` - 1.

    Semi-supervised: of all training images, labelled or not; where `labeled_batch_size` is set each
    comes with a second batch of labelled ones, and no label of the first is used. Supervised: of
    the labelled images alone.
    """
    labels = np.full(len(dataset.train), HIDDEN_LABEL, np.int64)
    labels[split.labeled] = dataset.train.labels[split.labeled]
    mask = (labels != HIDDEN_LABEL) & (config.labeled_batch_size == 0)
    pool = split.labeled if config.method == "supervised" else split.train
    # Tensors made here are captured by the function below, not copied into its graph.
    images = tf.constant(dataset.train.images)  # (N, 32, 32, channels) uint8
    labels = tf.constant(labels)
    label_mask = tf.constant(mask, tf.float32)
    pool, labeled = tf.constant(pool), tf.constant(split.labeled)

    def batch(step: tf.Tensor) -> Batch:
        indices = tf.gather(
            pool, shuffled_indices(step, config.batch_size, len(pool), config.seed, 0)
        )
        extra = labeled[:0]
        if config.labeled_batch_size:
            extra = tf.gather(
                labeled,
                shuffled_indices(step, config.labeled_batch_size, len(labeled), config.seed, 1),
            )
        return Batch(
            images=tf.gather(images, indices),  # (B, 32, 32, channels)
            labels=tf.gather(labels, indices),
            label_mask=tf.gather(label_mask, indices),
            labeled_images=tf.gather(images, extra),  # (L, 32, 32, channels)
            labeled_labels=tf.gather(labels, extra),
        )

    steps = tf.data.Dataset.range(first_step, total_steps)
    return steps.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """All images and labels in order, the last partial batch too."""
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images[start : start + batch_size], labels[start : start + batch_size]

    starts = tf.data.Dataset.range(0, len(split), batch_size)
    return starts.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)
