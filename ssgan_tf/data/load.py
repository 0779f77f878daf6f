"""Name -> data set: a folder of images, the embedded house numbers, or TensorFlow Datasets."""

import contextlib
import difflib
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder
from ssgan_tf.data.dataset import Dataset
from ssgan_tf.data.folder.load import load_folder
from ssgan_tf.data.images.resize import Fit, Form
from ssgan_tf.data.tfds import read_dataset
from ssgan_tf.system.paths import is_plain, literal


def load_dataset(config: Config, prepare: bool = True) -> Dataset:
    """Loads the data set that a configuration names.

    Args:
        config: of the run.
        prepare: whether to download or render the data set where it is missing; False: that is an
            error.

    Raises:
        UserError: see `load_named` and `load_folder`.
    """
    if is_folder(config.dataset):
        return load_folder(
            config.dataset.removeprefix(FOLDER),
            config.image_size,
            config.fit,
            config.channels or 3,
            config.test_fraction,
            config.memory_budget_gb,
            config.cache_dir,
        )
    return load_named(
        config.dataset,
        config.data_dir,
        config.image_size,
        config.fit,
        config.channels,
        config.memory_budget_gb,
        config.unlabeled_splits,
        prepare,
    )


def load_named(
    name: str,
    data_dir: str = "",
    image_size: int = 32,
    fit: Fit = "crop",
    channels: int = 0,
    memory_budget_gb: float = 0.0,
    unlabeled_splits: str = "train",
    prepare: bool = True,
) -> Dataset:
    """Loads a data set of TFDS or the house numbers; prepares (downloads, renders) it if needed.

    Args:
        name: a TFDS name such as "svhn_cropped", "cifar10" or "mnist:3.0.1", or the embedded
            "house_numbers". The data set needs images with a class label. Without a test part, the
            validation part is the test part, or else the last fifth of the training part.
        data_dir: the directory of TFDS; empty: $TFDS_DATA_DIR, or else ~/tensorflow_datasets.
        image_size: S; every image is resized to S x S, see `resize`.
        fit: "crop", "pad" or "stretch".
        channels: 3 for color, 1 for gray, 0 for those of the data set.
        memory_budget_gb: how much memory images may take, see `storage.Storage`.
        unlabeled_splits: "train", or with further parts, as in "train+extra", whose images come
            after those of the training part, without a label.
        prepare: False: a data set that is not prepared is an error.

    Raises:
        UserError: if there is no such data set, it is not one of classified images, or it is not
            prepared and cannot be.
    """
    given = data_dir or os.environ.get("TFDS_DATA_DIR", "")
    root = expand_user(given or "~/tensorflow_datasets")
    with _literal(root) as place:
        builder = _builder(name, given if place == root else str(place))
        form = Form(image_size, channels, fit)
        return read_dataset(builder, root, form, memory_budget_gb, unlabeled_splits, prepare)


@contextlib.contextmanager
def _literal(root: Path) -> Iterator[Path]:
    """`paths.literal`, of a directory that may be missing.

    Raises:
        UserError: if it cannot be made.
    """
    if not is_plain(root):
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--data_dir={root}: cannot be made ({error.strerror}).") from error
    with literal(root) as place:
        yield place


def _builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """The builder of a data set.

    Raises:
        UserError: if there is no such data set.
    """
    directory = expand_user(data_dir).absolute() if data_dir else None
    if name == "house_numbers":
        from ssgan_tf.data import house_numbers  # fonts and filters that no other data set needs

        return _opened(name, lambda: house_numbers.HouseNumbers(data_dir=directory))
    # "cifar10/3.0.2", as this program itself writes it, is "cifar10:3.0.2" to TFDS.
    name = re.sub(r"/(\d+\.\d+\.\d+)$", r":\1", name)
    known = tfds.list_builders(with_community_datasets=False)
    base = name.partition(":")[0].partition("/")[0]
    if base not in known:
        close = difflib.get_close_matches(base, [*known, "house_numbers"], n=3)
        hint = f"; similar names: {', '.join(close)}" if close else ""
        if os.path.isdir(name):
            hint = f"; for your own images give {shlex.quote(f'--dataset={FOLDER}{name}')}"
        elif name.casefold().startswith(FOLDER):
            hint = f"; {FOLDER} is written in lower case"
        raise UserError(f"--dataset={name}: TensorFlow Datasets has no such data set{hint}.")
    return _opened(name, lambda: tfds.builder(name, data_dir=directory, try_gcs=False))


def _opened(name: str, make: Callable[[], tfds.core.DatasetBuilder]) -> tfds.core.DatasetBuilder:
    """The builder that `make` returns.

    Raises:
        UserError: if TFDS rejects the name, or what it finds of a prepared copy.
    """
    try:
        return make()
    except Exception as error:  # of its parsers, of the data set's own module, of the disk
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(
            f"--dataset={name}: TensorFlow Datasets rejects it ({reason}); if a prepared copy is "
            "damaged, delete it."
        ) from error
