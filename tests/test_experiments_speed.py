"""What the programs of experiments/speed compute, on numbers made up here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from experiments.speed import benchmark_predict, benchmark_tables, choices, step
from experiments.tables import ROOT
from ssgan_tf.config import Config
from ssgan_tf.models import convolutions
from ssgan_tf.training.step import Trainer


def test_gflop_of_a_step_are_those_counted_by_hand() -> None:
    trainer = Trainer(Config(), num_classes=10)
    discriminator = 9 * (  # 3x3 kernels: channels in, channels out, pixels out
        3 * 64 * 16 * 16  # conv1
        + 64 * 64 * 8 * 8
        + 64 * 64 * 4 * 4
        + 64 * 128 * 4 * 4  # conv4
        + 128 * 128 * 4 * 4
        + 128 * 128 * 2 * 2
        + 128 * 128 * 2 * 2  # conv7
    )
    discriminator += 128 * 10  # 8.1 million
    generator = 100 * 4 * 4 * 128  # the dense layer
    # 5x5 kernels: channels in, channels out, pixels in; each goes to a quarter of four outputs
    generator += 25 * (128 * 64 * 4 * 4 + 64 * 32 * 8 * 8 + 32 * 3 * 16 * 16)  # 7.4 million
    assert step.multiply_adds(trainer.discriminator, (None, 32, 32, 3)) == discriminator
    assert step.multiply_adds(trainer.generator, (None, 100)) == generator
    assert step.gflop_per_step(trainer) == pytest.approx(
        2 * 128 * (7 * discriminator + 3 * generator) / 1e9
    )
    assert step.gflop_per_step(trainer) == pytest.approx(20.2, abs=0.01)


def test_gflop_of_a_step_follow_batch_size_and_image_size() -> None:
    small = Trainer(Config(generator_width=4, discriminator_width=4, batch_size=8), 10)
    double = Trainer(Config(generator_width=4, discriminator_width=4, batch_size=16), 10)
    assert step.gflop_per_step(double) == 2 * step.gflop_per_step(small)
    large = Trainer(
        Config(generator_width=4, discriminator_width=4, batch_size=8, image_size=64), 10
    )
    assert large.discriminator.conv1_2.kernel.shape == (3, 3, 4, 4)  # one stage more
    assert (
        step.multiply_adds(large.discriminator, (None, 64, 64, 3))
        - step.multiply_adds(small.discriminator, (None, 32, 32, 3))
        == 9 * 3 * 4 * (32 * 32 - 16 * 16) + 9 * 4 * 4 * 16 * 16
    )


STEP_KEYS = {
    "step_ms",
    "images_per_second",
    "gflop_per_step",
    "limit_gflops",
    "fraction_of_limit",
}


@pytest.mark.slow
def test_a_measured_step_has_its_numbers_and_they_belong_together() -> None:
    config = Config(generator_width=2, discriminator_width=2, batch_size=4, drop_rate=0.0)
    found = step.measure_step(config, 0.0)
    assert found.keys() >= STEP_KEYS
    assert found["images_per_second"] == pytest.approx(4000 / found["step_ms"], rel=0.02)
    low, high = found["step_ms_quartiles"]
    assert 0 < low <= found["step_ms"] <= high
    assert found["drop_rate"] == 0.0


def made_up_step(milliseconds: float, drop_rate: float = 0.0) -> dict:
    return {
        "drop_rate": drop_rate,
        "step_ms": milliseconds,
        "step_ms_quartiles": [milliseconds - 1, milliseconds + 2],
        "images_per_second": 1234.5,
        "gflop_per_step": 20.198,
        "limit_gflops": 1460.0,
        "fraction_of_limit": 0.61,
        "fraction_quartiles": [0.58, 0.63],
    }


def made_up_benchmark() -> dict:
    whole = {
        "with_dropout": made_up_step(80, 0.1),
        "evaluation_images_per_second": 17_000.0,
        "loop": {"overhead_fraction": 0.021},
        "first_step_seconds": 10.04,
        "peak_memory_mb": 1100,
    }
    inference = {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0, "images_per_second": 900.0}
    return {
        "command": "python -m experiments.speed.benchmark --quick",
        "hardware": "CPU: toy, 2 cores",
        "versions": {"tensorflow": "2.21.0"},
        "float32": made_up_step(72.5) | whole,
        "bfloat16": made_up_step(4000),  # emulated: the step alone
        "pipeline_images_per_second": 100_000.0,
        "disk_images_per_second": 50_000.0,
        "inference": {"1": inference, "32": inference, "256": inference},
        "inference_fraction_of_forward": 0.97,
        "benchmark_seconds": 200,
    }


def test_table_of_the_benchmark_has_a_dash_where_nothing_was_measured() -> None:
    lines = benchmark_tables.table(made_up_benchmark()).splitlines()
    assert lines[0] == "|  | float32, widths 32/64 | bfloat16, widths 32/64 |"
    assert (
        "| train step, ms (quartiles) | 72.5 (71.5 to 74.5) | 4000.0 (3999.0 to 4002.0) |" in lines
    )
    assert "| limit: matrix product, GFLOP/s | 1,460 | 1,460 |" in lines
    assert "| what the train loop adds | 2.1% | - |" in lines
    assert "| step with dropout 0.1, ms (quartiles) | 80.0 (79.0 to 82.0) | - |" in lines
    assert "| SavedModel, batch 256, of the bare forward pass | 0.97 |" in lines
    assert not any("images in memory" in line for line in lines)


def test_table_of_the_benchmark_shows_wide_networks_and_growth_where_there_are_any() -> None:
    result = made_up_benchmark()
    result["float32"]["wide"] = made_up_step(300)
    point = made_up_step(20) | {"peak_memory_mb": 800}
    result["growth"] = {
        "batch_size": [point | {"batch_size": 32}],
        "width": [point | {"generator_width": 16, "discriminator_width": 32}],
        "images": [
            {
                "images": 50_000,
                "first_batch_seconds": 1.5,
                "images_per_second": 90_000.0,
                "peak_memory_mb": 1000,
            }
        ],
    }
    lines = benchmark_tables.table(result).splitlines()
    assert "float32, widths 128/64" in lines[0] and lines[0].count("|") == lines[1].count("|")
    assert "| batch size 32 | 20.0 | 1,234 | 20.2 | 0.61 | 800 |" in lines
    assert "| widths 16/32 | 20.0 | 1,234 | 20.2 | 0.61 | 800 |" in lines
    assert "| 50,000 | 1.50 | 90,000 | 1,000 |" in lines


@pytest.mark.slow
def test_quick_benchmark_ends_in_four_minutes_and_its_file_holds_what_is_promised(
    tmp_path: Path,
) -> None:
    path, start = tmp_path / "found.json", time.monotonic()
    command = [sys.executable, "-m", "experiments.speed.benchmark", "--quick", f"--output={path}"]
    subprocess.run(command, check=True, cwd=ROOT)
    assert time.monotonic() - start < 240
    found = json.loads(path.read_text())
    for precision in ("float32", "bfloat16"):
        assert found[precision].keys() >= STEP_KEYS
    assert found.keys() >= {
        "loop_overhead_fraction",
        "first_step_seconds",
        "evaluation_images_per_second",
        "inference_fraction_of_forward",
        "peak_memory_mb",
        "hardware",
    }
    for size in ("1", "32", "256"):
        assert found["inference"][size].keys() >= {"p50_ms", "images_per_second"}


def test_tables_that_are_kept_can_be_written_from_what_was_measured() -> None:
    kept = ROOT / "experiments" / "speed"
    speed = benchmark_tables.table(json.loads((kept / "benchmark.json").read_text()))
    assert "| train step, ms (quartiles) | 2" in speed and "| batch size 512 |" in speed
    predict = json.loads((kept / "benchmark_predict.json").read_text())
    assert "| 16,824 | 21,144 | 8,858 | 0.53" in benchmark_predict.table(predict)


def test_the_table_of_choices_is_that_of_the_measurement() -> None:
    row = {
        "choice": "a",
        "recipe": "`article`",
        "precision": "float32",
        "ms_with": 30.0,
        "ms_without": 40.0,
        "ratio": 0.75,
        "ratio_quartiles": [0.7, 0.8],
    }
    found = {
        "hardware": "CPU: X, 2 cores",
        "instruction_sets": "AVX2, AMX",
        "versions": {"tensorflow": "2.21.0"},
        "rows": [row],
    }
    lines = choices.table(found).splitlines()
    assert lines[2] == "| a | `article` | float32 | 40.0 | 30.0 | 0.75 (0.70 to 0.80) |"
    assert lines[-1] == "On CPU: X, 2 cores; AVX2, AMX; TensorFlow 2.21.0."
    written = (ROOT / "docs" / "performance.md").read_text()
    assert choices.table(json.loads(choices.PATH.read_text())) in written


def test_a_choice_is_taken_away_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    monkeypatch.setattr(
        choices, "traced_step", lambda config: traced.append(pays(tf.zeros((16, 8, 8, 1)), 1))
    )
    monkeypatch.setattr(
        choices, "alternate", lambda jobs, seconds: {"with": [[0.2]], "without": [[0.4]]}
    )

    def pays(x: tf.Tensor, stride: int) -> bool:
        return convolutions._kernel_gradient_pays(x, stride)

    found = choices.compare("kernel gradients as convolutions", Config(), 0.0)
    assert traced == [True, False] and pays(tf.zeros((16, 8, 8, 1)), 1)
    assert (found["ratio"], found["ms_with"], found["ms_without"]) == (0.5, 200.0, 400.0)
