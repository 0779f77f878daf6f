"""The random inputs of a train step, a pure function of (run seed, step)."""

from typing import Any, NamedTuple

import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.system.replicas import my_part, replica

random: Any = tf.random  # its stubs are wrong: `fold_in` returns a tensor


class Noise(NamedTuple):
    """What one step draws.

    Attributes:
        z: (B, latent_dim) float32, N(0, 1).
        real_dropout_seed: (2,) int32, for the discriminator's pass over real images.
        fake_dropout_seed: (2,) int32, for its pass over fakes. None, in tests: no dropout.
        shift_seed: (2,) int32, for the shifts of the real images; None: no shifts.
        teacher_shift_seed: (2,) int32, for those of what the averaged classifier sees.
        color_seed: (2,) int32, for the changes of color of the real images; None: no changes.
        flip_seed: (2,) int32, for which real images are mirrored; None: none.
        teacher_flip_seed: (2,) int32, for which of those that the averaged classifier sees.
    """

    z: tf.Tensor
    real_dropout_seed: tf.Tensor | None
    fake_dropout_seed: tf.Tensor | None
    shift_seed: tf.Tensor | None = None
    teacher_shift_seed: tf.Tensor | None = None
    color_seed: tf.Tensor | None = None
    flip_seed: tf.Tensor | None = None
    teacher_flip_seed: tf.Tensor | None = None


def draw_noise(config: Config, step: tf.Tensor, batch_size: int | tf.Tensor) -> Noise:
    """Random inputs from stateless seeds of (run seed, step).

    Args:
        config: of the run.
        step: steps taken, scalar int64.
        batch_size: B of the global batch, of which every replica takes its part of z; each has
            dropout masks of its own.
    """
    step_seed = random.fold_in(tf.constant([config.seed, 0]), step)
    z_seed, real_seed, fake_seed = tf.unstack(random.split(step_seed, 3))
    z = my_part(random.stateless_normal((batch_size, config.latent_dim), z_seed))
    index, replicas = replica()
    if replicas > 1:
        real_seed = random.fold_in(real_seed, index)
        fake_seed = random.fold_in(fake_seed, index)
    # Drawn apart, so that what the article has does not depend on what it has not.
    other_seeds = tf.unstack(random.split(random.fold_in(step_seed, 1), 3))
    flip_seeds = tf.unstack(random.split(random.fold_in(step_seed, 2), 2))
    return Noise(z, real_seed, fake_seed, *other_seeds, *flip_seeds)
