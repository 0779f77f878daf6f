"""What a run needs before its first step: device, data, networks, the newest checkpoint."""

import dataclasses
import functools
import json
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssgan_tf.config import Config, UserError, is_folder
from ssgan_tf.data import label_split
from ssgan_tf.presets import MOST_ROUNDS
from ssgan_tf.runs import announcement, config_file, run_dir
from ssgan_tf.system import keras_settings
from ssgan_tf.system.device import (
    describe_device,
    make_strategy,
    prepare_device,
    quiet_start,
    resolve_precision,
    worker,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from ssgan_tf.data.dataset import Dataset, Split
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.inference.evaluation import Evaluation, Evaluator
    from ssgan_tf.runs.checkpoints import Checkpoints
    from ssgan_tf.runs.progress import Progress
    from ssgan_tf.runs.summaries import Summaries
    from ssgan_tf.training.loop import Loop
    from ssgan_tf.training.state import State
    from ssgan_tf.training.step import Metrics, Trainer

SHORT_ROUND = 10  # steps; a small folder has several epochs between evaluations, not to crawl


@dataclasses.dataclass
class Run:
    """A run at work.

    Attributes:
        config: with numbers in the place of all that is chosen automatically.
        directory: where this process writes.
        device: in words.
        dataset: all images.
        split: which of them are labeled, which are for validation.
        trainer: networks, optimizers, the train step.
        loop: takes the steps.
        evaluator: of the classifier.
        parts: what is evaluated, by name.
        checkpoints: writes them.
        writer: of what TensorBoard shows.
        progress: what the terminal shows.
        steps_per_epoch: a pass over the training images.
        round_steps: from one line on the screen to the next; an epoch, or several short ones.
        total_steps: of the whole run.
        start: time of the clock when the run began, less what it took before it was interrupted.
        first_step: the step that it goes on from.
        done: steps taken.
        sums: of metrics in this round, by tag.
        rows: of metrics.csv.
        evaluations: the last ones, by the names of `parts`.
    """

    config: Config
    directory: Path
    device: str
    dataset: "Dataset"
    split: "LabelSplit"
    trainer: "Trainer"
    loop: "Loop"
    evaluator: "Evaluator"
    parts: "dict[str, Split]"
    checkpoints: "Checkpoints"
    writer: "Summaries"
    progress: "Progress"
    steps_per_epoch: int
    round_steps: int
    total_steps: int
    start: float
    first_step: int
    done: int
    sums: "Metrics"
    rows: list[dict[str, Any]]
    evaluations: "dict[str, Evaluation]" = dataclasses.field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long the run took so far, interruptions left out."""
        return time.monotonic() - self.start


def prepare(config: Config, directory: Path, workplace: Path, start: float) -> Run:
    """Device, data and networks of a run, in the state of its newest checkpoint.

    Args:
        config: of the run.
        directory: of the run, from whose newest checkpoint training continues.
        workplace: where this process writes: the run directory on the chief, a temporary one on
            the other machines.
        start: time of the clock when the program began.
    """
    device, strategy = _start_device(config)
    import tensorflow as tf  # from here on it is there

    from ssgan_tf.data import pipeline
    from ssgan_tf.inference.evaluation import Evaluator
    from ssgan_tf.runs import summaries
    from ssgan_tf.runs.progress import Progress
    from ssgan_tf.training.loop import Loop
    from ssgan_tf.training.step import Trainer

    dataset, split, config, chosen = _load(config, strategy)
    steps_per_epoch, total_steps = config.length(len(split.train))
    sizes = (dataset.num_classes, dataset.channels, steps_per_epoch, total_steps)
    trainer = Trainer(config, *sizes, strategy, label_split.shares(dataset, split))
    state = trainer.state
    label_split.save(workplace / "labels.json", config, dataset, split)
    config_file.write_config(workplace, config, chosen)
    data = _fingerprint(dataset, split, total_steps)
    saver = _restore(state, config, directory, workplace, data)
    first_step = int(state.step)
    if first_step == 0:  # later it is in the checkpoint
        state.whiten(dataset.train.images, split.labeled)
    history = json.loads(bytes(state.history.numpy()))

    batches = pipeline.training_batches(config, dataset, split, first_step, total_steps, worker())
    loop = Loop(trainer, iter(batches), workplace)
    sums = {tag: tf.constant(history.get("sums", {}).get(tag, 0.0)) for tag in loop.zeros()}
    return Run(
        config=config,
        directory=workplace,
        device=device,
        dataset=dataset,
        split=split,
        trainer=trainer,
        loop=loop,
        evaluator=Evaluator(state.classifier, config.bn_inference, config.batch_size),
        parts=_parts(dataset, split),
        checkpoints=saver,
        writer=summaries.Summaries(workplace / "tensorboard", config, first_step),
        progress=Progress(first_step, total_steps, steps_per_epoch, config.batch_size),
        steps_per_epoch=steps_per_epoch,
        round_steps=_round_steps(config, steps_per_epoch),
        total_steps=total_steps,
        start=start - float(state.wall_seconds),
        first_step=first_step,
        done=first_step,
        sums=sums,
        rows=history.get("rows", []),
    )


def _start_device(config: Config) -> "tuple[str, tf.distribute.Strategy]":
    """Imports TensorFlow and says what it computes on."""
    with quiet_start(), keras_settings.imported_light():
        import tensorflow as tf  # noqa: F401

        prepare_device(config.deterministic)
        strategy = make_strategy(config)
        device = describe_device(strategy.num_replicas_in_sync)
    print(f"Device:   {device}", flush=True)
    return device, strategy


def _load(
    config: Config, strategy: "tf.distribute.Strategy"
) -> "tuple[Dataset, LabelSplit, Config, list[str]]":
    """Images, which of them are labeled, the configuration with all numbers chosen, their names.

    Raises:
        UserError: if the data is not available, or does not suffice for one batch.
    """
    from ssgan_tf.data.load import load_dataset

    dataset = load_dataset(config)
    split = label_split.split_labels(config, dataset)
    replicas = strategy.num_replicas_in_sync
    asked, config = config, config.fit_to(len(split.train), replicas, len(split.labeled))
    precision = resolve_precision(config.precision)
    print(announcement.header(asked, config, dataset, split, precision), flush=True)
    if config.batch_size > len(split.train):
        fitting = 1 << max(0, (len(split.train) // 2).bit_length() - 1)
        raise UserError(
            f"--batch_size={config.batch_size}: there are {len(split.train):,} images to train on; "
            f"give at most that, such as --batch_size={fitting}."
        )
    return dataset, split, config, asked.automatic()


def _restore(
    state: "State", config: Config, directory: Path, workplace: Path, data: int
) -> "Checkpoints":
    """Takes the state from the newest checkpoint that is sound, if there is one."""
    from ssgan_tf.runs.checkpoints import Checkpoints

    saver = Checkpoints(
        state.checkpoint, workplace / "checkpoints", config.keep_checkpoints, state.checkpoint_for
    )
    for problem in saver.restore_newest(directory / "checkpoints"):
        print(f"note: {problem} Going on from the one before.")
    with run_dir.errors_explained(workplace):
        state.check_same_start(data)
    if step := int(state.step):
        print(f"Going on from step {step} of {directory}")
    return saver


def _parts(dataset: "Dataset", split: "LabelSplit") -> "dict[str, Split]":
    """What is evaluated."""
    parts = {"test": dataset.test, "train_labeled": dataset.train.take(split.labeled)}
    if len(split.validation):
        parts["validation"] = dataset.train.take(split.validation)
    return parts


def _round_steps(config: Config, steps_per_epoch: int) -> int:
    """An epoch; where a folder has epochs of a few steps, several of them."""
    if not is_folder(config.dataset):
        return steps_per_epoch
    least = max(SHORT_ROUND, -(-config.steps // MOST_ROUNDS))
    return steps_per_epoch * -(-least // steps_per_epoch)


def _fingerprint(dataset: "Dataset", split: "LabelSplit", total_steps: int) -> int:
    """A number that differs where images, labels or steps do."""
    parts = (
        "\n".join(dataset.train.ids.tolist()).encode(),
        dataset.train.labels.tobytes(),
        split.labeled.tobytes(),
        str(total_steps).encode(),
    )
    return functools.reduce(lambda value, part: zlib.crc32(part, value), parts, 0)
