"""`--preset=notebook` computes what the article's TensorFlow 1 graph computes.

The graph is built here a second time, in TensorFlow 1's graph mode, from the article's tables and
with nothing of this package: plain operations, batch norm from moments, logsumexp written out,
TensorFlow 1's own Adam. Weights, images, labels, mask and z are the same on both sides.

The article's side computes in float64, so that all that is measured is this package's rounding.
"""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.data.dataset import Batch
from ssgan_tf.training.noise import Noise
from ssgan_tf.training.step import Trainer

tf1 = tf.compat.v1

K, LATENT_DIM, SMOOTH = 10, 100, 0.1
LEARNING_RATE, BETA_1 = 3e-4, 0.5
DTYPE = tf.float64

# A batch norm takes the mean away and with it any constant that the convolution before it adds, so
# the true gradient of these biases is zero and both sides compute rounding noise. (Not so for the
# bias of the generator's dense layer: it differs from place to place within a channel.)
BIASES_WITHOUT_EFFECT = {
    *(f"discriminator/conv{index}/bias" for index in (2, 3, 4, 5)),
    *(f"generator/deconv{index}/bias" for index in (1, 2)),
}
# conv7 reads conv5, so nothing follows from conv6.
DEAD = {
    *(f"discriminator/conv6/{name}" for name in ("kernel", "bias")),
    *(f"discriminator/bn6/{name}" for name in ("gamma", "beta")),
}

Arrays = dict[str, np.ndarray]


class Inputs(NamedTuple):
    """What both sides are given."""

    images: np.ndarray  # (B, 32, 32, 3) uint8
    labels: np.ndarray  # (B,) int64
    label_mask: np.ndarray  # (B,) float32
    z: np.ndarray  # (B, 100) float32


class Results(NamedTuple):
    """What one side computes, by the names of the trainer's metrics and variables."""

    losses: Arrays
    gradients: Arrays
    fakes: np.ndarray
    updated: Arrays  # trainable weights after the first update
    updated_again: Arrays  # and after the second


class Pair(NamedTuple):
    """The same two steps on both sides."""

    start: Arrays  # trainable weights before them
    article: Results
    ours: Results


# ------------------------------------------------------------------------- the article's graph


def variable(name: str, shape: tuple[int, ...]) -> tf.Variable:
    return tf1.get_variable(name, shape, DTYPE, tf1.zeros_initializer())


def lrelu(x: tf.Tensor) -> tf.Tensor:
    tf1.add_to_collection("kinks", tf.reduce_min(tf.abs(x)))
    return tf.maximum(0.2 * x, x)


def dense(x: tf.Tensor, units: int, name: str) -> tf.Tensor:
    with tf1.variable_scope(name):
        kernel = variable("kernel", (x.shape[-1], units))
        return tf.matmul(x, kernel) + variable("bias", (units,))


def conv(x: tf.Tensor, filters: int, stride: int, name: str, padding: str = "SAME") -> tf.Tensor:
    with tf1.variable_scope(name):
        kernel = variable("kernel", (3, 3, x.shape[-1], filters))
        return tf.nn.conv2d(x, kernel, stride, padding) + variable("bias", (filters,))


def deconv(x: tf.Tensor, filters: int, name: str) -> tf.Tensor:
    batch, height, width, channels = x.shape
    with tf1.variable_scope(name):
        kernel = variable("kernel", (5, 5, filters, channels))
        shape = (batch, 2 * height, 2 * width, filters)
        return tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME") + variable("bias", (filters,))


def batch_norm(x: tf.Tensor, name: str) -> tf.Tensor:
    """By the batch's own statistics, always, as in the article's code."""
    with tf1.variable_scope(name):
        gamma, beta = (variable(part, (x.shape[-1],)) for part in ("gamma", "beta"))
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)


