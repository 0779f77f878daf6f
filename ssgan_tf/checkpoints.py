"""Checkpoints of a run: written whole, read from the newest one that is sound."""

import shutil
from pathlib import Path

import tensorflow as tf

from ssgan_tf import errors
from ssgan_tf.config import UserError
from ssgan_tf.run_dir import finished_steps


class Checkpoints:
    """The `checkpoints/` of a run, `ckpt-STEP` each."""

    def __init__(self, checkpoint: tf.train.Checkpoint, directory: Path, keep: int) -> None:
        """
        Args:
            checkpoint: what is saved and restored.
            directory: `checkpoints/` of the run.
            keep: how many, the newest ones.
        """
        self._checkpoint, self._directory = checkpoint, directory
        state = directory / "checkpoint"  # TensorFlow's list; what is there says the same
        try:
            tf.train.get_checkpoint_state(str(directory))
        except (ValueError, tf.errors.OpError):
            state.replace(state.with_name("checkpoint.damaged"))
        self._manager = tf.train.CheckpointManager(checkpoint, str(directory), max_to_keep=keep)

    def save(self, step: int) -> None:
        """Writes `ckpt-STEP`; until it is there in full it does not count (`finished_steps`)."""
        self._manager.save(checkpoint_number=step)

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
                restore(self._checkpoint, directory / f"ckpt-{step}")
                return problems
            except UserError as error:
                problems.append(str(error))
        if steps:
            raise UserError(
                f"{' '.join(problems)} No checkpoint is left to go on from; put one back, or give "
                "another --run_dir. Nothing was deleted."
            )
        return []


def restore(checkpoint: tf.train.Checkpoint, path: Path) -> None:
    """Takes the state from one checkpoint; every tensor's checksum is looked at first.

    Raises:
        UserError: if it is damaged, or not of such a run.
    """
    try:
        reader = tf.train.load_checkpoint(str(path))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        checkpoint.restore(str(path)).assert_consumed()
    except Exception as error:  # a flipped bit can make the readers object to anything
        if errors.kind_of(error) == "memory":
            raise
        words = errors.cause(error)[:200]
        raise UserError(f"{path}: is damaged or of another run ({words}).") from error
