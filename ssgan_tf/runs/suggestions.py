"""Suggestions: chosen from a pool of images, and written as a table and a page."""

import csv
import dataclasses
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data.folder.names import by_folders
from ssgan_tf.inference import suggestion
from ssgan_tf.inference.suggestion import Choice
from ssgan_tf.inference.suspicious_labels import Suspicious, find_suspicious
from ssgan_tf.labeling.suggestions_csv import COLUMNS
from ssgan_tf.reporting import contact_sheet
from ssgan_tf.reporting.contact_sheet import Section, Tile
from ssgan_tf.runs import config_file
from ssgan_tf.runs.pool import Pool
from ssgan_tf.system.files import output_named, write_json, written_aside
from ssgan_tf.system.text import counted

PAGE, TABLE = "suggestions.html", "suggestions.csv"
SUSPICIOUS_TABLE, LABELS = "suspicious_labels.csv", "suggested_labels.json"
MOST_ON_PAGE, MOST_SUSPICIOUS = 500, 50
_MEANING = {
    "typical": "Each one stands for similar images without a label.",
    "uncertain": "The classifier hesitates between two classes; the closest decisions come first.",
    "random": "Drawn at random.",
}


class Found(NamedTuple):
    """What `choose` gives.

    Attributes:
        strategy: the one that was used.
        suggestions: images that should get a label, the most helpful one first.
        suspicious: labels that should be checked, the most suspicious one first; their indices
            are those of the pool.
    """

    strategy: str
    suggestions: list[Choice]
    suspicious: list[Suspicious]


class Written(NamedTuple):
    """What `write` has written.

    Attributes:
        page: suggestions.html.
        table: suggestions.csv.
        suspicious: suspicious_labels.csv; None: no label looks wrong.
        command: what to type next.
        train: what to type when the images of a folder have their labels: the run's command,
            for a new run with all labels; empty without a run.
    """

    page: Path
    table: Path
    suspicious: Path | None
    command: str
    train: str = ""


def choose(pool: Pool, n: int, strategy: str, folds: int, seed: int) -> Found:
    """Chooses images that should get a label, and labels that should be checked.

    Args:
        pool: the images; some have no label.
        n: how many suggestions are wanted.
        strategy: one of `suggestion.STRATEGIES`.
        folds: parts in which the labels are checked, see `suspicious_labels`.
        seed: of clusters, random choices and folds.

    Raises:
        UserError: if all images have a label.
    """
    labeled, count = pool.labeled, int(pool.labeled.sum())
    left = len(pool.ids) - count
    print(f"Images:   {count:,} with a label, {left:,} without one", flush=True)
    for note in pool.notes:
        print(f"          {note}", flush=True)
    if not left:
        raise UserError(_all_labeled(pool))
    if left < n:
        have = "image has" if left == 1 else "images have"
        print(f"note: only {left:,} {have} no label; all that is left is suggested")
    strategy = suggestion.resolve(strategy, count, len(pool.class_names))
    found = suggestion.suggest(
        pool.features, labeled, n, strategy, pool.probabilities, pool.class_names, seed
    )
    places = np.flatnonzero(labeled)
    suspicious = find_suspicious(
        pool.features[places], pool.labels[places], len(pool.label_names), folds, seed
    )
    suspicious = [item._replace(image=int(places[item.image])) for item in suspicious]
    return Found(strategy, found, suspicious[:MOST_SUSPICIOUS])


def _all_labeled(pool: Pool) -> str:
    name = f"--dataset={pool.config.dataset}"
    if pool.root is None:
        return f"{name}: all {len(pool.ids):,} training images have a label already."
    return (
        f"{name}: all {len(pool.ids):,} images have a label already, by their folder or by "
        f"labels.csv{by_folders(pool.label_names)}; put images without one into "
        f"{pool.root}/unlabeled/."
    )


