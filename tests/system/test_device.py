"""What the run computes on: GPUs that are hidden, and XLA that cannot compile a step."""

import concurrent.futures
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf import train
from ssgan_tf.config import Config, UserError
from ssgan_tf.data import cache, house_numbers, label_split, pipeline
from ssgan_tf.data.dataset import Batch
from ssgan_tf.data.load import load_named
from ssgan_tf.models import layers
from ssgan_tf.system import device
from ssgan_tf.training import losses, trainer
from ssgan_tf.training.trainer import Trainer

NARROW = {"generator_width": 2, "discriminator_width": 2, "batch_size": 4, "image_size": 16}


@pytest.fixture
def hidden_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU that the program does not let TensorFlow see."""
    physical = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: [physical] if kind == "GPU" else []
    )
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: [])


def test_a_hidden_gpu_is_none(hidden_gpu: None) -> None:
    assert device.gpus() == []
    assert device.describe_device().startswith("CPU: ")
    assert not device.resolve_jit_compile("auto", 1)
    assert layers._kernel_gradient_pays(tf.zeros((1, 8, 8, 1)), 1)


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


def batches_of(config: Config) -> Iterator[Batch]:
    from test_second_device import small_data

    data = small_data(config.image_size)
    split = label_split.split_labels(config, data)
    return iter(pipeline.training_batches(config, data, split, 0, 20))


@pytest.fixture
def not_compilable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step with an operation that XLA has not; `auto` is XLA, as on a GPU."""
    loss = losses.supervised_loss

    def with_python(*arguments: tf.Tensor) -> tf.Tensor:
        nothing = tf.numpy_function(lambda: np.float32(0.0), [], tf.float32)
        return loss(*arguments) + tf.ensure_shape(nothing, ())

    monkeypatch.setattr(losses, "supervised_loss", with_python)
    monkeypatch.setattr(trainer, "resolve_jit_compile", lambda wanted, replicas: wanted != "false")


def trained(jit_compile: str) -> tuple[Trainer, dict[str, float]]:
    """Four steps in two calls, as a run takes them."""
    config = Config(method="supervised", labeled=20, jit_compile=jit_compile, **NARROW)
    found, batches = Trainer(config, 10, 3, 10, 20), batches_of(config)
    sums = found.no_metrics(batches.element_spec)
    for count in (3, 1):
        _, sums = train._train_steps(found, batches, count, sums, Path("run"))
    return found, {tag: float(value) for tag, value in sums.items()}


@pytest.fixture(scope="module")
def plain() -> tuple[Trainer, dict[str, float]]:
    """The same steps without XLA."""
    return trained("false")


def assert_same(found: tuple[Trainer, dict], expected: tuple[Trainer, dict]) -> None:
    assert found[1] == expected[1]
    assert int(found[0].step) == int(expected[0].step) == 4
    weights = (one.discriminator.weights for one, _ in (found, expected))
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


def test_auto_goes_on_without_xla_from_the_same_step_where_it_cannot_compile(
    plain: tuple, not_compilable: None, capsys: pytest.CaptureFixture
) -> None:
    tried = trained("auto")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("note: XLA cannot compile the step (PyFunc (No registered")
    assert line.endswith("; going on without it")
    assert_same(tried, plain)


def test_xla_that_was_asked_for_and_cannot_compile_is_one_sentence(not_compilable: None) -> None:
    with pytest.raises(
        UserError, match=r"^--jit_compile=true: XLA cannot compile .*PyFunc"
    ) as told:
        trained("true")
    assert str(told.value).endswith("give --jit_compile=false.")


def test_the_first_call_leaves_nothing_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate of the time starts after it. Without XLA itself, which takes long."""
    monkeypatch.setattr(Trainer, "is_uncompiled", property(lambda self: not self._compiled_once))
    config = Config(method="supervised", labeled=20, jit_compile="false", **NARROW)
    found, batches = Trainer(config, 10, 3, 10, 20), batches_of(config)
    sums = found.no_metrics(batches.element_spec)
    traced = []
    for count in (1, 2):
        _, sums = train._train_steps(found, batches, count, sums, Path("run"))
        functions = (found.train_steps, found.train_step)
        traced.append([each.experimental_get_tracing_count() for each in functions])
    assert traced == [[1, 1], [1, 1]]
    assert int(found.step) == 3


def test_auto_goes_on_without_xla_where_it_cannot_compile_the_loop_alone(
    plain: tuple, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The loop fails after it has taken a batch; no batch is lost."""
    steps = Trainer.train_steps.python_function

    def loop(self: Trainer, batches: Iterator[Batch], count: tf.Tensor, sums: dict) -> object:
        if self._jit_compile:
            images = next(batches).images
            with tf.control_dependencies([images]):
                tf.debugging.assert_equal(count, 0, "Trying to access resource step/0")
        return steps(self, batches, count, sums)

    monkeypatch.setattr(Trainer, "train_steps", tf.function(loop))
    monkeypatch.setattr(trainer, "resolve_jit_compile", lambda wanted, replicas: wanted != "false")
    tried = trained("auto")
    assert "Trying to access resource step/0" in capsys.readouterr().out
    assert_same(tried, plain)


@pytest.mark.parametrize("jit_compile", ["auto", "true"])
def test_memory_that_runs_out_in_the_first_step_is_not_laid_to_xla(
    jit_compile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(trainer, "resolve_jit_compile", lambda wanted, replicas: True)
    config = Config(method="supervised", labeled=20, jit_compile=jit_compile, **NARROW)
    found, batches = Trainer(config, 10, 3, 10, 20), batches_of(config)
    sums = found.no_metrics(batches.element_spec)
    error = tf.errors.InternalError(None, None, "Dst tensor is not initialized.")

    def no_room(*arguments: object) -> None:
        raise error

    found.train_step = found.train_steps = no_room
    with pytest.raises(tf.errors.InternalError) as raised:
        train._train_steps(found, batches, 2, sums, Path("run"))
    assert raised.value is error
    assert "XLA" not in capsys.readouterr().out
