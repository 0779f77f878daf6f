"""Prepares and reads a data set of TensorFlow Datasets: images, labels and ids in memory."""

import concurrent.futures
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ssgan_tf.config import UserError
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split
from ssgan_tf.data.folder.walk import natural_key
from ssgan_tf.data.images import resize
from ssgan_tf.data.images.decoding import ImageError, read_image
from ssgan_tf.data.images.resize import Form
from ssgan_tf.data.pipeline import without_autotuning
from ssgan_tf.data.storage import Storage, give_back, reordered
from ssgan_tf.system import errors
from ssgan_tf.system.device import cores

PROBE_SECONDS = 4.0
_BATCH = 1024  # images that are read at once


class _Source(NamedTuple):
    """A data set, and which of its features are read.

    Attributes:
        builder: of the data set.
        image_key: name of the image.
        image: its description.
        shape: (height, width, channels) of the images; None where heights or widths differ.
        label_key: name of the label.
        class_names: of the label.
        id_key: "id", or "tfds_id", which TFDS adds.
    """

    builder: tfds.core.DatasetBuilder
    image_key: str
    image: tfds.features.Image
    shape: tuple[int | None, int | None, int]
    label_key: str
    class_names: list[str]
    id_key: str


def read_dataset(
    builder: tfds.core.DatasetBuilder,
    root: Path,
    form: Form,
    memory_budget_gb: float,
    unlabeled_splits: str,
    prepare: bool,
) -> Dataset:
    """Reads a data set, which is prepared first if needed.

    Args:
        builder: of the data set.
        root: the directory of TFDS.
        form: of the images; its channels may be 0, for those of the data set.
        memory_budget_gb: see `load.load_named`.
        unlabeled_splits: the same.
        prepare: the same.

    Raises:
        UserError: see `load.load_named`.
    """
    source = _source(builder)  # before anything large is downloaded
    if not builder.is_prepared():
        if not prepare:
            raise UserError(
                f"--data_dir={root}: holds no prepared {builder.info.full_name}; name "
                "the directory that was used in training."
            )
        _prepare(builder, root / "downloads" / "manual")
    parts = builder.info.splits
    if "train" not in parts:
        raise UserError(f"--dataset={builder.name}: has no training part.")
    further = _further_parts(builder, unlabeled_splits)
    height, width, channels = source.shape
    form = form if form.channels else form._replace(channels=channels)
    storage = Storage(memory_budget_gb, root)
    report = []
    if further:
        count = parts["+".join(further)].num_examples
        report.append(f"{count:,} images of {', '.join(further)} join without labels")
    trained_on, test, notes = _test_part(parts, lambda part: _read(source, part, form, storage))
    return Dataset(
        builder.info.full_name,
        source.class_names,
        _read(source, trained_on, form, storage, further),
        test,
        (*report, *notes),
        source_shape=(height, width) if height and width else None,
    )


def _source(builder: tfds.core.DatasetBuilder) -> _Source:
    """Finds the features of image, label and id, which are known before the data is there.

    Raises:
        UserError: if it is not an image classification data set.
    """
    features = cast(tfds.features.FeaturesDict, builder.info.features)
    image_key, label_key = cast(tuple, builder.info.supervised_keys or ("", ""))[:2]
    if image_key:
        image, label = features[image_key], features[label_key]
        if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
            shape = cast(tuple, image.shape)
            has_ids = "id" in features and isinstance(features["id"], tfds.features.Text)
            id_key = "id" if has_ids else "tfds_id"
            if shape[-1] in (1, 3) and image.np_dtype == np.uint8:
                names = list(label.names)
                return _Source(builder, image_key, image, shape, label_key, names, id_key)
    raise UserError(
        f"--dataset={builder.name}: not an image classification data set (an image of 1 or 3 "
        "channels of 8 bits and one class label); svhn_cropped, cifar10 and mnist are."
    )


def _further_parts(builder: tfds.core.DatasetBuilder, unlabeled_splits: str) -> list[str]:
    """The parts of `unlabeled_splits` besides train.

    Raises:
        UserError: if there is no such part, or it is one of the training part.
    """
    further = [part for part in unlabeled_splits.split("+") if part != "train"]
    known = builder.info.splits
    for part in further:
        name = re.split(r"\W", part)[0]
        try:
            usable = name != "train" and name in known and known[part].num_examples > 0
        except (KeyError, ValueError):  # TFDS does not understand what is in its brackets
            usable = False
        if not usable:
            others = ", ".join(name for name in known if name != "train") or "none"
            raise UserError(
                f"--unlabeled_splits={unlabeled_splits}: {part} is not a part of {builder.name} "
                f"besides train; there are: {others}."
            )
    return further


