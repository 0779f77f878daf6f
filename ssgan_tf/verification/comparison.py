"""Compares two computations of the same training: on other devices, compiled or not.

How results are compared: the norm of each tensor's difference, as a fraction of its norm. On two
CPU devices rounding gives up to 4e-4 after 20 steps of Adam; the errors in the mathematics that
were tried (batch norm with the statistics of each device's own images, gradients not added up, a
loss not divided among the devices) give 1 and more. For that TF32 is off, which rounds inputs to
10 bits, and three things that magnify a rounding error are removed (`comparable`).
"""

import contextlib
import re
from collections.abc import Iterator
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from ssgan_tf.models import discriminator, generator
from ssgan_tf.training.noise import Noise
from ssgan_tf.training.step import Trainer

TOLERANCE = 5e-3
BIAS_BEFORE_BATCH_NORM = re.compile(r"discriminator/conv[2-6]/bias|generator/deconv[12]/bias")

Tensors = dict[str, np.ndarray]


def measured(metrics: dict[str, tf.Tensor]) -> Tensors:
    """The metrics but for the number of correct answers, which a rounding error may change."""
    return {tag: value.numpy() for tag, value in metrics.items() if tag != "labeled_correct"}


def tensors_of(trainer: Trainer) -> Tensors:
    """All weights."""
    assert trainer.generator is not None and trainer.averaged is not None
    found = {weight.path: weight.numpy() for weight in trainer.discriminator.weights}
    found |= {weight.path: weight.numpy() for weight in trainer.generator.weights}
    return found | {f"mean/{weight.path}": weight.numpy() for weight in trainer.averaged.weights}


def gradients_of(trainer: Trainer) -> Tensors:
    """Half of each gradient, after the first step: what Adam's first moment is then."""
    assert trainer.generator is not None
    networks = (trainer.discriminator, trainer.generator)
    return {
        weight.path: moment.numpy()
        for model, adam in zip(networks, trainer.state.optimizers(), strict=True)
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
            differ elsewhere, and with XLA they do.
    """
    apply, noise = Trainer._apply, Trainer.noise

    def same_noise(self: Trainer, batch_size: int | tf.Tensor) -> Noise:
        shape = (self.config.batch_size, self.config.latent_dim)
        return Noise(
            tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32), None, None
        )

    def apply_true_gradients(
        self: Trainer, optimizer: keras.optimizers.Optimizer, gradients: dict
    ) -> None:
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
    """Compares tensor by tensor; returns the largest difference as text."""
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
