"""Which training images keep their label, and which are set aside for validation."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from ssgan_tf.config import Config, UserError
from ssgan_tf.datasets import Dataset


@dataclasses.dataclass(frozen=True)
class LabelSplit:
    """Indices into the training images, ascending, no two parts sharing one.

    Attributes:
        labeled: images whose label is used.
        unlabeled: the others; their labels are used nowhere.
        validation: images that take no part in training, or empty.
        notes: what deserves to be told, e.g. a class that has fewer images than its share.
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    validation: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> np.ndarray:
        """All images that training sees, labelled or not, ascending."""
        return np.sort(np.concatenate([self.labeled, self.unlabeled]))


def split_labels(config: Config, dataset: Dataset) -> LabelSplit:
    """Draws the validation part, then the labels, as `config` says; a function of its seed.

    Raises:
        UserError: if there are fewer images than labels asked for, fewer labels than classes, or
            `labels_from` is not a usable file.
    """
    labels = dataset.train.labels
    everything = np.arange(len(labels))
    notes: list[str] = []
    if config.labels_from:
        labeled, stored = _load(Path(config.labels_from), dataset)
        validation = stored if config.validation_fraction else np.array([], np.int64)
        if config.validation_fraction and not len(stored):
            rest = np.setdiff1d(everything, labeled)
            validation = stratified(labels, rest, config.validation_fraction, config.seed)
    else:
        validation = stratified(labels, everything, config.validation_fraction, config.seed)
        rest = np.setdiff1d(everything, validation)
        count = len(rest) if config.labeled == "all" else int(config.labeled)
        if count > len(rest):
            aside = f" after {len(validation)} are set aside" if len(validation) else ""
            raise UserError(
                f"--labeled={count}: {dataset.name} has {len(rest)} training images{aside}; "
                f"give at most that, or 'all'."
            )
        if count < dataset.num_classes:
            raise UserError(
                f"--labeled={count}: {dataset.name} has {dataset.num_classes} classes; give at "
                "least one labelled image for each."
            )
        if config.label_selection == "first":
            labeled = rest[:count]  # the data set is in the order of its ids
        else:
            labeled, notes = balanced(labels, rest, count, dataset.class_names, config.seed)
        missing = set(range(dataset.num_classes)) - set(labels[labeled].tolist())
        if missing:
            names = ", ".join(dataset.class_names[label] for label in sorted(missing))
            notes.append(f"no labelled image of class {names}")
    unlabeled = np.setdiff1d(everything, np.union1d(labeled, validation))
    return LabelSplit(np.sort(labeled), unlabeled, np.sort(validation), tuple(notes))


def stratified(
    labels: np.ndarray, candidates: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """A random `fraction` of each class (rounded), ascending indices out of `candidates`."""
    rng = np.random.default_rng([seed, 1])
    parts = [np.array([], np.int64)]
    for label in np.unique(labels):
        members = candidates[labels[candidates] == label]
        parts.append(rng.permutation(members)[: round(fraction * len(members))])
    return np.sort(np.concatenate(parts))


def balanced(
    labels: np.ndarray, candidates: np.ndarray, count: int, class_names: list[str], seed: int
) -> tuple[np.ndarray, list[str]]:
    """`count` indices out of `candidates`, as equally many of each class as can be.

    A remainder goes to the first classes, one each. A class smaller than its share gives all it
    has, and the others take the rest; the second value says so.
    """
    rng = np.random.default_rng([seed, 2])
    members = [
        rng.permutation(candidates[labels[candidates] == label])
        for label in range(len(class_names))
    ]
    shares = np.zeros(len(members), np.int64)
    sizes = np.array([len(part) for part in members])
    while (left := count - shares.sum()) > 0:
        room = np.flatnonzero(shares < sizes)
        if left < len(room):
            shares[room[:left]] += 1
        else:
            shares[room] += np.minimum(left // len(room), (sizes - shares)[room])
    fair = count // len(members)
    notes = [
        f"class {class_names[label]} has only {sizes[label]} images, fewer than its share of {fair}"
        for label in np.flatnonzero(sizes < fair)
    ]
    chosen = [part[:share] for part, share in zip(members, shares, strict=True)]
    return np.sort(np.concatenate(chosen)), notes


def save(path: Path, config: Config, dataset: Dataset, split: LabelSplit) -> None:
    """Writes the choice as ids, for people to read and for `--labels_from`."""
    ids = dataset.train.ids
    content = {
        "dataset": dataset.name,
        "seed": config.seed,
        "label_selection": config.label_selection,
        "labeled": len(split.labeled),
        "ids": ids[split.labeled].tolist(),
        "validation_ids": ids[split.validation].tolist(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _load(path: Path, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the labelled and of the validation images named in a `labels.json`."""
    flag = f"--labels_from={path}"
    try:
        content = json.loads(path.read_text())
        ids, validation_ids = list(content["ids"]), list(content.get("validation_ids", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{flag}: not a readable labels.json as a run writes it, with a list 'ids' ({error!r})."
        ) from error
    index_of = {identity: index for index, identity in enumerate(dataset.train.ids.tolist())}
    unknown = [identity for identity in ids + validation_ids if identity not in index_of]
    if unknown:
        raise UserError(
            f"{flag}: {len(unknown)} of its ids are not training images of {dataset.name}, such as "
            f"{unknown[0]!r}; it was written for {content.get('dataset', 'another data set')}."
        )
    if not ids or len(set(ids + validation_ids)) < len(ids) + len(validation_ids):
        raise UserError(f"{flag}: its ids must be at least one, and each there once.")

    def indices(names: list[str]) -> np.ndarray:
        return np.array([index_of[name] for name in names], np.int64)

    return indices(ids), indices(validation_ids)
