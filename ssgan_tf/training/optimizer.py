"""Adam as TF1 had it, and the scaling of losses that float16 needs."""

from typing import Any, cast

import keras
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.system import keras_settings
from ssgan_tf.system.replicas import replica, sum_over_replicas


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam on TensorFlow's one-kernel update, the one that TF1's optimizer ran.

    The same numbers in one operation a variable instead of ten. The gradients are summed over the
    replicas by whoever calls it (`gradients`), since their norm is looked at before.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """One variable's update: lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)."""
        index = self._get_variable_index(variable)
        step = tf.cast(cast(Any, self.iterations) + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _all_reduce_sum_gradients(self, grads_and_vars: list) -> list:
        return grads_and_vars


def adam(config: Config, model: keras.Model) -> FusedAdam:
    """Adam with TF1's epsilon, its slot variables made, so that a checkpoint can fill them."""
    with keras_settings.float32():  # of the variable that holds the learning rate
        optimizer = FusedAdam(config.learning_rate, beta_1=config.beta_1, epsilon=1e-8)
    optimizer.build(model.trainable_variables)
    return optimizer


def with_loss_scale(
    optimizer: FusedAdam, model: keras.Model
) -> keras.optimizers.LossScaleOptimizer:
    """Dynamic loss scaling: after gradients that are not finite the update is left out."""
    with keras_settings.float32():
        scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(model.trainable_variables)
    return scaled


# The gradient of a variable, and the variable. With `LossScaleOptimizer` the gradient is multiplied
# by its scale, which it takes off again.
Gradient = tuple[tf.Tensor, keras.Variable]


def share_of_loss(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """What this replica differentiates: its N-th part of a loss of the global batch, scaled."""
    replicas = replica()[1]
    return optimizer.scale_loss(loss if replicas == 1 else loss / replicas)


def gradients(tape: tf.GradientTape, share: tf.Tensor, model: keras.Model) -> dict[str, Gradient]:
    """Gradients of the loss of the global batch, the same on every replica.

    The notebook's dead conv6 has no gradient and is left out.

    Args:
        tape: that recorded `share`.
        share: `share_of_loss` of the loss.
        model: whose weights it is taken for.

    Returns:
        Gradient and variable by the variable's path, e.g. `discriminator/conv1/kernel`.
    """
    variables = model.trainable_variables
    found = [
        (value, variable)
        for value, variable in zip(tape.gradient(share, variables), variables, strict=True)
        if value is not None
    ]
    values = sum_over_replicas([cast(tf.Tensor, value) for value, _ in found])
    return {
        variable.path: (value, variable) for value, (_, variable) in zip(values, found, strict=True)
    }


def global_norm(
    optimizer: keras.optimizers.Optimizer, model_gradients: dict[str, Gradient]
) -> tf.Tensor:
    """L2 norm of all gradients together, without the scale of float16; scalar float32."""
    norm = tf.linalg.global_norm([gradient for gradient, _ in model_gradients.values()])
    return norm / optimizer.scale_loss(tf.ones_like(norm))
