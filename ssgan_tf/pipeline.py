"""uint8 images -> batches, by shuffled indices.

The order is a pure function of (seed, pass over the data): nothing has to be saved, and a run
resumed at step s reads from there on what an uninterrupted one would.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssgan_tf import storage
from ssgan_tf.config import Config
from ssgan_tf.datasets import Dataset, without_autotuning
from ssgan_tf.label_split import LabelSplit
from ssgan_tf.trainer import Batch

HIDDEN_LABEL = -1  # stands for the labels that training must not see


def shuffled_indices(size: int, seed: int, stream: int, first: int) -> tf.data.Dataset:
    """Indices of `size` images, gone through again and again, each time in another order.

    No image is left out, and a batch of them may reach from one pass into the next.

    Args:
        size: number of images, > 0.
        seed: the run's seed.
        stream: another stream draws in another order.
        first: how many indices were drawn before; what follows is the same as without interruption.

    Returns:
        Endless scalars, int64, each in [0, size).
    """

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        pass_seed = tf.random.fold_in(tf.constant([seed, stream]), number)
        order = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), pass_seed)
        return tf.data.Dataset.from_tensor_slices(order)

    passes = tf.data.Dataset.range(first // size, tf.int64.max)
    return passes.flat_map(one_pass).skip(first % size)


def training_batches(
    config: Config,
    dataset: Dataset,
    split: LabelSplit,
    first_step: int,
    total_steps: int,
    machine: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """The batches of the steps `first_step` to `total_steps` - 1.

    With several machines each reads its part of every global batch: `machine` is its number and how
    many there are.

    Semi-supervised: of all training images, labelled or not; where `labeled_batch_size` is set each
    comes with a second batch of labelled ones, and no label of the first is used. Supervised: of
    the labelled images alone.
    """
    labels = np.full(len(dataset.train), HIDDEN_LABEL, np.int64)
    labels[split.labeled] = dataset.train.labels[split.labeled]
    mask = (labels != HIDDEN_LABEL) & (config.labeled_batch_size == 0)
    pool = split.labeled if config.method == "supervised" else split.train
    images = _rows(dataset.train.images)
    with tf.device("CPU:0"):
        labels = tf.constant(labels)
        label_mask = tf.constant(mask, tf.float32)
        pool, labeled = tf.constant(pool), tf.constant(split.labeled)

    def stream_of(indices: tf.Tensor, batch_size: int, stream: int) -> tf.data.Dataset:
        """(batch_size,) out of `indices` for each step from `first_step` on."""
        first = first_step * batch_size
        places = shuffled_indices(len(indices), config.seed, stream, first)
        number, machines = machine
        part = slice(number * batch_size // machines, (number + 1) * batch_size // machines)
        return places.batch(batch_size, drop_remainder=True).map(
            lambda batch: tf.gather(indices, batch[part])
        )

    nobody = tf.data.Dataset.from_tensors(labeled[:0]).repeat()
    extra_batch = config.labeled_batch_size
    streams = (
        stream_of(pool, config.batch_size, 1),
        stream_of(labeled, extra_batch, 2) if extra_batch else nobody,
    )

    def batch(indices: tf.Tensor, extra: tf.Tensor) -> Batch:
        return Batch(
            images=images(indices),  # (B, S, S, channels)
            labels=tf.gather(labels, indices),
            label_mask=tf.gather(label_mask, indices),
            labeled_images=images(extra),  # (L, S, S, channels)
            labeled_labels=tf.gather(labels, extra),
        )

    batches = tf.data.Dataset.zip(streams).take(total_steps - first_step)
    batches = batches.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)
    return without_autotuning(batches)


def _rows(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from indices (B,) to `images` at them, (B, S, S, channels) uint8.

    Images in memory become one tensor, which graphs capture instead of copying it. It stays in main
    memory, where tf.data works; a GPU is given one batch after the other. Images in a file
    (`np.memmap`) are read from it batch by batch, in the same order.
    """
    if not isinstance(images, np.memmap):
        with tf.device("CPU:0"):
            tensor = tf.constant(images)
        return lambda indices: tf.gather(tensor, indices)

    def read(indices: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(lambda places: storage.rows(images, places), [indices], tf.uint8)
        return tf.ensure_shape(found, (indices.shape[0], *images.shape[1:]))

    return read
