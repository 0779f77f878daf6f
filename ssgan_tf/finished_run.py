"""A run that training has written, loaded again: configuration, data, models."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssgan_tf import label_split, run_dir
from ssgan_tf.config import FOLDER, Config, UserError
from ssgan_tf.device import prepare_device, quiet_start
from ssgan_tf.flags import Flag

if TYPE_CHECKING:
    from ssgan_tf.datasets import Dataset
    from ssgan_tf.label_split import LabelSplit
    from ssgan_tf.trainer import Trainer


RUN_FLAGS = (
    Flag("run_dir", None, "The run: what training wrote."),
    Flag("checkpoint", "last", "The step whose weights are used, or 'last'."),
    Flag("data_dir", "", "Where the data is now (TFDS' directory, the folder), if it moved."),
)


class FinishedRun(NamedTuple):
    """What `load` gives.

    Attributes:
        config: of the run.
        dataset: its data, loaded again.
        split: which images were labelled, which set aside.
        trainer: with the weights of the checkpoint; `trainer.classifier` is the one to use.
    """

    config: Config
    dataset: "Dataset"
    split: "LabelSplit"
    trainer: "Trainer"


def read_config(directory: Path) -> Config:
    """The configuration of the run in `directory`.

    Raises:
        UserError: if there is no run.
    """
    if not (directory / "config.json").exists():
        raise UserError(f"--run_dir={directory}: holds no run; give what a training run wrote.")
    return run_dir.read_config(directory)


def find_checkpoint(directory: Path, checkpoint: str) -> Path:
    """The checkpoint of a step, or the newest one.

    Raises:
        UserError: if there is none, with the steps that there are.
    """
    found = {
        step: directory / "checkpoints" / f"ckpt-{step}"
        for step in run_dir.finished_steps(directory / "checkpoints")
    }
    if not found:
        raise UserError(f"--run_dir={directory}: has no checkpoint; train at least one epoch.")
    steps = ", ".join(str(step) for step in sorted(found))
    if checkpoint == "last":
        return found[max(found)]
    if not checkpoint.isdecimal() or int(checkpoint) not in found:
        raise UserError(f"--checkpoint={checkpoint}: must be 'last' or one of {steps}.")
    return found[int(checkpoint)]


def load(directory: Path, checkpoint: str = "last", data_dir: str = "") -> FinishedRun:
    """Loads the run in `directory`.

    Args:
        directory: what training wrote.
        checkpoint: a step, or "last".
        data_dir: where TFDS keeps the data, or the folder of images is, now; empty: where it was
            in training.

    Raises:
        UserError: if it is not a run, has no such checkpoint, or its data is not what it was.
    """
    # One device and full precision, whatever it was trained with: checkpoints fit all of them.
    config = dataclasses.replace(
        read_config(directory), precision="float32", strategy="none", jit_compile="false"
    )
    moved_folder = data_dir and config.dataset.startswith(FOLDER)
    if moved_folder:
        config = dataclasses.replace(config, dataset=FOLDER + data_dir.rstrip("/"))
    elif data_dir:
        config = dataclasses.replace(config, data_dir=data_dir)
    path = find_checkpoint(directory, checkpoint)
    with quiet_start():
        import tensorflow  # noqa: F401

        prepare_device(config.deterministic)
    from ssgan_tf import checkpoints, datasets
    from ssgan_tf.trainer import Trainer

    dataset = datasets.load_for(config, prepare=False)
    if moved_folder:  # it may have another name now
        name = label_split.read(str(directory / "labels.json"))["dataset"]
        dataset = dataclasses.replace(dataset, name=name)
    split = label_split.split_labels(config, dataset)
    label_split.check(directory / "labels.json", config, dataset, split)
    trainer = Trainer(config, dataset.num_classes, dataset.channels)
    checkpoints.restore(trainer.checkpoint, path)
    return FinishedRun(config, dataset, split, trainer)
