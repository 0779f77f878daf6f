"""The checks of `verify_gpu`: what needs a GPU, or several devices, compared with what does not."""

import contextlib
import functools
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from ssgan_tf.config import Config
from ssgan_tf.data.dataset import Batch
from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference import saved_model
from ssgan_tf.runs.story import train_and_evaluate
from ssgan_tf.system.device import PRECISIONS, describe_device, gpus, prepare_device, quiet_start
from ssgan_tf.training.loop import Loop
from ssgan_tf.training.step import Trainer
from ssgan_tf.verification.comparison import (
    Tensors,
    assert_same,
    comparable,
    gradients_of,
    measured,
    tensors_of,
)

# The article's. At that of `tuned` a difference of rounding grows to a tenth within 20 steps.
COMPARED_RATE = 3e-4


class Skipped(Exception):  # noqa: N818 - nothing has gone wrong
    """The reason why a check cannot run here."""


class Setup(NamedTuple):
    """What the checks run.

    Attributes:
        config: of one device, without XLA.
        devices: all GPUs, or all logical CPU devices.
        strategy: over all of them; None if there is one.
        steps: to compare.
        training_steps: to see a loss fall.
        seconds: for one measurement of speed.
        precisions: whose speed is measured.
    """

    config: Config
    devices: tuple[str, ...]
    strategy: tf.distribute.Strategy | None
    steps: int
    training_steps: int
    seconds: float
    precisions: tuple[str, ...]

    def trainer(self, strategy: tf.distribute.Strategy | None = None, **changes: object) -> Trainer:
        """New networks, from the same seed, with some settings changed."""
        config = Config(**(vars(self.config) | changes))
        return Trainer(config, 10, 3, steps_per_epoch=100, total_steps=1000, strategy=strategy)


def make_setup(cpu_devices: int, quick: bool) -> Setup:
    """Logical devices, if they are asked for, and the configuration. TensorFlow starts here."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if cpu_devices:
        tf.config.set_visible_devices([], "GPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * cpu_devices
        tf.config.set_logical_device_configuration(cpu, parts)
    prepare_device(deterministic=False)
    with quiet_start():
        gpus = tf.config.list_logical_devices("GPU")
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        several = len(devices) > 1
        strategy = tf.distribute.MirroredStrategy(devices) if several else None
    batch, labeled = (8, 4) if quick else (128, 64)
    config = Config.from_preset(
        "tuned",  # with a labeled batch, pseudo-labels and averaged weights, too
        precision="float32",
        batch_size=-(-batch // len(devices)) * len(devices),
        labeled_batch_size=-(-labeled // len(devices)) * len(devices),
        jit_compile="false",
        **({"generator_width": 8, "discriminator_width": 8} if quick else {}),
    )
    if quick:
        return Setup(config, tuple(devices), strategy, 20, 60, 0.2, PRECISIONS[:1])
    return Setup(config, tuple(devices), strategy, 20, 100, 5.0, PRECISIONS)


# What the checks are made of


@functools.cache
def batches(batch_size: int, labeled_batch_size: int, count: int) -> list[Batch]:
    """Noise around a brightness that is the class's own, so that there is something to learn."""
    rng = np.random.default_rng(0)

    def images(labels: np.ndarray) -> tf.Tensor:
        noise = rng.integers(0, 56, (len(labels), 32, 32, 3))
        return tf.constant(noise + 20 * labels[:, None, None, None], tf.uint8)

    def one() -> Batch:
        labels, more = rng.integers(0, 10, batch_size), rng.integers(0, 10, labeled_batch_size)
        mask = tf.zeros(batch_size)
        return Batch(images(labels), tf.constant(labels), mask, images(more), tf.constant(more))

    with tf.device("CPU:0"):
        return [one() for _ in range(count)]


def batches_of(config: Config, count: int) -> list[Batch]:
    """Some batches of the sizes that the configuration has."""
    return batches(config.batch_size, config.labeled_batch_size, count)


def endless(config: Config) -> Iterator[Batch]:
    """The same as an iterator of TensorFlow's."""
    stacked = Batch(*(tf.stack(part) for part in zip(*batches_of(config, 20), strict=True)))
    return iter(tf.data.Dataset.from_tensor_slices(stacked).repeat().prefetch(2))


