"""The generator: DCGAN, as in the article (z -> image)."""

import keras
import tensorflow as tf
from keras.layers import Conv2DTranspose, Dense

from ssgan_tf.layers import (
    BatchNorm,
    Statistics,
    leaky_relu,
    sub_pixel_transpose_conv,
)


class Generator(keras.Model):
    """z (B, latent_dim) -> images (B, 32, 32, channels) in [-1, 1].

    | layer                                           | output           |
    |-------------------------------------------------|------------------|
    | Dense 4*4*(4 m_g), reshape                      | 4 x 4 x 4m_g     |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, 2m_g | 8 x 8 x 2m_g     |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, m_g  | 16 x 16 x m_g    |
    | BN, leaky ReLU, ConvTranspose 5x5 stride 2, 3    | 32 x 32 x 3      |
    | tanh                                            |                  |
    """

    def __init__(self, width: int = 32, latent_dim: int = 100, channels: int = 3) -> None:
        """
        Args:
            width: m_g, the width multiplier.
            latent_dim: length of z.
            channels: of the images, 3 for colour.
        """
        super().__init__(name="generator")
        self.width, self.latent_dim = width, latent_dim
        self.dense = Dense(4 * 4 * 4 * width, name="dense")
        self.bn1 = BatchNorm(name="bn1")
        self.deconv1 = Conv2DTranspose(2 * width, 5, strides=2, padding="same", name="deconv1")
        self.bn2 = BatchNorm(name="bn2")
        self.deconv2 = Conv2DTranspose(width, 5, strides=2, padding="same", name="deconv2")
        self.bn3 = BatchNorm(name="bn3")
        self.deconv3 = Conv2DTranspose(channels, 5, strides=2, padding="same", name="deconv3")
        self.build((None, latent_dim))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes all weights, in the order of the table."""
        width = self.width
        self.dense.build(input_shape)
        self.bn1.build((None, 4, 4, 4 * width))
        self.deconv1.build((None, 4, 4, 4 * width))
        self.bn2.build((None, 8, 8, 2 * width))
        self.deconv2.build((None, 8, 8, 2 * width))
        self.bn3.build((None, 16, 16, width))
        self.deconv3.build((None, 16, 16, width))
        self.built = True

    def call(self, z: tf.Tensor, statistics: Statistics = "moving") -> tf.Tensor:
        """Generates images.

        Args:
            z: (B, latent_dim) float, drawn from N(0, 1).
            statistics: how batch norm normalises; training wants `batch_and_update`.

        Returns:
            (B, 32, 32, channels) float32 in [-1, 1].
        """
        x = self.dense(z)
        x = tf.reshape(x, (-1, 4, 4, 4 * self.width))  # (B, 64 m_g) -> (B, 4, 4, 4 m_g)
        x = self.deconv1(leaky_relu(self.bn1(x, statistics=statistics)))  # (B, 8, 8, 2 m_g)
        x = self.deconv2(leaky_relu(self.bn2(x, statistics=statistics)))  # (B, 16, 16, m_g)
        x = leaky_relu(self.bn3(x, statistics=statistics))
        # deconv3, computed in the way that is fast for few channels. (B, 32, 32, channels)
        x = sub_pixel_transpose_conv(x, self.deconv3.kernel, self.deconv3.bias)
        return tf.tanh(x)
