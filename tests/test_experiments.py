"""What the experiments compute from results, on results made up here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import (
    ablation,
    benchmark,
    common,
    label_sweep,
    realness,
    recipe,
    reproduce_article,
    saturation,
    time_to_accuracy,
)
from ssgan_tf.config import ARTICLE_CONTROL, PRESETS, Config
from ssgan_tf.flags import parse_config
from ssgan_tf.training.step import Trainer

HOUSE = label_sweep.HOUSE_NUMBERS


def write_result(run: common.Run, accuracy: float, **more: object) -> None:
    content = {
        "command": run.command,
        "seed": run.seed,
        "test_accuracy": accuracy,
        "steps": 3200,
        "wall_seconds": 500.0 + run.seed,
        "device": "CPU: toy, 2 cores",
        "labeled": 250,
    }
    run.result_file.write_text(json.dumps(content | more))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    return tmp_path


def test_summary_has_mean_and_deviation_over_the_seeds_as_fractions(results: Path) -> None:
    for run, accuracy in zip(label_sweep.runs_of("tuned", "250"), (0.7, 0.8, 0.9), strict=True):
        write_result(run, accuracy)
    assert label_sweep.summary() == {
        "tuned": {
            "250": {
                "mean": 0.8,
                "std": 0.1,
                "seeds": 3,
                "steps": 3200,
                "wall_seconds": 500.0,
                "hardware": "toy, 2 cores",
                "command": "python -m ssgan_tf.train --labeled=250 --preset=tuned",
            }
        }
    }


def test_a_result_of_another_command_does_not_count(results: Path) -> None:
    run = label_sweep.runs_of("tuned", "250")[0]
    write_result(run, 0.7, command="python -m ssgan_tf.train --labeled=250 --preset=article")
    assert not run.is_finished()
    assert label_sweep.summary() == {}


def test_a_result_of_the_preset_as_it_was_does_not_count(results: Path) -> None:
    run = label_sweep.runs_of("tuned", "250")[0]
    write_result(run, 0.7, preset="tuned", preset_values=PRESETS["tuned"])
    assert run.is_finished()
    write_result(run, 0.7, preset="tuned", preset_values=PRESETS["tuned"] | {"epochs": 7})
    assert not run.is_finished()


def test_tables_without_results_say_so_or_leave_the_cell_empty(results: Path) -> None:
    assert label_sweep.house_numbers_table() == "Not measured yet."
    change = "dropout 0.25"
    for run in ablation.runs_of(change):
        write_result(run, 0.6, train_labeled_accuracy=0.9)
    row = ablation.table().splitlines()[2]  # there is no unchanged run to compare it with
    assert row == f"| {change} | `{ablation.CHANGES[change]}` | 60.0 |  | 90.0 |"
    write_result(recipe.run_of("base-250"), 0.0, validation_accuracy=0.5)
    row = recipe.table().splitlines()[2]  # neither is its control
    assert row == "| 250 | semi-supervised |  | 50.0 |  |  |  |"


def test_the_gain_is_taken_seed_by_seed_where_both_have_a_result(results: Path) -> None:
    for run, accuracy in zip(label_sweep.runs_of("tuned", "250"), (0.7, 0.8, 0.99), strict=True):
        write_result(run, accuracy)
    controls = label_sweep.runs_of("tuned_supervised", "250")[:2]
    for run, accuracy in zip(controls, (0.5, 0.7), strict=True):
        write_result(run, accuracy)
    found = label_sweep.gain("tuned", "tuned_supervised", "250")
    assert found == "15.0 ± 7.1"  # of 20 and 10, not of the third


def test_goals_are_compared_with_the_mean_and_with_the_mean_difference(results: Path) -> None:
    for run, accuracy in zip(label_sweep.runs_of("tuned", "250"), (0.69, 0.70, 0.72), strict=True):
        write_result(run, accuracy)
    for run in label_sweep.runs_of("tuned_supervised", "250"):
        write_result(run, 0.53)
    rows = label_sweep.goals_table().splitlines()[2:]
    assert [row.split("|")[3:6] for row in rows] == [
        [" 46 ", " 53.0 ± 0.0 (3) ", " reached "],
        [" 70 ", " 70.3 ± 1.5 (3) ", " reached "],
        [" 18 ", " 17.3 ± 1.5 (3) ", " **missed** "],
    ]


def test_the_article_table_compares_with_the_better_control_seed_by_seed(results: Path) -> None:
    rows = {"weak": "--method=supervised", "good": "--method=supervised --drop_rate=0.5", "gan": ""}
    accuracies = {"weak": (0.4, 0.6), "good": (0.5, 0.7), "gan": (0.6, 0.9, 0.1)}
    for name, flags in rows.items():
        for run, accuracy in zip(
            reproduce_article.runs_of({name: flags}), accuracies[name], strict=False
        ):
            write_result(run, accuracy, train_labeled_accuracy=1.0, cores=2)
    table = reproduce_article.accuracy_table(rows).splitlines()[2:]
    assert [row.split("|")[3].strip() for row in table] == ["", "", "15.0 ± 7.1"]


def fake_training(monkeypatch: pytest.MonkeyPatch, flags: str = HOUSE) -> common.Run:
    """Instead of a process that trains, one that leaves a result; a run to execute with it."""
    dataset = "house_numbers/1.0.0" if flags == HOUSE else "svhn_cropped/3.1.0"
    result = {"dataset": dataset, "test_accuracy": 0.5, "test_images": 26032}

    def run(command: list[str], **options: object) -> None:
        directory = Path(command[-1].removeprefix("--run_dir="))
        directory.mkdir()
        (directory / "results.json").write_text(json.dumps(result))
        (directory / "metrics.csv").write_text("step,test_accuracy,wall_seconds\n80,0.5,9.0\n")

    monkeypatch.setattr(common.subprocess, "run", run)
    return common.Run("some", f"{flags} --labeled=5".strip(), 0)


def svhn_with(directory: Path, test_images: tuple[int, ...]) -> None:
    """What TFDS leaves of a prepared svhn_cropped, its images aside."""
    prepared = directory / "svhn_cropped" / "3.1.0"
    prepared.mkdir(parents=True)
    splits = [
        {"name": "train", "shardLengths": ["9"]},
        {"name": "test", "shardLengths": [str(count) for count in test_images]},
    ]
    (prepared / "dataset_info.json").write_text(json.dumps({"splits": splits}))


def test_a_finished_run_leaves_result_and_curve_and_is_not_run_twice(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    run = fake_training(monkeypatch)
    common.execute([run], tmp_path / "runs")
    result = json.loads(run.result_file.read_text())
    assert result["test_accuracy_curve"] == [[80, 0.5, 9.0]]
    assert result["command"] == f"python -m ssgan_tf.train {HOUSE} --labeled=5 --seed=0"
    common.execute([run], tmp_path / "runs")  # a second training would find the directory there
    assert capsys.readouterr().out.endswith(f"all 1 results are in {common.RESULTS}.\n")
    with pytest.raises(FileExistsError):
        common.execute([run], tmp_path / "runs", again=[run])
    assert run.is_finished()  # what there was is lost with nothing but a new result


def test_another_svhn_than_the_subset_is_refused_before_anything_runs(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shards in (("full", (20000, 6032)), ("subset", (1300, 1300))):
        svhn_with(tmp_path / name, shards)
    run = common.Run("some", "--labeled=few", 0)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "full"))
    with pytest.raises(SystemExit, match=r"full: .* 26,032 test images, .* subset with 2,600"):
        common.execute([run], tmp_path / "runs")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit, match=r"nothing: no svhn_cropped is there"):
        common.execute([run], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "subset"))
    with pytest.raises(SystemExit, match="the run failed"):  # so it was begun
        common.execute([run], tmp_path / "runs")


def test_a_run_directory_of_another_svhn_leaves_no_result(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svhn_with(tmp_path / "subset", (2600,))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "subset"))
    run = fake_training(monkeypatch, flags="")
    with pytest.raises(SystemExit, match=r"some-0: its run has 26,032 test images"):
        common.execute([run], tmp_path / "runs")
    assert not run.result_file.exists()


def test_a_run_that_fails_is_told_in_one_sentence_with_its_log_and_is_the_last(
    results: Path, tmp_path: Path
) -> None:
    wrong = common.Run("wrong", f"{HOUSE} --labeled=few", 0)
    other = common.Run("other", f"{HOUSE} --labeled=fewer", 0)
    with pytest.raises(SystemExit, match=r"wrong-0\.log: the run failed; the last lines"):
        common.execute([wrong, other], tmp_path / "runs")
    assert "--labeled=few" in (tmp_path / "runs" / "wrong-0.log").read_text()
    assert not (tmp_path / "runs" / "other-0.log").exists()


def test_more_workers_than_cores_are_refused_before_anything_runs(tmp_path: Path) -> None:
    run = common.Run("some", "--labeled=5", 0)
    for workers in (0, 10_000):
        with pytest.raises(SystemExit, match=f"--workers={workers}: give 1 to "):
            common.execute([run], tmp_path / "runs", workers)
    assert not (tmp_path / "runs").exists()


def test_the_flags_of_every_experiment_are_valid_and_every_row_is_compared_with_another() -> None:
    assert all(row.against in recipe.ROWS for row in recipe.ROWS.values() if row.against)
    runs = [recipe.run_of(name) for name in recipe.ROWS]
    runs += [run for change in ablation.CHANGES for run in ablation.runs_of(change)]
    runs += [run for method in label_sweep.METHODS for run in label_sweep.runs_of(method, "250")]
    runs += [
        run
        for method in label_sweep.HOUSE_METHODS
        for run in label_sweep.runs_of(method, "250", label_sweep.HOUSE_NUMBERS)
    ]
    runs += [realness.run_of(preset) for preset in realness.PRESETS]
    runs += [*saturation.RUNS.values(), *reproduce_article.runs_of(reproduce_article.TABLE)]
    for run in runs:
        program, *flags = run.command.removeprefix("python -m ").split()
        config = parse_config([program, *flags], "train", "")  # a UserError or exit fails this test
        assert config.seed == run.seed


def test_the_control_of_article_has_the_flags_that_a_run_proposes() -> None:
    flags = label_sweep.METHODS["supervised"].split()
    assert {f"--{name}={value}" for name, value in ARTICLE_CONTROL.items()} < set(flags)


def test_time_to_target_is_that_of_the_first_evaluation_at_or_above_it() -> None:
    curve = [[80, 0.5, 10.0], [160, 0.7, 20.0], [240, 0.6, 30.0], [320, 0.8, 40.0]]
    result = {"test_accuracy_curve": curve, "wall_seconds": 45.0}
    assert time_to_accuracy.seconds_to_target(result) == (20.0, True)
    result["test_accuracy_curve"] = curve[:1]
    assert time_to_accuracy.seconds_to_target(result) == (45.0, False)


def test_patchwork_keeps_every_patch_in_its_place_and_mixes_images() -> None:
    images = np.broadcast_to(np.arange(50, dtype=np.uint8)[:, None, None, None], (50, 32, 32, 3))
    images = images.copy()
    images[:, :8, :8] += 100  # marks the first place
    made = realness.patchwork(images, 20, np.random.default_rng(0))
    assert made.shape == (20, 32, 32, 3)
    assert (made[:, :8, :8] >= 100).all()
    assert (made[:, 8:] < 100).all() and (made[:, :, 8:] < 100).all()
    patches = made.reshape(20, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(20, 16, -1)
    assert (patches.min(axis=2) == patches.max(axis=2)).all()  # each from one image
    assert all(len(np.unique(image[:, 0])) > 5 for image in patches)


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
    assert benchmark.multiply_adds(trainer.discriminator, (None, 32, 32, 3)) == discriminator
    assert benchmark.multiply_adds(trainer.generator, (None, 100)) == generator
    assert benchmark.gflop_per_step(trainer) == pytest.approx(
        2 * 128 * (7 * discriminator + 3 * generator) / 1e9
    )
    assert benchmark.gflop_per_step(trainer) == pytest.approx(20.2, abs=0.01)


def test_gflop_of_a_step_follow_batch_size_and_image_size() -> None:
    small = Trainer(Config(generator_width=4, discriminator_width=4, batch_size=8), 10)
    double = Trainer(Config(generator_width=4, discriminator_width=4, batch_size=16), 10)
    assert benchmark.gflop_per_step(double) == 2 * benchmark.gflop_per_step(small)
    large = Trainer(
        Config(generator_width=4, discriminator_width=4, batch_size=8, image_size=64), 10
    )
    assert large.discriminator.conv1_2.kernel.shape == (3, 3, 4, 4)  # one stage more
    assert (
        benchmark.multiply_adds(large.discriminator, (None, 64, 64, 3))
        - benchmark.multiply_adds(small.discriminator, (None, 32, 32, 3))
        == 9 * 3 * 4 * (32 * 32 - 16 * 16) + 9 * 4 * 4 * 16 * 16
    )


STEP_KEYS = {
    "step_ms",
    "images_per_second",
    "gflop_per_step",
    "limit_gflops",
    "fraction_of_limit",
}


def test_a_measured_step_has_its_numbers_and_they_belong_together() -> None:
    config = Config(generator_width=2, discriminator_width=2, batch_size=4, drop_rate=0.0)
    found = benchmark.measure_step(config, 0.0)
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
        "command": "python -m experiments.benchmark --quick",
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
    lines = benchmark.table(made_up_benchmark()).splitlines()
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
    lines = benchmark.table(result).splitlines()
    assert "float32, widths 128/64" in lines[0] and lines[0].count("|") == lines[1].count("|")
    assert "| batch size 32 | 20.0 | 1,234 | 20.2 | 0.61 | 800 |" in lines
    assert "| widths 16/32 | 20.0 | 1,234 | 20.2 | 0.61 | 800 |" in lines
    assert "| 50,000 | 1.50 | 90,000 | 1,000 |" in lines


@pytest.mark.slow
def test_quick_benchmark_ends_in_four_minutes_and_its_file_holds_what_is_promised(
    tmp_path: Path,
) -> None:
    path, start = tmp_path / "found.json", time.monotonic()
    command = [sys.executable, "-m", "experiments.benchmark", "--quick", f"--output={path}"]
    subprocess.run(command, check=True, cwd=common.HERE.parent)
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
