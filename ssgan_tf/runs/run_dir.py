"""The directory of a run: where it is, whether a run may write there, what errors mean there."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder, written
from ssgan_tf.data import labels_json
from ssgan_tf.runs.config_file import changed_flags, longer, moved, read_config
from ssgan_tf.system import errors
from ssgan_tf.system.device import worker
from ssgan_tf.system.files import check_place, read_json

_LOCK = ".lock"


def directory_of(config: Config) -> Path:
    """Where the run of `config` is written.

    That is its `run_dir`, or a name such as `runs/svhn_cropped-1000-article-supervised-0`.

    Raises:
        UserError: if the name depends on `labels_from`, and that is not a usable file.
    """
    if config.run_dir:
        return expand_user(config.run_dir)
    labeled = config.labeled
    if config.labels_from:  # what is in it counts
        labeled = len(labels_json.read_given(config.labels_from)["ids"])
    dataset = config.dataset
    if is_folder(dataset):
        dataset = os.path.basename(os.path.abspath(expand_user(dataset.removeprefix(FOLDER))))
    parts = (dataset, labeled, config.preset, config.method, config.seed)
    slug = "-".join(re.sub(r"[^\w.]+", "_", str(part)).strip("._") for part in parts)
    return Path("runs") / slug


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
        raise UserError(
            f"{flag}: cannot be a directory ({error.strerror}); give another."
        ) from error
    if is_file:
        raise UserError(f"{flag}: is a file; give a directory.")
    if not (directory / "config.json").exists():
        # Neither a file left half-written by a crash nor a lock makes a run.
        if directory.exists() and any(
            file.suffix != ".partial" and file.name != _LOCK for file in directory.iterdir()
        ):
            raise UserError(f"{flag}: is not empty and holds no run; give another directory.")
        check_place(flag, directory)
        return
    recorded = read_config(directory)
    _check_moved(flag, directory, recorded, config)
    _check_version(flag, directory, recorded)
    changed = changed_flags(recorded, config)
    if changed and not longer(recorded, config):
        then, now = (
            {name: written(getattr(of, name)) for name in changed} for of in (recorded, config)
        )
        had, asked = (
            " ".join(f"--{name}={value}" for name, value in of.items()) for of in (then, now)
        )
        suffix = "-".join(f"{name}_{value}" for name, value in now.items() if "/" not in value)
        suffix = suffix if suffix and len(changed) <= 3 else "other"
        hint = ""
        if changed == ["epochs"] and config.epochs > recorded.epochs:
            hint = " Only the exponential schedule, without a ramp, can be made longer."
        raise UserError(
            f"{flag}: holds a run with {had}, not {asked}; give the new one its own directory, "
            f"such as --run_dir={directory}-{suffix}.{hint}"
        )
    if changed or not (directory / "results.json").exists():
        check_place(flag, directory)


def _check_moved(flag: str, directory: Path, then: Config, now: Config) -> None:
    """Names a wrong folder at once; a finished run would not look into it at all.

    Raises:
        UserError: if a labeled image of the run is not in the folder.
    """
    if not moved(then, now) or not (directory / "labels.json").exists():
        return
    root = expand_user(now.dataset.removeprefix(FOLDER))
    if gone := labels_json.gone(directory / "labels.json", root):
        raise UserError(
            f"{flag}: holds a run on {then.dataset}, and {gone[0]} of it is not in {root}; "
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
    except OSError as error:  # where permissions do not show it, as under /proc
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
