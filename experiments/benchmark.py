"""How fast everything is, and what it takes: the steps, the loop around them, inference, memory.

What it shows: the time of a train step and how much of the machine it uses, in float32 and
bfloat16; what the train loop adds to it; the data pipeline, evaluation and the SavedModel alone;
the time from the command to the first step; peak memory; and how time and memory grow with batch
size, width and number of images. A limit is measured, not looked up: large matrix products in the
same dtype and process. Whatever is compared alternates in time, since machines have slow minutes.

    python -m experiments.benchmark
    python -m experiments.benchmark --quick --output=FILE.json    # default widths, no growth

Cost: 20 minutes, `--quick` 4, on two cores; nothing else may run meanwhile. Expected on a CPU: a
fraction of the limit of about 0.7 in float32 (bfloat16 is for processors that have instructions for
it; elsewhere a step takes many times as long, and nothing else is measured of it); a loop at most
3% slower than the bare step; a SavedModel at batch 256 at least at 0.85 of the bare forward pass;
15 s from the command to the first step.

How to read it:

* GFLOP per step is 2 B (7 D + 3 G), D and G being the multiply-adds of a forward pass of an image,
  padding counted. Discriminator: real and fake images forward, both gradients of both, and once
  more back through the fakes for the generator. Generator: forward and both gradients.
* `P.step_ms` and what belongs to it are of `--drop_rate=0`; `P.with_dropout` has the preset's rate.
* Loop overhead: epochs of the real `train_and_evaluate` - data, metrics, progress bar, TensorBoard,
  one evaluation and one checkpoint each - without the time inside `Evaluator`, beside bare steps
  right before and right after each epoch.
* Time to the first step: from the start of a new process of `python -m ssgan_tf.train` to the end
  of its first step, on house_numbers, which TFDS has cached, files being in the disk cache.
* Peak memory: of the same process after 20 steps, evaluation, checkpoint and export.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import io
import itertools
import json
import math
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from experiments.common import HERE, RESULTS, replace_between_markers
from ssgan_tf.config import Config  # the package first: it sets what TensorFlow reads at its import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from ssgan_tf.training.step import Trainer

from ssgan_tf.data import label_split, pipeline
from ssgan_tf.data.dataset import Batch, Dataset, Split
from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.load import load_dataset
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.evaluation import Evaluator
from ssgan_tf.runs import config_file
from ssgan_tf.runs.progress import Progress
from ssgan_tf.system.device import describe_device
from ssgan_tf.train import train_and_evaluate

PATH = RESULTS / "benchmark.json"
PRECISIONS = ("float32", "bfloat16")
WIDE = 128  # m_g, the default of the article's function; what trained was 32
BATCH_SIZES = (32, 64, 128, 256, 512)
WIDTHS = ((16, 32), (32, 64), (64, 128), (128, 64))  # m_g, m_d
NUMBERS_OF_IMAGES = (10_000, 20_000, 50_000)
INFERENCE_BATCHES = (1, 32, 256)
SECONDS = {True: 8.0, False: 30.0}  # for a step, `--quick` or not; the rest takes its part of it
ROUNDS = 3  # at least, whatever the time
SLOW_STEP_MS = 1000.0  # beyond that a precision is emulated, and the step alone is measured
START = time.monotonic()

Result = dict[str, Any]
Blocks = list[list[float]]  # seconds of each call, by round


def say(text: str) -> None:
    """A line of progress, with the time since the start."""
    print(f"[{time.monotonic() - START:5.0f} s] {text}", flush=True)


# Timing


def repeat(function: Callable[[], object], seconds: float, at_least: int = 1) -> list[float]:
    """Seconds of each call, of as many calls as fit into `seconds`."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def alternate(jobs: dict[str, Callable[[], object]], seconds: float) -> dict[str, Blocks]:
    """Blocks of half a second of each job in turn, until `seconds` are used."""
    for job in jobs.values():
        repeat(job, 0.0, 2)  # tracing and warm-up
    blocks: dict[str, Blocks] = {name: [] for name in jobs}

    def one_round() -> None:
        for name, job in jobs.items():
            blocks[name].append(repeat(job, 0.5))

    repeat(one_round, seconds, ROUNDS)
    return blocks


def all_of(blocks: Blocks) -> list[float]:
    """The seconds of all rounds."""
    return list(itertools.chain.from_iterable(blocks))


