"""`config.json`: what defines a run, and whether another configuration goes on with it."""

import contextlib
import dataclasses
import importlib.metadata
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssgan_tf import __version__
from ssgan_tf.config import Config, UserError, is_folder, written
from ssgan_tf.presets import (
    AUTOMATIC,
    FOLDER_PRESET,
    FORMER_FOLDER_PRESETS,
    UNUSED_BY_CONTROL,
    VGG,
)
from ssgan_tf.system.files import read_json, write_json

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

_DECIDE = ("unsupervised_weight", "consistency_weight")  # at 0: which other flags have no use
# A run of an earlier version has no value for these; what it did was this.
_BEFORE_IT_WAS_A_FLAG: dict[str, Any] = {"balance_classes": "false", "bn_start": "tf1"}
# Presets that are gone. Their values stand in the file, so what is left is the name.
_RENAMED_PRESETS = {"tuned_large": "tuned"}
# Flags that are gone, with their defaults: a run that did not change them can still be read.
_GONE: dict[str, Any] = {
    "conv1_stride": 2,
    "entropy_weight": 0.0,
    "input_noise": 0.0,
    "warmup_steps": 0,
}


def read_config(directory: Path) -> Config:
    """The configuration of the run in `directory`.

    Raises:
        UserError: if its `config.json` is not what a run wrote.
    """
    path = directory / "config.json"
    content = read_json(path, {"config": dict})
    try:
        defaults = content.get("defaults")
        return from_dict(content["config"], defaults if isinstance(defaults, dict) else None)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def from_dict(values: Any, defaults: dict[str, Any] | None = None) -> Config:
    """The reverse of `Config.to_dict`, for runs of other versions too.

    A flag that is missing has the value that it had when the run was made. One that this
    version does not know is ignored if it was at its default.

    Args:
        values: by name.
        defaults: of the version that wrote the values, as far as they are known.

    Raises:
        UserError: if there is another flag that is not known, or a value is not allowed.
    """
    if not isinstance(values, dict):
        raise UserError("'config' is not a table of flags.")
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in ("preset", "method", "dataset"):
        if name not in values:
            raise UserError(f"--{name} is missing.")
    if values.get("schedule") == "cosine":
        raise UserError(
            "there is no --schedule=cosine in this version; use the version that wrote the run."
        )
    known = _GONE | (defaults or {})
    for name in sorted(values.keys() - fields.keys()):
        if name not in known or known[name] != values[name]:
            raise UserError(
                f"there is no flag --{name} in this version, and the run has "
                f"--{name}={written(values[name])}; use the version that wrote it."
            )
    values = values | {"preset": _RENAMED_PRESETS.get(str(values["preset"]), values["preset"])}
    read = {
        name: values.get(name, _BEFORE_IT_WAS_A_FLAG.get(name, field.default))
        for name, field in fields.items()
    }
    shift, side = read["augment_shift"], read["image_size"]
    if type(shift) is int and shift >= 1 and type(side) is int and side > 0:
        read["augment_shift"] = shift / side  # it was in pixels
    return Config(**read)


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
    """`config` with what the run in `directory` already decided, if there is a run.

    Numbers that were chosen for the run stay. A flag that is younger than the run and not given now
    has the run's value; so has `--precision`.
    """
    path = directory / "config.json"
    if not os.path.exists(path):  # Path.exists() fails if a name is too long
        return config
    then, content = read_config(directory), read_json(path, {"config": dict})
    known = content["config"]
    chosen = content.get("chosen", [*AUTOMATIC, "steps"])  # earlier versions do not say
    given = config.changes()
    younger = {
        name: value
        for name, value in then.to_dict().items()
        if (name not in known or name == "precision") and name not in given
    }
    shift = known.get("augment_shift")
    if type(shift) is int and shift and "augment_shift" not in given:
        younger["augment_shift"] = then.augment_shift  # it was in pixels, now as a fraction
    return dataclasses.replace(
        config.chosen_as(then, chosen), **younger | former_recipe(then, config)
    )


def former_recipe(then: Config, now: Config) -> dict[str, Any]:
    """What a folder's run of a former preset has otherwise, where now nothing else is asked.

    A weight of 0 for the GAN, which is the present default, counts as nothing asked.
    """
    start = Config(dataset=now.dataset, method=now.method)
    same = {name: getattr(now, name) for name in ("method", *_DECIDE)}
    if now.unsupervised_weight == start.unsupervised_weight:  # not asked for: as it was then
        del same["unsupervised_weight"]
    if then.preset not in FORMER_FOLDER_PRESETS or now.preset != FOLDER_PRESET:
        return {}
    if not is_folder(now.dataset) or any(getattr(then, k) != v for k, v in same.items()):
        return {}
    plain = Config(dataset=now.dataset, **same)
    return {
        name: getattr(then, name)
        for name in ("preset", *VGG)
        if name not in FREE and getattr(then, name) != getattr(now, name) == getattr(plain, name)
    }


def command_with_new_labels(directory: Path, dataset: str) -> list[str]:
    """The words of the command that trains as the run in `directory`, on all labels of its folder.

    Numbers that were chosen for the run are chosen again, and a new directory is taken.

    Args:
        directory: of the run.
        dataset: the folder, where it is now.
    """
    chosen = read_json(directory / "config.json", {"config": dict}).get("chosen", [])
    automatic = AUTOMATIC | {"steps": 0}
    changes = {name: automatic[name] for name in chosen if name in automatic}
    changes |= {"dataset": dataset, "labeled": "all", "labels_from": "", "run_dir": ""}
    return dataclasses.replace(read_config(directory), **changes).command()


def longer(then: Config, now: Config) -> bool:
    """Whether `now` is the run `then` with more epochs, and nothing that it did depends on those.

    This holds for the exponential schedule of runs counted in epochs. Other schedules and the ramp
    stretch with the run.
    """
    fixed = now.schedule == "exponential" and not now.unsupervised_ramp and not now.steps
    return changed_flags(then, now) == ["epochs"] and 0 < then.epochs < now.epochs and fixed


def changed_flags(then: Config, now: Config) -> list[str]:
    """Names of the flags that make `now` another run than `then`."""
    free = FREE + (("dataset",) if moved(then, now) else ())
    if then.method == now.method == "supervised":
        free += UNUSED_BY_CONTROL
    return [
        name
        for name, value in now.to_dict().items()
        if name not in free and getattr(then, name) != value
    ]


def moved(then: Config, now: Config) -> bool:
    """Whether the images are in another folder; `label_split.check` compares what is in it."""
    return then.dataset != now.dataset and is_folder(then.dataset) and is_folder(now.dataset)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git commit where there is one."""
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
    found = {"ssgan_tf": __version__, "python": sys.version.split()[0]}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. tensorflow-cpu
            found[package] = importlib.metadata.version(package)
    if commit := git_commit(Path(__file__).resolve().parents[1]):
        found["git_commit"] = commit
    return found


def git_commit(package: Path) -> str | None:
    """The commit of a package, with "-dirty" if a file of it has been changed since.

    Args:
        package: its folder, in the root of its repository.

    Returns:
        None if that is no checkout, or there is no git. A package that is installed below somebody
        else's repository is no checkout of it.
    """
    if not (package.parent / ".git").exists():
        return None

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(package), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--short", "HEAD")
        changed = git("diff", "--quiet", "HEAD", "--", ".").returncode
    except OSError:  # no git on this machine
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("-dirty" if changed else "")
