"""The page of suggestions: which images to label, and which labels to check."""

import base64
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssgan_tf.reporting import pictures


class Tile(NamedTuple):
    """An image on the page.

    Attributes:
        image: (H, W, C) uint8.
        path: its name.
        group: what it is shown under; empty: there is one group.
        caption: why it is there.
    """

    image: np.ndarray
    path: str
    group: str
    caption: str


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        title: its heading.
        text: a sentence under it.
        tiles: its images, the first one first.
    """

    title: str
    text: str
    tiles: Sequence[Tile]


def render(title: str, subtitle: str, sections: Sequence[Section], command: str) -> str:
    """Makes the page.

    Args:
        title: of the page.
        subtitle: under it.
        sections: what it shows.
        command: what to type next.

    Returns:
        HTML, whole: nothing is loaded from elsewhere.
    """
    import jinja2

    template = jinja2.Environment(
        loader=jinja2.PackageLoader("ssgan_tf.reporting"), autoescape=True, trim_blocks=True
    ).get_template("suggestions.html.j2")
    shown = [
        {"title": section.title, "text": section.text, "groups": _groups(section.tiles)}
        for section in sections
    ]
    return template.render(title=title, subtitle=subtitle, sections=shown, command=command)


def _groups(tiles: Sequence[Tile]) -> list[dict]:
    """The images by group, in the order in which the groups come first."""
    groups: dict[str, list[dict]] = {}
    for rank, tile in enumerate(tiles, start=1):
        png = base64.b64encode(pictures.png(tile.image)).decode()
        shown = {
            "png": f"data:image/png;base64,{png}",
            "alt": f"{tile.path}: {tile.caption}",
            "rank": rank,
            "path": tile.path,
            "caption": tile.caption,
        }
        groups.setdefault(tile.group, []).append(shown)
    return [{"name": name, "images": images} for name, images in groups.items()]
