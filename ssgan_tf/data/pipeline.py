"""uint8 images -> batches, by shuffled indices.

The order is a pure function of (seed, pass over the data). So nothing has to be saved: a run that
is resumed at step s reads the same batches as an uninterrupted one.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssgan_tf.config import Config, is_folder
from ssgan_tf.data.dataset import Batch, Dataset
from ssgan_tf.data.label_split import LabelSplit
from ssgan_tf.data.sampling import imbalanced
from ssgan_tf.data.storage import Rows

HIDDEN_LABEL = -1  # stands for the labels that training must not see
CLASS_STREAMS = 3  # the first of those that draw images of one class; 1 and 2 draw batches


def shuffled_indices(
    size: int | tf.Tensor, seed: int, stream: int | tf.Tensor, first: int
) -> tf.data.Dataset:
    """Indices of `size` images in endless passes, each in another order.

    No image is left out, and a batch may reach from one pass into the next.

    Args:
        size: number of images, > 0.
        seed: the run's seed.
        stream: another stream draws in another order.
        first: how many indices were drawn before; the rest is the same as without interruption.

    Returns:
        Endless scalars, int64, each in [0, size).
    """

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        # The published types of TensorFlow know neither tensors here nor this shuffle.
        pass_seed = tf.random.fold_in(tf.stack([seed, stream]), number)  # pyright: ignore[reportArgumentType]
        shuffle = tf.random.experimental.stateless_shuffle  # pyright: ignore[reportAttributeAccessIssue]
        order = shuffle(tf.range(size, dtype=tf.int64), pass_seed)
        return tf.data.Dataset.from_tensor_slices(order)

    passes = tf.data.Dataset.range(first // size, tf.int64.max)
    return passes.flat_map(one_pass).skip(first % size)  # pyright: ignore[reportOperatorIssue]


def balanced_indices(labels: np.ndarray, seed: int, stream: int, first: int) -> tf.data.Dataset:
    """Indices of images, each class equally often: each round has one image of each class.

    The classes come in another order in each round, and the images of a class in shuffled passes,
    so that each image of a class comes equally often.

    Args:
        labels: (N,) of the images, N > 0; a class without images is left out.
        seed: the run's seed.
        stream: another stream draws in another order; the classes have streams of their own.
        first: how many indices were drawn before; the rest is the same as without interruption.

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
        False where every batch has unlabeled images too. With "auto", True for folders whose
        labeled images are `imbalanced`; a class without labeled images does not count.
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

    Semi-supervised: of all training images, labeled or not; with `labeled_batch_size` each batch
    comes with a second one of labeled images, and no label of the first is used. Supervised: of
    the labeled images alone. Batches of labeled images alone may be drawn by class, see
    `balanced_by_class`.

    Args:
        config: of the run.
        dataset: its data.
        split: which labels are used.
        first_step: from 0.
        total_steps: of the whole run.
        machine: the number of this machine, and how many there are; each reads its part of every
            global batch.
    """
    labels = np.full(len(dataset.train), HIDDEN_LABEL, np.int64)
    labels[split.labeled] = dataset.train.labels[split.labeled]
    mask = (labels != HIDDEN_LABEL) & (config.labeled_batch_size == 0)
    classes = labels[split.labeled]
    classes = classes if balanced_by_class(config, classes) else None
    images = _rows(dataset.train.images)
    with tf.device("CPU:0"):
        labels = tf.constant(labels)
        label_mask = tf.constant(mask, tf.float32)
        labeled, every = tf.constant(split.labeled), tf.constant(split.train)

    draw = functools.partial(_index_batches, config.seed, first_step, machine)
    if config.method == "supervised":
        first = draw(labeled, config.batch_size, 1, classes)
    else:
        first = draw(every, config.batch_size, 1)
    if config.labeled_batch_size:
        second = draw(labeled, config.labeled_batch_size, 2, classes)
    else:
        second = tf.data.Dataset.from_tensors(labeled[:0]).repeat()

    def batch(indices: tf.Tensor, extra: tf.Tensor) -> Batch:
        return Batch(
            images=images(indices),  # (B, S, S, channels)
            labels=tf.gather(labels, indices),
            label_mask=tf.gather(label_mask, indices),
            labeled_images=images(extra),  # (L, S, S, channels)
            labeled_labels=tf.gather(labels, extra),
        )

    batches = tf.data.Dataset.zip((first, second)).take(total_steps - first_step)
    batches = batches.map(batch, num_parallel_calls=1, deterministic=True).prefetch(2)
    return without_autotuning(batches)


def _index_batches(
    seed: int,
    first_step: int,
    machine: tuple[int, int],
    indices: tf.Tensor,
    batch_size: int,
    stream: int,
    classes: np.ndarray | None = None,
) -> tf.data.Dataset:
    """For each step from `first_step` on, this machine's part of `batch_size` of `indices`.

    They are drawn in shuffled passes, or by class if `classes`, those of `indices`, are given.
    """
    first = first_step * batch_size
    if classes is not None:
        places = balanced_indices(classes, seed, stream, first)
    else:
        places = shuffled_indices(len(indices), seed, stream, first)
    number, machines = machine
    part = slice(number * batch_size // machines, (number + 1) * batch_size // machines)
    return places.batch(batch_size, drop_remainder=True).map(
        lambda batch: tf.gather(indices, batch[part])
    )


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

    Images in memory become one tensor, which graphs capture without a copy. It stays in main
    memory, where tf.data works; a GPU gets one batch after the other. Images in a file are read
    batch by batch, in the same order.
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
