"""Does everything that needs a GPU work on this machine? One table, pass or fail for each row.

What it shows: what could not be tried where this was written, for want of a GPU. The device is
used and its memory grows on demand; all devices together do what one does; a GPU computes what the
CPU does; every precision trains; XLA and `--steps_per_call` change nothing; a checkpoint of
several devices goes on with one; an export says what its classifier says. Then how fast it is.
Images are synthetic, nothing is downloaded.

    python -m experiments.verify_gpu
    python -m experiments.verify_gpu --cpu_devices=2 --quick    # tries the program, without a GPU

Cost: on a GPU ten minutes at most, by estimate. Expected: no row says FAIL, the exit status is 0.

How results are compared: the norm of each tensor's difference, as a fraction of its norm. On two
CPU devices rounding gives up to 4e-4 after 20 steps of Adam; the errors in the mathematics that
were tried (batch norm with the statistics of each device's own images, gradients not added up, a
loss not divided among the devices) give 1 and more. For that TF32 is off, which rounds inputs to
10 bits, and three things that make much of a rounding error are out of the way (`comparable`).
"""

import argparse
import contextlib
import functools
import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from ssgan_tf.config import Config  # the package first: it sets what TensorFlow reads at its import
from ssgan_tf.device import describe_device, prepare_device, quiet_start

with quiet_start():
    import numpy as np
    import tensorflow as tf

from ssgan_tf import discriminator, generator, saved_model
from ssgan_tf.trainer import Batch, Noise, Trainer, scale

TOLERANCE = 5e-3
PRECISIONS = ("float32", "bfloat16", "float16")
BIAS_BEFORE_BATCH_NORM = re.compile(r"discriminator/conv[2-6]/bias|generator/deconv[12]/bias")

Tensors = dict[str, np.ndarray]


class Skipped(Exception):  # noqa: N818 - nothing has gone wrong
    """Why a check has nothing to do here."""


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
        "tuned",  # the preset with everything in it
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


def measured(metrics: dict[str, tf.Tensor]) -> Tensors:
    """Without the number of right answers, of which a rounding error may change one."""
    return {tag: value.numpy() for tag, value in metrics.items() if tag != "labeled_correct"}


def tensors_of(trainer: Trainer) -> Tensors:
    """All weights."""
    found = {weight.path: weight.numpy() for weight in trainer.discriminator.weights}
    found |= {weight.path: weight.numpy() for weight in trainer.generator.weights}
    return found | {f"mean/{weight.path}": weight.numpy() for weight in trainer.averaged.weights}


def gradients_of(trainer: Trainer) -> Tensors:
    """Half of each gradient, after the first step: what Adam's first moment is then."""
    return {
        weight.path: moment.numpy()
        for model, adam in (
            (trainer.discriminator, trainer.discriminator_optimizer),
            (trainer.generator, trainer.generator_optimizer),
        )
        for weight, moment in zip(model.trainable_variables, adam._momentums, strict=True)
    }


@contextlib.contextmanager
def comparable(given_noise: bool = False) -> Iterator[None]:
    """Networks of which two computations can be compared after many steps.

    A leaky ReLU within rounding of 0 may take the other slope: a smooth activation is in its place.
    The true gradient of a bias in front of a batch norm is zero, and Adam makes whole steps of its
    rounding errors: such biases stay as they are. Dropout has other masks on every device: see
    `drop_rate` where this is used.

    Args:
        given_noise: the same z in every step, no dropout, images not augmented: random numbers may
            be others elsewhere, and with XLA they are.
    """
    apply, noise = Trainer._apply, Trainer.noise

    def same_noise(self: Trainer, batch_size: int | tf.Tensor) -> Noise:
        shape = (self.config.batch_size, self.config.latent_dim)
        return Noise(
            tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32), None, None
        )

    def apply_true_gradients(self: Trainer, optimizer: object, gradients: dict) -> None:
        true = {
            path: gradient
            for path, gradient in gradients.items()
            if not BIAS_BEFORE_BATCH_NORM.fullmatch(path)
        }
        apply(self, optimizer, true)

    with (
        mock.patch.object(discriminator, "leaky_relu", tf.nn.silu),
        mock.patch.object(generator, "leaky_relu", tf.nn.silu),
        mock.patch.object(Trainer, "_apply", apply_true_gradients),
        mock.patch.object(Trainer, "noise", same_noise if given_noise else noise),
    ):
        yield


