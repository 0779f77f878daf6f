"""The images that suggestions are chosen from, and what is known of them: labels, features."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssgan_tf.config import FOLDER, Config, expand_user, is_folder
from ssgan_tf.data.dataset import UNKNOWN, Dataset
from ssgan_tf.data.images.decoding import ImageError, read_image
from ssgan_tf.runs import finished_run
from ssgan_tf.system import keras_settings
from ssgan_tf.system.device import prepare_device, quiet_start

if TYPE_CHECKING:
    from ssgan_tf.data.storage import Rows

FEATURES = ("pixels", "gan")  # without a run; the first one is better where it was measured
_THUMBNAIL = 96  # pixels, of the files of a folder


@dataclasses.dataclass(frozen=True)
class Pool:
    """Images, those with a label among them.

    Attributes:
        config: of the run, or of a run that would be trained on these images.
        root: the folder; None for TFDS.
        ids: (N,) str: paths within the folder, or TFDS' ids.
        images: (N, S, S, channels) uint8.
        labels: (N,) int64; `UNKNOWN`: without a label, or of one that is not to be used.
        label_names: of the classes of the labels.
        validation_ids: of images of TFDS that are set aside.
        notes: what the user should know.
        features: (N, F) float32, of length 1 each.
        probabilities: (N, K) of the run's classes; None without a run.
        class_names: of the K classes; empty without a run.
    """

    config: Config
    root: Path | None
    ids: np.ndarray
    images: "np.ndarray | Rows"
    labels: np.ndarray
    label_names: list[str]
    validation_ids: list[str]
    notes: tuple[str, ...]
    features: np.ndarray
    probabilities: np.ndarray | None
    class_names: list[str]

    @property
    def labeled(self) -> np.ndarray:
        """(N,) bool, which images have a label."""
        return self.labels != UNKNOWN

    def thumbnail(self, index: int) -> np.ndarray:
        """(H, W, C) uint8: the file, large enough for a person, or else what the networks see."""
        if self.root is not None:
            try:
                return read_image(self.root / str(self.ids[index]), _THUMBNAIL, fit="pad")
            except ImageError:  # deleted meanwhile, or its name is not UTF-8
                pass
        return np.asarray(self.images[index])


def pool_of_run(directory: Path, checkpoint: str = "last", data_dir: str = "") -> Pool:
    """The training images of a run, by its averaged classifier.

    A folder is taken as it is now: labels that were given since, and new images, count.

    Args:
        directory: of the run, finished or not.
        checkpoint: a step, or "last".
        data_dir: where the data is now; empty: where it was in training.

    Raises:
        UserError: if it is not a run, has no checkpoint, or its data is not there.
    """
    asked = finished_run.read_config(directory)
    validation: list[str] = []
    if is_folder(asked.dataset):
        config, names, state = finished_run.load_models(directory, checkpoint, data_dir)
        finished_run.check_folder(config)
        asked = dataclasses.replace(asked, dataset=config.dataset)
        found = _folder(config, state.channels)
    else:
        config, found, split, state = finished_run.load(directory, checkpoint, data_dir)
        asked = dataclasses.replace(asked, data_dir=config.data_dir)
        names = found.class_names
        validation = found.train.ids[split.validation].tolist()
        labels = np.full(len(found.train), UNKNOWN)
        labels[split.labeled] = found.train.labels[split.labeled]
        train = dataclasses.replace(found.train, labels=labels)
        found = dataclasses.replace(found, train=train.take(split.train))
    from ssgan_tf.inference import calibration, features

    seen = features.see(state.classifier, found.train.images, config.bn_inference)
    probabilities = calibration.probabilities(seen.logits)
    return _pool(asked, found, seen.features, validation, probabilities, names)


def pool_of_dataset(config: Config, kind: str) -> Pool:
    """All training images of a data set, before there is a run.

    Args:
        config: names the data set; labels of TensorFlow Datasets are not used.
        kind: one of `FEATURES`.

    Raises:
        UserError: if the data is not available.
    """
    if kind == "gan" or not is_folder(config.dataset):
        with quiet_start(), keras_settings.imported_light():
            import tensorflow  # noqa: F401

            prepare_device(config.deterministic)
    if is_folder(config.dataset):
        found = _folder(config, config.channels or 3)
    else:
        from ssgan_tf.data.load import load_dataset

        found = load_dataset(config)
        train = dataclasses.replace(found.train, labels=np.full(len(found.train), UNKNOWN))
        found = dataclasses.replace(found, train=train)
    images = found.train.images
    if kind == "pixels":
        from ssgan_tf.inference import pixel_features

        return _pool(config, found, pixel_features.describe(images, config.seed))
    from ssgan_tf.inference import features
    from ssgan_tf.runs.without_labels import train_without_labels

    discriminator = train_without_labels(images, config.seed)
    return _pool(config, found, features.see(discriminator, images).features)


def _folder(config: Config, channels: int) -> Dataset:
    """The folder as it is, without its validation images; see `load_pool`."""
    from ssgan_tf.data.folder.load import load_pool

    path = config.dataset.removeprefix(FOLDER)
    found = load_pool(
        path, config.image_size, config.fit, channels, config.memory_budget_gb, config.cache_dir
    )
    trained_on = [identity not in found.validation_ids for identity in found.train.ids.tolist()]
    return dataclasses.replace(found, train=found.train.take(np.flatnonzero(trained_on)))


def _pool(
    config: Config,
    found: Dataset,
    features: np.ndarray,
    validation_ids: Sequence[str] = (),
    probabilities: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> Pool:
    root = None
    if is_folder(config.dataset):
        root = expand_user(config.dataset.removeprefix(FOLDER)).absolute()
    return Pool(
        config,
        root,
        found.train.ids,
        found.train.images,
        found.train.labels,
        found.class_names,
        list(validation_ids),
        found.report if root else (),
        features,
        probabilities,
        list(class_names),
    )
