"""Name -> images, labels, ids, class names, in memory, through TensorFlow Datasets."""

import concurrent.futures
import contextlib
import dataclasses
import difflib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder
from ssgan_tf.data.folder.walk import natural_key
from ssgan_tf.data.images import resize
from ssgan_tf.data.images.decoding import ImageError, read_image
from ssgan_tf.data.storage import Rows, Storage, give_back, reordered, take
from ssgan_tf.system import errors
from ssgan_tf.system.device import cores
from ssgan_tf.system.paths import is_plain, literal

PROBE_SECONDS = 4.0


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one part, in the order of their ids.

    Attributes:
        images: (N, S, S, channels) uint8: an array, or `Rows` of one or of a file. Of both
            `images[indices]` is an array in memory.
        labels: (N,) int64; -1 where there is none (a folder's unlabeled/).
        ids: (N,) str, e.g. "train_000123".
    """

    images: np.ndarray | Rows
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """The part of this part at `indices`; its images stay where they are, without a copy."""
        return Split(take(self.images, indices), self.labels[indices], self.ids[indices])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An image classification data set.

    Attributes:
        name: with its version, e.g. "svhn_cropped/3.1.0".
        class_names: of the K classes.
        train, test: its two parts.
        report: what a person should know of it before training, in lines.
        validation_ids: of training images that are not to be trained on (a folder's valid/).
        pixels_digest: of the images of a folder, see `cache.pixels_digest`; else empty.
        source_shape: (height, width) that the images of a TFDS set have before they are brought to
            S x S, None where they differ; of folders always None.
    """

    name: str
    class_names: list[str]
    train: Split
    test: Split
    report: tuple[str, ...] = ()
    validation_ids: frozenset[str] = frozenset()
    pixels_digest: str = ""
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
    """What one train step is given; images are uint8, scaled here.

    Attributes:
        images: (B, S, S, channels) uint8, labeled or not.
        labels: (B,) int64; whatever stands where the mask is 0 has no effect.
        label_mask: (B,) float32, 1 where the label may be used.
        labeled_images: (L, S, S, channels) uint8, a second batch, all labeled; L = 0: none.
            If there is one it carries the whole supervised loss, and nothing else.
        labeled_labels: (L,) int64.
    """

    images: tf.Tensor
    labels: tf.Tensor
    label_mask: tf.Tensor
    labeled_images: tf.Tensor
    labeled_labels: tf.Tensor


def load_for(config: Config, prepare: bool = True) -> Dataset:
    """Loads the data set that a configuration names.

    Args:
        config: of the run.
        prepare: download or render it where it is not there; False: that is an error.

    Raises:
        UserError: see `load` and `loading.load`.
    """
    if is_folder(config.dataset):
        from ssgan_tf.data.folder import loading

        return loading.load(
            config.dataset.removeprefix(FOLDER),
            config.image_size,
            config.fit,
            config.channels or 3,
            config.test_fraction,
            config.memory_budget_gb,
            config.cache_dir,
        )
    return load(
        config.dataset,
        config.data_dir,
        config.image_size,
        config.fit,
        config.channels,
        config.memory_budget_gb,
        config.unlabeled_splits,
        prepare,
    )


def load(
    name: str,
    data_dir: str = "",
    image_size: int = 32,
    fit: str = "crop",
    channels: int = 0,
    memory_budget_gb: float = 0.0,
    unlabeled_splits: str = "train",
    prepare: bool = True,
) -> Dataset:
    """Loads a data set, which is prepared (downloaded, rendered) first where that is due.

    Args:
        name: a TFDS name such as "svhn_cropped", "cifar10" or "mnist:3.0.1", or the embedded
            "house_numbers". Needs an image and a class label; without a test part the validation
            part is taken, or else the last fifth of the training part.
        data_dir: TFDS' directory; empty: $TFDS_DATA_DIR, or else ~/tensorflow_datasets.
        image_size: S; every image is brought to S x S, see `resize`.
        fit: "crop", "pad" or "stretch".
        channels: 3 for color, 1 for gray, 0 for what the data has.
        memory_budget_gb: what images may take in memory, see `storage.Storage`.
        unlabeled_splits: "train", or with further parts, as in "train+extra", whose images come
            after those of the training part, with the label -1.
        prepare: False: what is not prepared is an error.

    Raises:
        UserError: if there is no such data set, it is not one of classified images, or its data is
            neither prepared nor to be had.
    """
    given = data_dir or os.environ.get("TFDS_DATA_DIR", "")
    root = expand_user(given or "~/tensorflow_datasets")
    with _literal(root) as place:
        builder = _builder(name, given if place == root else str(place))
        form = (image_size, fit, channels)
        return _load(builder, root, form, memory_budget_gb, unlabeled_splits, prepare)


@contextlib.contextmanager
def _literal(root: Path) -> Iterator[Path]:
    """`paths.literal`, of a directory that need not be there.

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


def _load(
    builder: tfds.core.DatasetBuilder,
    root: Path,
    form: tuple[int, str, int],
    memory_budget_gb: float,
    unlabeled_splits: str,
    prepare: bool,
) -> Dataset:
    """See `load`; `root` is TFDS' directory, `form` the size, fit and channels."""
    image_key, label_key = _feature_keys(builder)  # before anything large is downloaded
    if not builder.is_prepared():
        if not prepare:
            raise UserError(
                f"--data_dir={root}: holds no prepared {builder.info.full_name}; name "
                "the directory that was used in training."
            )
        _prepare(builder, root / "downloads" / "manual")
    storage = Storage(memory_budget_gb, root)
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(f"--dataset={builder.name}: has no training part.")
    names = list(builder.info.features[label_key].names)

    further = _further_parts(builder, unlabeled_splits)

    def read(part: str, further: Sequence[str] = ()) -> Split:
        return _read(builder, part, further, image_key, label_key, form, storage)

    height, width = builder.info.features[image_key].shape[:2]
    source_shape = (height, width) if height and width else None

    def made(train: Split, test: Split) -> Dataset:
        name = builder.info.full_name
        return Dataset(name, names, train, test, tuple(report), source_shape=source_shape)

    report = []
    if further:
        count = splits["+".join(further)].num_examples
        report.append(f"{count:,} images of {', '.join(further)} join without labels")
    for part in ("test", "validation"):
        test = read(part) if part in splits else None
        if test is not None and (test.labels >= 0).all():  # some keep their test labels secret
            if part != "test":
                report.append("no test part: its validation part is taken")
            return made(read("train", further), test)
    report.append("no test part: the last fifth of the training part is taken")
    return made(read("train[:80%]", further), read("train[80%:]"))


def _further_parts(builder: tfds.core.DatasetBuilder, unlabeled_splits: str) -> list[str]:
    """The parts of `unlabeled_splits` beside train.

    Raises:
        UserError: if there is no such part, or it is one of the training part.
    """
    parts = [part for part in unlabeled_splits.split("+") if part != "train"]
    known = builder.info.splits
    for part in parts:
        name = re.split(r"\W", part)[0]
        try:
            sound = name != "train" and name in known and known[part].num_examples > 0
        except (KeyError, ValueError):  # TFDS does not understand what is in its brackets
            sound = False
        if not sound:
            others = ", ".join(name for name in known if name != "train") or "none"
            raise UserError(
                f"--unlabeled_splits={unlabeled_splits}: {part} is not a part of {builder.name} "
                f"beside train; there are: {others}."
            )
    return parts


def _builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    directory = expand_user(data_dir).absolute() if data_dir else None
    if name == "house_numbers":
        from ssgan_tf.data import (
            house_numbers,  # fonts and image filters, needed for this one alone
        )

        return _opened(name, lambda: house_numbers.HouseNumbers(data_dir=directory))
    # "cifar10/3.0.2", as this program itself writes it, is "cifar10:3.0.2" to TFDS.
    name = re.sub(r"/(\d+\.\d+\.\d+)$", r":\1", name)
    known = tfds.list_builders(with_community_datasets=False)
    base = name.partition(":")[0].partition("/")[0]
    if base not in known:
        close = difflib.get_close_matches(base, [*known, "house_numbers"], n=3)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        if os.path.isdir(name):
            hint = f"; for your own images give --dataset={FOLDER}{name}"
        raise UserError(f"--dataset={name}: TensorFlow Datasets has no such data set{hint}.")
    return _opened(name, lambda: tfds.builder(name, data_dir=directory, try_gcs=False))


def _opened(name: str, make: Callable[[], tfds.core.DatasetBuilder]) -> tfds.core.DatasetBuilder:
    """What `make` gives.

    Raises:
        UserError: if TFDS objects to the name, or to what it finds of a prepared copy.
    """
    try:
        return make()
    except Exception as error:  # of its parsers, of the data set's own module, of the disk
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(
            f"--dataset={name}: TensorFlow Datasets refuses it ({reason}); if a prepared copy is "
            "damaged, delete it."
        ) from error


def _feature_keys(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Names of the image and of the label among the data set's features, known beforehand."""
    features, keys = builder.info.features, builder.info.supervised_keys
    if (
        keys is None
        or not isinstance(features[keys[0]], tfds.features.Image)
        or not isinstance(features[keys[1]], tfds.features.ClassLabel)
        or features[keys[0]].shape[-1] not in (1, 3)
        or features[keys[0]].np_dtype != np.uint8
    ):
        raise UserError(
            f"--dataset={builder.name}: not an image classification data set (an image of 1 or 3 "
            "channels of 8 bits and one class label); svhn_cropped, cifar10 and mnist are."
        )
    return keys[0], keys[1]


def _read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    further: Sequence[str],
    image_key: str,
    label_key: str,
    form: tuple[int, str, int],
    storage: Storage,
) -> Split:
    """Reads a part as uint8 arrays and puts it into the order of its ids.

    Args:
        builder: of the data set.
        split: the part.
        further: parts that come after it, their labels unknown.
        image_key: name of the feature.
        label_key: the same for the label.
        form: size, fit, channels; see `resize`.
        storage: where the images go.

    Raises:
        UserError: if its files are damaged, or some are missing.
    """
    features = builder.info.features
    has_ids = "id" in features and isinstance(features["id"], tfds.features.Text)
    id_key = "id" if has_ids else "tfds_id"
    # The files' own order: TFDS shuffled what it stored, the ids say what the order was.
    read_config = tfds.ReadConfig(add_tfds_id=not has_ids, interleave_cycle_length=1)

    size, fit, channels = form
    channels = channels or features[image_key].shape[-1]
    # Images that are ready need no more than TFDS' decoder; others go the way of files.
    ready = (
        features[image_key].shape[:2] == (size, size)
        and features[image_key].encoding_format != "jpeg"
    )
    decoders = None if ready else {image_key: tfds.decode.SkipDecoding()}

    @tf.autograph.experimental.do_not_convert  # which would take longer than the reading
    def select(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = example[image_key]
        image = resize.to_channels(image, channels) if ready else image
        return image, example[label_key], example[id_key]

    def decode(content: bytes) -> np.ndarray:
        return read_image(io.BytesIO(content), size, channels, fit)

    labeled = builder.info.splits[split].num_examples
    split = "+".join([split, *further])
    count = builder.info.splits[split].num_examples
    images = storage.allocate((count, size, size, channels))
    labels, ids = np.empty(count, np.int64), []
    try:
        examples = builder.as_dataset(
            split=split, read_config=read_config, shuffle_files=False, decoders=decoders
        )
        parts = examples.map(select, tf.data.AUTOTUNE).batch(1024)
        with concurrent.futures.ThreadPoolExecutor(cores()) as executor:
            for found, part_labels, part_ids in without_autotuning(parts).as_numpy_iterator():
                place = slice(len(ids), len(ids) + len(part_labels))
                images[place] = found if ready else list(executor.map(decode, found))
                labels[place] = part_labels
                give_back(images)
                ids += [identity.decode() for identity in part_ids]
        if len(ids) < count:
            raise ValueError(f"{len(ids):,} images instead of {count:,}")
    except (tf.errors.OpError, ImageError, ValueError, OSError) as error:
        raise UserError(
            f"--dataset={builder.name}: the prepared copy in {_directory(builder)} is damaged "
            f"({errors.cause(error)[:200]}); delete that directory, and it is made again."
        ) from error
    labels[labeled:] = -1
    order = sorted(range(count), key=lambda index: (index >= labeled, natural_key(ids[index])))
    return Split(reordered(images, np.array(order)), labels[order], np.array(ids)[order])


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same without the thread that tunes buffers and parallelism while it is read.

    That thread sleeps for up to a minute between two rounds and may miss that its iterator is going
    away (seen with TensorFlow 2.21). A process that has been told to stop would wait for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _prepare(builder: tfds.core.DatasetBuilder, manual_dir: Path) -> None:
    """Downloads (or renders) and prepares the data set, or says within seconds why it cannot.

    TFDS alone would retry for minutes where there is no network, so this asks first.
    """
    if builder.name != "house_numbers":
        urls = builder.url_infos or ()
        missing = [url for url in urls if not (manual_dir / _filename(url)).exists()]
        problem = _unreachable(missing) if missing else ""
        if problem:
            raise UserError(_not_available(builder, manual_dir, problem))
    making = "Rendering" if builder.name == "house_numbers" else "Downloading and preparing"
    print(f"{making} {builder.name} into {_directory(builder)}, once", flush=True)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        config = tfds.download.DownloadConfig(
            manual_dir=manual_dir if manual_dir.exists() else None
        )
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # whatever TFDS, its parsers or the disk object to
        words = errors.cause(error)
        reason = f"preparing it failed: {words}"
        if builder.name == "house_numbers":
            raise UserError(
                f"--data_dir: house_numbers cannot be written to {_directory(builder)} ({words}); "
                "name a directory that can be written."
            ) from error
        raise UserError(_not_available(builder, manual_dir, reason)) from error


def _directory(builder: tfds.core.DatasetBuilder) -> str:
    """Where the prepared copy is, or would be; not the link to it of `paths.literal`."""
    return os.path.realpath(builder.data_dir)


def _filename(url: str) -> str:
    return os.path.basename(urlsplit(url).path)


def _unreachable(urls: list[str]) -> str:
    """Why the first of `urls` cannot be had, in words; empty if its server answers."""
    import requests  # only where something has to be downloaded

    def probe() -> str:
        try:
            answer = requests.head(urls[0], timeout=PROBE_SECONDS, allow_redirects=True)
            if answer.status_code >= 500 or answer.status_code in (403, 404, 407):
                return f"{urlsplit(urls[0]).hostname} answers with status {answer.status_code}"
            return ""
        except requests.RequestException as error:
            return f"{urlsplit(urls[0]).hostname} does not answer ({type(error).__name__})"

    # A thread of its own: the look-up of a name may hang far beyond any timeout.
    executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        return executor.submit(probe).result(PROBE_SECONDS)
    except concurrent.futures.TimeoutError:
        return f"{urlsplit(urls[0]).hostname} did not answer within {PROBE_SECONDS:.0f} seconds"
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _not_available(builder: tfds.core.DatasetBuilder, manual_dir: Path, problem: str) -> str:
    files = ", ".join(_filename(url) for url in builder.url_infos or ())
    return (
        f"--dataset={builder.name}: looked for a prepared copy in {_directory(builder)} and found "
        f"none, and {problem}.\nWays out:\n"
        f"  * a prepared {builder.name}: --data_dir=DIR (or TFDS_DATA_DIR=DIR) where "
        f"DIR/{builder.info.full_name} exists\n"
        f"  * the original files ({files}) in {manual_dir}\n"
        "  * --dataset=house_numbers, which is rendered here and needs no download"
    )
