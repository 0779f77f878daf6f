"""Several steps in one call, and XLA that may not be able to compile them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_step import make_batch, make_trainer, values

from ssgan_tf.config import Config, UserError
from ssgan_tf.data import label_split, pipeline
from ssgan_tf.data.dataset import Batch
from ssgan_tf.training import losses, step
from ssgan_tf.training.loop import Loop
from ssgan_tf.training.step import Trainer

NARROW = {"generator_width": 2, "discriminator_width": 2, "batch_size": 4, "image_size": 16}


@pytest.mark.parametrize("preset", ["article", pytest.param("tuned", marks=pytest.mark.slow)])
def test_several_steps_in_one_call_are_those_steps(preset: str) -> None:
    one, several = (make_trainer(preset=preset, drop_rate=0.3) for _ in range(2))
    extra = one.config.labeled_batch_size and 4
    batches = [make_batch(extra, seed=step) for step in range(5)]
    expected = [one.train_step(batch) for batch in batches]

    stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *batches)
    iterator = iter(tf.data.Dataset.from_tensor_slices(stacked))
    loop = Loop(several, iterator, Path("run"))
    last, sums = loop.take(3, loop.zeros())
    for tag, value in last.items():
        assert float(value) == pytest.approx(float(expected[2][tag]), rel=1e-5, abs=1e-7), tag
    last, sums = loop.take(2, sums)
    assert int(several.step) == 5
    for tag, value in sums.items():
        total = sum(float(metrics[tag]) for metrics in expected)
        assert float(value) == pytest.approx(total, rel=1e-5, abs=1e-6), tag
    for path, value in values(several.discriminator).items():
        np.testing.assert_allclose(value, values(one.discriminator)[path], atol=2e-6, err_msg=path)
    assert loop.steps.experimental_get_tracing_count() == 1
    assert several.train_step.experimental_get_tracing_count() == 1


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
    monkeypatch.setattr(step, "resolve_jit_compile", lambda wanted, replicas: wanted != "false")


def trained(jit_compile: str) -> tuple[Trainer, dict[str, float]]:
    """Four steps in two calls, as a run takes them."""
    config = Config(method="supervised", labeled=20, jit_compile=jit_compile, **NARROW)
    found = Trainer(config, 10, 3, 10, 20)
    loop = Loop(found, batches_of(config), Path("run"))
    sums = loop.zeros()
    for count in (3, 1):
        _, sums = loop.take(count, sums)
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


@pytest.mark.slow
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
    ) as raised:
        trained("true")
    assert str(raised.value).endswith("give --jit_compile=false.")


def test_the_first_call_leaves_nothing_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate of the time starts after it. Without XLA itself, which takes long."""
    config = Config(method="supervised", labeled=20, jit_compile="false", **NARROW)
    found = Trainer(config, 10, 3, 10, 20)
    loop = Loop(found, batches_of(config), Path("run"))
    loop.untried, sums = True, loop.zeros()
    traced = []
    for count in (1, 2):
        _, sums = loop.take(count, sums)
        functions = (loop.steps, found.train_step)
        traced.append([each.experimental_get_tracing_count() for each in functions])
    assert traced == [[1, 1], [1, 1]]
    assert int(found.step) == 3


@pytest.mark.slow
def test_auto_goes_on_without_xla_where_it_cannot_compile_the_loop_alone(
    plain: tuple, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The loop fails after it has taken a batch; no batch is lost."""
    steps = Loop._steps

    def failing(self: Loop, batches: Iterator[Batch], count: tf.Tensor, sums: dict) -> object:
        if self.trainer.jit_compile:
            images = next(batches).images
            with tf.control_dependencies([images]):
                failed = tf.debugging.assert_equal(count, 0, "Trying to access resource step/0")
            with tf.control_dependencies([failed]):  # the steps would find no batch left
                return steps(self, batches, count, sums)
        return steps(self, batches, count, sums)

    monkeypatch.setattr(Loop, "_steps", failing)
    monkeypatch.setattr(step, "resolve_jit_compile", lambda wanted, replicas: wanted != "false")
    tried = trained("auto")
    assert "Trying to access resource step/0" in capsys.readouterr().out
    assert_same(tried, plain)


@pytest.mark.parametrize("jit_compile", ["auto", "true"])
def test_memory_that_runs_out_in_the_first_step_is_not_laid_to_xla(
    jit_compile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(step, "resolve_jit_compile", lambda wanted, replicas: True)
    config = Config(method="supervised", labeled=20, jit_compile=jit_compile, **NARROW)
    found = Trainer(config, 10, 3, 10, 20)
    loop = Loop(found, batches_of(config), Path("run"))
    sums = loop.zeros()
    error = tf.errors.InternalError(None, None, "Dst tensor is not initialized.")

    def no_room(*arguments: object) -> None:
        raise error

    found.train_step = loop.steps = no_room
    with pytest.raises(tf.errors.InternalError) as raised:
        loop.take(2, sums)
    assert raised.value is error
    assert "XLA" not in capsys.readouterr().out
