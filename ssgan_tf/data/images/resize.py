"""The one rule from a decoded image to the pixels that the networks see.

It has two forms: with Pillow, for files and data sets, and with TensorFlow, for the exported model,
which has no Pillow. They give the same pixels, within one level where they resize.

1. The file is decoded (`decoding`, `encoded`) to 8 bits and three colors, a large JPEG at 1/2, 1/4
   or 1/8 of its size (`jpeg_factor`). What is transparent becomes white. Then the image is turned
   as its EXIF orientation says.
2. For one channel: `(19595 R + 38470 G + 7471 B + 32768) // 65536`.
3. An image that is S x S is ready. Of any other, by `fit`: "crop" takes the largest square in the
   middle, whose corner is at ((W - side) // 2, (H - side) // 2), and resizes it; "pad" resizes the
   image so that its longer side is S and its shorter one is at least 1, and puts black around it,
   the upper left corner at ((S - width) // 2, (S - height) // 2); "stretch" resizes as it is.
   Resizing is bilinear; the filter grows with the factor when an image shrinks (no aliasing).
4. The networks see float32 in [-1, 1] (`scale`), the range of the generator's tanh.
"""

from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from ssgan_tf.config import Fit

if TYPE_CHECKING:
    import tensorflow as tf

# By number, as an exported model stores it; a new rule comes after them.
RULES = ("resize-1",)
RULE = RULES[-1]
# JPEGs are decoded at a fraction of their size that leaves at least this many times S. The result
# differs by less than one level, on average, from that of the whole image, and large photos take a
# third of the time.
ENOUGH = 8
JPEG_FACTORS = (1, 2, 4, 8)  # those that libjpeg has
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Form(NamedTuple):
    """What all images of a data set are brought to.

    Attributes:
        size: S, the side in pixels.
        channels: 3 for color, 1 for gray.
        fit: what to do with an image that is not square: "crop" cuts off its longer sides, "pad"
            adds black at its shorter ones, "stretch" changes its shape.
    """

    size: int
    channels: int
    fit: Fit

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, S, channels)."""
        return self.size, self.size, self.channels


def jpeg_factor(width: int, height: int, size: int) -> int:
    """1, 2, 4 or 8: the part of its size at which a JPEG is decoded for S = `size`."""
    return max(
        factor
        for factor in JPEG_FACTORS
        if factor == 1 or min(width, height) >= factor * ENOUGH * size
    )


def turn_with_pillow(image: Image.Image, orientation: int) -> Image.Image:
    """Turns the image by its EXIF orientation, 1 to 8; any other number changes nothing."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def with_pillow(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """An "RGB" or "L" image -> the same mode, size x size."""
    width, height = image.size
    if (width, height) == (size, size):
        return image
    resample = Image.Resampling.BILINEAR  # Pillow widens it when shrinking
    if fit == "stretch":
        return image.resize((size, size), resample)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # Cropped first: given a box, `resize` would also use the pixels around it.
        return image.crop((left, top, left + side, top + side)).resize((size, size), resample)
    longer = max(width, height)
    inner = [max(1, (2 * side * size + longer) // (2 * longer)) for side in (width, height)]
    result = Image.new(image.mode, (size, size))
    corner = (size - inner[0]) // 2, (size - inner[1]) // 2
    result.paste(image.resize((inner[0], inner[1]), resample), corner)
    return result


def turn_with_tensorflow(image: "tf.Tensor", orientation: "tf.Tensor") -> "tf.Tensor":
    """Turns (H, W, C) as `turn_with_pillow` does; `orientation` is () int32, any number."""
    import tensorflow as tf

    mirrored = tf.reduce_any(orientation == [2, 4, 5, 7])
    image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    # Of the mirrored ones 4 is a half turn of 2, and 7 and 5 are quarter turns of it.
    quarters = tf.reduce_sum(
        tf.where(orientation == [3, 4, 5, 6, 7, 8], [2, 2, 1, 3, 3, 1], tf.zeros(6, tf.int32))
    )
    return tf.image.rot90(image, quarters)


def to_channels(image: "tf.Tensor", channels: int) -> "tf.Tensor":
    """uint8 (..., 1 or 3) -> uint8 (..., channels); to gray with the weights of Pillow."""
    import tensorflow as tf

    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    total = tf.reduce_sum(tf.cast(image, tf.int32) * [19595, 38470, 7471], axis=-1, keepdims=True)
    return tf.cast((total + 32768) // 65536, tf.uint8)


def with_tensorflow(image: "tf.Tensor", size: int, fit: str, channels: int) -> "tf.Tensor":
    """uint8 (H, W, 1 or 3) -> uint8 (size, size, channels), as `with_pillow` does it."""
    import tensorflow as tf

    image = to_channels(image, channels)
    height, width = tf.shape(image)[0], tf.shape(image)[1]

    def to(pixels: tf.Tensor, rows: tf.Tensor | int, columns: tf.Tensor | int) -> tf.Tensor:
        resized = tf.image.resize(pixels, (rows, columns), antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    def crop() -> tf.Tensor:
        side = tf.minimum(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return to(image[top : top + side, left : left + side], size, size)

    def pad() -> tf.Tensor:
        longer = tf.cast(tf.maximum(height, width), tf.int64)
        sides = tf.cast(
            tf.stack([height, width]), tf.int64
        )  # 100 million times S is more than 2^31
        inner = tf.cast(tf.maximum((2 * sides * size + longer) // (2 * longer), 1), tf.int32)
        top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
        return tf.image.pad_to_bounding_box(to(image, inner[0], inner[1]), top, left, size, size)

    resize = {"crop": crop, "pad": pad, "stretch": lambda: to(image, size, size)}[fit]
    ready = (height == size) & (width == size)
    return tf.ensure_shape(tf.cond(ready, lambda: image, resize), (size, size, channels))


def scale(images: "tf.Tensor") -> "tf.Tensor":
    """uint8 0 .. 255 -> float32 in [-1, 1]."""
    import tensorflow as tf

    return tf.cast(images, tf.float32) / 127.5 - 1.0


def unscale(images: "tf.Tensor") -> "tf.Tensor":
    """The reverse of `scale`: float32 in [-1, 1] -> uint8."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0, 255), tf.uint8)
