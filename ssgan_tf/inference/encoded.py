"""PNG and JPEG bytes -> pixels with TensorFlow alone, as `decoding` does with Pillow.

For the exported model, which is used where neither this package nor Pillow is.
"""

import tensorflow as tf

from ssgan_tf.data.images import resize
from ssgan_tf.data.images.decoding import MAX_PIXELS
from ssgan_tf.data.images.metadata import ORIENTATION
from ssgan_tf.data.images.pixels import BITS

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_JPEG = b"\xff\xd8\xff"


def decode(encoded: tf.Tensor, size: int, channels: int, fit: str) -> tf.Tensor:
    """() string, a PNG or JPEG file -> (size, size, channels) uint8, by the rule of `resize`.

    Raises:
        InvalidArgumentError: when the graph runs; if it is another file, is damaged, or has over
            100 million pixels, which is known before they are decoded.
    """
    # A chunk before IHDR is no PNG by the standard, but TensorFlow's decoder would skip it.
    is_png = tf.strings.substr(encoded, 0, len(_PNG)) == _PNG
    is_jpeg = tf.strings.substr(encoded, 0, len(_JPEG)) == _JPEG
    known = tf.debugging.Assert(is_png | is_jpeg, ["an image is neither a PNG nor a JPEG file"])
    with tf.control_dependencies([known]):
        encoded = tf.identity(encoded)
    image, orientation = tf.cond(is_png, lambda: _png(encoded), lambda: _jpeg(encoded, size))
    image = resize.turn_with_tensorflow(image, orientation)
    return resize.with_tensorflow(image, size, fit, channels)


