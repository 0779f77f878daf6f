"""Names in charts: in a font that has their letters, or as numbers; never as boxes or formulas."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from ssgan_tf.system.text import display_width

_BASE = "DejaVu Sans"  # comes with matplotlib
_WIDEST = 28  # letters of a name that leaves room for the chart
# They have a glyph for every letter: a box, or an empty one.
_NO_REAL_FONTS = ("lastresort", "blank", "tofu", "emoji")


class Labels(NamedTuple):
    """How names stand in a chart.

    Attributes:
        texts: one for each name: the name itself, or its number.
        style: keyword arguments for matplotlib's texts.
        key: which number stands for which name, to be shown beside the chart; empty where the
            names are drawn.
    """

    texts: list[str]
    style: dict
    key: str


def labels(names: Sequence[str], first: int = 0) -> Labels:
    """What can be drawn for `names`: all of them, or a number for each.

    Args:
        names: any text.
        first: the number of the first name.
    """
    fonts = fonts_for("".join(names))
    # A formula is what stands between two $; it must stay what it is.
    style = {"parse_math": False, "fontfamily": [_BASE, *(fonts or ())]}
    if fonts is not None and all(name and display_width(name) <= _WIDEST for name in names):
        return Labels(list(names), style, "")
    numbers = [str(number) for number in range(first, first + len(names))]
    pairs = (f"{number} = {name}" for number, name in zip(numbers, names, strict=True))
    return Labels(numbers, style, "; ".join(pairs))


def fonts_for(text: str) -> list[str] | None:
    """Families that have the letters that matplotlib's own font lacks; None if no font has them."""
    missing = frozenset(map(ord, text)) - _glyphs_of_base()
    return _fonts_with(missing) if missing else []


@functools.cache
def _glyphs_of_base() -> frozenset[int]:
    from matplotlib import font_manager, ft2font

    path = font_manager.findfont(_BASE)
    return frozenset(ft2font.FT2Font(path).get_charmap())


@functools.lru_cache(maxsize=8)  # the same names are drawn after every epoch
def _fonts_with(letters: frozenset[int]) -> list[str] | None:
    fonts = {family: _drawable(path, letters) for family, path in _installed_fonts().items()}
    missing, families = set(letters), []
    while missing:
        best = max(fonts, key=lambda family: (len(fonts[family] & missing), "Sans" in family))
        if not fonts[best] & missing:
            return None
        families.append(best)
        missing -= fonts[best]
    return families


def _installed_fonts() -> dict[str, str]:
    """Family -> the file that matplotlib takes for it, also if it was installed a minute ago."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    known = {entry.fname for entry in manager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        try:
            manager.addfont(path)
        except Exception:  # whatever its reader finds wrong with a font
            continue
    families = {
        entry.name
        for entry in manager.ttflist
        if (entry.style, entry.weight) in (("normal", 400), ("normal", "normal"))
        and not any(word in f"{entry.name} {entry.fname}".lower() for word in _NO_REAL_FONTS)
    }
    return {family: manager.findfont(family) for family in sorted(families)}


def _drawable(path: str, letters: frozenset[int]) -> frozenset[int]:
    """Those of `letters` for which a font has a glyph that can be drawn."""
    from matplotlib import ft2font

    try:
        font = ft2font.FT2Font(path)
        if not font.scalable:  # pictures of one size
            return frozenset()
        return letters & font.get_charmap().keys()
    except Exception:  # a file that is damaged, or gone
        return frozenset()
