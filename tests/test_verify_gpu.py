"""The check that users run on their GPUs, tried on two logical CPU devices."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssgan_tf import verify_gpu
from ssgan_tf.config import Config
from ssgan_tf.system.device import check_divisible
from ssgan_tf.verification import comparison, gpu_checks

ROOT = Path(__file__).resolve().parent.parent


def run_elsewhere(directory: Path, *command: str) -> subprocess.CompletedProcess:
    """Runs Python as a user of the installed package does: without this repository around."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(directory)}
    (directory / "ssgan_tf").symlink_to(ROOT / "ssgan_tf")
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=directory, env=environment
    )


# As `--quick` and narrower, without what takes minutes: other precisions, two devices together
# (tests/test_second_device.py has them, too) and speed.
NARROW = """
import sys
from ssgan_tf import verify_gpu
from ssgan_tf.config import Config
from ssgan_tf.verification import gpu_checks

setup = gpu_checks.make_setup(cpu_devices=2, quick=True)
narrow = {"generator_width": 2, "discriminator_width": 2, "image_size": 16}
config = Config(**(vars(setup.config) | narrow))
for name in list(gpu_checks.CHECKS):
    if name.endswith("trains"):
        del gpu_checks.CHECKS[name]
sys.exit(verify_gpu.run_checks(setup._replace(config=config, strategy=None, steps=3)))
"""


@pytest.mark.slow
def test_every_row_of_one_device_passes_on_a_second_one(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path, "-c", NARROW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| pass |") == 6
    assert done.stdout.count("| - | skipped: one device |") == 2


@pytest.mark.slow
def test_it_passes_as_users_call_it(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path, "-m", "ssgan_tf.verify_gpu", "--cpu_devices=2", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| pass |") == len(gpu_checks.CHECKS)
    assert "| float32 | no | 2 |" in done.stdout


@pytest.mark.parametrize("devices", [1, 2, 3, 6, 7, 8, 16])
def test_the_run_of_the_check_can_be_divided_among_all_devices(
    devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def checked(config: Config) -> dict[str, float]:
        check_divisible(config, devices)
        images = Path(config.dataset.removeprefix("folder:")) / "train"
        steps = len(list(images.rglob("*.png"))) // config.batch_size
        assert steps == 3
        seen.append(config)
        return {"steps": config.epochs * steps, "test_accuracy": 0.5}

    monkeypatch.setattr(gpu_checks, "train_and_evaluate", checked)
    names = tuple(f"/device:CPU:{number}" for number in range(devices))
    config = Config(generator_width=2, discriminator_width=2)
    setup = gpu_checks.Setup(config, names, None, 2, 2, 0.1, ("float32",))
    with monkeypatch.context() as patch:
        patch.setattr(gpu_checks, "gpus", lambda: list(names))
        assert gpu_checks.check_run(setup) == "6 steps in two runs, test accuracy 50%"
    assert len(seen) == 2


@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    done = run_elsewhere(tmp_path, "-m", "ssgan_tf.verify_gpu")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error: TensorFlow sees no GPU here; install `ssgan-tf[gpu]`")


def test_each_tensor_is_compared_with_its_norm() -> None:
    expected = {"kernel": np.array([3.0, 4.0]), "bias": np.zeros(2)}
    assert comparison.assert_same(expected, expected) == "no difference"
    near = expected | {"kernel": np.array([3.0, 4.005])}
    assert "1e-03 of the norm (kernel)" in comparison.assert_same(near, expected)
    with pytest.raises(AssertionError, match=r"kernel differs by 1\.0e-01"):
        comparison.assert_same(expected | {"kernel": np.array([3.0, 4.5])}, expected)
    with pytest.raises(AssertionError, match="bias is not finite"):
        comparison.assert_same(expected | {"bias": np.array([0.0, np.nan])}, expected)
    with pytest.raises(AssertionError, match="other tensors"):
        comparison.assert_same({}, expected)


def test_it_counts_what_fails_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def check(setup: object, raised: Exception | None = None) -> str:
        if raised:
            raise raised
        return "all well"

    checks = {
        "wrong": functools.partial(check, raised=AssertionError("a is not b.")),
        "broken": functools.partial(check, raised=ValueError("Graph execution error:\n\nno such")),
        "needless": functools.partial(check, raised=gpu_checks.Skipped("one device")),
        "right": check,
    }
    monkeypatch.setattr(gpu_checks, "CHECKS", checks)
    assert verify_gpu.run_checks(None) == 2
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| wrong | FAIL | a is not b | 0 |",
        "| broken | FAIL | ValueError: no such | 0 |",
        "| needless | - | skipped: one device | 0 |",
        "| right | pass | all well | 0 |",
    ]
