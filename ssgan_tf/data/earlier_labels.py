"""A folder as a run had it, where labels were given, or images came or went, since."""

from pathlib import Path
from typing import Any

import numpy as np

from ssgan_tf.config import Config
from ssgan_tf.data import label_split, labels_json
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split, ids_digest
from ssgan_tf.data.label_split import LabelSplit
from ssgan_tf.data.storage import Rows, take


def as_trained(path: Path, config: Config, dataset: Dataset) -> tuple[Dataset, LabelSplit] | None:
    """The parts and the class names of a run, by its `labels.json`.

    A new label can make a training image a test image, and can add a class. A new copy can be the
    one of several that stays. Of which class an image is, the folder says now; an image of a new
    class has no label here.

    Args:
        path: of the run's `labels.json`.
        config: of the run.
        dataset: its folder, as it is now.

    Returns:
        None where `lost` names an image, or where the file does not name the test images and they
        are others. Images without a label may have come or gone.

    Raises:
        UserError: if the file is not usable.
    """
    stored, facts = labels_json.read(path), labels_json.model_facts(path)
    test_ids = _test_ids(stored, dataset)
    if test_ids is None or facts is None:
        return None
    names, _ = facts
    images = _together(dataset, names)
    wanted = [*stored["ids"], *stored["validation_ids"], *test_ids]
    if _without_label(wanted, images):
        return None
    place = {identity: index for index, identity in enumerate(images.ids.tolist())}
    copies = [] if dataset.left_out is None else dataset.left_out.ids.tolist()
    others = [*test_ids, *set(copies).difference(wanted)]
    train = images.take(np.flatnonzero(~np.isin(images.ids, others)))
    labeled, validation = (
        np.flatnonzero(np.isin(train.ids, stored[key])) for key in ("ids", "validation_ids")
    )
    rest = np.setdiff1d(np.arange(len(train)), np.union1d(labeled, validation))
    found = Dataset(
        dataset.name,
        names,
        train,
        images.take(np.array([place[one] for one in test_ids])),
        dataset.report,
        dataset.validation_ids,
        dataset.pixels_digest,
    )
    split = LabelSplit(labeled, rest, validation)
    same = label_split.is_same(path, config, found, split, exact=False)
    return (found, split) if same else None


def lost(path: Path, dataset: Dataset) -> list[str]:
    """Labeled and test images of a run that are not in its folder as it is now, or have no label.

    Args:
        path: of the run's `labels.json`.
        dataset: its folder; images that cannot be read are not in it.

    Raises:
        UserError: if the file is not usable.
    """
    stored, facts = labels_json.read(path), labels_json.model_facts(path)
    names = dataset.class_names if facts is None else facts[0]
    wanted = [*stored["ids"], *stored["validation_ids"], *stored.get("test_ids", [])]
    return _without_label(wanted, _together(dataset, names))


def _without_label(ids: list[str], images: Split) -> list[str]:
    known = set(images.ids[images.labels != UNKNOWN].tolist())
    return [identity for identity in ids if identity not in known]


def _test_ids(stored: dict[str, Any], dataset: Dataset) -> list[str] | None:
    """The run's test images, which files of earlier versions name by a digest alone."""
    if "test_ids" in stored:
        return stored["test_ids"]
    now = dataset.test.ids.tolist()
    return now if ids_digest(now) == stored.get("test_ids_digest") else None


def _together(dataset: Dataset, class_names: list[str]) -> Split:
    """All images, with their places in `class_names` as labels.

    Those of a folder are in one array. No pixels are copied.
    """
    parts = [part for part in (dataset.train, dataset.test, dataset.left_out) if part is not None]
    rows = [take(part.images, np.arange(len(part))) for part in parts]
    images = Rows(rows[0].array, np.concatenate([part.index for part in rows]))
    labels, ids = (np.concatenate([getattr(p, key) for p in parts]) for key in ("labels", "ids"))
    labels = np.array([*map(_places(dataset.class_names, class_names).get, labels.tolist())])
    return Split(images, labels.astype(np.int64), ids)


def _places(now: list[str], then: list[str]) -> dict[int, int]:
    """From the place of a class in `now` to that in `then`, or to `UNKNOWN`."""
    place = {name: index for index, name in enumerate(then)}
    return {UNKNOWN: UNKNOWN} | {i: place.get(name, UNKNOWN) for i, name in enumerate(now)}
