"""The directory that a run leaves behind: whose it is, what is in its files."""

import contextlib
import csv
import dataclasses
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssgan_tf import __version__
from ssgan_tf.config import AUTOMATIC, FOLDER, Config, UserError, expand_user, is_folder
from ssgan_tf.system import errors
from ssgan_tf.system.device import worker
from ssgan_tf.system.files import read_json, write_json, written_aside

# Flags that may differ between a run and its resumption: where things are, when they are written,
# what it is computed on and how.
FREE = (
    "run_dir",
    "data_dir",
    "cache_dir",
    "memory_budget_gb",
    "keep_checkpoints",
    "checkpoint_every_minutes",
    "eval_every",
    "precision",
    "jit_compile",
    "steps_per_call",
    "strategy",
)

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
        # Neither a file left half-written by a crash nor a lock makes a run.
        if directory.exists() and any(
            file.suffix != ".partial" and file.name != _LOCK for file in directory.iterdir()
        ):
            raise UserError(f"{flag}: is not empty and holds no run; give another directory.")
        _check_writable(flag, directory)
        return
    recorded = read_config(directory)
    _check_moved(flag, directory, recorded, config)
    _check_version(flag, directory, recorded)
    then, now, changed = recorded.to_dict(), config.to_dict(), _changed(recorded, config)
    if changed and not longer(recorded, config):
        had = " ".join(f"--{name}={then[name]}" for name in changed)
        asked = " ".join(f"--{name}={now[name]}" for name in changed)
        suffix = "-".join(f"{name}_{now[name]}" for name in changed if "/" not in str(now[name]))
        suffix = suffix if suffix and len(changed) <= 3 else "other"
        hint = ""
        if changed == ["epochs"] and now["epochs"] > then["epochs"]:
            hint = " Only the exponential schedule, without a ramp, can be made longer."
        raise UserError(
            f"{flag}: holds a run with {had}, not {asked}; give the new one its own directory, "
            f"such as --run_dir={directory}-{suffix}.{hint}"
        )
    if changed or not (directory / "results.json").exists():
        _check_writable(flag, directory)


def longer(then: Config, now: Config) -> bool:
    """Whether `now` is the run `then` with more epochs, and nothing that it did depends on those.

    So it is under the exponential schedule of runs counted in epochs alone; all else, and the ramp,
    stretches with the run.
    """
    fixed = now.schedule == "exponential" and not now.unsupervised_ramp and not now.steps
    return _changed(then, now) == ["epochs"] and 0 < then.epochs < now.epochs and fixed


def _changed(then: Config, now: Config) -> list[str]:
    """Names of the flags that make `now` another run than `then`."""
    free = FREE + (("dataset",) if moved(then, now) else ())
    return [
        name
        for name, value in now.to_dict().items()
        if name not in free and getattr(then, name) != value
    ]


def moved(then: Config, now: Config) -> bool:
    """Whether the images are in another folder; `label_split.check` compares what is in it."""
    return then.dataset != now.dataset and is_folder(then.dataset) and is_folder(now.dataset)


def _check_moved(flag: str, directory: Path, then: Config, now: Config) -> None:
    """Names a wrong folder at once; a finished run would not look into it at all.

    Raises:
        UserError: if a labeled image of the run is not in the folder.
    """
    if not moved(then, now) or not (directory / "labels.json").exists():
        return
    root = expand_user(now.dataset.removeprefix(FOLDER))
    for identity in read_json(directory / "labels.json", {"ids": list})["ids"]:
        # Other letters may be written in another way on this disk; loading will tell.
        if str(identity).isascii() and not (root / str(identity)).exists():
            raise UserError(
                f"{flag}: holds a run on {then.dataset}, and {identity} of it is not in {root}; "
                "give the folder with the same images, or another --run_dir."
            )


def _check_version(flag: str, directory: Path, then: Config) -> None:
    """Refuses to go on with what an earlier version began and this one would do in another way.

    Raises:
        UserError: if the run is not finished, and one of its flags has another meaning now.
    """
    known = read_json(directory / "config.json", {"config": dict})["config"]
    begun = finished_steps(directory / "checkpoints")
    if "bn_start" in known or (directory / "results.json").exists() or not begun:
        return
    reason = ""
    if then.schedule == "exponential" and then.steps:
        reason = f"the learning rate falls in other stairs with --steps={then.steps}"
    if then.unsupervised_ramp and then.consistency_weight:
        reason = (
            f"--unsupervised_ramp={then.unsupervised_ramp} raises the weight of the GAN's terms "
            "alone"
        )
    if reason:
        raise UserError(
            f"{flag}: holds an unfinished run of an earlier version, and in this one {reason}; "
            "finish it with that version, or train again in another --run_dir."
        )


def _check_writable(flag: str, directory: Path) -> None:
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        done = "made" if place != directory else "used"
        raise UserError(f"{flag}: cannot be {done}, since {place} cannot be written to.")


