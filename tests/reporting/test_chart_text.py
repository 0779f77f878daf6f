from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from ssgan_tf.reporting import chart_text


@pytest.fixture(autouse=True)
def _no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine that has matplotlib's own fonts alone."""
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    chart_text._fonts_with.cache_clear()
    yield
    chart_text._fonts_with.cache_clear()


def make_font(path: Path, family: str, letters: str) -> str:
    """Writes a font whose glyphs are squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [f"u{ord(letter):04X}" for letter in letters]
    order = [".notdef", *names]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(order)
    font.setupCharacterMap(dict(zip(map(ord, letters), names, strict=True)))
    font.setupGlyf(dict.fromkeys(order, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(order, (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


@pytest.mark.parametrize("names", [["cat", "dog"], ["größer", "naïve"], ["$\\no$", "50$ _{"]])
def test_names_that_matplotlibs_own_font_has_are_drawn(names: list[str]) -> None:
    found = chart_text.labels(names)
    assert (found.texts, found.key) == (names, "")
    assert found.style["parse_math"] is False


@pytest.mark.parametrize("name", ["猫", "ねこ", "고양이", "हिन्दी", "a\nb", "\udce9", "", "x" * 60])
def test_names_that_cannot_be_drawn_get_numbers_and_a_key(name: str) -> None:
    found = chart_text.labels(["cat", name])
    assert found.texts == ["0", "1"]
    assert found.key == f"0 = cat; 1 = {name}"
    assert chart_text.labels(["cat", name], first=1).texts == ["1", "2"]


def test_a_font_that_has_the_letters_is_found_even_if_it_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fonts = [
        make_font(tmp_path / "a.ttf", "Half", "猫"),
        make_font(tmp_path / "b.ttf", "Whole", "猫犬"),
        make_font(tmp_path / "c.ttf", "LastResort", "猫犬鳥"),  # has boxes
    ]
    (tmp_path / "d.ttf").write_bytes(b"not a font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [*fonts, str(tmp_path / "d.ttf")])
    found = chart_text.labels(["猫 cat", "犬"])
    assert (found.texts, found.key) == (["猫 cat", "犬"], "")
    assert found.style["fontfamily"] == ["DejaVu Sans", "Whole"]
    assert chart_text.labels(["猫", "鳥"]).texts == ["0", "1"]


def test_two_fonts_may_be_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = [make_font(tmp_path / f"{ord(x)}.ttf", f"F{ord(x)}", x) for x in "猫고"]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: fonts)
    assert set(chart_text.fonts_for("고猫")) == {"F29483", "F44256"}