def train(trainer: Trainer, steps: int) -> list[Tensors]:
    """The metrics of each step."""
    taken = itertools.islice(itertools.cycle(batches_of(trainer.config, 20)), steps)
    return [measured(trainer.train_step(batch)) for batch in taken]


# The checks: each returns what was seen, or raises an AssertionError that says what is wrong


def check_device(setup: Setup) -> str:
    """The weights are on the GPU, and it has memory growth."""
    trainer = setup.trainer()
    train(trainer, 1)
    place = trainer.discriminator.weights[0].value.device
    assert setup.devices[0].split(":", 1)[1] in place, f"Weights are on {place}."
    if not gpus():
        return describe_device()
    for gpu in gpus():
        growing = tf.config.experimental.get_memory_growth(gpu)
        assert growing, f"{gpu.name} has taken all of its memory at once."
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return f"{describe_device(len(gpus()))}; a step takes {peak / 2**20:.0f} MB"


@functools.cache
def trained_on_all(setup: Setup) -> tuple[Trainer, Tensors]:
    """A trainer on all devices after the steps to compare, and the metrics of the last."""
    if setup.strategy is None:
        raise Skipped("one device")
    with comparable():
        trainer = setup.trainer(setup.strategy, drop_rate=0.0, learning_rate=COMPARED_RATE)
        return trainer, train(trainer, setup.steps)[-1]


def check_several_devices(setup: Setup) -> str:
    """All of them, each with its part of the batch, end where one with the whole of it does."""
    several, metrics = trained_on_all(setup)
    with comparable():
        one = setup.trainer(drop_rate=0.0, learning_rate=COMPARED_RATE)
        expected = train(one, setup.steps)[-1]
    return assert_same(tensors_of(several) | metrics, tensors_of(one) | expected)


def check_checkpoint(setup: Setup) -> str:
    """One device goes on from a checkpoint of several."""
    several, _ = trained_on_all(setup)
    one = setup.trainer(drop_rate=0.0)
    with tempfile.TemporaryDirectory() as directory:
        path = several.state.checkpoint.write(f"{directory}/checkpoint")
        one.state.checkpoint.read(path).assert_consumed()
    seen = assert_same(tensors_of(one), tensors_of(several), 0.0)
    train(one, 2)
    assert int(one.step) == setup.steps + 2, f"It is at step {int(one.step)}."
    return seen


def check_against_cpu(setup: Setup) -> str:
    """The gradients of one step, on the device and on the CPU, with each kind of layers."""
    if setup.devices[-1].endswith("CPU:0"):
        raise Skipped("no GPU")
    seen = []
    for layers in ("article", "pooled", "vgg"):
        found = []
        for device in (setup.devices[-1], "CPU:0"):
            with comparable(given_noise=True), tf.device(device):
                trainer = setup.trainer(discriminator=layers)
                metrics = train(trainer, 1)[-1]
                found.append(gradients_of(trainer) | metrics)
        seen.append(f"{layers}: {assert_same(*found)}")
    return "; ".join(seen)


def check_precision(setup: Setup, precision: str) -> str:
    """The supervised loss falls, and everything stays finite."""
    trainer = setup.trainer(precision=precision)
    metrics = train(trainer, setup.training_steps)
    for step, (tag, value) in itertools.chain.from_iterable(
        ((step, item) for item in row.items()) for step, row in enumerate(metrics, 1)
    ):
        may_overflow = precision == "float16" and "grad_norm" in tag  # and the step is left out
        assert np.isfinite(value) or may_overflow, f"{tag} is {value} at step {step}."
    losses = [float(row["losses/supervised"]) for row in metrics]
    first, last = np.mean(losses[:10]), np.mean(losses[-10:])
    assert last < 0.9 * first, f"The supervised loss is {first:.2f} at first, {last:.2f} at last."
    return f"supervised loss {first:.2f} -> {last:.2f} in {len(losses)} steps"


def check_xla(setup: Setup) -> str:
    """The losses of five steps, compiled or not."""
    with comparable(given_noise=True):
        found, expected = (
            train(setup.trainer(jit_compile=jit), 5)[-1] for jit in ("true", "false")
        )
    return assert_same(found, expected)


