"""`house_numbers`: an embedded data set of rendered house numbers, in the manner of SVHN.

It needs no download: matplotlib's fonts, Pillow's drawing and numpy's random numbers make 12,000
crops of 32x32 pixels, each with one digit to be recognized in its center and often parts of its
neighbors at the sides. As a TensorFlow Datasets builder it is prepared once, in about a minute,
cached, and loaded like any other. It is easier than SVHN (docs/results.md).

Each image is a pure function of (`SEED`, split, index), so on one installation every preparation
gives the same images. Other versions of Pillow, its FreeType, matplotlib's fonts or numpy may draw
some pixels differently.
"""

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

SEED = 0
IMAGE_SIZE = 32
NUM_EXAMPLES = {"train": 10_000, "test": 2_000}
# As in a street, low digits are the more frequent ones (Benford's law), but no class gets rare.
CLASS_PROBABILITIES = (0.075, 0.17, 0.14, 0.115, 0.10, 0.09, 0.08, 0.08, 0.075, 0.075)
# Of matplotlib's fonts those with digits of a shape of their own: the rest hold symbols only, or
# are slanted copies, and each image is slanted anyway.
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta"),
    *("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
# The scene is drawn large, and the crop taken from it halved in the end: no jagged edges.
SCENE_SIZE = (176, 128)
CROP_SIZE = 2 * IMAGE_SIZE
DIGIT_HEIGHT = 48

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right, bottom


def render(split: str, index: int) -> tuple[np.ndarray, int]:
    """Renders one example.

    Args:
        split: "train" or "test"; both are drawn from the same distribution.
        index: from 0 to `NUM_EXAMPLES[split]` - 1.

    Returns:
        The image, (32, 32, 3) uint8, and its label, the digit in the center, from 0 to 9.
    """
    rng = np.random.default_rng([SEED, list(NUM_EXAMPLES).index(split), index])
    label = int(rng.choice(10, p=CLASS_PROBABILITIES))
    face, rim = _draw_number(rng, label)
    luminance = float(np.clip(rng.normal(132, 50), 12, 235))
    scene = _draw_wall(rng, luminance)
    if rng.random() < 0.5:
        luminance = float(np.clip(rng.normal(130, 65), 12, 235))
        box = cast(Box, face.getbbox())  # a digit always has ink
        _draw_plate(rng, scene, _color(rng, luminance), box)
    _paint_number(rng, scene, face, rim, luminance)
    crop = _take_crop(rng, scene)
    crop = _light(rng, crop)
    return _degrade(rng, crop), label


@functools.cache
def glyph(font: str, digit: int, stroke: int) -> Image.Image:
    """Draws one digit, `DIGIT_HEIGHT` pixels high plus twice the width of its stroke.

    Args:
        font: one of `FONTS`.
        digit: 0 to 9.
        stroke: how many pixels are added all around.

    Returns:
        A mask (mode "L", 255 = ink) that ends where the ink ends.
    """
    import matplotlib  # images that are there already need no font

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    _, top, _, bottom = ImageFont.truetype(path, 100).getbbox(str(digit))
    sized = ImageFont.truetype(path, round(100 * DIGIT_HEIGHT / (bottom - top)))
    left, top, right, bottom = sized.getbbox(str(digit), stroke_width=stroke)
    mask = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), str(digit), fill=255, font=sized, stroke_width=stroke)
    return mask


