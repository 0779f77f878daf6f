import re

import numpy as np

from ssgan_tf.reporting.contact_sheet import Section, Tile, render

IMAGE = np.zeros((8, 8, 1), np.uint8)


def test_images_are_grouped_in_the_order_of_their_ranks() -> None:
    tiles = [Tile(IMAGE, f"{name}.png", name[0], "why") for name in ("b1", "a1", "b2")]
    page = render("Title", "what", [Section("Images", "text", tiles)], "next command")
    assert re.findall(r"<h3>(.)</h3>", page) == ["b", "a"]
    assert re.findall(r"<b>(\d)</b>", page) == ["1", "3", "2"]
    assert re.findall(r'alt="(\w\w).png: why"', page) == ["b1", "b2", "a1"]


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere() -> None:
    tiles = [Tile(IMAGE, "<script>.png", "", '"><img src="http:">')]
    page = render("<b>", "&", [Section("Images", "", tiles)], "--dataset=<x>")
    assert "<script" not in page and 'src="http' not in page and "<h3>" not in page
    assert re.findall(r'src="([a-z:/]+)', page) == ["data:image/png"]
