"""What the run computes on: GPUs that are hidden, and XLA that cannot compile a step."""

import concurrent.futures
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf

from ssgan_tf.data import cache, house_numbers
from ssgan_tf.data.load import load_named
from ssgan_tf.models import convolutions
from ssgan_tf.system import device

FAST = device.FAST_AT_BFLOAT16  # before the tests make it empty
NARROW = {"generator_width": 2, "discriminator_width": 2, "batch_size": 4, "image_size": 16}


@pytest.fixture
def hidden_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU that the program does not let TensorFlow see."""
    physical = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: [physical] if kind == "GPU" else []
    )
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: [])


@pytest.mark.parametrize("level", [None, "3", "0"])
def test_messages_of_the_start_are_hidden_once_unless_level_0_asks_for_them(
    level: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if level:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    monkeypatch.setattr(device, "_started", [])
    with device.quiet_start():
        os.write(2, b"started\n")
    with device.quiet_start():
        os.write(2, b"later\n")
    assert capfd.readouterr().err == ("started\n" if level == "0" else "") + "later\n"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (level or "2")


def test_a_hidden_gpu_is_none(hidden_gpu: None) -> None:
    assert device.gpus() == []
    assert device.describe_device().startswith("CPU: ")
    assert not device.resolve_jit_compile("auto", 1)
    assert convolutions._kernel_gradient_pays(tf.zeros((1, 8, 8, 1)), 1)


def test_cores_are_those_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []

    def noted(count: int) -> ThreadPoolExecutor:
        asked.append(count)
        return ThreadPoolExecutor(count)

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 8}, raising=False)
    monkeypatch.setattr(cache, "ThreadPoolExecutor", noted)
    assert device.describe_device().endswith(", 3 cores")
    cache.decode_files(tmp_path, [], 8, 3, "crop", str(tmp_path / "cache"))
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", noted)
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 4, "test": 2})
    load_named("house_numbers", str(tmp_path))
    assert asked.count(3) == 3  # of the cache, and of the two parts; TFDS has a pool of its own
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert device.cores() == 1


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx2 avx512f", "float32"), ("avx512f avx512_bf16", "bfloat16"), ("", "float32")],
)
def test_auto_is_bfloat16_on_a_processor_with_instructions_for_it(
    flags: str, precision: str, hidden_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "FAST_AT_BFLOAT16", FAST)
    monkeypatch.setattr(device, "_cpuinfo", lambda: f"model name : X\nflags : {flags}\n")
    assert device.resolve_precision("auto") == precision
    assert device.resolve_precision("float16") == "float16"