def _draw_number(rng: np.random.Generator, label: int) -> tuple[Image.Image, Image.Image]:
    """Masks of a number whose digit `label` is in the center: its face, and face and rim."""
    font = FONTS[rng.integers(len(FONTS))]
    stroke = int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]))
    rim_stroke = stroke + int(rng.integers(2, 5))
    gap = int(rng.integers(0, 11))
    face, rim = Image.new("L", SCENE_SIZE), Image.new("L", SCENE_SIZE)

    def paste(digit: int, center: float) -> None:
        for mask, width in ((face, stroke), (rim, rim_stroke)):
            ink = glyph(font, digit, width)
            corner = (round(center - ink.width / 2), (SCENE_SIZE[1] - ink.height) // 2)
            mask.paste(255, corner, ink)

    paste(label, SCENE_SIZE[0] / 2)
    for side in (-1, 1):
        edge = glyph(font, label, stroke).width / 2
        for _ in range(rng.choice(3, p=[0.35, 0.45, 0.2])):
            digit = int(rng.choice(10, p=CLASS_PROBABILITIES))
            width = glyph(font, digit, stroke).width
            paste(digit, SCENE_SIZE[0] / 2 + side * (edge + gap + width / 2))
            edge += gap + width
    return face, rim


def _color(rng: np.random.Generator, luminance: float) -> Color:
    """A color about as light as `luminance` (0 to 255): mostly grayish, at times vivid."""
    strength = rng.choice([6.0, 20.0, 60.0], p=[0.55, 0.33, 0.12])
    warmth, magenta = strength * rng.normal(0, (1.0, 0.3))
    rgb = luminance + np.array([warmth + magenta, -magenta, magenta - warmth])
    red, green, blue = np.clip(rgb, 0, 255).astype(int)
    return int(red), int(green), int(blue)


def _noise(rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Smooth noise (height, width), float32, of about unit variance; `cells` and `size` (w, h)."""
    coarse = Image.fromarray(rng.standard_normal(cells[::-1], dtype=np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def _draw_wall(rng: np.random.Generator, luminance: float) -> Image.Image:
    """What the number is fixed to: plaster, wood, brick or siding, with stains."""
    width, height = SCENE_SIZE
    material = rng.choice(["plaster", "wood", "brick", "siding"], p=[0.5, 0.2, 0.15, 0.15])
    grain = {"plaster": (64, 48), "wood": (4, 48), "brick": (48, 36), "siding": (3, 3)}[material]
    shades = rng.gamma(2, 3) * _noise(rng, grain, SCENE_SIZE)
    shades += rng.gamma(2, 4) * _noise(rng, (5, 4), SCENE_SIZE)
    pixels = shades[..., None] + np.array(_color(rng, luminance), np.float32)
    wall = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if material in ("brick", "siding"):
        draw = ImageDraw.Draw(wall)
        joint = _color(rng, luminance + rng.normal(0, 35))
        course, line = int(rng.integers(16, 48)), int(rng.integers(1, 4))
        start = int(rng.integers(course))
        for row, y in enumerate(range(start, height, course)):
            draw.line([(0, y), (width, y)], joint, line)
            for x in range(start + row % 2 * course, width, 2 * course):
                if material == "brick":
                    draw.line([(x, y), (x, y + course)], joint, line)
    if material == "wood" and rng.random() < 0.5:
        wall = wall.rotate(90, Image.Resampling.BILINEAR, expand=True).resize(SCENE_SIZE)
    return wall


def _draw_plate(rng: np.random.Generator, scene: Image.Image, color: Color, box: Box) -> None:
    """Draws a plate around `box` in place, with a border and the shadow that it casts."""
    margins = rng.integers(4, 22, 4) * np.array([-1, -1, 1, 1])
    x0, y0, x1, y1 = (int(edge) for edge in np.array(box) + margins)
    border = _color(rng, rng.uniform(0, 255)) if rng.random() < 0.5 else color
    line = int(rng.integers(1, 5))
    shift = int(rng.integers(0, 5))
    draw = ImageDraw.Draw(scene)
    if rng.random() < 0.2:
        draw.ellipse((x0 - 12, y0 - 8, x1 + 12, y1 + 8), color, border, line)
        return
    radius = int(rng.integers(0, 12))
    shade = _color(rng, rng.uniform(0, 60))
    draw.rounded_rectangle((x0 + shift, y0 + shift, x1 + shift, y1 + shift), radius, shade)
    draw.rounded_rectangle((x0, y0, x1, y1), radius, color, border, line)


def _paint_number(
    rng: np.random.Generator,
    scene: Image.Image,
    face: Image.Image,
    rim: Image.Image,
    luminance: float,
) -> None:
    """Paints the number on a ground of `luminance`, in place: flat, rimmed, hollow or in relief."""
    contrast = float(np.clip(rng.lognormal(np.log(85), 0.45), 45, 220))
    darkest, lightest = luminance - contrast, luminance + contrast
    lighter = rng.random() < 0.5 if darkest > 0 and lightest < 255 else luminance < 128
    color = _color(rng, lightest if lighter else darkest)
    style = rng.choice(["flat", "rimmed", "hollow", "relief"], p=[0.65, 0.1, 0.05, 0.2])
    if style == "rimmed":
        scene.paste(_color(rng, rng.uniform(0, 255)), mask=rim)
    elif style == "hollow":
        face = ImageChops.subtract(rim, face)
    elif style == "relief":
        shift = rng.integers(-3, 4, 2)
        shadow = ImageChops.offset(face, int(shift[0]), int(shift[1]))
        shadow = shadow.filter(ImageFilter.BoxBlur(float(rng.uniform(0, 2))))
        scene.paste(_color(rng, luminance * rng.uniform(0.2, 0.7)), mask=shadow)
    scene.paste(color, mask=face)


def _take_crop(rng: np.random.Generator, scene: Image.Image) -> Image.Image:
    """Cuts out the digit in the center, seen at an angle, a little off the middle.

    One mesh of 3x3 quadrilaterals does it all: rotation, slant, width, perspective, and an uneven
    stretch that makes of each font many.
    """
    nodes = np.linspace(-1, 1, 4)
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1)  # (4, 4, 2), x and y
    angle = rng.normal(0, 0.06)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, rng.normal(0, 0.1)], [0, 1]])
    width = np.diag([rng.uniform(0.9, 1.3), 1])  # of the crop: a wider one has a narrower digit
    points = grid @ (rotation @ slant @ width).T / (1 + grid @ rng.uniform(-0.15, 0.15, (2, 1)))
    points *= DIGIT_HEIGHT / 2 * rng.uniform(1.1, 1.5)
    points += np.array(SCENE_SIZE) / 2 + rng.normal(0, 2, 2) + rng.normal(0, 1.2, grid.shape)

    cells = np.linspace(0, CROP_SIZE, 4).astype(int)
    mesh = []
    for row in range(3):
        for column in range(3):
            box = (*cells[[column, row]], *cells[[column + 1, row + 1]])
            corners = points[[row, row + 1, row + 1, row], [column, column, column + 1, column + 1]]
            mesh.append((tuple(int(edge) for edge in box), tuple(corners.ravel())))
    size = (CROP_SIZE, CROP_SIZE)
    return scene.transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _light(rng: np.random.Generator, crop: Image.Image) -> Image.Image:
    """Lights the crop unevenly, at times with the edge of a shadow across it."""
    gain = 1 + rng.uniform(0, 0.2) * _noise(rng, (3, 3), crop.size)
    gain /= gain.max()  # light that brightened could burn the digit out
    if rng.random() < 0.2:
        shadow = Image.new("L", crop.size, 255)
        corners = rng.uniform(-0.3, 1.3, (3, 2)) * CROP_SIZE
        ImageDraw.Draw(shadow).polygon([tuple(xy) for xy in corners], int(rng.uniform(110, 200)))
        shadow = shadow.filter(ImageFilter.BoxBlur(float(rng.uniform(0, 4))))
        gain *= np.asarray(shadow, np.float32) / 255
    pixels = np.asarray(crop) * gain[..., None]
    fading = rng.beta(1, 6)  # haze or a poor lens: less contrast
    pixels += fading * (pixels.mean() - pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _degrade(rng: np.random.Generator, crop: Image.Image) -> np.ndarray:
    """What a camera in a moving car does: blur, few pixels, noise, JPEG, sharpening."""
    crop = crop.filter(ImageFilter.GaussianBlur(min(2.5, float(rng.gamma(2, 0.45)))))
    side = int(np.clip(rng.lognormal(np.log(23), 0.35), 12, IMAGE_SIZE))
    small = np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))
    noise = rng.standard_normal(small.shape, dtype=np.float32)
    noisy = small + rng.gamma(1.5, 1.2) * noise
    photo = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=int(rng.integers(40, 96)))
    photo = Image.open(encoded).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    if rng.random() < 0.4:
        photo = photo.filter(ImageFilter.UnsharpMask(2, int(rng.integers(40, 160)), 0))
    return np.asarray(photo)


class HouseNumbers(tfds.core.GeneratorBasedBuilder):
    """Rendered house numbers: 10,000 training and 2,000 test images, ten classes."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS' own convention)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Rendered house numbers: 10,000 training and 2,000 test images.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3)),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in NUM_EXAMPLES}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in range(NUM_EXAMPLES[split]):
            image, label = render(split, index)
            identity = f"{split}_{index:06d}"
            yield identity, {"image": image, "label": label, "id": identity}
