"""What a data set is: its parts, the batches of training, and a digest of its images' ids.

Without TensorFlow, so that a wrong `labels.json` is reported at once.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssgan_tf.data.storage import Rows, take

if TYPE_CHECKING:
    import tensorflow as tf

UNKNOWN = -1  # the label of images without one


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one part, in the order of their ids.

    Attributes:
        images: (N, S, S, channels) uint8: an array, or `Rows` of an array or of a file. With both,
            `images[indices]` is an array in memory.
        labels: (N,) int64; `UNKNOWN` where there is none (as in a folder's unlabeled/).
        ids: (N,) str, e.g. "train_000123".
    """

    images: np.ndarray | Rows
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """The images at `indices`, which stay where they are: nothing is copied."""
        return Split(take(self.images, indices), self.labels[indices], self.ids[indices])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image classification data set.

    Attributes:
        name: with its version, e.g. "svhn_cropped/3.1.0".
        class_names: of the K classes.
        train: the training part.
        test: the test part.
        report: lines that the user should read before training.
        validation_ids: of training images that are not trained on (a folder's valid/).
        pixels_digest: of the images of a folder, see `cache.pixels_digest`; else empty.
        left_out: images of a folder that are in no part, as copies of others; the labels are those
            of their files.
        source_shape: (height, width) of the images of a TFDS set before they are resized to S x S;
            None where they differ, and for folders.
    """

    name: str
    class_names: list[str]
    train: Split
    test: Split
    report: tuple[str, ...] = ()
    validation_ids: frozenset[str] = frozenset()
    pixels_digest: str = ""
    left_out: Split | None = None
    source_shape: tuple[int, int] | None = None

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Of the images: 1 or 3."""
        return self.train.images.shape[-1]


class Batch(NamedTuple):
    """The input of one train step; images are uint8, and scaled within the step.

    Attributes:
        images: (B, S, S, channels) uint8, labeled or not.
        labels: (B,) int64; where the mask is 0 the value has no effect.
        label_mask: (B,) float32, 1 where the label may be used.
        labeled_images: (L, S, S, channels) uint8, a second batch, all labeled; L = 0: none.
            If there is one, the supervised loss is computed from it alone, and no other loss is.
        labeled_labels: (L,) int64.
    """

    images: "tf.Tensor"
    labels: "tf.Tensor"
    label_mask: "tf.Tensor"
    labeled_images: "tf.Tensor"
    labeled_labels: "tf.Tensor"


def ids_digest(ids: Iterable[str]) -> str:
    """SHA-256 of the sorted ids, one per line: other images give another digest."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