def assert_same(found: Tensors, expected: Tensors, tolerance: float = TOLERANCE) -> str:
    """Compares tensor by tensor; returns the largest difference in words."""
    assert found.keys() == expected.keys(), "There are other tensors."
    largest, where = 0.0, ""
    for path, value in expected.items():
        size, difference = np.linalg.norm(value), np.linalg.norm(found[path] - value)
        assert np.isfinite(difference), f"{path} is not finite."
        fraction = difference / size if size else difference
        if fraction > largest:
            largest, where = fraction, path
    assert largest <= tolerance, f"{where} differs by {largest:.1e} of its norm."
    return f"largest difference {largest:.0e} of the norm ({where})" if largest else "no difference"


# The checks: each returns what was seen, or raises an AssertionError that says it


def check_device(setup: Setup) -> str:
    """The weights are on the GPU, and it has memory growth."""
    trainer = setup.trainer()
    train(trainer, 1)
    place = trainer.discriminator.conv1.kernel.value.device
    assert setup.devices[0].split(":", 1)[1] in place, f"Weights are on {place}."
    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return describe_device()
    for gpu in gpus:
        growing = tf.config.experimental.get_memory_growth(gpu)
        assert growing, f"{gpu.name} has taken all of its memory at once."
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return f"{describe_device(len(gpus))}; a step takes {peak / 2**20:.0f} MB"


@functools.cache
def trained_on_all(setup: Setup) -> tuple[Trainer, Tensors]:
    """A trainer on all devices after the steps to compare, and the metrics of the last."""
    if setup.strategy is None:
        raise Skipped("one device")
    with comparable():
        trainer = setup.trainer(setup.strategy, drop_rate=0.0)
        return trainer, train(trainer, setup.steps)[-1]


def check_several_devices(setup: Setup) -> str:
    """All of them, each with its part of the batch, end where one with the whole of it does."""
    several, metrics = trained_on_all(setup)
    with comparable():
        one = setup.trainer(drop_rate=0.0)
        expected = train(one, setup.steps)[-1]
    return assert_same(tensors_of(several) | metrics, tensors_of(one) | expected)


def check_checkpoint(setup: Setup) -> str:
    """One device goes on from a checkpoint of several."""
    several, _ = trained_on_all(setup)
    one = setup.trainer(drop_rate=0.0)
    with tempfile.TemporaryDirectory() as directory:
        path = several.checkpoint.write(f"{directory}/checkpoint")
        one.checkpoint.read(path).assert_consumed()
    seen = assert_same(tensors_of(one), tensors_of(several), 0.0)
    train(one, 2)
    assert int(one.step) == setup.steps + 2, f"It is at step {int(one.step)}."
    return seen


def check_against_cpu(setup: Setup) -> str:
    """The gradients of one step, on the device and on the CPU."""
    if setup.devices[-1].endswith("CPU:0"):
        raise Skipped("no GPU")
    found = []
    for device in (setup.devices[-1], "CPU:0"):
        with comparable(given_noise=True), tf.device(device):
            trainer = setup.trainer()
            metrics = train(trainer, 1)[-1]
            found.append(gradients_of(trainer) | metrics)
    return assert_same(*found)


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
        found = [train(setup.trainer(jit_compile=jit), 5)[-1] for jit in ("true", "false")]
    return assert_same(*found)


def check_steps_per_call(setup: Setup) -> str:
    """20 steps in one call end where 20 calls do."""
    with comparable():
        together, singly = setup.trainer(), setup.trainer()
        sums = together.no_metrics(batches_of(setup.config, 20)[0])
        metrics, _ = together.train_steps(endless(setup.config), tf.constant(20), sums)
        expected = train(singly, 20)[-1]
    return assert_same(tensors_of(together) | measured(metrics), tensors_of(singly) | expected)


