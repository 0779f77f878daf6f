"""A run that training has written, loaded again: configuration, data, models."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder
from ssgan_tf.data import earlier_labels, label_split, labels_json
from ssgan_tf.data.folder.names import listed, shown, why_no_folder
from ssgan_tf.runs import config_file, run_dir
from ssgan_tf.system import keras_settings
from ssgan_tf.system.device import prepare_device, quiet_start
from ssgan_tf.system.text import counted

if TYPE_CHECKING:
    from ssgan_tf.data.dataset import Dataset
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.training.state import State

_MOVED = (
    "Labeled or test images of it have gone or moved since, or have no label of a class of the run."
)


class FinishedModels(NamedTuple):
    """What `load_models` gives.

    Attributes:
        config: of the run.
        class_names: of the K classes.
        state: with the weights of the checkpoint; `state.classifier` is the one to use.
    """

    config: Config
    class_names: list[str]
    state: "State"


class FinishedRun(NamedTuple):
    """What `load` gives.

    Attributes:
        config: of the run.
        dataset: its data, loaded again.
        split: which images were labeled, which set aside.
        state: with the weights of the checkpoint; `state.classifier` is the one to use.
    """

    config: Config
    dataset: "Dataset"
    split: "LabelSplit"
    state: "State"


def read_config(directory: Path) -> Config:
    """The configuration of the run in `directory`.

    Raises:
        UserError: if there is no run.
    """
    if not os.path.exists(directory / "config.json"):  # Path.exists() fails if a name is too long
        raise UserError(f"--run_dir={directory}: {_why_no_run(directory)}.")
    return config_file.read_config(directory)


def _why_no_run(directory: Path) -> str:
    """What is wrong with a directory without a run, and what would be right."""
    if not os.path.exists(directory):
        return why_no_folder(directory)
    if runs := sorted(path.parent.name for path in directory.glob("*/config.json")):
        return f"is not a run itself; give one of the runs in it: {listed(runs, 3)}"
    return "holds no run; give what a training run wrote"


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


def load_models(directory: Path, checkpoint: str = "last", data_dir: str = "") -> FinishedModels:
    """Loads the networks of the run in `directory`, which need none of its data.

    Args:
        directory: what training wrote.
        checkpoint: a step, or "last".
        data_dir: see `load`; the data is loaded for runs of earlier versions alone, which do not
            say what its classes are, and only if they lack their `saved_model/`, too.

    Raises:
        UserError: if it is not a run, or has no such checkpoint.
    """
    config = _config_here(directory, data_dir)
    path = find_checkpoint(directory, checkpoint)
    labels = directory / "labels.json"
    facts = labels_json.model_facts(labels) if labels.exists() else None
    facts = facts or _facts_of_models(directory, config, path)
    if facts is None:
        run = load(directory, checkpoint, data_dir)
        return FinishedModels(run.config, run.dataset.class_names, run.state)
    class_names, channels = facts
    return FinishedModels(config, class_names, _state(config, len(class_names), channels, path))


def load(directory: Path, checkpoint: str = "last", data_dir: str = "") -> FinishedRun:
    """Loads the run in `directory` with its data.

    Where labels of a folder were given or corrected since, the parts and the class names are those
    of the run; of which class an image is, the folder says now.

    Args:
        directory: what training wrote.
        checkpoint: a step, or "last".
        data_dir: where TFDS keeps the data, or the folder of images is, now; empty: where it was
            in training.

    Raises:
        UserError: if it is not a run, has no such checkpoint, or its data is not what it was.
    """
    config = _config_here(directory, data_dir)
    path = find_checkpoint(directory, checkpoint)
    dataset, split = _data_of_run(directory, config)
    state = _state(config, dataset.num_classes, dataset.channels, path)
    return FinishedRun(config, dataset, split, state)


def load_data(directory: Path, config: Config) -> tuple["Dataset", "LabelSplit"]:
    """Loads the data of the run in `directory`, from where `config` says that it is.

    Raises:
        UserError: if it is not what it was in training.
    """
    dataset = _dataset_now(config)
    split = _split_now(directory, config, dataset)
    label_split.check(directory / "labels.json", config, dataset, split)
    return dataset, split


def has_data_of(directory: Path, config: Config) -> bool:
    """Whether the images and labels that `config` names are still those of the run.

    Raises:
        UserError: if they cannot be loaded, or the run's labels.json is damaged.
    """
    dataset = _dataset_now(config)
    split = _split_now(directory, config, dataset)
    return label_split.is_same(directory / "labels.json", config, dataset, split)


def check_folder(config: Config) -> None:
    """Raises `UserError` where the folder of images of a run has gone."""
    path = expand_user(config.dataset.removeprefix(FOLDER))
    if is_folder(config.dataset) and not os.path.isdir(path):
        raise UserError(
            f"the run's images: there is no such folder as {path} here; if it has moved, name it "
            "with --data_dir."
        )


def _data_of_run(directory: Path, config: Config) -> tuple["Dataset", "LabelSplit"]:
    """The data of the run, by the ids in its labels.json where new labels have changed the parts.

    Raises:
        UserError: if images are not there any more, or others are there, too.
    """
    labels = directory / "labels.json"
    try:
        dataset = _dataset_now(config)
    except UserError as error:  # which names a flag that the commands on finished runs do not have
        folder = f"the run's folder {config.dataset.removeprefix(FOLDER)}: "
        raise UserError(str(error).replace(f"--dataset={config.dataset}: ", folder, 1)) from error
    try:
        split = _split_now(directory, config, dataset)
        label_split.check(labels, config, dataset, split, _MOVED)
        changed = label_split.has_other_test_labels(labels, dataset)
    except UserError:
        found = is_folder(config.dataset) and earlier_labels.as_trained(labels, config, dataset)
        if not found:
            _check_images(directory, config, dataset)
            raise
        (dataset, split), changed = found, True
    if changed:
        print(
            "note: images or labels of the folder have changed since training; test images and "
            "classes are taken from the run, labels from the folder as it is now"
        )
    return dataset, split


def _check_images(directory: Path, config: Config, dataset: "Dataset") -> None:
    """Raises `UserError` where a folder lacks images of its run, with the first one's name."""
    if not is_folder(config.dataset):
        return
    labels, root = directory / "labels.json", expand_user(config.dataset.removeprefix(FOLDER))
    gone = labels_json.gone(labels, root)
    lost = gone or earlier_labels.lost(labels, dataset)
    if not lost:
        return
    are, them = ("is", "it") if len(lost) == 1 else ("are", "them")
    images, such = f"{counted(len(lost), 'image')} of the run", f"such as {shown(lost[0])}"
    if gone and config.dataset != read_config(directory).dataset:
        raise UserError(
            f"--data_dir={root}: {images} {are} not in it, {such}; give the folder of its images."
        )
    if gone:
        raise UserError(
            f"--run_dir={directory}: {images} {are} not in {root} any more, {such}; put {them} "
            "back."
        )
    raise UserError(
        f"--run_dir={directory}: {images} cannot be used any more, {such}: damaged, without a "
        f"label of a class of the run, or a copy of an image of another class; restore {them}."
    )


