"""What changes in the course of a run, each a pure function of the step: rate, weights, momentum.

A run that is resumed has the same values at each step as one that was never interrupted, and a
control of as many steps has the same learning rates.
"""

import tensorflow as tf

from ssgan_tf.config import Config

STAIRS = 25  # of the exponential schedule where it spans the run; the article trains 25 epochs
DECAY = 0.9  # of the learning rate, from one stair to the next
RAMPED = "unsupervised"  # the term whose weight `--unsupervised_ramp` raises


def learning_rate(
    config: Config, step: tf.Tensor, steps_per_epoch: int, total_steps: int
) -> tf.Tensor:
    """Adam's learning rate.

    exponential, with `--epochs`: rate * 0.9 ** floor(step / steps_per_epoch), as in the article;
    with `--steps`: rate * 0.9 ** floor(25 * step / total_steps), which is the same at 25 epochs and
    does not depend on the number of images. linear: constant for the first half of the run, then
    down to 0.

    Args:
        config: of the run.
        step: steps taken, scalar int64, 0 <= step < `total_steps`.
        steps_per_epoch: > 0; of use with `--epochs` alone.
        total_steps: > 0.

    Returns:
        Scalar float32, > 0.
    """
    rate = tf.constant(config.learning_rate)
    if config.schedule == "exponential":
        stair = STAIRS * step // total_steps if config.steps else step // steps_per_epoch
        return rate * tf.pow(DECAY, tf.cast(stair, tf.float32))
    return rate * tf.minimum(1.0, 2.0 * (1.0 - _progress(step, total_steps)))


def in_words(config: Config) -> str:
    """What `learning_rate` does in this run, as in "x 0.9 after each epoch"."""
    every = f"1/{STAIRS} of the run" if config.steps else "epoch"
    return {
        "exponential": f"x {DECAY} after each {every}",
        "linear": "constant for the first half of the run, then down to 0",
    }[config.schedule]


def weight(term: str, config: Config, step: tf.Tensor, total_steps: int) -> tf.Tensor:
    """Weight of one of the discriminator's terms that need no labels.

    Args:
        term: "unsupervised" (the GAN's two terms) or "consistency".
        config: of the run.
        step: steps taken, scalar int64.
        total_steps: > 0.

    Returns:
        Scalar float32. That of `RAMPED` rises from 0 over the first `unsupervised_ramp` of all
        steps; that of the other term is constant.
    """
    value = tf.constant(getattr(config, f"{term}_weight"), tf.float32)
    if term != RAMPED or config.unsupervised_ramp == 0:
        return value
    return value * tf.minimum(1.0, _progress(step, total_steps) / config.unsupervised_ramp)


def average_decay(limit: float, step: tf.Tensor) -> tf.Tensor:
    """Decay of the average of the weights: `limit`, at most (1 + t) / (10 + t).

    Args:
        limit: `--ema_decay`.
        step: t, the number of updates before this one, scalar integer.

    Returns:
        Scalar float32. The average starts from the first weights, which are soon forgotten.
    """
    step = tf.cast(step, tf.float32)
    return tf.minimum(limit, (1.0 + step) / (10.0 + step))


def statistics_momentum(limit: float, updates: tf.Tensor) -> tf.Tensor:
    """Momentum of batch norm's moving averages: `limit`, at most t / (9 + t).

    The first update replaces what the averages start from, 0 and 1, which are no statistics: they
    are at any time an average of what was seen, of about the newest (t + 9) / 9 batches until
    `limit` is reached. That is `average_decay`, one update later.

    Args:
        limit: < 1, of a long run.
        updates: t, the number of updates before this one, scalar integer.

    Returns:
        Scalar float32.
    """
    updates = tf.cast(updates, tf.float32)
    return tf.minimum(limit, updates / (9.0 + updates))


def _progress(step: tf.Tensor, total_steps: int) -> tf.Tensor:
    """Steps taken / steps in all, scalar float32 in [0, 1)."""
    return tf.cast(step, tf.float32) / total_steps
