"""Image files -> arrays: one decoder for training, prediction and the report."""

import contextlib
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from ssgan_tf.data.images import metadata, pixels, resize
from ssgan_tf.data.images.resize import Fit

SUFFIXES: tuple[str, ...] = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".gif", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
)
# No other formats: Pillow would start a program for some, such as Ghostscript for PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_HASHED_AT_ONCE = 1 << 19  # bytes, which stay in the processor's cache
MAX_PIXELS = 100_000_000  # more is a mistake, or an attack
_END_OF_JPEG = b"\xff\xd9"

# Pillow warns about odd metadata, and about the size, which is checked below. The filter is here,
# not around each image, since that is slow and not safe with threads.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")


class ImageError(Exception):
    """An image file that cannot be used; its message says why, without the path."""


class Picture(NamedTuple):
    """An image as the networks take it.

    Attributes:
        pixels: (S, S, C) uint8.
        width: of the image in the file, after turning it, in pixels.
        height: the same.
        note: what the user should know about this file, or empty.
        digest: a hash of the decoded image, turned and of 8 bits, before it is resized; equal
            images have equal hashes. A large JPEG is decoded at a fraction of its size, so its hash
            depends on S.
    """

    pixels: np.ndarray
    width: int
    height: int
    note: str
    digest: bytes


def is_image_name(name: str) -> bool:
    """Whether a file of this name, without its directory, is read as an image.

    It has one of the `SUFFIXES` and is not hidden. That excludes what systems store beside images,
    such as `._photo.jpg` of macOS, `Thumbs.db` of Windows, and the thumbnails of Synology's NAS.
    """
    hidden = name.startswith(".") or is_thumbnail_name(name)
    return name.lower().endswith(SUFFIXES) and not hidden


def is_thumbnail_name(name: str) -> bool:
    """Whether a file has the name of a thumbnail of Synology's NAS."""
    return name.startswith(("SYNOPHOTO_THUMB", "SYNOFILE_THUMB"))


def read_image(
    source: str | Path | IO[bytes], size: int, channels: int = 3, fit: Fit = "crop"
) -> np.ndarray:
    """The pixels of `read_picture`, (S, S, channels) uint8."""
    return read_picture(source, size, channels, fit).pixels


def read_picture(
    source: str | Path | IO[bytes], size: int, channels: int = 3, fit: Fit = "crop"
) -> Picture:
    """Decodes an image and resizes it for the networks, by the rule of `resize`.

    The image is turned by its EXIF orientation. Transparent parts become white. Of an animation the
    first frame is used, of a TIFF the first page. More than 8 bits become 8, see `pixels`. Damaged
    or very large metadata do no harm.

    Args:
        source: of a file, or an open one.
        size: S, the side of the result in pixels.
        channels: 3 for color, 1 for gray.
        fit: what to do with an image that is not square, see `resize.Form`.

    Returns:
        The image, with its original size.

    Raises:
        ImageError: if it is not an image, is damaged or cut short, or has over 100 million pixels.
    """
    with _failures_named(), _opened(source) as file:
        return _brought_to_size(_decode(file, size, channels), size, fit)


