"""What the experiments compute from results, on results made up here."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import common, label_sweep, realness, time_to_accuracy


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
                "wall_seconds": 501.0,
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


def test_the_gain_is_taken_seed_by_seed_where_both_have_a_result(results: Path) -> None:
    for run, accuracy in zip(label_sweep.runs_of("tuned", "250"), (0.7, 0.8, 0.99), strict=True):
        write_result(run, accuracy)
    controls = label_sweep.runs_of("tuned_supervised", "250")[:2]
    for run, accuracy in zip(controls, (0.5, 0.7), strict=True):
        write_result(run, accuracy)
    assert label_sweep.gain("250") == "15.0 ± 7.1"  # of 20 and 10, not of the third


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
