"""How fast a train step is, as a fraction of what the machine can multiply.

What it shows: the rate of a float32 step at the article's widths, batch 128 and `--drop_rate=0`
(20.2 GFLOP), beside the rate of a 2048-cubed float32 matrix product, alternating in one process.
The fraction compares between machines and does not mind a slow hour; seconds do neither.

    python -m experiments.benchmark_step

Cost: a minute; nothing else may run meanwhile. Expected: at least 0.60 on a CPU with two cores.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from experiments.common import HERE, RESULTS, replace_between_markers
from ssgan_tf.config import Config
from ssgan_tf.device import describe_device
from ssgan_tf.trainer import Batch, Trainer

# Multiply-adds per image, forward, padding counted (the article's widths). A step needs seven
# passes' worth of the discriminator (real and fake: forward and both gradients, 6, and once more
# back through the fakes for the generator) and three of the generator.
DISCRIMINATOR, GENERATOR = 8.1e6, 7.4e6
STEP_FLOP = 2 * 128 * (7 * DISCRIMINATOR + 3 * GENERATOR)
MATMUL_FLOP = 2 * 2048**3


def median_seconds(function: Callable[[], object], repetitions: int) -> float:
    """Median wall time of a call."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write_table() -> None:
    """Puts all measurements there are into experiments/README.md."""
    lines = [
        "| `--drop_rate` | ms a step | product, GFLOP/s | fraction (blocks' range) | on |",
        "|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("benchmark_step-*.json")):
        result = json.loads(path.read_text())
        lines.append(
            f"| {result['drop_rate']:g} | {result['step_milliseconds']} "
            f"| {result['matmul_gflops']} | {result['fraction_of_matmul_rate']:.2f} "
            f"({min(result['blocks']):.2f} to {max(result['blocks']):.2f}) | {result['device']} |"
        )
    replace_between_markers(HERE / "README.md", "speed", "\n".join(lines))


def main() -> None:
    """Alternates blocks of both and prints the median of the blocks' fractions."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--blocks", type=int, default=9, help="blocks of 20 repetitions of each")
    parser.add_argument("--drop_rate", type=float, default=0.0, help="the target is for 0")
    arguments = parser.parse_args()

    trainer = Trainer(Config(drop_rate=arguments.drop_rate), num_classes=10)
    rng = np.random.default_rng(0)
    batch = Batch(
        images=tf.constant(rng.integers(0, 256, (128, 32, 32, 3)), tf.uint8),
        labels=tf.constant(rng.integers(0, 10, 128)),
        label_mask=tf.ones(128),
        labeled_images=tf.zeros((0, 32, 32, 3), tf.uint8),
        labeled_labels=tf.zeros(0, tf.int64),
    )
    matrix = tf.random.stateless_normal((2048, 2048), (0, 0))
    product = tf.function(lambda: tf.linalg.matmul(matrix, matrix))

    def step() -> None:
        trainer.train_step(batch)["losses/discriminator"].numpy()

    def multiply() -> None:
        product().numpy()

    median_seconds(step, 5), median_seconds(multiply, 5)  # tracing and warm-up
    fractions, step_ms, gflops = [], [], []
    for _ in range(arguments.blocks):
        step_seconds, matmul_seconds = median_seconds(step, 20), median_seconds(multiply, 20)
        fractions.append((STEP_FLOP / step_seconds) / (MATMUL_FLOP / matmul_seconds))
        step_ms.append(1e3 * step_seconds)
        gflops.append(MATMUL_FLOP / matmul_seconds / 1e9)
        print(
            f"step {step_ms[-1]:6.1f} ms   product {gflops[-1]:5.0f} GFLOP/s   "
            f"fraction {fractions[-1]:.3f}",
            flush=True,
        )
    result = {
        "command": f"python -m experiments.benchmark_step --drop_rate={arguments.drop_rate:g}",
        "drop_rate": arguments.drop_rate,
        "device": describe_device(),
        "step_milliseconds": round(statistics.median(step_ms), 1),
        "matmul_gflops": round(statistics.median(gflops)),
        "fraction_of_matmul_rate": round(statistics.median(fractions), 3),
        "blocks": [round(fraction, 3) for fraction in fractions],
    }
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    name = f"benchmark_step-drop{arguments.drop_rate:g}.json"
    (RESULTS / name).write_text(json.dumps(result, indent=1) + "\n")
    write_table()


if __name__ == "__main__":
    main()
