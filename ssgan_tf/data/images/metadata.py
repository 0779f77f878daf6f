"""What a file holds besides its pixels: the orientation is used, the rest must do no harm."""

import io
import struct
from zlib import crc32

from PIL import Image

ORIENTATION = 0x0112  # of EXIF
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # types of EXIF
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Chunks that the pixels need; any other chunk may be damaged.
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_WEBP_CHUNKS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened image, 1 to 8; 1 (do not turn) without EXIF data.

    Pillow turns TIFF files itself when they are loaded, and libheif HEIC files.
    """
    exif = image.info.get("exif")
    if image.format in ("TIFF", "HEIF") or not isinstance(exif, bytes):
        return 1
    return exif_orientation(exif)


def exif_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF data, 1 to 8; 1 if the data is damaged before it.

    Pillow reads all entries, and one bad entry would make it lose the orientation.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if order is None:
            return 1
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for place in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, content = struct.unpack_from(order + "HHI4s", tiff, place)
            if tag == ORIENTATION and kind in _INTEGERS:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], content)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut short
        pass
    return 1


def without(content: bytes) -> io.BytesIO | None:
    """A PNG, JPEG or WebP file without metadata, but with its orientation.

    None for any other file, and where there is nothing to remove.
    """
    if content.startswith(_PNG):
        bare = _png_without(content)
    elif content.startswith(_JPEG):
        bare = _jpeg_without(content)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        bare = _webp_without(content)
    else:
        return None
    return io.BytesIO(bare) if bare != content else None


def _png_without(content: bytes) -> bytes:
    kept, place = [_PNG], len(_PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind in _PNG_CHUNKS:
            kept.append(content[place : place + 12 + length])
        elif kind == b"eXIf":  # its checksum may be wrong
            exif = kind + _only_orientation(exif_orientation(content[place + 8 :][:length]))
            kept.append(struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", crc32(exif)))
        place += 12 + length
    return b"".join(kept)


def _jpeg_without(content: bytes) -> bytes:
    kept, place = [_JPEG], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, place + 1)
        if marker == 0xFF:  # fills up
            place += 1
            continue
        if marker == 0xDA:  # the pixels
            break
        segment = content[place : place + 2 + length]
        # Application segments and comments go, apart from Adobe's, which names the kind of colors.
        is_adobe = marker == 0xEE and segment[4:9] == b"Adobe" and length >= 14
        if is_adobe or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
        elif segment[4:10] == b"Exif\0\0":
            exif = b"Exif\0\0" + _only_orientation(exif_orientation(segment[4:]))
            kept.append(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
        place += 2 + length
    return b"".join([*kept, content[place:]])


def _only_orientation(value: int) -> bytes:
    """EXIF data with nothing else."""
    entry = struct.pack("<HHIHH", ORIENTATION, 3, 1, value, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _webp_without(content: bytes) -> bytes:
    kept, place = [], 12
    while place + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, place)
        end = place + 8 + length + length % 2
        if kind in _WEBP_CHUNKS:
            kept.append(content[place:end])
        place = end
    chunks = b"".join(kept)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