def generator(z: tf.Tensor, m_g: int) -> tf.Tensor:
    with tf1.variable_scope("generator"):
        x = tf.reshape(dense(z, 4 * 4 * 4 * m_g, "dense"), (-1, 4, 4, 4 * m_g))
        x = deconv(lrelu(batch_norm(x, "bn1")), 2 * m_g, "deconv1")
        x = deconv(lrelu(batch_norm(x, "bn2")), m_g, "deconv2")
        x = deconv(lrelu(batch_norm(x, "bn3")), 3, "deconv3")
        return tf.tanh(x)


def discriminator(images: tf.Tensor, m_d: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Class logits (B, K), the logit of "is real" (B,), features (B, 2 m_d)."""
    with tf1.variable_scope("discriminator", reuse=tf1.AUTO_REUSE):
        conv1 = lrelu(conv(images, m_d, 2, "conv1"))
        conv2 = lrelu(batch_norm(conv(conv1, m_d, 2, "conv2"), "bn2"))
        conv3 = lrelu(batch_norm(conv(conv2, m_d, 2, "conv3"), "bn3"))
        conv4 = lrelu(batch_norm(conv(conv3, 2 * m_d, 1, "conv4"), "bn4"))
        conv5 = lrelu(batch_norm(conv(conv4, 2 * m_d, 1, "conv5"), "bn5"))
        lrelu(batch_norm(conv(conv5, 2 * m_d, 2, "conv6"), "bn6"))  # leads nowhere
        conv7 = lrelu(conv(conv5, 2 * m_d, 1, "conv7", "VALID"))  # reads conv5
        features = tf.reduce_mean(conv7, [1, 2])
        logits = dense(features, K, "classifier")
    largest = tf.reduce_max(logits, 1, keepdims=True)
    gan_logit = tf1.log(tf.reduce_sum(tf.exp(logits - largest), 1)) + tf.squeeze(largest, 1)
    return logits, gan_logit, features


def sigmoid_loss(logit: tf.Tensor, target: float) -> tf.Tensor:
    labels = target * tf.ones_like(logit)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logit))


def run_article(steps: list[Inputs], start: Arrays, m_g: int, m_d: int) -> Results:
    """Two steps of the article's graph, from the weights `start`."""
    batch = len(steps[0].images)
    with tf1.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(DTYPE, (batch, 32, 32, 3))
        labels = tf1.placeholder(tf.int64, (batch,))
        label_mask = tf1.placeholder(DTYPE, (batch,))
        z = tf1.placeholder(DTYPE, (batch, LATENT_DIM))

        fakes = generator(z, m_g)
        logits, real_gan_logit, real_features = discriminator(images, m_d)
        _, fake_gan_logit, fake_features = discriminator(fakes, m_d)

        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        labeled = tf.maximum(tf.constant(1.0, DTYPE), tf.reduce_sum(label_mask))
        supervised = tf.reduce_sum(label_mask * cross_entropy) / labeled
        real_loss = sigmoid_loss(real_gan_logit, 1 - SMOOTH)
        fake_loss = sigmoid_loss(fake_gan_logit, 0)
        gap = tf.reduce_mean(real_features, 0) - tf.reduce_mean(fake_features, 0)
        tf1.add_to_collection("kinks", tf.reduce_min(tf.abs(gap)))
        losses = {
            "losses/supervised": supervised,
            "losses/unsupervised_real": real_loss,
            "losses/unsupervised_fake": fake_loss,
            "losses/discriminator": supervised + real_loss + fake_loss,
            "losses/generator": tf.reduce_mean(tf.abs(gap)),
        }

        # `minimize`, in its two halves, of which the first is looked at.
        gradients, updates = {}, []
        for network in ("discriminator", "generator"):
            optimizer = tf1.train.AdamOptimizer(LEARNING_RATE, beta1=BETA_1)
            pairs = optimizer.compute_gradients(
                losses[f"losses/{network}"], tf1.trainable_variables(network)
            )
            updates.append(optimizer.apply_gradients(pairs))
            gradients |= {v.op.name: gradient for gradient, v in pairs if gradient is not None}

        variables = {v.op.name: v for v in tf1.trainable_variables()}
        assert set(variables) == set(start)
        session.run(
            tf1.global_variables_initializer(),
            {v.initial_value: start[name] for name, v in variables.items()},
        )
        found = []
        for inputs in steps:
            feed = {  # bytes to [-1, 1]
                images: inputs.images / 255 * 2 - 1,
                labels: inputs.labels,
                label_mask: inputs.label_mask,
                z: inputs.z,
            }
            # Both updates in one call, as in the article: neither sees what the other has done.
            *computed, kinks, _ = session.run(
                (losses, gradients, fakes, tf1.get_collection("kinks"), updates), feed
            )
            found.append((*computed, session.run(variables), min(kinks)))
    # Where a leaky ReLU's input, or the gap of a feature, is 0, the gradient jumps. A value that
    # near to it would fall on the other side by rounding, and be a difference that says nothing.
    assert found[0][-1] > 1e-5, "choose another seed"
    return Results(*found[0][:-1], updated_again=found[1][-2])


# ------------------------------------------------------------------------------- this package


def trainable(trainer: Trainer) -> Arrays:
    return {weight.path: weight.numpy() for weight in trainable_variables(trainer)}


def trainable_variables(trainer: Trainer) -> list[keras.Variable]:
    return trainer.discriminator.trainable_variables + trainer.generator.trainable_variables


def draw_weights(trainer: Trainer, rng: np.random.Generator) -> None:
    """Biases and betas off 0 and gammas off 1, so that each of them matters."""
    for weight in trainable_variables(trainer):
        kernel = weight.path.endswith("kernel")
        scale = np.prod(weight.shape[:-1]) ** -0.5 if kernel else 0.2
        weight.assign(weight.path.endswith("gamma") + rng.normal(scale=scale, size=weight.shape))


def run_ours(trainer: Trainer, steps: list[Inputs]) -> Results:
    """Two steps of the trainer, its gradients taken on their way to the optimizers."""
    gradients: dict[str, tf.Tensor] = {}
    apply = trainer._apply

    def collect_and_apply(optimizer: keras.optimizers.Optimizer, found: dict) -> None:
        gradients.update({path: gradient for path, (gradient, _) in found.items()})
        apply(optimizer, found)

    # In a graph, as in training: there TensorFlow puts convolution, bias and leaky ReLU into one
    # kernel, which belongs to what is compared.
    @tf.function
    def update(batch: Batch, noise: Noise) -> tuple[dict, dict, tf.Tensor]:
        fakes = trainer.generator(noise.z, statistics="batch")
        metrics = trainer.semi_supervised_update(batch, noise)
        return metrics, gradients, fakes

    found = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(trainer, "_apply", collect_and_apply)
        for inputs in steps:
            batch = Batch(
                *(tf.constant(value) for value in inputs[:3]),
                labeled_images=tf.zeros((0, 32, 32, 3), tf.uint8),
                labeled_labels=tf.zeros((0,), tf.int64),
            )
            computed = update(batch, Noise(tf.constant(inputs.z), None, None))
            metrics, *others = tf.nest.map_structure(lambda value: value.numpy(), computed)
            losses = {name: value for name, value in metrics.items() if name.startswith("losses/")}
            found.append((losses, *others, trainable(trainer)))
    return Results(*found[0], updated_again=found[1][-1])


def random_inputs(batch: int, rng: np.random.Generator) -> Inputs:
    """Half of the images are labelled, in no order."""
    return Inputs(
        rng.integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8),
        rng.integers(0, K, batch),
        rng.permutation(np.arange(batch) % 2).astype(np.float32),
        rng.normal(size=(batch, LATENT_DIM)).astype(np.float32),
    )