def ratios(numerator: Blocks, denominator: Blocks) -> list[float]:
    """Median time of the one over median time of the other, round by round."""
    return [
        statistics.median(a) / statistics.median(b)
        for a, b in zip(numerator, denominator, strict=True)
    ]


def quartiles(values: list[float], digits: int) -> list[float]:
    """The first and the third."""
    return [round(float(q), digits) for q in np.percentile(values, (25, 75))]


def peak_memory_mb() -> float:
    """Of this process so far.

    Not `ru_maxrss` where there is another way: on Linux that of a new process starts with what the
    one that started it had.
    """
    status = Path("/proc/self/status")
    if status.exists() and "VmHWM:" in (text := status.read_text()):
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Its result there, where memory is its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        return executor.submit(function, *arguments).result()


# What a step has to compute, and how fast it is


def multiply_adds(model: keras.Model, input_shape: tuple[int | None, ...]) -> int:
    """Of the forward pass of one image through convolutions and products, padding counted.

    A convolution takes its whole kernel to each pixel of its output, a transpose convolution to
    each pixel of its input.

    Args:
        model: a chain of layers, which has them in the order of the computation.
        input_shape: with None for the batch: (None, S, S, channels) or (None, latent_dim).
    """
    total, shape = 0, input_shape
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
            shape = (None, layer.units)
        elif isinstance(layer, keras.layers.Conv2D):
            shape = layer.compute_output_shape(shape)
            total += math.prod(layer.kernel.shape) * shape[1] * shape[2]
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            if len(shape) == 2:  # what the dense layer gave, reshaped
                filters = layer.kernel.shape[-1]
                side = math.isqrt(shape[1] // filters)
                shape = (None, side, side, filters)
            total += math.prod(layer.kernel.shape) * shape[1] * shape[2]
            shape = layer.compute_output_shape(shape)
    return total


def gflop_per_step(trainer: Trainer) -> float:
    """2 B (7 D + 3 G) / 1e9; see the docstring of this module."""
    config, discriminator = trainer.config, trainer.discriminator
    image_shape = (None, config.image_size, config.image_size, discriminator.channels)
    d = multiply_adds(discriminator, image_shape)
    g = multiply_adds(trainer.generator, (None, config.latent_dim))
    return 2 * config.batch_size * (7 * d + 3 * g) / 1e9


def random_batch(config: Config) -> Batch:
    """Noise of the shape of what a step is given; half of it is labelled."""
    rng, size = np.random.default_rng(0), config.batch_size
    shape = (config.image_size, config.image_size, 3)
    return Batch(
        images=tf.constant(rng.integers(0, 256, (size, *shape), np.uint8)),
        labels=tf.constant(rng.integers(0, 10, size)),
        label_mask=tf.constant(np.arange(size) % 2, tf.float32),
        labeled_images=tf.zeros((0, *shape), tf.uint8),
        labeled_labels=tf.zeros(0, tf.int64),
    )


def matrix_product(dtype: str) -> tuple[Callable[[], object], float]:
    """A square product of 512 and up, large enough to take 20 ms, and how many GFLOP it is."""
    size = 512
    while True:
        matrix = tf.cast(tf.random.stateless_normal((size, size), (0, 0)), dtype)
        product = tf.function(lambda matrix: tf.reduce_sum(tf.linalg.matmul(matrix, matrix)[:1]))

        def multiply(matrix: tf.Tensor = matrix, product: Callable = product) -> None:
            product(matrix).numpy()

        repeat(multiply, 0.0, 2)
        if size == 8192 or min(repeat(multiply, 0.0, 3)) > 0.02:
            return multiply, 2 * size**3 / 1e9
        size *= 2


def measure_step(config: Config, seconds: float) -> Result:
    """The step on one batch again and again, in turn with the matrix product."""
    trainer, batch = Trainer(config, num_classes=10), random_batch(config)

    def step() -> None:
        trainer.train_step(batch)["losses/discriminator"].numpy()

    multiply, product_gflop = matrix_product(trainer.discriminator.conv1.compute_dtype)
    blocks = alternate({"step": step, "multiply": multiply}, seconds)
    step_gflop = gflop_per_step(trainer)
    fractions = [
        ratio * step_gflop / product_gflop for ratio in ratios(blocks["multiply"], blocks["step"])
    ]
    steps = [1000 * value for value in all_of(blocks["step"])]
    limit = product_gflop / statistics.median(all_of(blocks["multiply"]))
    return {
        "drop_rate": config.drop_rate,
        "step_ms": round(statistics.median(steps), 2),
        "step_ms_quartiles": quartiles(steps, 2),
        "steps_measured": len(steps),
        "images_per_second": round(1000 * config.batch_size / statistics.median(steps), 1),
        "gflop_per_step": round(step_gflop, 3),
        "limit_gflops": round(limit, 1),
        "fraction_of_limit": round(statistics.median(fractions), 3),
        "fraction_quartiles": quartiles(fractions, 3),
    }


# What is around the steps


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
    classifier = Trainer(config, dataset.num_classes).classifier
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
        saved_model.save(path, trainer.classifier, trainer.generator, dataset.class_names)
        loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]
    forward = tf.function(
        lambda images: trainer.classifier(scale(images), statistics="moving").class_logits
    )
    for size in INFERENCE_BATCHES:
        images = dataset.test.images[:size]

        def infer(images: np.ndarray = images) -> None:
            signature(images=tf.constant(images))["class_id"].numpy()

        def bare(images: np.ndarray = images) -> None:
            forward(tf.constant(images)).numpy()

        blocks = alternate({"infer": infer, "bare": bare}, seconds)
        times = all_of(blocks["infer"])
        p50, p90, p99 = (round(1000 * float(p), 3) for p in np.percentile(times, (50, 90, 99)))
        found["inference"][str(size)] = {
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "images_per_second": round(size * len(times) / sum(times), 1),
        }
    fractions = ratios(blocks["bare"], blocks["infer"])  # of the last and largest batch
    found["inference_fraction_of_forward"] = round(statistics.median(fractions), 3)
    found["inference_fraction_quartiles"] = quartiles(fractions, 3)
    return found


