"""Checkpoints of a run: written whole, read from the newest one that is sound."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf

from ssgan_tf.config import UserError
from ssgan_tf.runs.run_dir import finished_steps
from ssgan_tf.system import errors
from ssgan_tf.system.files import written_aside
from ssgan_tf.system.paths import literal

# What to restore a file into, by the names of the variables in it.
Form = Callable[[Iterable[str]], tf.train.Checkpoint]


class Checkpoints:
    """The `checkpoints/` of a run, `ckpt-STEP` each.

    It does what `tf.train.CheckpointManager` does, which takes the path for a pattern: in a
    directory `a[1]` that deletes no old checkpoint, in `a*` it deletes those of the runs beside it.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        directory: Path,
        keep: int,
        form: Form | None = None,
    ) -> None:
        """
        Args:
            checkpoint: what is saved and restored.
            directory: `checkpoints/` of the run.
            keep: how many, the newest ones.
            form: see `restore`.
        """
        self._checkpoint, self._directory, self._keep = checkpoint, directory, keep
        self._form = form

    def save(self, step: int) -> None:
        """Writes `ckpt-STEP`; until it is there in full it does not count (`finished_steps`)."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._checkpoint.save_counter.assign_add(1)  # as every other way of saving does
        with literal(self._directory) as directory:
            self._checkpoint.write(str(directory / f"ckpt-{step}"))
        earlier = sorted(number for number in finished_steps(self._directory) if number < step)
        dropped = earlier[: max(0, len(earlier) + 1 - self._keep)]
        self._write_list([*earlier[len(dropped) :], step])  # before anything is deleted
        for number in dropped:
            for file in self._directory.glob(f"ckpt-{number}.*"):
                file.unlink(missing_ok=True)

    def _write_list(self, steps: list[int]) -> None:
        """The file `checkpoint`, where TensorFlow looks for the newest one."""
        lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "ckpt-{step}"' for step in steps]
        with written_aside(self._directory / "checkpoint") as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def restore_newest(self, directory: Path | None = None) -> list[str]:
        """Takes the state from the newest sound checkpoint, if there is any checkpoint.

        What an interrupted write left behind is removed.

        Args:
            directory: if it is not where this process saves.

        Returns:
            A sentence for each newer one that could not be used.

        Raises:
            UserError: if there are checkpoints and none is sound; none is deleted.
        """
        for unfinished in self._directory.glob("ckpt-*_temp"):
            shutil.rmtree(unfinished)
        problems: list[str] = []
        directory = directory or self._directory
        steps = sorted(finished_steps(directory), reverse=True)
        for step in steps:
            try:
                restore(self._checkpoint, directory / f"ckpt-{step}", self._form)
                return problems
            except UserError as error:
                problems.append(str(error))
        if steps:
            raise UserError(
                f"{' '.join(problems)} No checkpoint is left to go on from; put one back, or give "
                "another --run_dir. Nothing was deleted."
            )
        return []


def shapes(path: Path) -> dict[str, list[int]]:
    """Shapes of the variables in a checkpoint by their names there.

    Raises:
        UserError: if it is damaged.
    """
    with literal(path.parent) as directory:
        try:
            found = tf.train.load_checkpoint(str(directory / path.name))
            suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
            shapes = found.get_variable_to_shape_map()
            return {name.removesuffix(suffix): shape for name, shape in shapes.items()}
        except Exception as error:  # a flipped bit can make the readers object to anything
            words = errors.cause(error)[:200]
            raise UserError(f"{path}: is damaged or of another run ({words}).") from error


def restore(checkpoint: tf.train.Checkpoint, path: Path, form: Form | None = None) -> None:
    """Takes the state from one checkpoint; every tensor's checksum is checked first.

    Args:
        checkpoint: what the file is restored into, all of it.
        path: of the file, without the endings.
        form: where it depends on the file: gives what to restore into instead of `checkpoint`.

    Raises:
        UserError: if it is damaged, or not of such a run.
    """
    with literal(path.parent) as directory:
        prefix = str(directory / path.name)
        try:
            reader = tf.train.load_checkpoint(prefix)
            names = reader.get_variable_to_shape_map()
            for name in names:
                reader.get_tensor(name)
            into = form(names) if form else checkpoint
            into.restore(prefix).assert_consumed()
        except Exception as error:  # a flipped bit can make the readers object to anything
            if errors.kind_of(error) == "memory":
                raise
            words = errors.cause(error)[:200]
            raise UserError(f"{path}: is damaged or of another run ({words}).") from error