def _test_part(
    parts: Collection[str], read: Callable[[str], Split]
) -> tuple[str, Split, tuple[str, ...]]:
    """Which part is trained on, the test part, and what the user should know of these."""
    for part in ("test", "validation"):
        if part not in parts:
            continue
        test = read(part)
        if (test.labels != UNKNOWN).all():  # some data sets keep their test labels secret
            note = () if part == "test" else ("no test part: the validation part is used",)
            return "train", test, note
    note = "no test part: the last fifth of the training part is used"
    return "train[:80%]", read("train[80%:]"), (note,)


def _read(
    source: _Source, part: str, form: Form, storage: Storage, further: Sequence[str] = ()
) -> Split:
    """Reads a part as uint8 arrays and puts it into the order of its ids.

    Args:
        source: the data set.
        part: its name.
        form: of the images.
        storage: where the images go.
        further: parts that come after it, without their labels.

    Raises:
        UserError: if its files are damaged, or some are missing.
    """
    builder = source.builder
    labeled = builder.info.splits[part].num_examples
    part = "+".join([part, *further])
    count = builder.info.splits[part].num_examples
    images = storage.allocate((count, *form.shape))
    labels, ids = np.empty(count, np.int64), []
    try:
        for found, found_labels, found_ids in _batches(source, part, form):
            place = slice(len(ids), len(ids) + len(found_labels))
            images[place], labels[place] = found, found_labels
            give_back(images)
            ids += [identity.decode() for identity in found_ids]
        if len(ids) < count:
            raise ValueError(f"{len(ids):,} images instead of {count:,}")
    except (tf.errors.OpError, ImageError, ValueError, OSError) as error:
        raise UserError(
            f"--dataset={builder.name}: the prepared copy in {_directory(builder)} is damaged "
            f"({errors.cause(error)[:200]}); delete that directory, and it is made again."
        ) from error
    labels[labeled:] = UNKNOWN
    order = sorted(range(count), key=lambda index: (index >= labeled, natural_key(ids[index])))
    return Split(reordered(images, np.array(order)), labels[order], np.array(ids)[order])


def _batches(
    source: _Source, part: str, form: Form
) -> Iterator[tuple[np.ndarray | list[np.ndarray], np.ndarray, np.ndarray]]:
    """Images, labels and ids of a part, in the order of its files.

    TFDS shuffled what it stored; the ids say what the order was.
    """
    key, size = source.image_key, form.size
    # Images that need no resizing are decoded by TFDS; others are decoded as files are.
    ready = source.shape[:2] == (size, size) and source.image.encoding_format != "jpeg"

    @tf.autograph.experimental.do_not_convert  # which would take longer than the reading
    def select(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = example[key]
        image = resize.to_channels(image, form.channels) if ready else image
        return image, example[source.label_key], example[source.id_key]

    def decode(content: bytes) -> np.ndarray:
        return read_image(io.BytesIO(content), *form)

    examples = source.builder.as_dataset(
        split=part,  # pyright: ignore[reportCallIssue] (hidden by a decorator of TFDS)
        read_config=tfds.ReadConfig(
            add_tfds_id=source.id_key == "tfds_id", interleave_cycle_length=1
        ),
        shuffle_files=False,
        decoders=None if ready else {key: tfds.decode.SkipDecoding()},
    )
    batches = without_autotuning(examples.map(select, tf.data.AUTOTUNE).batch(_BATCH))
    with concurrent.futures.ThreadPoolExecutor(cores()) as executor:
        for found, labels, ids in batches.as_numpy_iterator():
            yield found if ready else list(executor.map(decode, found)), labels, ids


def _prepare(builder: tfds.core.DatasetBuilder, manual_dir: Path) -> None:
    """Downloads (or renders) and prepares the data set, or says soon why that is impossible.

    Without a network TFDS would retry for minutes, so the network is tried first.
    """
    if builder.name != "house_numbers":
        urls = builder.url_infos or ()
        missing = [url for url in urls if not os.path.exists(manual_dir / _filename(url))]
        problem = _unreachable(missing) if missing else ""
        if problem:
            raise UserError(_not_available(builder, manual_dir, problem))
    making = "Rendering" if builder.name == "house_numbers" else "Downloading and preparing"
    print(f"{making} {builder.name} into {_directory(builder)}, once", flush=True)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        config = tfds.download.DownloadConfig(
            manual_dir=manual_dir if os.path.exists(manual_dir) else None
        )
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # of TFDS, of its parsers, or of the disk
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
    """Why the first of `urls` cannot be downloaded; empty if its server answers."""
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
