"""Any kind of pixels -> 8 bits, gray or color, opaque.

Of more than 8 bits the lowest ones are dropped. A file of 16 bits often uses fewer: it is read as
8, 10, 12 or 16 bits, the fewest that hold its largest value. Floating-point numbers are read as
0 to 1 if none is larger than 1, as 0 to 255 if none is larger than 255, or else as integers.
Negative numbers become 0.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

BITS = (8, 10, 12, 16)
# Pillow gives the upper byte of a color of 16 bits. Where that is almost nothing the file is read
# once more for the lower one, by the raw mode of the other byte order.
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


class EightBits(NamedTuple):
    """An image of mode "RGB" or "L", and what the user should know about how it was made."""

    image: Image.Image
    notes: tuple[str, ...]


def raw_mode(image: Image.Image) -> str:
    """Pillow's name for how pixels are stored, such as "RGB;16B"; only before they are loaded."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return arguments if isinstance(arguments, str) else str(next(iter(arguments or ()), ""))


def eight_bits(
    image: Image.Image, raw: str, channels: int, again: Callable[[], ImageFile.ImageFile]
) -> EightBits:
    """Any mode -> "RGB" or "L", 8 bits; transparent parts become white.

    Args:
        image: loaded.
        raw: its `raw_mode` before it was loaded.
        channels: 3 or 1.
        again: opens the same file once more.
    """
    notes: tuple[str, ...] = ()
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more, gray
        image, notes = _from_deep_gray(image)
    elif raw[-3:] in _OTHER_ORDER and image.mode in ("RGB", "RGBA", "LA"):
        image, notes = _from_deep_color(image, raw, again)
    if image.mode == "La":  # which can only be converted to LA
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    # Through RGB, as color images of other data sets become gray.
    if channels == 1 and image.mode not in ("L", "1"):
        image = image.convert("RGB")
    return EightBits(image.convert("L" if channels == 1 else "RGB"), notes)


def varies(image: Image.Image) -> bool:
    """Whether the pixels of a loaded image, as the file has them, are not all the same."""
    return any(low != high for low, high in _extrema(image))


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    """The lowest and the highest value of each channel."""
    found: Any = image.getextrema()  # a pair, or one for each channel
    return list(found) if isinstance(found[0], tuple) else [found]


def bits_for(largest: int) -> int:
    """How many bits a file is taken to use, by its largest value."""
    return next((bits for bits in BITS if largest < 2**bits), int(largest).bit_length())


def _on_white(rgba: Image.Image) -> Image.Image:
    """On a white background; if nothing at all is opaque, the fourth channel is ignored."""
    if _extrema(rgba)[3][1] == 0:
        return rgba.convert("RGB")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba)


def _from_deep_gray(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    values = np.asarray(image)
    notes: tuple[str, ...] = ()
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0).clip(0)
    largest = values.max(initial=0)
    if image.mode == "F" and largest <= 255:
        values = np.round(values * 255 if largest <= 1 else values)
    else:
        bits = bits_for(int(largest))
        notes = _notes(bits)
        values = values.clip(0) // 2 ** (bits - 8)
    found = Image.fromarray(values.astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and image.mode.startswith("I;16"):  # one gray of a PNG
        alpha = np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8)
        found.putalpha(Image.fromarray(alpha))
    return found, notes


def _from_deep_color(
    image: Image.Image, raw: str, again: Callable[[], ImageFile.ImageFile]
) -> tuple[Image.Image, tuple[str, ...]]:
    """The image itself, unless its upper bytes are almost 0: then the bits that it uses."""
    colors = 3 if image.mode.startswith("RGB") else 1
    if max(high for _, high in _extrema(image)[:colors]) >= 16:
        return image, ()
    lower = again()
    changed = raw[:-3] + _OTHER_ORDER[raw[-3:]]
    if raw.startswith("LA"):  # has no other order; four bytes are four channels
        lower._mode, changed = "RGBA", "RGBA"
    tiles = []
    for codec, extents, offset, arguments in lower.tile:
        new = changed if isinstance(arguments, str) else (changed, *(arguments or ())[1:])
        tiles.append(ImageFile._Tile(codec, extents, offset, new))
    lower.tile = tiles
    lower.load()
    bytes_ = np.asarray(lower, np.uint16)
    if raw.startswith("LA"):
        values = bytes_[..., 0::2] * 256 + bytes_[..., 1::2]
    else:
        values = np.asarray(image, np.uint16) * 256 + bytes_
    # The colors use the same number of bits, transparency its own.
    bits = bits_for(values[..., : -1 if values.shape[-1] in (2, 4) else None].max())
    parts = [values[..., index] >> (bits - 8) for index in range(values.shape[-1])]
    if len(parts) in (2, 4):
        parts[-1] = values[..., -1] >> (bits_for(values[..., -1].max()) - 8)
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}[len(parts)]
    bands = [Image.fromarray(part.astype(np.uint8)) for part in parts]
    return Image.merge(mode, bands), _notes(bits)


def _notes(bits: int) -> tuple[str, ...]:
    if bits >= 16:
        return ()
    return (f"its largest value has {bits} bits, so it is read as an image of {bits} bits",)
