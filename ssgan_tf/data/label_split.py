"""Which training images keep their label, and which are set aside for validation."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssgan_tf.config import Config, UserError, is_folder
from ssgan_tf.data import labels_json
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split, ids_digest
from ssgan_tf.data.images import resize
from ssgan_tf.data.sampling import balanced, stratified
from ssgan_tf.system.files import write_json


@dataclasses.dataclass(frozen=True)
class LabelSplit:
    """Indices into the training images: three ascending parts without a common image.

    Attributes:
        labeled: images whose label is used.
        unlabeled: trained on without a label; if they have labels, these are never used.
        validation: images that take no part in training, or empty.
        notes: what the user should know, e.g. a class that has fewer images than its share.
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> np.ndarray:
        """All images that training sees, labeled or not, ascending."""
        return np.sort(np.concatenate([self.labeled, self.unlabeled]))


def shares(dataset: Dataset, split: LabelSplit) -> list[float]:
    """Each class's share of the labels, > 0: a class without one is taken to have one."""
    counts = np.bincount(dataset.train.labels[split.labeled], minlength=dataset.num_classes)
    counts = np.maximum(counts, 1)
    return (counts / counts.sum()).tolist()


def split_labels(config: Config, dataset: Dataset) -> LabelSplit:
    """Draws the validation part, then the labels, as `config` says; a function of its seed.

    Where the data set has a validation part of its own, that is taken, and none is drawn.

    Raises:
        UserError: if more labels are asked for than there are, or fewer than there are classes, or
            `labels_from` is not a usable file.
    """
    own = np.flatnonzero([identity in dataset.validation_ids for identity in dataset.train.ids])
    notes: list[str] = []
    if len(own) and config.validation_fraction:
        notes.append(
            "the validation images are those of valid/; --validation_fraction="
            f"{config.validation_fraction} is not used"
        )
    choose = _from_file if config.labels_from else _drawn
    labeled, validation = choose(config, dataset, own, notes)
    missing = set(range(dataset.num_classes)) - set(dataset.train.labels[labeled].tolist())
    if missing:
        names = ", ".join(dataset.class_names[label] for label in sorted(missing))
        notes.append(f"no labeled image of class {names}")
    unlabeled = np.setdiff1d(np.arange(len(dataset.train)), np.union1d(labeled, validation))
    return LabelSplit(np.sort(labeled), unlabeled, np.sort(validation), tuple(notes))