def check_export(setup: Setup) -> str:
    """The SavedModel of a run in bfloat16 says what the same weights say in float32."""
    trainer = setup.trainer(precision="bfloat16")
    train(trainer, 2)
    plain = setup.trainer()
    plain.classifier.set_weights(trainer.classifier.get_weights())
    images = batches_of(setup.config, 20)[0].images
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "saved_model"
        saved_model.save(path, *trainer.models_to_export(), [str(digit) for digit in range(10)])
        loaded = tf.saved_model.load(str(path))
        logits = loaded.signatures["serving_default"](images=images)["logits"].numpy()
    expected = plain.classifier(scale(images)).class_logits.numpy()
    return assert_same({"logits": logits}, {"logits": expected})


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
}


def run_checks(setup: Setup) -> int:
    """Prints a row for each check; returns how many failed."""
    failed = 0
    print("| check | result | seen | s |\n|---|---|---|---|")
    for name, check in CHECKS.items():
        start = time.monotonic()
        try:
            result, seen = "pass", check(setup)
        except Skipped as reason:
            result, seen = "-", f"skipped: {reason}"
        except Exception as error:  # whatever it is, the other rows are wanted, too
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            result, seen = "FAIL", kind + (str(error).strip().splitlines() or ["no message"])[0]
            failed += 1
        print(f"| {name} | {result} | {seen} | {time.monotonic() - start:.0f} |", flush=True)
    return failed


# Speed: numbers, neither right nor wrong


def images_per_second(trainer: Trainer, steps_per_call: int, seconds: float) -> float:
    """Of real images; labelled ones of the second batch are not counted."""
    source, count = endless(trainer.config), tf.constant(steps_per_call)
    sums = trainer.no_metrics(batches_of(trainer.config, 20)[0])

    def call() -> None:
        trainer.train_steps(source, count, sums)[0]["losses/discriminator"].numpy()

    call()  # traced and compiled
    call()
    start, steps = time.perf_counter(), 0
    while (taken := time.perf_counter() - start) < seconds:
        call()
        steps += steps_per_call
    return steps * trainer.config.batch_size / taken


def print_speed(setup: Setup) -> None:
    """A row for each precision with and without XLA, and for all devices together."""
    batch_size, labeled = setup.config.batch_size, setup.config.labeled_batch_size
    rows = [(jit, None) for jit in ("false", "true")]
    if setup.strategy:
        rows.append(("false", setup.strategy))
    print(f"\nImages/s, batch {batch_size} for each device:\n")
    print("| precision | XLA | devices | 1 step a call | 20 steps a call |\n|---|---|---|---|---|")
    for precision, (jit, strategy) in itertools.product(setup.precisions, rows):
        number = len(setup.devices) if strategy else 1
        cells = []
        try:
            trainer = setup.trainer(
                strategy,
                precision=precision,
                jit_compile=jit,
                batch_size=number * batch_size,
                labeled_batch_size=number * labeled,
            )
            for steps in (1, 20):
                cells.append(f"{images_per_second(trainer, steps, setup.seconds):,.0f}")
        except Exception as error:  # such as memory; the check above has failed then
            cells += [type(error).__name__] * (2 - len(cells))
        xla = "yes" if jit == "true" else "no"
        print(f"| {precision} | {xla} | {number} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Checks, speed; exit status 1 if a check fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu_devices", type=int, default=0, help="so many CPU devices, no GPU")
    parser.add_argument("--quick", action="store_true", help="narrow networks, small batches")
    arguments = parser.parse_args()
    os.environ.pop("TF_CONFIG", None)  # this machine alone
    setup = make_setup(arguments.cpu_devices, arguments.quick)
    if not tf.config.list_logical_devices("GPU"):
        print("There is no GPU here: this tries the program, and proves nothing of GPUs.\n")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    failed = run_checks(setup)
    tf.config.experimental.enable_tensor_float_32_execution(True)  # as in training
    print_speed(setup)
    if failed:
        sys.exit(f"\n{failed} of {len(CHECKS)} checks failed.")


if __name__ == "__main__":
    main()
