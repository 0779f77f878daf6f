"""What is around the steps: the train loop, data, evaluation, inference, the start of a command."""

import contextlib
import dataclasses
import io
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf

from experiments.speed.step import random_batch
from experiments.speed.timing import (
    ROUNDS,
    Result,
    all_of,
    alternate,
    quartiles,
    ratios,
    repeat,
)
from experiments.tables import ROOT
from ssgan_tf.config import Config
from ssgan_tf.data import label_split, pipeline
from ssgan_tf.data.dataset import Dataset
from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.evaluation import Evaluator
from ssgan_tf.runs.progress import Progress
from ssgan_tf.runs.story import train_and_evaluate
from ssgan_tf.training.step import Trainer

INFERENCE_BATCHES = (1, 32, 256)


class Enough(Exception):  # noqa: N818 - nothing has gone wrong
    """The train loop has been watched for long enough."""


class Terminal(io.StringIO):
    """Where the progress bar is drawn as on a screen."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def measure_loop(config: Config, seconds: float) -> Result:
    """Epochs of the real train loop, in turn with bare steps; the first one, with tracing, apart.

    Returns:
        `overhead_fraction`: time of a step in the loop, without the evaluator's, over the bare
        step's, minus 1; the median over `epochs`.
    """
    trainer, batch = Trainer(config, num_classes=10), random_batch(config)
    original_evaluate, original_end = Evaluator.__call__, Progress.end_epoch
    bare: list[float] = []  # seconds of a step in the blocks between epochs
    loop: list[float] = []  # seconds of a step in the epochs between them
    spent = {"evaluation": 0.0, "began": math.nan, "step": 0}
    start = time.perf_counter()

    def bare_block() -> float:
        before = time.perf_counter()
        steps = len(repeat(lambda: trainer.train_step(batch), 3.0, 5))
        trainer.step.numpy()
        return (time.perf_counter() - before) / steps

    def evaluate(self: Evaluator, *arguments: Any) -> Any:
        before = time.perf_counter()
        result = original_evaluate(self, *arguments)
        spent["evaluation"] += time.perf_counter() - before
        return result

    def end_epoch(self: Progress, epoch: int, step: int, *arguments: Any) -> None:
        original_end(self, epoch, step, *arguments)
        taken = time.perf_counter() - spent["began"] - spent["evaluation"]
        if bare:
            loop.append(taken / (step - spent["step"]))
        bare.append(bare_block())
        if len(loop) >= 2 and time.perf_counter() - start > seconds:
            raise Enough
        spent.update(evaluation=0.0, step=step, began=time.perf_counter())

    repeat(lambda: trainer.train_step(batch), 0.0, 5)  # tracing and warm-up
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(Evaluator, "__call__", evaluate),
        mock.patch.object(Progress, "end_epoch", end_epoch),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(Terminal()),
        contextlib.suppress(Enough),
    ):
        train_and_evaluate(dataclasses.replace(config, run_dir=f"{directory}/run"))
    epochs = [
        in_loop / ((before + after) / 2) - 1
        for in_loop, before, after in zip(loop, bare, bare[1:], strict=False)
    ]
    return {
        "overhead_fraction": round(statistics.median(epochs), 4),
        "epochs": [round(epoch, 4) for epoch in epochs],
        "step_ms": round(1000 * statistics.median(loop), 2),
        "bare_step_ms": round(1000 * statistics.median(bare), 2),
    }


def measure_pipeline(config: Config, dataset: Dataset, seconds: float) -> float:
    """Images per second of the batches alone, an epoch at a time."""
    split = label_split.split_labels(config, dataset)
    steps = len(split.train) // config.batch_size
    batches = iter(pipeline.training_batches(config, dataset, split, 0, sys.maxsize))

    def epoch() -> None:
        for _ in range(steps):
            next(batches)

    epoch()
    times = repeat(epoch, seconds, ROUNDS)
    return round(steps * config.batch_size / statistics.median(times), 1)


def measure_evaluation(config: Config, dataset: Dataset, seconds: float) -> float:
    """Images per second of `Evaluator` on the test images, as training calls it."""
    classifier = Trainer(config, dataset.num_classes).state.classifier
    evaluator = Evaluator(classifier, config.bn_inference, config.batch_size)
    evaluator(dataset.test)
    times = repeat(lambda: evaluator(dataset.test), seconds, ROUNDS)
    return round(len(dataset.test) / statistics.median(times), 1)


def measure_inference(config: Config, dataset: Dataset, seconds: float) -> Result:
    """The exported classifier, loaded; at the largest batch in turn with the bare forward pass.

    Both are given an array of uint8 images, and what they say is read.
    """
    trainer = Trainer(config, dataset.num_classes)
    found: Result = {"inference": {}}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "saved_model"
        saved_model.save(path, trainer.state.classifier, trainer.generator, dataset.class_names)
        loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    forward = tf.function(
        lambda images: trainer.state.classifier(scale(images), statistics="moving").class_logits
    )
    for size in INFERENCE_BATCHES:
        images = dataset.test.images[:size]

        def infer(images: np.ndarray = images) -> None:
            signature(images=tf.constant(images))["class_id"].numpy()

        def bare(images: np.ndarray = images) -> None:
            forward(tf.constant(images)).numpy()

        blocks = alternate({"infer": infer, "bare": bare}, seconds)
        fractions = ratios(blocks["bare"], blocks["infer"])
        times = all_of(blocks["infer"])
        p50, p90, p99 = (round(1000 * float(p), 3) for p in np.percentile(times, (50, 90, 99)))
        found["inference"][str(size)] = {
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "images_per_second": round(size * len(times) / sum(times), 1),
        }
        # Those of the last and largest batch stay.
        found["inference_fraction_of_forward"] = round(statistics.median(fractions), 3)
        found["inference_fraction_quartiles"] = quartiles(fractions, 3)
    return found


# The command, with one line more when its first step is done. The end of a step is where the loop
# moves the progress bar; `sync_devices` because a GPU is then still at work.
COMMAND = """
import runpy
from ssgan_tf.runs.progress import Progress
advance = Progress.advance
def first_advance(self, steps=1):
    import tensorflow as tf
    tf.test.experimental.sync_devices()
    Progress.advance = advance
    print("FIRST STEP", flush=True)
    advance(self, steps)
Progress.advance = first_advance
runpy.run_module("ssgan_tf.train", run_name="__main__")
from experiments.speed.timing import peak_memory_mb
print("PEAK", peak_memory_mb())
"""


def run_command(config: Config, to_the_end: bool) -> tuple[float, float]:
    """`python -m ssgan_tf.train` in a new process, for 20 steps or until the first is done.

    Returns:
        Seconds to the end of the first step, and peak memory in MB (NaN if not `to_the_end`).
    """
    changed = {
        field.name: value
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) != field.default
    }
    peak, first, lines = math.nan, None, []
    with tempfile.TemporaryDirectory() as directory:
        flags = [f"--{name}={value}" for name, value in changed.items()]
        flags += ["--steps=20", f"--run_dir={directory}/run"]
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", COMMAND, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                if line == "FIRST STEP\n":
                    first = time.perf_counter() - start
                    if not to_the_end:
                        process.kill()
                elif line.startswith("PEAK "):
                    peak = float(line.split()[1])
    if first is None or (to_the_end and math.isnan(peak)):
        sys.exit("the command failed:\n" + "".join(lines[-20:]))
    return first, peak
