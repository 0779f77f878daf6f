"""A discriminator trained without any label: features for the very first suggestions."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssgan_tf.config import Config, UserError
from ssgan_tf.system.text import clock

if TYPE_CHECKING:
    from ssgan_tf.data.storage import Rows
    from ssgan_tf.models.discriminator import Discriminator
    from ssgan_tf.training.loop import Loop

STEPS = 1000
CLASSES = 10  # logits of the discriminator; they have no meaning here
_LINE_EVERY = 100  # steps
# The article's networks and losses. No label is used, so there is no labeled batch either.
RECIPE = {
    "preset": "article",
    "steps": STEPS,
    "batch_size": 0,
    "precision": "float32",
    "strategy": "none",
    "ema_decay": 0.99,
    "augment_shift": 0.0625,
}


def train_without_labels(
    images: "np.ndarray | Rows", seed: int = 0, **changes: object
) -> "Discriminator":
    """Trains on real against generated images alone.

    Without labels the supervised loss is 0. What is left are the discriminator's two terms, which
    ask whether an image is real, and the generator's feature matching.

    Args:
        images: (N, S, S, channels) uint8.
        seed: another one, other weights.
        changes: of `RECIPE`, such as narrower networks.

    Returns:
        The discriminator with the average of its weights, of use for its features alone.

    Raises:
        UserError: if there are fewer than two images, or training diverges.
    """
    from ssgan_tf.data import pipeline
    from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.training.loop import Loop
    from ssgan_tf.training.step import Trainer

    if len(images) < 2:
        raise UserError("--features=gan: needs at least two images; give --features=pixels.")
    config = Config(**(RECIPE | {"image_size": images.shape[1], "seed": seed} | changes))
    config = config.fit_to(len(images))
    every, none = np.arange(len(images)), np.zeros(0, np.int64)
    part = Split(images, np.full(len(images), UNKNOWN), every.astype(str))
    dataset = Dataset("", [str(k) for k in range(CLASSES)], part, part.take(none))
    batches = pipeline.training_batches(
        config, dataset, LabelSplit(none, every, none), 0, config.steps
    )
    trainer = Trainer(config, CLASSES, images.shape[-1], 1, config.steps)
    with tempfile.TemporaryDirectory() as nowhere:
        _train(Loop(trainer, iter(batches), Path(nowhere)), config.steps)
    return trainer.state.classifier


def _train(loop: "Loop", steps: int) -> None:
    """Takes the steps, with a line now and then that says how long it will take."""
    print(f"Training: {steps:,} steps without labels, for features (--features=gan)", flush=True)
    metrics, sums = loop.take(1, loop.zeros())  # compiled, and not timed
    float(metrics["losses/generator"])
    start, done = time.monotonic(), 1
    while done < steps:
        count = min(_LINE_EVERY, steps - done)
        metrics, sums = loop.take(count, sums)
        done += count
        d, g = (float(metrics[f"losses/{name}"]) for name in ("discriminator", "generator"))
        left = (time.monotonic() - start) / (done - 1) * (steps - done)
        print(
            f"step {done:>5}/{steps}  D {d:.3f} G {g:.4f}  {clock(left)} left",
            flush=True,
        )
