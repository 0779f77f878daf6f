"""Small folders of pictures, and their suggestions."""

import csv
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw


def picture(path: Path, number: int, size: tuple[int, int] = (24, 24)) -> None:
    """A circle, or a square for odd numbers; no two are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (240, 240 - number % 200, number % 250))
    draw = ImageDraw.Draw(image)
    box = (4, 4, size[0] - 5, size[1] - 5)
    (draw.rectangle if number % 2 else draw.ellipse)(box, fill=(20, 40, 5 * number % 250))
    image.save(path)


def pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        picture(root / name, number)
    return root


def unlabeled(root: Path, count: int) -> list[str]:
    """Makes images without a label, and returns their ids."""
    names = [f"unlabeled/{number:02}.png" for number in range(count)]
    pictures(root, *names)
    return names


def suggest(path: Path, names: Iterable[str], predicted: str = "circle") -> Path:
    """Writes a suggestions.csv."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rank", "path", "predicted", "probability", "reason"))
        for rank, name in enumerate(names, start=1):
            writer.writerow((rank, name, predicted, "0.8750" if predicted else "", "typical"))
    return path
