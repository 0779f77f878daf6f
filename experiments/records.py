"""What is kept of each run: a row in results.csv, its metrics.csv in curves.csv.gz.

Both files are sorted and written whole, beside the old one and then in its place, while a lock is
held: several programs may record at a time, and none of them leaves half a file. The same content
gives the same bytes, so that a difference in git is one of results.
"""

import collections
import csv
import gzip
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from experiments.runs import DATA, RUNS, Run

HERE = Path(__file__).resolve().parent

# Accuracies are fractions, those of the last step; what was not recorded is empty.
COLUMNS = (
    "name",
    "seed",
    "data",
    "labels",
    "command",
    "recipe",
    "version",
    "commit",
    "hardware",
    "threads",
    "precision",
    "steps",
    "seconds",
    "test_accuracy",
    "test_low",
    "test_high",
    "validation_accuracy",
    "train_labeled_accuracy",
    "test_accuracy_raw",
    "validation_accuracy_raw",
    "test_images",
    "train_images",
)
Row = dict[str, str]


def read_results(folder: Path = HERE) -> list[Row]:
    """The rows of results.csv, by name and seed; none if there is no file."""
    path = folder / "results.csv"
    return _rows(path.read_text()) if path.exists() else []


def read_curves(folder: Path = HERE) -> list[Row]:
    """The rows of curves.csv.gz: `name` and `seed` beside the columns of metrics.csv."""
    path = folder / "curves.csv.gz"
    return _rows(gzip.decompress(path.read_bytes()).decode()) if path.exists() else []


def counts(row: Row, run: Run) -> bool:
    """Whether it is of this run, with the flags and the steps that it has now.

    The digest of a folder's run does not hold what is chosen by the number of images and of labels.
    Where such a rule changes, `steps` shows it, or the result must be deleted.
    """
    if row["name"] != run.name:  # first: the rest takes milliseconds
        return False
    return (row["recipe"], row["steps"]) == (run.recipe, str(run.steps()))


def finished(run: Run, seed: int, results: Iterable[Row]) -> bool:
    """Whether there is a result of this run that counts."""
    return any(row["seed"] == str(seed) and counts(row, run) for row in results)


def row_of(run: Run, seed: int, results: dict[str, Any], threads: int | None) -> Row:
    """The row of a finished run.

    Args:
        run: that it is of.
        seed: of the run.
        results: what is in its results.json.
        threads: cores that it had; None if that was not recorded.

    Raises:
        ValueError: if it was trained or tested on another number of images than is declared, so
            that a table would mix two data sets.
    """
    data = DATA[run.data]
    for part, expected in (("test", data.test_images), ("train", data.train_images)):
        found = results.get(f"{part}_images", expected)
        if found != expected:
            raise ValueError(
                f"its data has {found:,} {part} images, and {data.title} in experiments/runs.py "
                f"{expected:,}"
            )
    low, high = results["test_accuracy_interval"]
    values = {
        "name": run.name,
        "seed": seed,
        "data": results["dataset"],
        "labels": results["labeled"],
        "command": f"{run.command} --seed={seed}",
        "recipe": run.recipe,
        "version": results["versions"].get("ssgan_tf"),
        "commit": results["versions"].get("git_commit"),
        "hardware": results["device"],
        "threads": threads,
        "steps": results["steps"],
        "seconds": results["wall_seconds"],
        "test_low": round(low, 5),
        "test_high": round(high, 5),
    }
    for name in COLUMNS:
        if name not in values and (value := results.get(name)) is not None:
            values[name] = round(value, 5) if isinstance(value, float) else value
    return {name: "" if (v := values.get(name)) is None else str(v) for name in COLUMNS}


def record(row: Row, curve: list[Row], folder: Path = HERE) -> None:
    """Adds a row and its curve; those of the same name and seed are replaced."""
    locks = folder / "runs"  # which git ignores
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "results.lock"):
        results, curves = read_results(folder), read_curves(folder)
        key = (row["name"], row["seed"])
        results = [other for other in results if (other["name"], other["seed"]) != key] + [row]
        curves = [other for other in curves if (other["name"], other["seed"]) != key]
        curves += [{"name": row["name"], "seed": row["seed"]} | point for point in curve]
        write(results, curves, folder)


def write(results: list[Row], curves: list[Row], folder: Path = HERE) -> None:
    """Writes both files whole, each in one move; the curves first, since the row says "done"."""
    curves = sorted(curves, key=lambda row: (*_key(row), int(row["step"])))
    columns = dict.fromkeys(name for row in curves for name in row)
    packed = gzip.compress(_text(curves, tuple(columns)).encode(), mtime=0)
    _replace(folder / "curves.csv.gz", packed)
    _replace(folder / "results.csv", _text(sorted(results, key=_key), COLUMNS).encode())


def read_run(directory: Path) -> tuple[dict[str, Any], list[Row]]:
    """What the files of a finished run hold: its results, and the rows of its metrics.csv."""
    results = json.loads((directory / "results.json").read_text())
    return results, _rows((directory / "metrics.csv").read_text())


def _rows(text: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(text)))


def _text(rows: list[Row], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _key(row: Row) -> tuple[str, int]:
    return row["name"], int(row["seed"])


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


class Found:
    """The results that count: of declared runs, with the flags that they have now."""

    def __init__(self, results: Iterable[Row], curves: Iterable[Row] = ()) -> None:
        """
        Args:
            results: rows of results.csv.
            curves: rows of curves.csv.gz.
        """
        self.rows: dict[str, dict[int, Row]] = collections.defaultdict(dict)
        for row in results:
            run = RUNS.get(row["name"])
            if run and counts(row, run):
                self.rows[run.name][int(row["seed"])] = row
        self.curves: dict[tuple[str, int], list[Row]] = collections.defaultdict(list)
        for point in curves:
            if int(point["seed"]) in self.rows[point["name"]]:
                self.curves[point["name"], int(point["seed"])].append(point)

    def values(self, run: Run, column: str) -> dict[int, float]:
        """Seed -> value, where there is one."""
        rows = sorted(self.rows[run.name].items())
        return {seed: float(row[column]) for seed, row in rows if row[column]}

    def gains(self, run: Run, column: str) -> list[float]:
        """The run minus its control, for each seed that both have."""
        if not run.control:
            return []
        own, control = self.values(run, column), self.values(RUNS[run.control], column)
        return [own[seed] - control[seed] for seed in own if seed in control]
