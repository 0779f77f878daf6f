"""`results.json` and `metrics.csv`: what is in them, and which runs can be compared."""

import csv
import os
import shlex
from pathlib import Path
from typing import Any

from ssgan_tf.config import LARGEST, UserError, is_folder
from ssgan_tf.system.files import read_json, written_aside

Results = dict[str, Any]  # what `results.json` holds

METRICS_COLUMNS: tuple[str, ...] = (
    "step",
    "epoch",
    "wall_seconds",
    "test_accuracy",
    "train_labeled_accuracy",
    "validation_accuracy",
    "train_labeled_running_accuracy",
    "loss_discriminator",
    "loss_supervised",
    "loss_unsupervised_real",
    "loss_unsupervised_fake",
    "loss_generator",
    "loss_consistency",
)

_NUMBER = (int, float)
_RESULTS = {
    "test_accuracy": _NUMBER,
    "test_accuracy_interval": list,
    "test_images": int,
    "train_images": int,
    "train_labeled_accuracy": _NUMBER,
    "dataset": str,
    "labeled": int,
    "method": str,
    "steps": int,
    "wall_seconds": _NUMBER,
    "device": str,
    "versions": dict,
    "command": str,
}
# What runs of earlier versions do not have.
_OPTIONAL = {"test_ids_digest": str, "recall": dict, "unlabeled": int}
# Their ranges, and those of what only some runs have; a NaN is in none of them.
_RANGES = {
    "test_accuracy": (0, 1),
    "test_accuracy_raw": (0, 1),
    "test_accuracy_first_half": (0, 1),
    "validation_accuracy": (0, 1),
    "validation_accuracy_raw": (0, 1),
    "train_labeled_accuracy": (0, 1),
    "balanced_accuracy": (0, 1),
    "test_images": (1, LARGEST),
    "train_images": (1, LARGEST),
    "labeled": (1, LARGEST),
    "unlabeled": (0, LARGEST),
    "steps": (1, LARGEST),
    "wall_seconds": (0, LARGEST),
}


def read_results(directory: Path) -> Results:
    """What `results.json` holds.

    Raises:
        UserError: if there is none, or it is not what a run wrote.
    """
    path = directory / "results.json"
    if not os.path.exists(path):  # Path.exists() fails if a name is too long
        raise UserError(f"{directory}: holds no finished run (no results.json); let it end.")
    results = read_json(path, _RESULTS)
    for name, (low, high) in _RANGES.items():
        if name in results and not _is_number(results[name], low, high):
            raise UserError(
                f"{path}: {name!r} is {results[name]!r}, which is not a number from {low} to "
                f"{high:,}; restore the original file."
            )
    for name, kind in _OPTIONAL.items():
        if name in results and not isinstance(results[name], kind):
            raise UserError(
                f"{path}: {name!r} is {results[name]!r}, which is not of type {kind.__name__}; "
                "restore the original file."
            )
    for name, value in results.get("recall", {}).items():
        if value is not None and not _is_number(value, 0, 1):
            raise UserError(
                f"{path}: 'recall' of {name} is {value!r}, which is not a number from 0 to 1; "
                "restore the original file."
            )
    interval = results["test_accuracy_interval"]
    rounding = 1e-9  # at 0 and 1 the formula of the interval ends a little beyond
    if (
        len(interval) != 2
        or not all(_is_number(value, -rounding, 1 + rounding) for value in interval)
        or interval[0] > interval[1]
    ):
        raise UserError(
            f"{path}: 'test_accuracy_interval' is {interval!r}, which is not two numbers from 0 "
            "to 1, the smaller one first; restore the original file."
        )
    try:
        shlex.split(results["command"])
    except ValueError as error:
        raise UserError(
            f"{path}: 'command' is {results['command']!r}, which is not a command "
            f"({error}); restore the original file."
        ) from error
    return results


def all_labeled(results: Results) -> bool:
    """Whether training saw no image without a label."""
    if "unlabeled" in results:
        return results["unlabeled"] == 0
    return results["labeled"] == results["train_images"]  # as runs of earlier versions say it


def same_test_images(results: Results, other: Results) -> bool:
    """Whether two runs were tested on the same images, as far as their results show."""
    names, digests, counts = (
        [found.get(key) for found in (results, other)]
        for key in ("dataset", "test_ids_digest", "test_images")
    )
    if not all(digests):
        return names[0] == names[1] and counts[0] == counts[1]
    # A folder may have another name now. Other data sets all count their images alike.
    same_source = names[0] == names[1] or all(map(is_folder, names))
    return same_source and digests[0] == digests[1]


def read_metrics(directory: Path, last_step: int) -> list[dict[str, str]]:
    """The rows of `metrics.csv` up to a step."""
    path = directory / "metrics.csv"
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if int(row["step"]) <= last_step]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: not a metrics.csv that a run wrote; delete it to go on without its rows."
        ) from error


def write_metrics(directory: Path, rows: list[dict[str, Any]]) -> None:
    """Writes `metrics.csv`, one row per evaluation; a missing value is an empty field."""
    with written_aside(directory / "metrics.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, METRICS_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and low <= value <= high