def _from_file(
    config: Config, dataset: Dataset, own: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The labeled images of `labels_from`, and the validation images.

    Args:
        config: of the run.
        dataset: its data.
        own: the validation part of the data set, or empty.
        notes: gets what the user should know.
    """
    labeled, stored = _resolve(config.labels_from, dataset)
    notes.append(f"the {len(labeled):,} labels are those of {config.labels_from}")
    if len(own):
        both = labeled[np.isin(labeled, own)]
        if len(both):
            raise UserError(
                f"--labels_from={config.labels_from}: {str(dataset.train.ids[both[0]])!r} is a "
                f"validation image of {dataset.name}, which is not trained on; remove it."
            )
        return labeled, own
    if config.validation_fraction and len(stored):
        notes.append("so are the validation images")
        return labeled, stored
    labels = dataset.train.labels
    rest = np.setdiff1d(np.flatnonzero(labels != UNKNOWN), labeled)
    return labeled, stratified(labels, rest, config.validation_fraction, config.seed)


def _drawn(
    config: Config, dataset: Dataset, own: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The labeled and the validation images, drawn; `own` and `notes` as for `_from_file`."""
    labels = dataset.train.labels
    known = np.flatnonzero(labels != UNKNOWN)  # a folder may have images without a label
    validation = own
    if not len(own):
        validation = stratified(labels, known, config.validation_fraction, config.seed)
    rest = np.setdiff1d(known, validation)
    count = len(rest) if config.labeled == "all" else int(config.labeled)
    if count > len(rest):
        aside = f" after {len(validation)} are set aside" if len(validation) else ""
        raise UserError(
            f"--labeled={count}: {dataset.name} has {len(rest)} labeled training images"
            f"{aside}; give at most that, or 'all'."
        )
    if count < dataset.num_classes:
        raise UserError(
            f"--labeled={count}: {dataset.name} has {dataset.num_classes} classes; give at "
            "least one labeled image for each."
        )
    if config.label_selection == "first" or count == len(rest):
        return rest[:count], validation  # the data set is in the order of its ids
    labeled, remarks = balanced(labels, rest, count, dataset.class_names, config.seed)
    notes += remarks
    return labeled, validation


def save(path: Path, config: Config, dataset: Dataset, split: LabelSplit) -> None:
    """Writes the split as ids, readable for people and for `--labels_from`.

    Raises:
        UserError: if the file exists with other content: a run cannot continue with other data.
    """
    if path.exists():
        check(path, config, dataset, split)
    else:
        write_json(path, _content(config, dataset, split))


def check(
    path: Path,
    config: Config,
    dataset: Dataset,
    split: LabelSplit,
    hint: str = "Labels that were given since count, too.",
) -> None:
    """Checks that a run's `labels.json` agrees with `split`, and that the pixels are the same.

    The `hint` says what may have changed of a folder.

    Raises:
        UserError: if it does not.
    """
    flag = f"--run_dir={path.parent}"
    stored, found, other = _comparable(path, config, dataset, split)
    earlier = [name for name in ("test_ids_digest", _RULE) if name not in stored]
    of_folder = is_folder(stored.get("dataset", ""))
    if stored != found:
        hint = f" {hint}" if of_folder else ""
        if of_folder and "test_ids_digest" in earlier:
            hint = (
                " It is from an earlier version, which chose the test images of a folder without "
                "test/ differently; train again in another --run_dir."
            )
        raise UserError(
            f"{flag}: its run had other data or labels (see {path.name}) than "
            f"{dataset.name} with {len(dataset.train):,} training images, as found now; use the "
            f"same data, or another --run_dir.{hint}"
        )
    if other:
        raise UserError(
            f"{flag}: its run had images of the same names as {dataset.name}, but other pixels; "
            "use the same images, or another --run_dir."
        )
    if _RULE in earlier and not of_folder and _had_black(dataset):
        raise UserError(
            f"{flag}: was trained on images with a black border; this version enlarges them "
            "instead; train again, in another --run_dir."
        )


def is_same(
    path: Path, config: Config, dataset: Dataset, split: LabelSplit, exact: bool = True
) -> bool:
    """Whether a run's `labels.json` has the images, the labels and the pixels of `split`.

    With `exact=False` the classes of the labeled images may differ, and training images without a
    label may have come or gone; then only the pixels of the test images are compared.

    Raises:
        UserError: if it is not such a file.
    """
    stored, found, other = _comparable(path, config, dataset, split)
    if not exact:  # a class decides the place of an image, too
        if stored.get("train_ids_digest") != found.get("train_ids_digest"):
            other.discard(_PIXELS)
        for content in (stored, found):
            content |= {_CLASSES: "", "train_images": 0, "train_ids_digest": ""}
            content |= {name: sorted(content[name]) for name in ("ids", "validation_ids")}
    return stored == found and not other


def _comparable(
    path: Path, config: Config, dataset: Dataset, split: LabelSplit
) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """What a run's `labels.json` holds, what it would hold now, and which pixels differ."""
    stored, found = labels_json.read(path), _content(config, dataset, split)
    for content in (stored, found):
        content.pop("test_ids", None)  # their digest says the same
        content.pop(_TEST_CLASSES, None)  # no weight depends on them
    for name in _YOUNGER:
        if name not in stored:
            found.pop(name, None)
    if is_folder(stored.get("dataset", "")) and is_folder(dataset.name):
        found["dataset"] = stored["dataset"]  # it may have moved; its ids decide
    # Other versions of the decoders, which stand before the "/", may give other pixels.
    other = set()
    for name in (_PIXELS, _TEST_PIXELS):
        had, has = (str(content.pop(name, "")).partition("/") for content in (stored, found))
        if had[0] == has[0] and had != has:
            other.add(name)
    return stored, found, other


_PIXELS, _TEST_PIXELS = "pixels_digest", "test_pixels_digest"
_RULE, _CLASSES = "resize_rule", "labels_digest"
_AT_ONCE = 1024  # images that are read at a time
_TEST_CLASSES = "test_labels_digest"
# What the files of earlier versions lack.
_YOUNGER = (
    "channels",
    "class_names",
    "train_ids_digest",
    "test_ids_digest",
    _CLASSES,
    _PIXELS,
    _RULE,
)


def _had_black(dataset: Dataset) -> bool:
    """Whether earlier versions put a black border around images of this TFDS data set."""
    side = dataset.train.images.shape[1]
    if dataset.source_shape is None:  # they differ; some may have been as small as that
        return True
    # They did so where the longer side was at most S, and more than S / 2.
    return dataset.source_shape != (side, side) and side // 2 < max(dataset.source_shape) <= side


def _labels_of(part: Split, indices: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Image and class: a table of labels can give an image another class later."""
    pairs = zip(part.ids[indices].tolist(), part.labels[indices].tolist(), strict=True)
    return [f"{identity}\t{class_names[label]}" for identity, label in pairs]


def _test_classes(dataset: Dataset) -> str:
    everything = np.arange(len(dataset.test))
    return ids_digest(_labels_of(dataset.test, everything, dataset.class_names))


def has_other_test_labels(path: Path, dataset: Dataset) -> bool:
    """Whether test images have other classes than when a run's `labels.json` was written.

    Raises:
        UserError: if it is not such a file.
    """
    stored = labels_json.read(path).get(_TEST_CLASSES)
    return stored is not None and stored != _test_classes(dataset)


def _content(config: Config, dataset: Dataset, split: LabelSplit) -> dict[str, Any]:
    ids = dataset.train.ids
    content = {
        "dataset": dataset.name,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "seed": config.seed,
        "label_selection": config.label_selection,
        "labeled": len(split.labeled),
        "ids": ids[split.labeled].tolist(),
        "validation_ids": ids[split.validation].tolist(),
        "channels": dataset.channels,
        "class_names": dataset.class_names,
        "train_ids_digest": ids_digest(ids.tolist()),
        "test_ids_digest": ids_digest(dataset.test.ids.tolist()),
        _CLASSES: ids_digest(_labels_of(dataset.train, split.labeled, dataset.class_names)),
        _RULE: resize.RULE,
    }
    if is_folder(dataset.name):  # where new labels can make other images test images
        content["test_ids"] = dataset.test.ids.tolist()
        content[_TEST_CLASSES] = _test_classes(dataset)
    if dataset.pixels_digest:
        content[_PIXELS] = dataset.pixels_digest
        content[_TEST_PIXELS] = _test_pixels(dataset)
    return content


def _test_pixels(dataset: Dataset) -> str:
    """As `cache.pixels_digest`, of the test images alone: RULE/DIGEST."""
    text, order = hashlib.sha256(), np.argsort(dataset.test.ids)
    for start in range(0, len(order), _AT_ONCE):
        text.update(np.ascontiguousarray(dataset.test.images[order[start : start + _AT_ONCE]]).data)
    return f"{dataset.pixels_digest.partition('/')[0]}/{text.hexdigest()}"


def _resolve(path: str, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the labeled and of the validation images named in a `labels.json`."""
    content = labels_json.read_given(path)
    written_for = str(content.get("dataset", dataset.name))
    folders = is_folder(written_for) and is_folder(dataset.name)  # the ids decide
    if not folders and written_for.partition("/")[0] != dataset.name.partition("/")[0]:
        raise UserError(f"--labels_from={path}: is for {written_for}, not for {dataset.name}.")
    index_of = {identity: index for index, identity in enumerate(dataset.train.ids.tolist())}
    unknown = [
        identity
        for identity in content["ids"] + content["validation_ids"]
        if identity not in index_of
    ]
    if unknown:
        raise UserError(
            f"--labels_from={path}: {len(unknown)} of its ids are not training images of this "
            f"{dataset.name}, such as {unknown[0]!r}."
        )
    for identity in content["ids"] + content["validation_ids"]:
        if dataset.train.labels[index_of[identity]] == UNKNOWN:
            raise UserError(
                f"--labels_from={path}: names {identity!r}, whose class is not known; name only "
                "images with a label."
            )

    def indices(names: list[str]) -> np.ndarray:
        return np.array([index_of[name] for name in names], np.int64)

    return indices(content["ids"]), indices(content["validation_ids"])