def read_whole(source: str | Path | IO[bytes], side: int) -> Image.Image:
    """Decodes an image as `read_picture` does, for a person to look at: whole and in color.

    Args:
        source: of a file, or an open one.
        side: of the square into which a larger image is shrunk, in pixels.

    Returns:
        The image, of mode "RGB". A smaller one keeps its size.

    Raises:
        ImageError: as `read_picture`.
    """
    with _failures_named(), _opened(source) as file:
        image = _decode(file, max(1, side // resize.ENOUGH), 3).image
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return image


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    """Turns whatever decoders raise into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("has far more than the 100 million pixels that are allowed") from error
    except FileNotFoundError as error:
        raise ImageError("is not there") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            "is not an image that can be read (PNG, JPEG, BMP, GIF, WebP, TIFF, AVIF, HEIC)"
        ) from error
    except Exception as error:  # Pillow's decoders raise errors of any kind
        if isinstance(error, OSError) and error.errno:  # of the system
            raise ImageError(f"cannot be read ({error.strerror})") from error
        raise ImageError(f"is damaged or cut short ({_first_line(error)})") from error


class _Decoded(NamedTuple):
    image: Image.Image  # "RGB" or "L", turned
    width: int  # of the whole image: a JPEG may be decoded at a fraction of its size
    height: int
    original: Image.Image  # as the file has it
    notes: tuple[str, ...]


def _brought_to_size(decoded: _Decoded, size: int, fit: Fit) -> Picture:
    notes = decoded.notes
    result = np.asarray(resize.with_pillow(decoded.image, size, fit), np.uint8)
    if result.min() == result.max() and pixels.varies(decoded.original):
        notes = (*notes, "became one flat color when it was resized; check the file")
    result = result.reshape(size, size, -1)
    digest = _digest(decoded.image)
    return Picture(result, decoded.width, decoded.height, "; ".join(notes), digest)


def _digest(image: Image.Image) -> bytes:
    """Of mode, size and bytes."""
    found = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    rows = max(1, _HASHED_AT_ONCE // (image.width * len(image.getbands())))
    for top in range(0, image.height, rows):  # half the time of all at once, and no memory
        bottom = min(top + rows, image.height)
        found.update(image.crop((0, top, image.width, bottom)).tobytes())
    return found.digest()


@contextlib.contextmanager
def _opened(source: str | Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """The file of a path, or `source` itself.

    Raises:
        ImageError: if the path is not of a plain file, such as a pipe, which might never end.
    """
    if not isinstance(source, (str, Path)):
        yield source
        return
    mode = os.stat(source).st_mode
    if not stat.S_ISREG(mode):
        raise ImageError("is a folder" if stat.S_ISDIR(mode) else "is not a plain file")
    with open(source, "rb") as file:
        yield file


def _decode(file: IO[bytes], size: int, channels: int) -> _Decoded:
    """Decodes a file; if that fails, tries again without the metadata that can be removed."""
    start = file.tell()
    try:
        return _decode_once(file, size, channels)
    except (ImageError, Image.DecompressionBombError, OSError) as error:
        # An OSError is about the pixels; but "cannot identify" is an OSError too, by which Pillow
        # means that it could not understand a header.
        if not isinstance(error, Image.UnidentifiedImageError):
            decoded = _without_its_end(file, start, size, channels)
            if decoded is None:
                raise
            return decoded
        failed = error
    except Exception as error:
        failed = error
    file.seek(start)
    bare = metadata.without(file.read())
    if bare is None:
        raise failed
    decoded = _decode_once(bare, size, channels)
    return decoded._replace(
        notes=(*decoded.notes, "its metadata are damaged or too large and were left out")
    )


def _without_its_end(file: IO[bytes], start: int, size: int, channels: int) -> _Decoded | None:
    """A JPEG that lacks only the two bytes that mark its end; None for any other file.

    Its pixels are complete if they do not depend on what is appended to them.
    """
    file.seek(start)
    data = file.read()
    if not data.startswith(b"\xff\xd8") or data.endswith(_END_OF_JPEG):
        return None
    data = data.removesuffix(_END_OF_JPEG[:1])  # half of the mark may be there
    try:
        decoded, other = (
            _decode_once(io.BytesIO(data + behind + _END_OF_JPEG), size, channels)
            for behind in (b"", 64 * b"\x55")
        )
    except Exception:  # damaged elsewhere
        return None
    if _digest(decoded.original) != _digest(other.original):
        return None
    return decoded._replace(notes=(*decoded.notes, "the mark of its end is missing"))


def _decode_once(file: IO[bytes], size: int, channels: int) -> _Decoded:
    start = file.tell()
    with _image(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"has {image.width:,} x {image.height:,} pixels, more than the 100 million that "
                "are allowed"
            )
        width, height = image.size
        if image.format in ("JPEG", "MPO"):
            factor = resize.jpeg_factor(width, height, size)
            image.draft(None, (width // factor, height // factor))
        raw = pixels.raw_mode(image)
        image.load()
        if image.format == "TIFF":  # which Pillow turns itself
            width, height = image.size
        eight = pixels.eight_bits(image, raw, channels, lambda: _image_at(file, start))
        orientation = metadata.orientation(image)
        if orientation >= 5:  # width and height change places
            width, height = height, width
    turned = resize.turn_with_pillow(eight.image, orientation)
    return _Decoded(turned, width, height, image, eight.notes)


def _image_at(file: IO[bytes], start: int) -> ImageFile.ImageFile:
    file.seek(start)
    return _image(file)


def _image(file: IO[bytes]) -> ImageFile.ImageFile:
    """Opens a file by its first bytes.

    Raises:
        ImageError: if the package that reads this format is not installed.
    """
    start = file.tell()
    header = file.read(12)
    file.seek(start)
    brand = header[8:] if header[4:8] == b"ftyp" else b""
    if brand in _AVIF_BRANDS:
        if not _reads_avif():
            raise ImageError("is an AVIF file; it needs pip install --upgrade 'pillow>=11.3'")
        return Image.open(file, formats=("AVIF",))
    if brand in _HEIC_BRANDS:
        try:
            from pillow_heif import HeifImageFile  # pyright: ignore[reportMissingImports] - optional
        except ImportError as error:
            raise ImageError(
                "is a HEIC file; it needs pip install 'ssgan-tf[heic]' (pillow-heif)"
            ) from error
        return HeifImageFile(file)
    return Image.open(file, formats=_FORMATS)


def _reads_avif() -> bool:
    try:
        from PIL.AvifImagePlugin import SUPPORTED
    except ImportError:  # before Pillow 11.3
        return False
    return SUPPORTED


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
