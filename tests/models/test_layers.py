import keras
import numpy as np
import tensorflow as tf

from ssgan_tf.models.layers import (
    BN_EPSILON,
    BN_MOMENTUM,
    BatchNorm,
    dropout,
    leaky_relu,
    max_pool,
)
from ssgan_tf.training.schedule import statistics_momentum


def test_leaky_relu_has_slope_one_fifth_and_that_gradient() -> None:
    x = tf.constant([-5.0, -1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = leaky_relu(x)
    np.testing.assert_allclose(y, [-1.0, -0.2, 2.0], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(y, x), [0.2, 0.2, 1.0], rtol=1e-6)


def test_max_pool_takes_the_largest_of_each_square_and_its_gradient_goes_there() -> None:
    values = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    x = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = max_pool(x)
    squares = values.reshape(2, 2, 2, 3, 2, 3)
    largest = squares.max(axis=(2, 4), keepdims=True)
    np.testing.assert_array_equal(y, largest[:, :, 0, :, 0])
    gradient = tape.gradient(y, x).numpy().reshape(squares.shape)
    np.testing.assert_array_equal(gradient, squares == largest)


def test_max_pool_of_what_is_not_a_number_is_none() -> None:
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(max_pool(x))[0, :, :, 0], [[False, True], [False] * 2])


def test_dropout_zeroes_its_rate_and_keeps_the_mean() -> None:
    x = tf.ones((200, 501))  # an odd number of elements: the last 16 random bits are left over
    y = dropout(x, 0.25, tf.constant([1, 2])).numpy()
    assert abs((y == 0).mean() - 0.25) < 0.005
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-5)


def test_dropout_is_a_function_of_its_seed_and_neighbours_are_independent() -> None:
    x = tf.ones((100, 100))
    first = dropout(x, 0.5, tf.constant([1, 2])).numpy() != 0
    np.testing.assert_array_equal(first, dropout(x, 0.5, tf.constant([1, 2])).numpy() != 0)
    other = dropout(x, 0.5, tf.constant([1, 3])).numpy() != 0
    assert 0.45 < (first == other).mean() < 0.55
    # Two elements share one 32-bit draw; they must not share their fate.
    assert 0.45 < (first[:, 0::2] == first[:, 1::2]).mean() < 0.55


def test_dropout_without_a_seed_or_without_a_rate_is_the_identity() -> None:
    x = tf.constant([1.0, 2.0])
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, tf.constant([1, 2])) is x


def test_batch_norm_normalises_by_the_batch_as_numpy_does() -> None:
    x = np.random.default_rng(0).normal(3, 2, (6, 4, 4, 5)).astype(np.float32)
    layer = BatchNorm()
    y = layer(x, statistics="batch")
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + BN_EPSILON), atol=1e-5)


def test_batch_norm_averages_move_only_when_asked_to_and_by_one_hundredth() -> None:
    x = np.random.default_rng(0).normal(3, 2, (6, 4, 4, 5)).astype(np.float32)
    layer = BatchNorm()
    layer(x, statistics="batch")
    layer(x, statistics="moving")
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(5))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(5))
    layer(x, statistics="batch_and_update")
    np.testing.assert_allclose(layer.moving_mean, 0.01 * x.mean((0, 1, 2)), rtol=1e-4)
    unbiased = x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.99 + 0.01 * unbiased, rtol=1e-4)


def normals(step: int) -> tf.Tensor:
    """A batch of mean 5 and variance 4, another one at each step."""
    rng = np.random.default_rng(step)
    return tf.constant(rng.normal(5, 2, (64, 8, 8, 3)), tf.float32)


def test_batch_norm_averages_are_those_of_the_data_after_75_corrected_updates() -> None:
    layer = BatchNorm()
    for step in range(75):
        momentum = statistics_momentum(BN_MOMENTUM, tf.constant(step))
        layer(normals(step), statistics="batch_and_update", momentum=momentum)
        if step == 0:  # nothing is left of 0 and 1
            expected = np.mean(normals(0), (0, 1, 2))
            np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, np.full(3, 5), rtol=0.01)
    np.testing.assert_allclose(layer.moving_variance, np.full(3, 4), rtol=0.01)


def test_batch_norm_averages_of_tf1_are_half_of_0_and_1_still() -> None:
    layer = BatchNorm()
    for step in range(75):
        layer(normals(step), statistics="batch_and_update")
    left = 0.99**75  # 0.47
    np.testing.assert_allclose(layer.moving_mean, np.full(3, (1 - left) * 5), rtol=0.01)
    np.testing.assert_allclose(layer.moving_variance, np.full(3, 4 - 3 * left), rtol=0.01)


def test_batch_norm_has_the_four_weights_that_checkpoints_hold() -> None:
    layer = BatchNorm()
    layer.build((None, 4, 4, 5))
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [weight.name for weight in layer.weights] == names


def test_batch_norm_at_inference_agrees_with_keras_own_layer() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (6, 4, 4, 5)).astype(np.float32)
    ours, theirs = BatchNorm(), keras.layers.BatchNormalization(epsilon=BN_EPSILON)
    ours.build(x.shape)
    theirs.build(x.shape)
    weights = [rng.uniform(0.5, 2, 5) for _ in range(4)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    np.testing.assert_allclose(
        ours(x, statistics="moving"), theirs(x, training=False), rtol=1e-4, atol=1e-5
    )