def write(directory: Path, pool: Pool, found: Found, run_dir: str) -> Written:
    """Writes the tables and the page.

    Args:
        directory: where to; it is made if it is not there.
        pool: the images.
        found: what was chosen of them.
        run_dir: of the run whose classifier was asked; empty: there is none.

    Raises:
        UserError: if the directory cannot be written to.
    """
    command = _next_command(directory, pool, found, run_dir)
    text = contact_sheet.render(
        f"Which images to label: {pool.config.dataset}",
        f"{counted(len(found.suggestions), 'image')}, strategy {found.strategy}"
        + (f", by the classifier of {run_dir}" if run_dir else ""),
        _sections(pool, found),
        shlex.join(command),
    )
    with output_named(f"--output_dir={directory}"):
        directory.mkdir(parents=True, exist_ok=True)
        _write_csv(
            directory / TABLE,
            COLUMNS,
            ((pool.ids[i], *_predicted(pool, i), reason) for i, reason in found.suggestions),
        )
        _write_csv(
            directory / SUSPICIOUS_TABLE,
            ("rank", "path", "label", "predicted", "probability", "reason"),
            (_suspicious_row(pool, item) for item in found.suspicious),
        )
        if pool.root is None:
            _write_labels(directory / LABELS, pool, found)
        with written_aside(directory / PAGE) as partial:
            partial.write_bytes(text.encode("utf-8", "backslashreplace"))
    train = []
    if run_dir and pool.root:
        run = expand_user(run_dir)
        train = config_file.command_with_new_labels(run, pool.config.dataset)
    return Written(
        page=directory / PAGE,
        table=directory / TABLE,
        suspicious=directory / SUSPICIOUS_TABLE if found.suspicious else None,
        command=shlex.join(command),
        train=shlex.join(train),
    )


def _next_command(directory: Path, pool: Pool, found: Found, run_dir: str) -> list[str]:
    """For a folder, to label the images; images of TFDS have their labels already."""
    if pool.root is None:
        labels, count = str(directory / LABELS), int(pool.labeled.sum()) + len(found.suggestions)
        return dataclasses.replace(
            pool.config, labels_from=labels, labeled=count, run_dir=""
        ).command()
    command = ["python", "-m", "ssgan_tf.label", f"--suggestions={directory / TABLE}"]
    command.append(f"--dataset={pool.config.dataset}")
    if run_dir and expand_user(run_dir) != directory:
        command.append(f"--run_dir={run_dir}")
    return command


def _predicted(pool: Pool, index: int) -> tuple[str, str]:
    """The most probable class and its probability; empty without a classifier."""
    if pool.probabilities is None:
        return "", ""
    best = int(pool.probabilities[index].argmax())
    return pool.class_names[best], f"{pool.probabilities[index, best]:.4f}"


def _suspicious_row(pool: Pool, item: Suspicious) -> tuple[str, ...]:
    label, predicted = (pool.label_names[k] for k in (pool.labels[item.image], item.predicted))
    reason = f"the other labels say {predicted} {item.probability:.0%}, {label} {item.of_label:.0%}"
    return str(pool.ids[item.image]), label, predicted, f"{item.probability:.4f}", reason


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with written_aside(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows((rank, *row) for rank, row in enumerate(rows, start=1))


def _write_labels(path: Path, pool: Pool, found: Found) -> None:
    """What `--labels_from` reads: the labels so far and those of the suggested images."""
    chosen = [*np.flatnonzero(pool.labeled), *(item.image for item in found.suggestions)]
    content = {
        "dataset": pool.config.dataset,
        "ids": pool.ids[np.sort(chosen)].tolist(),
        "validation_ids": pool.validation_ids,
    }
    write_json(path, content)


def _sections(pool: Pool, found: Found) -> list[Section]:
    tiles = []
    for index, reason in found.suggestions[:MOST_ON_PAGE]:
        predicted, _ = _predicted(pool, index)
        group = f"taken for {predicted}" if predicted else ""
        tiles.append(Tile(pool.thumbnail(index), str(pool.ids[index]), group, reason))
    more = len(found.suggestions) - len(tiles)
    rest = f" The first {len(tiles):,}; {TABLE} has all." if more else ""
    sections = [Section("Images to label", _MEANING[found.strategy] + rest, tiles)]
    if found.suspicious:
        tiles = []
        for item in found.suspicious:
            path, label, _, _, reason = _suspicious_row(pool, item)
            tiles.append(Tile(pool.thumbnail(item.image), path, f"labeled {label}", reason))
        text = "A classifier trained without them takes these for another class."
        sections.append(Section("Labels to check", text, tiles))
    return sections