# The command, with one line more when its first step is done. The end of a step is where the loop
# moves the progress bar; `sync_devices` because a GPU is then still at work.
COMMAND = """
import runpy
from ssgan_tf.progress import Progress
advance = Progress.advance
def first_advance(self, steps=1):
    import tensorflow as tf
    tf.test.experimental.sync_devices()
    Progress.advance = advance
    print("FIRST STEP", flush=True)
    advance(self, steps)
Progress.advance = first_advance
runpy.run_module("ssgan_tf.train", run_name="__main__")
from experiments.benchmark import peak_memory_mb
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
            cwd=HERE.parent,
        ) as process:
            for line in process.stdout:
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


# Growth, each point in a process of its own


def growth_point(changes: dict[str, Any], seconds: float) -> Result:
    """The float32 step with other sizes."""
    step = measure_step(Config(drop_rate=0.0, **changes), seconds)
    return changes | step | {"peak_memory_mb": round(peak_memory_mb())}


def images_point(number: int, seconds: float) -> Result:
    """`number` images in memory: labels chosen, first batch, an epoch of batches."""
    rng, config = np.random.default_rng(0), Config()
    images = rng.integers(0, 256, (number, 32, 32, 3), np.uint8)
    labels, ids = rng.integers(0, 10, number), np.arange(number).astype(str)
    part = Split(images, labels, ids)
    dataset = Dataset("noise", list("0123456789"), part, part.take(np.arange(100)))
    start = time.perf_counter()
    split = label_split.split_labels(config, dataset)
    next(iter(pipeline.training_batches(config, dataset, split, 0, 1)))
    return {
        "images": number,
        "first_batch_seconds": round(time.perf_counter() - start, 2),
        "images_per_second": measure_pipeline(config, dataset, seconds),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def measure_growth(seconds: float) -> Result:
    """By batch size, widths and number of images."""
    growth: Result = {"batch_size": [], "width": [], "images": []}
    for size in BATCH_SIZES:
        growth["batch_size"].append(in_new_process(growth_point, {"batch_size": size}, seconds))
        say(f"batch size {size}: {growth['batch_size'][-1]['step_ms']} ms a step")
    for generator, discriminator in WIDTHS:
        changes = {"generator_width": generator, "discriminator_width": discriminator}
        growth["width"].append(in_new_process(growth_point, changes, seconds))
        say(f"widths {generator}/{discriminator}: {growth['width'][-1]['step_ms']} ms a step")
    for number in NUMBERS_OF_IMAGES:
        growth["images"].append(in_new_process(images_point, number, seconds / 4))
        say(f"{number:,} images: {growth['images'][-1]['peak_memory_mb']:,} MB")
    return growth


# All of it


def measure_precision(config: Config, dataset: Dataset, quick: bool) -> Result:
    """What depends on precision and widths.

    The loop and the command, which take longest, in `--quick` for float32 alone; of a precision
    that this processor can only emulate nothing but the step.
    """
    seconds = SECONDS[quick]
    name = f"{config.precision}, widths {config.generator_width}/{config.discriminator_width}"
    result = measure_step(dataclasses.replace(config, drop_rate=0.0), seconds)
    say(
        f"{name}: {result['step_ms']} ms a step, {result['fraction_of_limit']:.2f} of "
        f"{result['limit_gflops']:,.0f} GFLOP/s"
    )
    if config.precision != "float32" and result["step_ms"] > SLOW_STEP_MS:
        return result
    result["with_dropout"] = measure_step(config, seconds / 2)
    say(f"{name}: {result['with_dropout']['step_ms']} ms a step with dropout")
    result["evaluation_images_per_second"] = measure_evaluation(config, dataset, seconds / 8)
    if not quick or config.precision == "float32":
        result["loop"] = measure_loop(config, 4 * seconds)
        say(f"{name}: the loop adds {result['loop']['overhead_fraction']:.1%}")
        starts = [run_command(config, to_the_end=False)[0] for _ in range(1 if quick else 2)]
        last, peak = run_command(config, to_the_end=True)
        starts.append(last)
        result["first_step_seconds"] = round(statistics.median(starts), 2)
        result["first_steps_seconds"] = [round(value, 2) for value in starts]
        result["peak_memory_mb"] = round(peak)
        say(f"{name}: first step after {result['first_step_seconds']} s, peak {peak:,.0f} MB")
    return result


def measure_all(quick: bool) -> Result:
    """Everything, in the form of the JSON file."""
    seconds = SECONDS[quick]
    config = Config(dataset="house_numbers")
    dataset = load_dataset(config)  # rendered now, if it is not there
    say(f"{describe_device()}; {dataset.name} is loaded")
    result: Result = {
        "command": "python -m experiments.benchmark" + " --quick" * quick,
        "hardware": describe_device(),
        "versions": config_file.versions(),
        "quick": quick,
    }
    for precision in PRECISIONS:
        this = dataclasses.replace(config, precision=precision)
        result[precision] = measure_precision(this, dataset, quick)
        if not quick:
            wide = dataclasses.replace(this, generator_width=WIDE)
            result[precision]["wide"] = measure_precision(wide, dataset, quick)
    base = result["float32"]
    result |= {
        "loop_overhead_fraction": base["loop"]["overhead_fraction"],
        "first_step_seconds": base["first_step_seconds"],
        "peak_memory_mb": base["peak_memory_mb"],
        "evaluation_images_per_second": base["evaluation_images_per_second"],
        "pipeline_images_per_second": measure_pipeline(config, dataset, seconds / 8),
    }
    on_disk = load_dataset(dataclasses.replace(config, memory_budget_gb=1e-9))
    result["disk_images_per_second"] = measure_pipeline(config, on_disk, seconds / 8)
    say(
        f"data pipeline alone: {result['pipeline_images_per_second']:,.0f} images/s, "
        f"{result['disk_images_per_second']:,.0f} from a file"
    )
    result |= measure_inference(config, dataset, seconds / 2)
    say(f"SavedModel: {result['inference_fraction_of_forward']:.2f} of the bare forward pass")
    if not quick:
        result["growth"] = measure_growth(seconds / 3)
    result["benchmark_seconds"] = round(time.monotonic() - START)
    return result


def table(result: Result) -> str:
    """Everything as Markdown; a dash where nothing was measured."""
    columns = {}
    for precision in PRECISIONS:
        columns[f"{precision}, widths 32/64"] = result[precision]
        if "wide" in result[precision]:
            columns[f"{precision}, widths 128/64"] = result[precision]["wide"]
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---" * (1 + len(columns)) + "|"]

    def row(name: str, cell: Callable[[Result], str]) -> None:
        cells = []
        for column in columns.values():
            try:
                cells.append(cell(column))
            except KeyError:  # not measured for this one
                cells.append("-")
        lines.append("| " + " | ".join([name, *cells]) + " |")

    def milliseconds(step: Result) -> str:
        low, high = step["step_ms_quartiles"]
        return f"{step['step_ms']:.1f} ({low:.1f} to {high:.1f})"

    def fraction(step: Result) -> str:
        low, high = step["fraction_quartiles"]
        return f"{step['fraction_of_limit']:.2f} ({low:.2f} to {high:.2f})"

    rate = result["float32"]["with_dropout"]["drop_rate"]
    row("train step, ms (quartiles)", milliseconds)
    row("images/s", lambda c: f"{c['images_per_second']:,.0f}")
    row("GFLOP per step", lambda c: f"{c['gflop_per_step']:.1f}")
    row("limit: matrix product, GFLOP/s", lambda c: f"{c['limit_gflops']:,.0f}")
    row("fraction of the limit (quartiles)", fraction)
    row(f"step with dropout {rate:g}, ms (quartiles)", lambda c: milliseconds(c["with_dropout"]))
    row("fraction of the limit (quartiles)", lambda c: fraction(c["with_dropout"]))
    row("what the train loop adds", lambda c: f"{c['loop']['overhead_fraction']:.1%}")
    row("evaluation, images/s", lambda c: f"{c['evaluation_images_per_second']:,.0f}")
    row("command to first step, s", lambda c: f"{c['first_step_seconds']:.1f}")
    row("peak memory, MB", lambda c: f"{c['peak_memory_mb']:,}")
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| data pipeline alone, images/s | {result['pipeline_images_per_second']:,.0f} |",
        "| the same, images read from a file (`--memory_budget_gb`) "
        f"| {result['disk_images_per_second']:,.0f} |",
    ]
    for size, found in result["inference"].items():
        lines.append(
            f"| SavedModel, batch {size}: ms (90%, 99%), images/s | {found['p50_ms']:.2f} "
            f"({found['p90_ms']:.2f}, {found['p99_ms']:.2f}), {found['images_per_second']:,.0f} |"
        )
    lines += [
        f"| SavedModel, batch {max(INFERENCE_BATCHES)}, of the bare forward pass "
        f"| {result['inference_fraction_of_forward']:.2f} |",
        f"| on | {result['hardware']} |",
        f"| TensorFlow | {result['versions'].get('tensorflow', '')} |",
        f"| command, s | `{result['command']}`, {result['benchmark_seconds']:,} |",
    ]
    if "growth" in result:
        lines += ["", *growth_table(result["growth"])]
    return "\n".join(lines)


def growth_table(growth: Result) -> list[str]:
    """The lines of its two tables."""
    lines = [
        "| float32 | step, ms | images/s | GFLOP per step | fraction of the limit | peak, MB |",
        "|---|---|---|---|---|---|",
    ]
    points = [(f"batch size {point['batch_size']}", point) for point in growth["batch_size"]]
    points += [
        (f"widths {point['generator_width']}/{point['discriminator_width']}", point)
        for point in growth["width"]
    ]
    lines += [
        f"| {name} | {point['step_ms']:.1f} | {point['images_per_second']:,.0f} "
        f"| {point['gflop_per_step']:.1f} | {point['fraction_of_limit']:.2f} "
        f"| {point['peak_memory_mb']:,} |"
        for name, point in points
    ]
    lines += [
        "",
        "| images in memory | first batch, s | data pipeline, images/s | peak, MB |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {point['images']:,} | {point['first_batch_seconds']:.2f} "
        f"| {point['images_per_second']:,.0f} | {point['peak_memory_mb']:,} |"
        for point in growth["images"]
    ]


def main() -> None:
    """Measures, prints the table, keeps both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="default widths, no growth: 4 minutes")
    parser.add_argument("--output", type=Path, default=PATH, help="the JSON file")
    parser.add_argument("--table", action="store_true", help="only write the table from the JSON")
    arguments = parser.parse_args()
    if not arguments.table:
        result = measure_all(arguments.quick)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    text = table(json.loads(arguments.output.read_text()))
    print(text)
    if arguments.output == PATH:
        replace_between_markers(HERE / "README.md", "speed", text)


if __name__ == "__main__":
    main()
