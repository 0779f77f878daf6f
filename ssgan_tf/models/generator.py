"""The generator: DCGAN, as in the article (z -> image)."""

from collections.abc import Iterator

import keras
import tensorflow as tf
from keras.layers import Dense

from ssgan_tf.models.convolutions import Conv2DTranspose
from ssgan_tf.models.layers import (
    BN_MOMENTUM,
    BatchNorm,
    Statistics,
    leaky_relu,
    policy,
)


class Generator(keras.Model):
    """z (B, latent_dim) -> images (B, S, S, channels) in [-1, 1].

    At S = 32 it is the article's:

    | layer                                           | output           |
    |-------------------------------------------------|------------------|
    | Dense 4*4*(4 m_g), reshape                      | 4 x 4 x 4m_g     |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, 2m_g | 8 x 8 x 2m_g     |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, m_g  | 16 x 16 x m_g    |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, 3    | 32 x 32 x 3      |
    | tanh                                            |                  |

    For another size it grows as DCGAN does: it starts at 4 x 4 x (m_g S / 8), and has log2(S / 4)
    transpose convolutions, each with half the channels of the one before.
    """

    def __init__(
        self,
        width: int = 32,
        latent_dim: int = 100,
        channels: int = 3,
        image_size: int = 32,
        precision: str = "float32",
    ) -> None:
        """
        Args:
            width: m_g, the width multiplier.
            latent_dim: length of z.
            channels: of the images, 3 for color.
            image_size: S, 16, 32, 64 or 128.
            precision: of the convolutions, "float32", "bfloat16" or "float16"; weights and images
                are float32 in any case.
        """
        super().__init__(name="generator", dtype="float32")
        self.width, self.latent_dim = width, latent_dim
        self.stages = image_size.bit_length() - 3  # log2(S / 4)
        self.first_filters = width * image_size // 8
        dtype = policy(precision)
        self.dense = Dense(4 * 4 * self.first_filters, name="dense", dtype=dtype)
        for stage in range(1, self.stages + 1):  # bn1, deconv1, bn2, ...
            last = stage == self.stages
            filters = channels if last else self.first_filters >> stage
            deconv = Conv2DTranspose(
                filters, 5, few_channels=last, name=f"deconv{stage}", dtype=dtype
            )
            setattr(self, f"bn{stage}", BatchNorm(name=f"bn{stage}"))
            setattr(self, f"deconv{stage}", deconv)
        self(tf.zeros((1, latent_dim)))  # makes all weights, in the order of the table

    def _stages(self) -> Iterator[tuple[BatchNorm, Conv2DTranspose]]:
        """Batch norm and transpose convolution of each stage."""
        for stage in range(1, self.stages + 1):
            yield getattr(self, f"bn{stage}"), getattr(self, f"deconv{stage}")

    def call(
        self,
        z: tf.Tensor,
        statistics: Statistics = "moving",
        momentum: float | tf.Tensor = BN_MOMENTUM,
    ) -> tf.Tensor:
        """Generates images.

        Args:
            z: (B, latent_dim) float, drawn from N(0, 1).
            statistics: how batch norm normalizes; training wants `batch_and_update`.
            momentum: of its moving averages, scalar.

        Returns:
            (B, S, S, channels) float32 in [-1, 1].
        """
        x = self.dense(z)
        x = tf.reshape(x, (-1, 4, 4, self.first_filters))  # (B, 64 m_g) -> (B, 4, 4, 4 m_g)
        for bn, deconv in self._stages():
            x = leaky_relu(bn(x, statistics=statistics, momentum=momentum))
            x = deconv(x)  # (B, 8, 8, 2 m_g), (B, 16, 16, m_g), (B, 32, 32, channels)
        return tf.tanh(tf.cast(x, tf.float32))