def _dataset_now(config: Config) -> "Dataset":
    check_folder(config)
    _start(config)
    from ssgan_tf.data.load import load_dataset

    return load_dataset(config, prepare=False)


def _split_now(directory: Path, config: Config, dataset: "Dataset") -> "LabelSplit":
    if config.labels_from:  # that file may be gone; the run has the same labels in its own
        config = dataclasses.replace(config, labels_from=str(directory / "labels.json"))
    return label_split.split_labels(config, dataset)


def _facts_of_models(
    directory: Path, config: Config, checkpoint: Path
) -> tuple[list[str], int] | None:
    """Class names by the exported model, channels by the shape of conv1's weights.

    Returns:
        None where one of them cannot be found so.
    """
    names = directory / "saved_model" / "assets" / "class_names.txt"
    try:
        class_names = names.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, ValueError):
        return None
    _start(config)
    from ssgan_tf.runs import checkpoints

    shapes = checkpoints.shapes(checkpoint)
    kernel = shapes.get("discriminator/conv1/_kernel", [])  # (side, side, channels, filters)
    if len(kernel) != 4 or shapes.get("discriminator/classifier/bias") != [len(class_names)]:
        return None
    return class_names, kernel[2]


def _config_here(directory: Path, data_dir: str) -> Config:
    """One device and full precision, whatever it was trained with: checkpoints fit all of them."""
    config = dataclasses.replace(
        read_config(directory), precision="float32", strategy="none", jit_compile="false"
    )
    if not data_dir:
        return config
    if is_folder(config.dataset):
        folder = data_dir.removeprefix(FOLDER)
        path = expand_user(folder)
        if not os.path.isdir(path):
            raise UserError(f"--data_dir={data_dir}: {why_no_folder(path)}.")
        return dataclasses.replace(config, dataset=FOLDER + folder)
    return dataclasses.replace(config, data_dir=data_dir)


def _start(config: Config) -> None:
    with quiet_start(), keras_settings.imported_light():
        import tensorflow  # noqa: F401

        prepare_device(config.deterministic)


def _state(config: Config, num_classes: int, channels: int, checkpoint: Path) -> "State":
    _start(config)
    from ssgan_tf.runs import checkpoints
    from ssgan_tf.training.state import State

    state = State(config, num_classes, channels)
    checkpoints.restore(state.checkpoint, checkpoint, state.checkpoint_for)
    return state
