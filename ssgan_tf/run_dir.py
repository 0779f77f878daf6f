"""The directory that a run leaves behind: whose it is, and files that are whole or not there."""

import contextlib
import csv
import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssgan_tf import __version__
from ssgan_tf.config import Config, UserError

if TYPE_CHECKING:
    import tensorflow as tf

# Flags that may differ between a run and its resumption: where things are, not what they are.
_PLACES = ("run_dir", "data_dir", "keep_checkpoints")

METRICS_COLUMNS = (
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
    "loss_entropy",
)


def claim(directory: Path, config: Config) -> None:
    """Makes sure that the directory is new, empty, or holds this very run.

    Nothing is written: a run whose data cannot be loaded leaves no directory.

    Raises:
        UserError: if something else is there; nothing is ever overwritten.
    """
    flag = f"--run_dir={directory}"
    try:
        is_file = directory.exists() and not directory.is_dir()
    except OSError as error:  # a name that is too long, a part of it that is a file
        raise UserError(f"{flag}: cannot be a directory ({error.strerror}).") from error
    if is_file:
        raise UserError(f"{flag}: is a file; give a directory.")
    if not (directory / "config.json").exists():
        # A file left half-written by a crash does not make a run.
        if directory.exists() and any(file.suffix != ".partial" for file in directory.iterdir()):
            raise UserError(f"{flag}: is not empty and holds no run; give another directory.")
        parent = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise UserError(f"{flag}: cannot be made, since {parent} cannot be written to.")
        return
    then, now = Config.from_json(directory / "config.json").to_dict(), config.to_dict()
    changed = [name for name in now if name not in _PLACES and then[name] != now[name]]
    if changed:
        had = " ".join(f"--{name}={then[name]}" for name in changed)
        asked = " ".join(f"--{name}={now[name]}" for name in changed)
        suffix = "-".join(f"{name}_{now[name]}" for name in changed if "/" not in str(now[name]))
        suffix = suffix if suffix and len(changed) <= 3 else "other"
        raise UserError(
            f"{flag}: holds a run with {had}, not {asked}; give the new one its own directory, "
            f"such as --run_dir={directory}-{suffix}."
        )


def restore(checkpoint: "tf.train.Checkpoint", path: str) -> None:
    """Takes the state from a checkpoint.

    Raises:
        UserError: if it cannot be read, or is not of such a run.
    """
    import tensorflow as tf

    try:
        checkpoint.restore(path).assert_consumed()
    except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
        raise UserError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); put it back, or delete "
            f"{Path(path).parent} to start the run again."
        ) from error


def write_config(directory: Path, config: Config) -> None:
    """Writes `config.json`, all that is needed to run it again; a resumed run keeps the first."""
    if (directory / "config.json").exists():
        return
    content = {"config": config.to_dict(), "command": command(), "versions": versions()}
    write_json(directory / "config.json", content)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that is there in full or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def read_metrics(directory: Path, last_step: int) -> list[dict[str, str]]:
    """The rows of `metrics.csv` up to a step; those beyond it will be measured again."""
    path = directory / "metrics.csv"
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if int(row["step"]) <= last_step]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: not a metrics.csv that a run wrote; delete it to go on without its rows."
        ) from error


def write_metrics(directory: Path, rows: list[dict[str, Any]]) -> None:
    """Writes `metrics.csv`, one row per evaluation; a missing value is an empty field."""
    partial = directory / "metrics.csv.partial"
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, METRICS_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, directory / "metrics.csv")


def command() -> str:
    """The command that started this process, as one would type it."""
    return shlex.join(["python", "-m", "ssgan_tf.train", *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git commit where there is one."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
    found = {"ssgan_tf": __version__, "python": sys.version.split()[0]}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. tensorflow-cpu
            found[package] = importlib.metadata.version(package)
    here = Path(__file__).resolve().parent
    try:
        git = subprocess.run(
            ["git", "-C", here, "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git on this machine
        return found
    # Only if the package itself is a checkout, not if it is installed below somebody's repository.
    if git.returncode == 0 and (here.parent / ".git").exists():
        found["git_commit"] = git.stdout.strip()
    return found