def _measured(encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """`encoded`, once it is known that it has not too many pixels."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    small = tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64), "an image has too many pixels"
    )
    with tf.control_dependencies([small]):  # else decoding would not wait for it
        return tf.identity(encoded)


def _png(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(H, W, 3) uint8, opaque, and the orientation, () int32."""
    header = tf.strings.substr(encoded, 0, 26) + bytes(26)  # if cut short, decoding will say so
    sides = tf.io.decode_raw(tf.strings.substr(header, 16, 8), tf.int32, little_endian=False)
    encoded = _measured(encoded, sides[1], sides[0])
    depth = _bytes(tf.strings.substr(header, 24, 1))[0]

    def deep() -> tuple[tf.Tensor, tf.Tensor]:
        rgba = tf.cast(tf.io.decode_png(encoded, channels=4, dtype=tf.uint16), tf.int32)
        rgb, alpha = rgba[..., :3], rgba[..., 3:]
        bits = _bits_for(rgb)
        alpha_bits = tf.where(bits < 16, _bits_for(alpha), 16)
        return tf.bitwise.right_shift(rgb, bits - 8), tf.bitwise.right_shift(alpha, alpha_bits - 8)

    def shallow() -> tuple[tf.Tensor, tf.Tensor]:
        rgba = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
        rgb, alpha = rgba[..., :3], rgba[..., 3:]
        # Where there is no transparency TensorFlow gives the largest value of the file's own depth.
        largest = tf.bitwise.left_shift(1, tf.minimum(depth, 8)) - 1
        return rgb, tf.where(tf.reduce_all(alpha == largest), 255, alpha)

    rgb, alpha = tf.cond(depth == 16, deep, shallow)
    alpha = tf.cond(tf.reduce_max(alpha) == 0, lambda: tf.fill(tf.shape(alpha), 255), lambda: alpha)
    # On white, rounded as Pillow does.
    total = 128 * (rgb * alpha + 255 * (255 - alpha) + 128)
    white = tf.bitwise.right_shift(tf.bitwise.right_shift(total, 8) + total, 15)
    return tf.cast(white, tf.uint8), _png_orientation(encoded)


def _bits_for(values: tf.Tensor) -> tf.Tensor:
    """() int32: the same as `pixels.bits_for` of the largest of `values`, of 16 bits."""
    limits = tf.constant([2**bits for bits in BITS], tf.int32)
    return tf.gather(BITS, tf.reduce_sum(tf.cast(limits <= tf.reduce_max(values), tf.int32)))


def _jpeg(encoded: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(h, w, 3) uint8, at the part of its size that is enough, and the orientation, () int32."""
    height, width, components = tf.unstack(tf.io.extract_jpeg_shape(encoded))
    encoded = _measured(encoded, height, width)
    orientation, adobe, whole = _jpeg_segments(encoded)
    checks = [
        # Decoders find their way behind wrong lengths, but how to turn the image is not known then.
        tf.debugging.Assert(whole, ["the segments before the pixels of a JPEG file are damaged"]),
        # Without Adobe's segment TensorFlow takes the four colors for their opposites.
        tf.debugging.Assert(
            (components < 4) | adobe, ["a CMYK image lacks the marker of Adobe; give it as RGB"]
        ),
    ]
    with tf.control_dependencies(checks):
        encoded = tf.identity(encoded)

    def at(factor: int) -> tf.Tensor:
        # The accurate one is what Pillow takes; what it gives is the same to the bit.
        return tf.io.decode_jpeg(encoded, channels=3, ratio=factor, dct_method="INTEGER_ACCURATE")

    least = [factor * resize.ENOUGH * size for factor in resize.JPEG_FACTORS[1:]]
    index = tf.reduce_sum(tf.cast(tf.minimum(height, width) >= least, tf.int32))
    branches = [lambda factor=factor: at(factor) for factor in resize.JPEG_FACTORS]
    return tf.switch_case(index, branches), orientation


def _bytes(text: tf.Tensor) -> tf.Tensor:
    """() string -> (n,) int32, 0 to 255."""
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)


def _number(data: tf.Tensor, big_endian: tf.Tensor | bool = True) -> tf.Tensor:
    """(n,) int32 bytes -> () int32; -1 for one that is too large."""
    values = tf.cast(tf.where(big_endian, data, data[::-1]), tf.int64)
    places = tf.range(tf.size(values, tf.int64), dtype=tf.int64)[::-1]
    total = tf.reduce_sum(tf.bitwise.left_shift(values, 8 * places))
    return tf.cast(tf.where(total < 2**31, total, -1), tf.int32)


def _jpeg_segments(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Reads what comes before the pixels.

    Returns:
        The orientation, () int32; whether there is a segment of Adobe's, () bool; whether one
        segment follows the other up to the pixels, () bool.
    """
    data = _bytes(encoded)
    count = tf.size(data)

    def more(place: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        head = tf.concat([data[place : place + 2], [0, 0]], 0)
        within = (place >= 2) & (place + 4 <= count)
        return within & (head[0] == 0xFF) & (head[1] != 0xDA)  # up to the pixels

    def step(place: tf.Tensor, orientation: tf.Tensor, adobe: tf.Tensor) -> tuple:
        marker = data[place + 1]
        length = _number(data[place + 2 : place + 4])
        start = tf.strings.substr(encoded, place + 4, tf.minimum(6, count - place - 4))
        is_exif = (marker == 0xE1) & (start == b"Exif\0\0") & (orientation == 0)
        orientation = tf.cond(
            is_exif,
            lambda: _exif_orientation(data[place + 10 : place + 2 + length]),
            lambda: orientation,
        )
        adobe |= (marker == 0xEE) & (tf.strings.substr(start, 0, 5) == b"Adobe")
        following = tf.where(marker == 0xFF, place + 1, place + 2 + tf.maximum(length, 2))
        return following, orientation, adobe

    place, orientation, adobe = tf.while_loop(
        more, step, (tf.constant(2), tf.constant(0), tf.constant(False)), parallel_iterations=1
    )
    whole = tf.strings.substr(encoded, tf.minimum(place, count - 1), 2) == b"\xff\xda"
    return tf.maximum(orientation, 1), adobe, whole


def _png_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """() int32."""

    def find() -> tf.Tensor:
        data = _bytes(encoded)
        count = tf.size(data)

        def more(place: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
            return (place >= 8) & (place + 12 <= count) & (orientation == 0)

        def step(place: tf.Tensor, orientation: tf.Tensor) -> tuple:
            length = tf.maximum(_number(data[place : place + 4]), 0)
            kind = tf.strings.substr(encoded, place + 4, 4)
            end = tf.minimum(length, count - place - 8) + place + 8
            orientation = tf.cond(
                kind == b"eXIf",
                lambda: _exif_orientation(data[place + 8 : end]),
                lambda: orientation,
            )
            return end + 4, orientation

        _, orientation = tf.while_loop(
            more, step, (tf.constant(8), tf.constant(0)), parallel_iterations=1
        )
        return tf.maximum(orientation, 1)

    # A large file has thousands of chunks; most have none with EXIF data.
    found = tf.strings.regex_full_match(encoded, rb"\C*eXIf\C*")
    return tf.cond(found, find, lambda: tf.constant(1))


def _exif_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """(n,) int32 bytes -> () int32, 1 to 8; as `metadata.exif_orientation` does it."""
    data = tf.concat([tiff, tf.zeros(14, tf.int32)], 0)
    little = tf.reduce_all(data[:4] == list(b"II*\0"))
    big = tf.reduce_all(data[:4] == list(b"MM\0*"))
    directory = _number(data[4:8], big)
    usable = (little | big) & (directory >= 0) & (directory <= tf.size(tiff) - 2)
    directory = tf.where(usable, directory, tf.size(tiff))  # where `data` has zeros
    count = _number(data[directory : directory + 2], big)
    entries = data[directory + 2 : tf.minimum(directory + 2 + 12 * count, tf.size(tiff))]
    rows = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))
    # Numbers with their lowest byte first, whatever the order of the file.
    tags, kinds, shorts, longs = (
        tf.where(big, rows[:, slice_][:, ::-1], rows[:, slice_])
        for slice_ in (slice(0, 2), slice(2, 4), slice(8, 10), slice(8, 12))
    )
    kinds = kinds[:, 0] + 256 * kinds[:, 1]
    is_long = (kinds == 4)[:, None]
    is_byte = (kinds == 1)[:, None]
    shorts = tf.pad(shorts, [[0, 0], [0, 2]])
    single = tf.pad(rows[:, 8:9], [[0, 0], [0, 3]])
    values = tf.where(is_long, longs, tf.where(is_byte, single, shorts))
    small = tf.reduce_all(values[:, 1:] == 0, axis=1)
    values = tf.where(small, values[:, 0], 0)
    wanted = (tags[:, 0] + 256 * tags[:, 1] == ORIENTATION) & tf.reduce_any(
        kinds[:, None] == [1, 3, 4], axis=1
    )
    first = tf.concat([tf.boolean_mask(values, wanted), [1]], 0)[0]
    return tf.where((first >= 1) & (first <= 8), first, 1)