def check_steps_per_call(setup: Setup) -> str:
    """20 steps in one call end where 20 calls do."""
    with comparable():
        together, singly = setup.trainer(), setup.trainer()
        loop = Loop(together, endless(setup.config), Path())
        metrics, _ = loop.take(20, loop.zeros())
        expected = train(singly, 20)[-1]
    return assert_same(tensors_of(together) | measured(metrics), tensors_of(singly) | expected)


def check_export(setup: Setup) -> str:
    """The SavedModel of a run in bfloat16 gives what the same weights give in float32."""
    trainer = setup.trainer(precision="bfloat16")
    train(trainer, 2)
    plain = setup.trainer()
    plain.state.classifier.set_weights(trainer.state.classifier.get_weights())
    images = batches_of(setup.config, 20)[0].images
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "saved_model"
        saved_model.save(
            path, *trainer.state.models_to_export(), [str(digit) for digit in range(10)]
        )
        loaded = tf.saved_model.load(str(path))
        logits = loaded.signatures["serving_default"](images=images)["logits"].numpy()
    expected = plain.state.classifier(scale(images)).class_logits.numpy()
    return assert_same({"logits": logits}, {"logits": expected})


def check_run(setup: Setup) -> str:
    """`train` as users call it: its default compilation, data from files, one run and its end."""
    trained_on = contextlib.nullcontext() if gpus() else tf.device(setup.devices[-1])
    with tempfile.TemporaryDirectory() as name, trained_on:
        directory = Path(name)
        batch_size, per_class = sizes_of_run(len(setup.devices))
        write_images(directory / "images", per_class)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for epochs in (1, 2):  # the second goes on from the checkpoint of the first
                config = Config(
                    preset="article",
                    dataset=f"folder:{directory / 'images'}",
                    run_dir=str(directory / "run"),
                    cache_dir=str(directory / "cache"),
                    labeled="all",
                    batch_size=batch_size,
                    labeled_batch_size=0,
                    image_size=16,
                    steps=0,
                    epochs=epochs,
                    generator_width=setup.config.generator_width,
                    discriminator_width=setup.config.discriminator_width,
                    jit_compile="auto" if gpus() else "true",
                )
                results = train_and_evaluate(config)
        assert "XLA cannot" not in said.getvalue(), next(
            line for line in said.getvalue().splitlines() if "XLA cannot" in line
        )
        return f"{results['steps']} steps in two runs, test accuracy {results['test_accuracy']:.0%}"


def sizes_of_run(devices: int) -> tuple[int, int]:
    """The batch, which the devices can share, and the training images of each of three classes."""
    batch_size = -(-20 // devices) * devices
    return batch_size, batch_size  # three steps an epoch


def write_images(directory: Path, per_class: int) -> None:
    """Images of each of three classes for training, and two of each for the test; noise."""
    rng = np.random.default_rng(0)
    for part, count in (("train", per_class), ("test", 2)):
        for label in "abc":
            (directory / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(directory / part / label / f"{number}.png")


CHECKS: dict[str, Callable[[Setup], str]] = {
    "the device is used, its memory grows on demand": check_device,
    "all devices do what one does": check_several_devices,
    "a checkpoint of all devices goes on with one": check_checkpoint,
    "device and CPU have the same gradients": check_against_cpu,
    **{
        f"{precision} trains": functools.partial(check_precision, precision=precision)
        for precision in PRECISIONS
    },
    "XLA has the same losses": check_xla,
    "20 steps a call are 20 steps": check_steps_per_call,
    "an export has the same logits": check_export,
    "a run trains, is made longer, and exports": check_run,
}


# Speed: numbers, neither right nor wrong


def images_per_second(trainer: Trainer, steps_per_call: int, seconds: float) -> float:
    """Of real images; labeled ones of the second batch are not counted."""
    loop = Loop(trainer, endless(trainer.config), Path())
    sums = loop.zeros()

    def call() -> None:
        loop.take(steps_per_call, sums)[0]["losses/discriminator"].numpy()

    call()  # traced and compiled
    call()
    start, steps = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < seconds:
        call()
        steps += steps_per_call
    return steps * trainer.config.batch_size / taken
