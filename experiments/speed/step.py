"""The train step alone: what it has to compute, and how fast it is beside a matrix product."""

import math
import os
import statistics
from collections.abc import Callable
from typing import Any, cast

from experiments.speed.timing import Result, all_of, alternate, quartiles, ratios, repeat
from ssgan_tf.config import Config  # the package first: it sets what TensorFlow reads at its import

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from ssgan_tf.data.dataset import Batch
from ssgan_tf.training.step import Trainer


def multiply_adds(model: keras.Model, input_shape: tuple[Any, ...]) -> int:
    """Of the forward pass of one image through convolutions and products, padding counted.

    A convolution takes its whole kernel to each pixel of its output, a transpose convolution to
    each pixel of its input.

    Args:
        model: a chain of layers, which has them in the order of the computation; the article's.
        input_shape: with None for the batch: (None, S, S, channels) or (None, latent_dim).
    """
    total, shape = 0, input_shape
    for layer in cast(list[Any], model.layers):  # the stubs do not know of their kernels
        kernel_size = math.prod(layer.kernel.shape) if hasattr(layer, "kernel") else 0
        if isinstance(layer, keras.layers.Dense):
            total += kernel_size
            shape = (None, layer.units)
        elif isinstance(layer, keras.layers.Conv2D):
            shape = layer.compute_output_shape(shape)
            total += kernel_size * shape[1] * shape[2]
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            if len(shape) == 2:  # what the dense layer gave, reshaped
                filters = layer.kernel.shape[-1]
                side = math.isqrt(shape[1] // filters)
                shape = (None, side, side, filters)
            total += kernel_size * shape[1] * shape[2]
            shape = layer.compute_output_shape(shape)
    return total


def gflop_per_step(trainer: Trainer) -> float:
    """2 B (7 D + 3 G) / 1e9; see the docstring of `benchmark`."""
    config, discriminator = trainer.config, trainer.discriminator
    image_shape = (None, config.image_size, config.image_size, discriminator.channels)
    d = multiply_adds(discriminator, image_shape)
    g = multiply_adds(trainer.generator, (None, config.latent_dim))
    return 2 * config.batch_size * (7 * d + 3 * g) / 1e9


def random_batch(config: Config) -> Batch:
    """Noise of the shape of what a step is given; half of it is labeled."""
    rng, size, labeled = np.random.default_rng(0), config.batch_size, config.labeled_batch_size
    shape = (config.image_size, config.image_size, 3)
    return Batch(
        images=tf.constant(rng.integers(0, 256, (size, *shape), np.uint8)),
        labels=tf.constant(rng.integers(0, 10, size)),
        label_mask=tf.constant(np.arange(size) % 2, tf.float32),
        labeled_images=tf.constant(rng.integers(0, 256, (labeled, *shape), np.uint8)),
        labeled_labels=tf.constant(rng.integers(0, 10, labeled)),
    )


def matrix_product(dtype: str) -> tuple[Callable[[], object], float]:
    """A square product of 512 and up, large enough to take 20 ms, and how many GFLOP it is."""
    size = 512
    while True:
        matrix = tf.cast(tf.random.stateless_normal((size, size), (0, 0)), dtype)
        product = tf.function(lambda matrix: tf.reduce_sum(tf.linalg.matmul(matrix, matrix)[:1]))

        def multiply(matrix: tf.Tensor = matrix, product: Callable = product) -> None:
            product(matrix).numpy()

        repeat(multiply, 0.0, 2)
        if size == 8192 or min(repeat(multiply, 0.0, 3)) > 0.02:
            return multiply, 2 * size**3 / 1e9
        size *= 2


def measure_step(config: Config, seconds: float) -> Result:
    """The step on one batch again and again, in turn with the matrix product."""
    trainer, batch = Trainer(config, num_classes=10), random_batch(config)

    def step() -> None:
        trainer.train_step(batch)["losses/discriminator"].numpy()

    multiply, product_gflop = matrix_product(trainer.discriminator.conv1.compute_dtype)
    blocks = alternate({"step": step, "multiply": multiply}, seconds)
    step_gflop = gflop_per_step(trainer)
    fractions = [
        ratio * step_gflop / product_gflop for ratio in ratios(blocks["multiply"], blocks["step"])
    ]
    steps = [1000 * value for value in all_of(blocks["step"])]
    limit = product_gflop / statistics.median(all_of(blocks["multiply"]))
    return {
        "drop_rate": config.drop_rate,
        "step_ms": round(statistics.median(steps), 2),
        "step_ms_quartiles": quartiles(steps, 2),
        "steps_measured": len(steps),
        "images_per_second": round(1000 * config.batch_size / statistics.median(steps), 1),
        "gflop_per_step": round(step_gflop, 3),
        "limit_gflops": round(limit, 1),
        "fraction_of_limit": round(statistics.median(fractions), 3),
        "fraction_quartiles": quartiles(fractions, 3),
    }
