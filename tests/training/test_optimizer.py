import keras
import numpy as np
import tensorflow as tf

from ssgan_tf.training.optimizer import FusedAdam


def test_fused_adam_is_adam() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 3)).astype(np.float32)
    ours, theirs = keras.Variable(start, name="a"), keras.Variable(start, name="b")
    optimizers = [
        kind(1e-2, beta_1=0.5, epsilon=1e-8) for kind in (FusedAdam, keras.optimizers.Adam)
    ]
    for _ in range(5):
        gradient = tf.constant(rng.normal(size=(5, 3)), tf.float32)
        for optimizer, variable in zip(optimizers, (ours, theirs), strict=True):
            optimizer.apply([gradient], [variable])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(ours.numpy() - start).max() > 1e-2
