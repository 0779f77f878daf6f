"""Image files -> arrays: one decoder for training, prediction and the report."""

import warnings
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

SUFFIXES: tuple[str, ...] = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".gif", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif"),
)
# No others: Pillow would start a program for some, such as Ghostscript for PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
Fit = Literal["crop", "pad", "stretch"]
MAX_PIXELS = 100_000_000  # more is taken for a mistake, or for an attack

# Pillow's remarks on odd metadata and on size, which is checked below. Here and not around each
# image, since that is slow and not safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(Exception):
    """An image file that cannot be used; its message says why, without the path."""


class Picture(NamedTuple):
    """An image as the networks take it.

    Attributes:
        pixels: (S, S, C) uint8.
        width: of the image in the file, after turning it, in pixels.
        height: the same.
        note: what a person should know of this file; empty: nothing.
    """

    pixels: np.ndarray
    width: int
    height: int
    note: str


def is_image_name(name: str) -> bool:
    """Whether a file of this name, without its directory, is taken for an image.

    It has one of the `SUFFIXES` and is not hidden. That leaves out what systems keep beside images,
    such as `._photo.jpg` of macOS.
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def read_image(
    source: str | Path | IO[bytes], size: int, channels: int = 3, fit: Fit = "crop"
) -> np.ndarray:
    """The pixels of `read_picture`, (S, S, channels) uint8."""
    return read_picture(source, size, channels, fit).pixels


def read_picture(
    source: str | Path | IO[bytes], size: int, channels: int = 3, fit: Fit = "crop"
) -> Picture:
    """Decodes an image and brings it to the size that the networks take.

    Turned as its EXIF data says; transparent parts become white; of an animation the first frame;
    16 bits a channel become 8.

    Args:
        source: of a file, or an open one.
        size: S, the side of the result in pixels.
        channels: 3 for colour, 1 for grey.
        fit: what to do with an image that is not square: cut off what is too much at the sides,
            add black at the sides, or stretch it.

    Returns:
        The image, with the size that it had.

    Raises:
        ImageError: if it is not an image, is damaged or cut short, or has over 100 million pixels.
    """
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"has {image.width:,} x {image.height:,} pixels, more than the 100 million "
                    "that are taken"
                )
            # JPEGs are decoded at a fraction of their size where that is enough.
            image.draft("L" if channels == 1 else "RGB", (2 * size, 2 * size))
            ImageOps.exif_transpose(image, in_place=True)
            pixels = _eight_bits(image, channels)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("has far more than the 100 million pixels that are taken") from error
    except FileNotFoundError as error:
        raise ImageError("is not there") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError("is not an image that can be read (PNG, JPEG, BMP, GIF, WebP)") from error
    except Exception as error:  # Pillow's decoders raise whatever they meet
        raise ImageError(f"is damaged or cut short ({_first_line(error)})") from error
    (width, height), square = pixels.size, (size, size)
    if pixels.size != square:
        resample = Image.Resampling.BILINEAR  # Pillow widens it when shrinking: no aliasing
        if fit == "crop":
            pixels = ImageOps.fit(pixels, square, resample)
        elif fit == "pad":
            pixels = ImageOps.pad(pixels, square, resample)
        else:
            pixels = pixels.resize(square, resample)
    pixels = np.asarray(pixels, np.uint8).reshape(size, size, channels)
    return Picture(pixels, width, height, note="")


def _eight_bits(image: Image.Image, channels: int) -> Image.Image:
    """Any mode -> "RGB" or "L", 8 bits, without transparency."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more, grey
        values = np.asarray(image, np.float64)
        scale = 255 / 65535 if values.max(initial=0) > 255 or image.mode != "F" else 1.0
        image = Image.fromarray(np.clip(np.round(values * scale), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image.convert("L" if channels == 1 else "RGB")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
