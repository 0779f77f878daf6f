"""uint8 images -> batches, by shuffled indices.

The order is a pure function of (seed, pass over the data): nothing has to be saved, and a run
resumed at step s reads from there on what an uninterrupted one would.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssgan_tf.config import Config, is_folder
from ssgan_tf.data.dataset import Batch, Dataset
from ssgan_tf.data.label_split import LabelSplit, imbalanced
from ssgan_tf.data.storage import Rows

HIDDEN_LABEL = -1  # stands for the labels that training must not see
CLASS_STREAMS = 3  # the first of those that draw images of one class; 1 and 2 draw batches


def shuffled_indices(
    size: int | tf.Tensor, seed: int, stream: int | tf.Tensor, first: int
) -> tf.data.Dataset:
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
        pass_seed = tf.random.fold_in(tf.stack([seed, stream]), number)
        order = tf.random.experimental.stateless_shuffle(tf.range(size, dtype=tf.int64), pass_seed)
        return tf.data.Dataset.from_tensor_slices(order)

    passes = tf.data.Dataset.range(first // size, tf.int64.max)
    return passes.flat_map(one_pass).skip(first % size)


def balanced_indices(labels: np.ndarray, seed: int, stream: int, first: int) -> tf.data.Dataset:
    """Indices of images, each class as often as any other: round after round one image of each.

    The classes come in another order in each round, and the images of a class in shuffled passes,
    so that each of them comes equally often.

    Args:
        labels: (N,) of the images, N > 0; a class without images takes no part.
        seed: the run's seed.
        stream: another stream draws in another order; the classes have streams of their own.
        first: how many indices were drawn before; what follows is the same as without interruption.

    Returns:
        Endless scalars, int64, each in [0, N).
    """
    _, sizes = np.unique(labels, return_counts=True)
    classes, starts = len(sizes), np.cumsum(sizes) - sizes
    rounds = first // classes
    with tf.device("CPU:0"):
        members = tf.constant(np.argsort(labels, kind="stable"))  # (N,), class after class
        sizes, starts = tf.constant(sizes), tf.constant(starts)

    def of_class(number: tf.Tensor) -> tf.data.Dataset:
        """Places among the images of one class."""
        stream_of_class = CLASS_STREAMS + tf.cast(number, tf.int32)
        return shuffled_indices(sizes[number], seed, stream_of_class, rounds)

    one_of_each = tf.data.Dataset.range(classes).interleave(
        of_class, cycle_length=classes, block_length=1
    )
    orders = shuffled_indices(classes, seed, stream, rounds * classes)
    drawn = tf.data.Dataset.zip(one_of_each.batch(classes), orders.batch(classes)).map(
        lambda places, order: tf.gather(tf.gather(members, starts + places), order)  # (K,)
    )
    return drawn.unbatch().skip(first % classes)


def balanced_by_class(config: Config, labels: np.ndarray) -> bool:
    """Whether batches of labeled images are drawn by class (`--balance_classes`).

    Args:
        config: of the run.
        labels: of the labeled images.

    Returns:
        Never where no batch is of labeled images alone. With "auto" for folders whose labeled
        images are `imbalanced`; a class without any does not count.
    """
    if config.method != "supervised" and not config.labeled_batch_size:
        return False
    if config.balance_classes != "auto":
        return config.balance_classes == "true"
    _, sizes = np.unique(labels, return_counts=True)
    return is_folder(config.dataset) and imbalanced(sizes)


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

    Semi-supervised: of all training images, labeled or not; where `labeled_batch_size` is set each
    comes with a second batch of labeled ones, and no label of the first is used. Supervised: of
    the labeled images alone. Batches of labeled images alone may be drawn by class, see
    `balanced_by_class`.
    """
    labels = np.full(len(dataset.train), HIDDEN_LABEL, np.int64)
    labels[split.labeled] = dataset.train.labels[split.labeled]
    mask = (labels != HIDDEN_LABEL) & (config.labeled_batch_size == 0)
    images = _rows(dataset.train.images)
    known = labels[split.labeled]
    balanced = balanced_by_class(config, known)
    with tf.device("CPU:0"):
        labels = tf.constant(labels)
        label_mask = tf.constant(mask, tf.float32)
        labeled = tf.constant(split.labeled)
        pool = labeled if config.method == "supervised" else tf.constant(split.train)

    def stream_of(indices: tf.Tensor, batch_size: int, stream: int) -> tf.data.Dataset:
        """(batch_size,) out of `indices` for each step from `first_step` on."""
        first = first_step * batch_size
        if balanced and indices is labeled:
            places = balanced_indices(known, config.seed, stream, first)
        else:
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


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same without the thread that tunes buffers and parallelism while it is read.

    That thread sleeps for up to a minute between two rounds, and may miss that its iterator is
    deleted (seen with TensorFlow 2.21). A process that was asked to stop would wait for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _rows(images: np.ndarray | Rows) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from indices (B,) to `images` at them, (B, S, S, channels) uint8.

    Images in memory become one tensor, which graphs capture instead of copying it. It stays in main
    memory, where tf.data works; a GPU is given one batch after the other. Images in a file are read
    from it batch by batch, in the same order.
    """
    images = images if isinstance(images, Rows) else Rows(images, np.arange(len(images)))
    if not images.in_file:
        with tf.device("CPU:0"):
            tensor, places = tf.constant(images.array), tf.constant(images.index)
        return lambda indices: tf.gather(tensor, tf.gather(places, indices))

    def read(indices: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(lambda batch: images[batch], [indices], tf.uint8)
        return tf.ensure_shape(found, (indices.shape[0], *images.shape[1:]))

    return read