_LOCK = ".lock"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Makes the directory, keeps other processes out; the system frees it if this one dies.

    A directory that was made here, and is empty when it ends, is removed again.

    Raises:
        UserError: if it cannot be made, or another process has it.
    """
    made = [path for path in (directory, *directory.absolute().parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # where permissions do not tell, as under /proc
        raise UserError(
            f"--run_dir={directory}: {error.filename} cannot be made ({error.strerror}); give "
            "another directory."
        ) from error
    lock = FileLock(directory / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"--run_dir={directory}: another process is at work there; wait for it, or give "
            "another directory."
        ) from error
    try:
        yield
    finally:
        if made and directory.exists() and {path.name for path in directory.iterdir()} <= {_LOCK}:
            (directory / _LOCK).unlink(missing_ok=True)
            for path in made:
                with contextlib.suppress(OSError):  # somebody else is using it by now
                    path.rmdir()
        lock.release()


@contextlib.contextmanager
def errors_explained(directory: Path) -> Iterator[None]:
    """Turns failures of disk, memory and network into one sentence.

    Whatever else goes wrong is a fault of this program, and passes with its traceback.

    Raises:
        UserError: in place of an error from outside of the program.
    """
    flag = f"--run_dir={directory}"
    try:
        yield
    except BrokenPipeError:  # of the output, which is no matter of the directory
        raise
    except Exception as error:
        if worker()[1] > 1 and errors.machine_is_gone(error):
            raise UserError(
                "--strategy=multi_worker: another machine is gone, or cannot be reached; start the "
                "same command again on all of them, and the run goes on from its last checkpoint."
            ) from error
        kind = errors.kind_of(error)
        if kind == "program":  # `UserError` too
            raise
        if kind == "memory":
            raise UserError(
                f"--batch_size: memory does not suffice ({errors.cause(error)}); try half of it, "
                "or narrower networks."
            ) from error
        if not (directory / "config.json").exists():
            raise UserError(f"{flag}: was deleted while the run was at work there.") from error
        if errors.disk_is_full(error):
            raise UserError(
                f"{flag}: the disk is full; make room, and the same command goes on from the "
                "last checkpoint."
            ) from error
        raise UserError(
            f"{flag}: cannot go on ({errors.cause(error)}); what was written is kept, and the same "
            "command goes on from the last checkpoint."
        ) from error


def write_config(directory: Path, config: Config, chosen: Sequence[str] = ()) -> None:
    """Writes `config.json`, all that is needed to run it again; a resumed run keeps the first.

    A run that is made longer gets another, and its `results.json` is put aside. Where its folder of
    images has moved, the new place is noted.

    Args:
        directory: of the run.
        config: of the run, with numbers everywhere.
        chosen: names of the numbers that were not given (`Config.automatic`).
    """
    path = directory / "config.json"
    if path.exists():
        then = read_config(directory)
        if not longer(then, config):
            if moved(then, config):
                content = read_json(path, {"config": dict})
                content["config"]["dataset"] = config.dataset
                write_json(path, content)
            return
        if (directory / "results.json").exists():
            aside = directory / f"results-{then.epochs}-epochs.json"
            (directory / "results.json").replace(aside)
    content = {
        "config": config.to_dict(),
        "chosen": list(chosen),  # so that the same flags choose them again
        "defaults": Config().to_dict(),  # so that another version knows which flags matter
        "command": shlex.join(config.command()),
        "versions": versions(),
    }
    write_json(path, content)


def continued(directory: Path, config: Config) -> Config:
    """`config` as it is for going on with the run in `directory`, if there is one.

    Numbers that were chosen for the run are chosen again, and a flag that is younger than the run
    and not given now has the run's value.
    """
    path = directory / "config.json"
    if not path.exists():
        return config
    then, content = read_config(directory), read_json(path, {"config": dict})
    known = content["config"]
    chosen = content.get("chosen", [*AUTOMATIC, "steps"])  # earlier versions do not say
    given = config.changes()
    younger = {
        name: value
        for name, value in then.to_dict().items()
        if name not in known and name not in given
    }
    shift = known.get("augment_shift")
    if type(shift) is int and shift and "augment_shift" not in given:
        younger["augment_shift"] = then.augment_shift  # it was in pixels, now as a fraction
    return dataclasses.replace(config.chosen_as(then, chosen), **younger)


def read_config(directory: Path) -> Config:
    """The configuration of the run in `directory`.

    Raises:
        UserError: if its `config.json` is not what a run wrote.
    """
    path = directory / "config.json"
    content = read_json(path, {"config": dict})
    try:
        defaults = content.get("defaults")
        return Config.from_dict(content["config"], defaults if isinstance(defaults, dict) else None)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def finished_steps(directory: Path) -> set[int]:
    """Steps of the checkpoints that were once written to their end, sound or not.

    The index is written last, and the list in the file `checkpoint` after it: what is not in the
    list and has no index, or half of one, belongs to a write that was interrupted.
    """
    found = {
        int(match[1])
        for path in directory.glob("ckpt-*.index")
        if (match := re.fullmatch(r"ckpt-(\d+)\.index", path.name)) and _is_whole(path)
    }
    state = directory / "checkpoint"
    if state.exists():
        listed = re.findall(r'paths: ".*?ckpt-(\d+)"', state.read_text(errors="replace"))
        # Those which were deleted to make room are still listed for a moment.
        found |= {int(step) for step in listed if any(directory.glob(f"ckpt-{step}.data*"))}
    return found


def _is_whole(index: Path) -> bool:
    """Whether TensorFlow wrote it to its end, where the magic number of its tables stands."""
    try:
        return index.read_bytes().endswith(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb")
    except FileNotFoundError:  # deleted meanwhile, to make room
        return False


def read_metrics(directory: Path, last_step: int) -> list[dict[str, str]]:
    """The rows of `metrics.csv` up to a step."""
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
    with written_aside(directory / "metrics.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, METRICS_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git commit where there is one."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
    found = {"ssgan_tf": __version__, "python": sys.version.split()[0]}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. tensorflow-cpu
            found[package] = importlib.metadata.version(package)
    here = Path(__file__).resolve().parents[1]  # the package
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