# Widths m_g and m_d, batch size, seed.
@pytest.fixture(scope="module", params=[(8, 8, 16, 13), (32, 64, 4, 65)], ids=["narrow", "article"])
def pair(request: pytest.FixtureRequest) -> Pair:
    m_g, m_d, batch, seed = request.param
    rng = np.random.default_rng(seed)
    steps = [random_inputs(batch, rng) for _ in range(2)]
    config = Config.from_preset("notebook", generator_width=m_g, discriminator_width=m_d)
    with tf.device("CPU:0"):  # a GPU may round the inputs of a convolution to 10 bits
        trainer = Trainer(config, num_classes=K)
        draw_weights(trainer, rng)
        start = trainable(trainer)
        return Pair(start, run_article(steps, start, m_g, m_d), run_ours(trainer, steps))


# ------------------------------------------------------------------------------- the comparison


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, as a part of the largest value."""
    return np.abs(found - expected).max() / np.abs(expected).max()


def updates_off(pair: Pair, when: str) -> Arrays:
    """How far weights are from the article's, in learning rates: Adam's steps are about one.

    Without what never moves, and without the biases that have no effect: Adam divides a gradient
    by its own size, so it makes large steps of the rounding noise that stands in its place.
    """
    found, expected = getattr(pair.ours, when), getattr(pair.article, when)
    return {
        path: np.abs(found[path] - expected[path]) / LEARNING_RATE
        for path in expected
        if path not in BIASES_WITHOUT_EFFECT | DEAD
    }


def test_the_generator_makes_the_articles_images(pair: Pair) -> None:
    assert deviation(pair.ours.fakes, pair.article.fakes) < 1e-5


def test_both_losses_and_their_parts_are_the_articles(pair: Pair) -> None:
    assert set(pair.ours.losses) == set(pair.article.losses)
    for name, expected in pair.article.losses.items():
        assert pair.ours.losses[name] == pytest.approx(expected, rel=1e-5), name


def test_every_gradient_is_the_articles(pair: Pair) -> None:
    assert set(pair.ours.gradients) == set(pair.article.gradients)
    for path in set(pair.article.gradients) - BIASES_WITHOUT_EFFECT:
        assert deviation(pair.ours.gradients[path], pair.article.gradients[path]) < 1e-5, path


def test_biases_that_batch_norm_takes_away_have_no_gradient_but_rounding(pair: Pair) -> None:
    for gradients in (pair.ours.gradients, pair.article.gradients):
        for path in BIASES_WITHOUT_EFFECT:
            kernel = gradients[path.replace("bias", "kernel")]
            assert np.abs(gradients[path]).max() < 1e-5 * np.abs(kernel).max(), path


def test_conv6_has_no_gradient_and_does_not_move(pair: Pair) -> None:
    for side in (pair.ours, pair.article):
        assert set(pair.start) - set(side.gradients) == DEAD
        for path in DEAD:
            np.testing.assert_array_equal(side.updated_again[path], pair.start[path], err_msg=path)


def test_one_update_of_both_networks_leads_to_the_articles_weights(pair: Pair) -> None:
    for path, off in updates_off(pair, "updated").items():
        # Adam's first step is lr g / (|g| + 3e-7), so that near g = 0 the rounding of g is seen
        # best. A gradient that is right to 1e-5 of the largest one is right to 1% above 1e-3 of it.
        gradient = np.abs(pair.article.gradients[path])
        assert off[gradient > 1e-3 * gradient.max()].max() < 0.01, path
        assert off.max() < 0.2, path


def test_so_does_a_second_update(pair: Pair) -> None:
    """The first does not depend on beta_1: the mean of one gradient is that gradient."""
    # Not every weight: what the first update left to rounding moves the inputs of the second, and
    # one leaky ReLU on the other side of 0 is seen in all gradients below it.
    off = np.concatenate([value.ravel() for value in updates_off(pair, "updated_again").values()])
    assert np.mean(off < 0.01) > 0.95
