"""What the run computes on: GPUs that are hidden, and XLA that cannot compile a step."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf import device, label_split, layers, losses, pipeline, train, trainer
from ssgan_tf.config import Config, UserError
from ssgan_tf.trainer import Batch, Trainer

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


def test_auto_goes_on_without_xla_from_the_same_step_where_it_cannot_compile(
    not_compilable: None, capsys: pytest.CaptureFixture
) -> None:
    tried, sums = trained("auto")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("note: XLA cannot compile the step (PyFunc (No registered")
    assert line.endswith("; going on without it")
    plain, expected = trained("false")
    assert sums == expected
    assert int(tried.step) == int(plain.step) == 4
    for one, other in zip(tried.discriminator.weights, plain.discriminator.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


def test_xla_that_was_asked_for_and_cannot_compile_is_one_sentence(not_compilable: None) -> None:
    with pytest.raises(
        UserError, match=r"^--jit_compile=true: XLA cannot compile .*PyFunc"
    ) as told:
        trained("true")
    assert str(told.value).endswith("give --jit_compile=false.")
