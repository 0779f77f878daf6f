"""The discriminator, which is also the classifier (image -> class logits, features)."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf
from keras.layers import Dense

from ssgan_tf.models.convolutions import Conv2D
from ssgan_tf.models.layers import (
    BN_MOMENTUM,
    BatchNorm,
    Statistics,
    dropout,
    leaky_relu,
    max_pool,
    policy,
)
from ssgan_tf.models.whitening import whitening_conv


class DiscriminatorOutput(NamedTuple):
    """What the discriminator says of each image.

    Attributes:
        class_logits: (B, K) float32; everything else follows from them (`losses.gan_logit`).
        features: (B, F) float32, conv7 averaged over space; feature matching compares them.
    """

    class_logits: tf.Tensor
    features: tf.Tensor


class _Layers(NamedTuple):
    """What the tables of `Discriminator` say of its seven convolutions.

    Attributes:
        filters: of each, in units of m_d; 0: by the channels of the images.
        strides: of each at S = 32.
        pooled: the numbers of those that 2x2 max pooling follows at S = 32.
        small: the number of the one that does not halve the maps at S = 16.
    """

    filters: tuple[int, ...]
    strides: tuple[int, ...]
    pooled: tuple[int, ...]
    small: int


LAYERS = {
    "article": _Layers((1, 1, 1, 2, 2, 2, 2), (2, 2, 2, 1, 1, 2, 1), (), small=2),
    "pooled": _Layers((1, 1, 2, 2, 4, 4, 4), (2, 1, 1, 1, 1, 1, 1), (3, 5), small=1),
    "vgg": _Layers((0, 1, 1, 2, 2, 4, 4), (1, 1, 1, 1, 1, 1, 1), (2, 4, 6), small=2),
}


class Discriminator(keras.Model):
    """images (B, S, S, channels) in [-1, 1] -> K class logits and pooled features.

    At S = 32 it is the article's:

    | layer (3x3 kernels)   | stride | BN     | after it            | output  |
    |-----------------------|--------|--------|---------------------|---------|
    | dropout, rate / 2.5   |        |        |                     | 32 x 32 |
    | conv1, m_d            | 2      | no     | leaky ReLU, dropout | 16 x 16 |
    | conv2, m_d            | 2      | yes    | leaky ReLU          | 8 x 8   |
    | conv3, m_d            | 2      | yes    | leaky ReLU, dropout | 4 x 4   |
    | conv4, 2m_d           | 1      | yes    | leaky ReLU          | 4 x 4   |
    | conv5, 2m_d           | 1      | yes    | leaky ReLU          | 4 x 4   |
    | conv6, 2m_d           | 2      | yes    | leaky ReLU, dropout | 2 x 2   |
    | conv7, 2m_d           | 1      | **no** | leaky ReLU          | 2 x 2   |
    | global average pooling = `features`      |                     | 2m_d    |
    | Dense K = `class_logits`                 |                     | K       |

    With `layers="pooled"` the maps are halved later: conv2, conv3 and conv6 have stride 1, and 2x2
    max pooling follows conv3 and conv5. The smaller maps have more filters, so that F = 4 m_d:

    | conv1, conv2 | conv3 | conv4 | conv5 | conv6, conv7 |
    |--------------|-------|-------|-------|--------------|
    | m_d          | 2 m_d | 2 m_d | 4 m_d | 4 m_d        |
    | 16 x 16      | 8 x 8 | 8 x 8 | 4 x 4 | 4 x 4        |

    With `layers="vgg"` no convolution has a stride. There are two for each size of the maps
    (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556), with 2x2 max pooling between
    convolution and batch norm of the first of them. conv1 is not trained: it whitens 2x2 patches
    (`models.whitening`). That, and the sizes, are those of Jordan 2024, "94% on CIFAR-10 in 3.29
    seconds on a single GPU" (https://arxiv.org/abs/2404.00498):

    | conv1 (2x2, not padded, no bias) | conv2, conv3 | conv4, conv5 | conv6, conv7 |
    |----------------------------------|--------------|--------------|--------------|
    | 8 x channels                     | m_d          | 2 m_d        | 4 m_d        |
    | 31 x 31                          | 15 x 15      | 7 x 7        | 3 x 3        |

    Larger images go through one more stride-2 stage of m_d filters (BN, leaky ReLU) after conv1 for
    each doubling of S: `conv1_2`, `conv1_3`. At S = 16 one halving is left out: the stride of conv2
    (if pooled: of conv1), or the pooling after conv2. From conv3 on all is as in the tables.

    conv7 has no batch norm on purpose: feature matching compares the means of the features, and
    batch norm would pin them.
    """

    def __init__(
        self,
        width: int = 64,
        num_classes: int = 10,
        drop_rate: float = 0.0,
        conv7_input: Literal["conv6", "conv5"] = "conv6",
        channels: int = 3,
        image_size: int = 32,
        precision: str = "float32",
        layers: Literal["article", "pooled", "vgg"] = "article",
    ) -> None:
        """
        Args:
            width: m_d, the width multiplier.
            num_classes: K.
            drop_rate: 0 to 0.9; the input is dropped at `drop_rate / 2.5`.
            conv7_input: "conv6" with same padding, or "conv5" with valid padding: what the
                article's code did, which leaves conv6 without effect and without gradient.
            channels: of the images, 3 for color.
            image_size: S, 16, 32, 64 or 128.
            precision: of the convolutions, "float32", "bfloat16" or "float16"; weights, features
                and logits are float32 in any case.
            layers: which of the tables.
        """
        super().__init__(name="discriminator", dtype="float32")
        self.width, self.channels, self.image_size = width, channels, image_size
        self.drop_rate, self.conv7_input = drop_rate, conv7_input
        self.whitens = layers == "vgg"
        table = LAYERS[layers]
        halving = [k for k in range(1, 8) if image_size > 16 or k != table.small]
        self.pooled = [k for k in table.pooled if k in halving]
        self.num_features = width * table.filters[-1]
        dtype = policy(precision)

        def conv(number: int, padding: str = "same") -> Conv2D:
            filters, name = width * table.filters[number - 1], f"conv{number}"
            strides = table.strides[number - 1] if number in halving else 1
            return Conv2D(filters, 3, strides=strides, padding=padding, name=name, dtype=dtype)

        self.conv1 = whitening_conv(channels, "conv1", dtype) if self.whitens else conv(1)
        self.extra_stages = max(0, image_size.bit_length() - 6)  # log2(S / 32)
        padding = "valid" if self.whitens else "same"  # from 63 x 63 to 31 x 31, or from 32 to 16
        for stage in range(2, self.extra_stages + 2):  # conv1_2, bn1_2, conv1_3, ...
            added = Conv2D(width, 3, strides=2, padding=padding, name=f"conv1_{stage}", dtype=dtype)
            setattr(self, added.name, added)
            setattr(self, f"bn1_{stage}", BatchNorm(name=f"bn1_{stage}"))
        self.conv2, self.bn2 = conv(2), BatchNorm(name="bn2")
        self.conv3, self.bn3 = conv(3), BatchNorm(name="bn3")
        self.conv4, self.bn4 = conv(4), BatchNorm(name="bn4")
        self.conv5, self.bn5 = conv(5), BatchNorm(name="bn5")
        self.conv6, self.bn6 = conv(6), BatchNorm(name="bn6")
        self.conv7 = conv(7, "same" if conv7_input == "conv6" else "valid")
        self.classifier = Dense(num_classes, name="classifier", dtype="float32")
        self(tf.zeros((1, image_size, image_size, channels)))  # makes all weights, in this order

    def _extra_stages(self) -> Iterator[tuple[Conv2D, BatchNorm]]:
        """What stands between conv1 and conv2 for images larger than the article's."""
        for stage in range(2, self.extra_stages + 2):
            yield getattr(self, f"conv1_{stage}"), getattr(self, f"bn1_{stage}")

    def _block(self, number: int, x: tf.Tensor, norm: dict[str, Any]) -> tf.Tensor:
        """conv2 to conv6 with what follows them: batch norm, leaky ReLU, pooling if the table says.

        Pooling comes before the leaky ReLU, which then has a quarter of the numbers to work on.
        With "vgg" it comes before batch norm, too, and maps may have an odd side. TensorFlow's
        pooling drops NaN (`layers.max_pool` does not). The gradients still show it, and training
        stops; but in float16 a NaN in conv2's output may go unseen.
        """
        conv, bn = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
        if number not in self.pooled:
            return leaky_relu(bn(conv(x), **norm))
        if self.whitens:
            return leaky_relu(bn(tf.nn.max_pool2d(conv(x), 2, 2, "VALID"), **norm))
        return leaky_relu(max_pool(bn(conv(x), **norm)))

    def call(
        self,
        images: tf.Tensor,
        statistics: Statistics = "moving",
        dropout_seed: tf.Tensor | None = None,
        momentum: float | tf.Tensor = BN_MOMENTUM,
    ) -> DiscriminatorOutput:
        """Classifies images.

        Args:
            images: (B, S, S, channels) float in [-1, 1].
            statistics: how batch norm normalizes, see `layers.Statistics`.
            dropout_seed: (2,) int32 switches dropout on, its masks a function of the seed;
                None, for inference, switches it off.
            momentum: of batch norm's moving averages, scalar.

        Returns:
            Class logits and features, see `DiscriminatorOutput`.
        """
        # Shapes are the article's, at S = 32.
        rate, norm = self.drop_rate, {"statistics": statistics, "momentum": momentum}
        seeds = [None] * 4 if dropout_seed is None else _split(dropout_seed, 4)

        x = dropout(images, rate / 2.5, seeds[0])  # (B, 32, 32, channels)
        x = dropout(leaky_relu(self.conv1(x)), rate, seeds[1])  # (B, 16, 16, m_d)
        for conv, bn in self._extra_stages():  # none at S = 32
            x = leaky_relu(bn(conv(x), **norm))
        x = self._block(2, x, norm)  # (B, 8, 8, m_d)
        x = self._block(3, x, norm)  # (B, 4, 4, m_d)
        x = dropout(x, rate, seeds[2])
        x = self._block(4, x, norm)  # (B, 4, 4, 2 m_d)
        x = self._block(5, x, norm)  # (B, 4, 4, 2 m_d)
        fifth = x
        if self.conv7_input == "conv6" or not self.built:  # its weights are made in any case
            x = self._block(6, x, norm)  # (B, 2, 2, 2 m_d)
            x = dropout(x, rate, seeds[3])
        if self.conv7_input == "conv5":
            x = fifth
        x = leaky_relu(self.conv7(x))  # (B, 2, 2, 2 m_d)

        features = tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))  # (B, 2 m_d)
        return DiscriminatorOutput(self.classifier(features), features)


def _split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.split(seed, count))
