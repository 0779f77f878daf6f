"""How fast everything is, and what it takes: the steps, the loop around them, inference, memory.

What it shows: the time of a train step and how much of the machine it uses, in float32 and
bfloat16; what the train loop adds to it; the data pipeline, evaluation and the SavedModel alone;
the time from the command to the first step; peak memory; and how time and memory grow with batch
size, width and number of images. A limit is measured, not looked up: large matrix products in the
same dtype and process. Whatever is compared alternates in time, since machines have slow minutes.

    python -m experiments.speed.benchmark
    python -m experiments.speed.benchmark --quick --output=FILE.json    # default widths, no growth

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
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from ssgan_tf.config import Config  # the package first: it sets what TensorFlow reads at its import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from experiments.speed.around import (
    measure_evaluation,
    measure_inference,
    measure_loop,
    measure_pipeline,
    run_command,
)
from experiments.speed.benchmark_tables import PRECISIONS, table
from experiments.speed.step import measure_step
from experiments.speed.timing import START, Result, in_new_process, peak_memory_mb, say
from experiments.tables import ROOT, replace_block
from ssgan_tf.data import label_split, pipeline
from ssgan_tf.data.dataset import Dataset, Split
from ssgan_tf.data.load import load_dataset
from ssgan_tf.runs import config_file
from ssgan_tf.system.device import describe_device

PATH = Path(__file__).with_suffix(".json")
WIDE = 128  # m_g, the default of the article's function; what trained was 32
BATCH_SIZES = (32, 64, 128, 256, 512)
WIDTHS = ((16, 32), (32, 64), (64, 128), (128, 64))  # m_g, m_d
NUMBERS_OF_IMAGES = (10_000, 20_000, 50_000)
SECONDS = {True: 8.0, False: 30.0}  # for a step, `--quick` or not; the rest takes its part of it
SLOW_STEP_MS = 1000.0  # beyond that a precision is emulated, and the step alone is measured


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
        "command": "python -m experiments.speed.benchmark" + " --quick" * quick,
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
        replace_block(ROOT / "docs" / "performance.md", "speed", text)


if __name__ == "__main__":
    main()
