"""The random inputs of a train step, a pure function of (run seed, step)."""

from typing import Any, NamedTuple

import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.data.augment import Seeds
from ssgan_tf.system.replicas import my_part, replica

random: Any = tf.random  # its stubs are wrong: `fold_in` returns a tensor


class Noise(NamedTuple):
    """What one step draws.

    Attributes:
        z: (B, latent_dim) float32, N(0, 1).
        real_dropout_seed: (2,) int32, for the discriminator's pass over real images.
        fake_dropout_seed: (2,) int32, for its pass over fakes. None, in tests: no dropout.
        real: of the changes that real images are shown with.
        teacher: of those of the same images for the averaged classifier, which sees neither other
            colors nor gray squares.
        fake: of those of the fakes.
    """

    z: tf.Tensor
    real_dropout_seed: tf.Tensor | None
    fake_dropout_seed: tf.Tensor | None
    real: Seeds = Seeds()
    teacher: Seeds = Seeds()
    fake: Seeds = Seeds()


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
    # Seeds of their own: z and dropout are the same with augmentation and without.
    real_shift, teacher_shift, real_color = tf.unstack(
        random.split(random.fold_in(step_seed, 1), 3)
    )
    real_flip, teacher_flip = tf.unstack(random.split(random.fold_in(step_seed, 2), 2))
    real_cutout, *fake = tf.unstack(random.split(random.fold_in(step_seed, 3), 5))
    return Noise(
        z,
        real_seed,
        fake_seed,
        real=Seeds(real_shift, real_flip, real_color, real_cutout),
        teacher=Seeds(teacher_shift, teacher_flip),
        fake=Seeds(*fake),
    )
