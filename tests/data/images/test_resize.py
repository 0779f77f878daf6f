"""One rule: a file gives the same pixels as a folder, through TFDS, to predict, and encoded."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from ssgan_tf import predict
from ssgan_tf.data import load
from ssgan_tf.data.folder.load import load_folder
from ssgan_tf.data.images import decoding, resize
from ssgan_tf.data.load import load_named
from ssgan_tf.inference import encoded

SIZE = 32
SIDES = ((1, 1), (5, 3), (28, 28), (31, 33), (32, 32), (100, 60), (300, 200), (400, 2), (3, 500))
RNG = np.random.default_rng(0)


def picture(width: int, height: int) -> Image.Image:
    """Colors in large and small patches, different at every call."""
    found = np.zeros((height, width, 3))
    for patch in (1, 7, 40):
        shape = (height // patch + 1, width // patch + 1, 3)
        coarse = RNG.integers(0, 86, shape).repeat(patch, 0).repeat(patch, 1)
        found += coarse[:height, :width]
    return Image.fromarray(found.astype(np.uint8))


def bytes_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG of (H, W, 1 to 4) values of 16 bits, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def files() -> dict[str, bytes]:
    """PNG and JPEG files of many sizes and kinds, no two with the same pixels."""
    found = {f"{w}x{h}.png": bytes_of(picture(w, h)) for w, h in SIDES}
    found |= {f"{w}x{h}.jpg": bytes_of(picture(w, h), "JPEG", quality=90) for w, h in SIDES[1:]}
    # At a half and at a quarter of their sizes, whose last rows and columns are of fewer pixels.
    found["half.jpg"] = bytes_of(picture(701, 567), "JPEG")
    found["quarter.jpg"] = bytes_of(picture(1205, 1029), "JPEG")
    for mode in ("1", "L", "LA", "P", "RGBA"):
        image = picture(61, 40)
        image.putalpha(picture(61, 40).convert("L"))
        found[f"{mode}.png"] = bytes_of(image.convert(mode))
    for colors in (2, 4, 16):
        found[f"palette{colors}.png"] = bytes_of(picture(61, 40).quantize(colors))
    found["key.png"] = bytes_of(picture(61, 40).convert("P"), transparency=5)
    key = bytes(range(0, 250, 50))
    found["keys.png"] = bytes_of(picture(61, 40).quantize(5), transparency=key)
    unused = picture(61, 40)
    unused.putalpha(0)
    found["unused.png"] = bytes_of(unused)
    for bits in (8, 12, 16):
        for channels in (1, 2, 3, 4):
            values = RNG.integers(0, 2**bits, (40, 61, channels))
            found[f"{bits}bits{channels}.png"] = png_of_16_bits(values)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"turned{orientation}.jpg"] = bytes_of(picture(61, 40), "JPEG", exif=exif)
        found[f"turned{orientation}.png"] = bytes_of(picture(61, 40), exif=exif)
    found["gray.jpg"] = bytes_of(picture(61, 40).convert("L"), "JPEG")
    found["cmyk.jpg"] = bytes_of(picture(61, 40).convert("CMYK"), "JPEG")
    found["progressive.jpg"] = bytes_of(picture(61, 40), "JPEG", progressive=True)
    more = {"save_all": True, "append_images": [picture(61, 40)]}
    found["several.jpg"] = bytes_of(picture(61, 40), "MPO", **more)
    return found


FILES = files()


class Files(tfds.core.GeneratorBasedBuilder):
    """The files as they are, as a TFDS data set."""

    VERSION = tfds.core.Version("1.0.0")
    channels: ClassVar[int] = 3
    place: ClassVar[Path]

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(None, None, self.channels))
        named = {"image": image, "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({**named, "id": tfds.features.Text()}),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: object) -> dict:
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        for index, name in enumerate(FILES):
            path = next(self.place.glob(f"train/*/{name}"))
            yield name, {"image": str(path), "label": index % 2, "id": name}


class Remembers:
    """In place of a `predict.Classifier`: keeps the images that it is given."""

    size, class_names = SIZE, ("a", "b")

    def __init__(self, channels: int, fit: str) -> None:
        self.channels, self.fit = channels, fit
        self.images: list[np.ndarray] = []

    def __call__(self, found: np.ndarray) -> dict[str, np.ndarray]:
        self.images.append(found[0])
        count = len(found)
        return {"probabilities": np.full((count, 2), 0.5), "p_real": np.full(count, 0.5)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files in two classes."""
    root = tmp_path_factory.mktemp("files")
    for index, (name, content) in enumerate(FILES.items()):
        path = root / "train" / "ab"[index % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("channels", "fit"), [(3, "crop"), (1, "crop"), (3, "pad"), (1, "stretch")]
)
def test_a_file_gives_the_same_pixels_by_every_way(
    channels: int, fit: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_folder(str(place), image_size=SIZE, fit=fit, channels=channels)
    by_folder = {
        Path(name).name: pixels
        for part in (dataset.train, dataset.test)
        for name, pixels in zip(part.ids.tolist(), part.images, strict=True)
    }
    assert set(by_folder) == set(FILES)

    monkeypatch.setattr(Files, "place", place, raising=False)
    monkeypatch.setattr(Files, "channels", channels)
    monkeypatch.setattr(load, "_builder", lambda name, data_dir: Files(data_dir=data_dir))
    train = load_named("files", str(tmp_path), SIZE, fit).train
    by_tfds = dict(zip(train.ids.tolist(), train.images, strict=True))

    classifier = Remembers(channels, fit)
    decode = tf.function(lambda content: encoded.decode(content, SIZE, channels, fit))
    for name, expected in by_folder.items():
        np.testing.assert_array_equal(by_tfds[name], expected, name)
        (path,) = place.glob(f"train/*/{name}")
        classifier.images.clear()
        list(predict.predict(classifier, [str(path)], batch_size=1))
        np.testing.assert_array_equal(classifier.images[0], expected, name)
        difference = decode(tf.constant(FILES[name])).numpy().astype(int) - expected
        assert np.abs(difference).max() <= 2, name
        assert expected.std() > 0 or name == "1x1.png"  # there is something to compare


def test_an_image_of_the_right_size_is_the_same_to_the_bit() -> None:
    for name in ("32x32.png", "32x32.jpg"):
        whole = np.asarray(Image.open(io.BytesIO(FILES[name])))
        np.testing.assert_array_equal(decoding.read_image(io.BytesIO(FILES[name]), 32), whole)
        found = encoded.decode(tf.constant(FILES[name]), 32, 3, "crop")
        np.testing.assert_array_equal(found, whole)


def both(pixels: np.ndarray, size: int, fit: str) -> list[np.ndarray]:
    """(H, W, 3) uint8 by Pillow and by TensorFlow, (size, size, 3)."""
    return [
        np.asarray(resize.with_pillow(Image.fromarray(pixels), size, fit)),
        resize.with_tensorflow(tf.constant(pixels), size, fit, 3).numpy(),
    ]


def test_a_small_image_is_enlarged_and_gets_no_frame() -> None:
    pixels = RNG.integers(0, 256, (28, 28, 3), np.uint8)
    places = np.clip((np.arange(32) + 0.5) * 28 / 32 - 0.5, 0, 27)  # of the pixels' middles
    low = np.minimum(places.astype(int), 26)
    share = places - low
    matrix = np.zeros((32, 28))
    matrix[np.arange(32), low], matrix[np.arange(32), low + 1] = 1 - share, share
    expected = np.einsum("ij,kl,jlc->ikc", matrix, matrix, pixels)
    for found in both(pixels, 32, "crop"):
        assert np.abs(found - expected).max() <= 1.01


@pytest.mark.parametrize(("width", "left"), [(3, 0), (4, 0), (5, 1), (6, 1), (7, 2)])
def test_the_square_in_the_middle_begins_at_a_whole_pixel(width: int, left: int) -> None:
    pixels = RNG.integers(0, 256, (3, width, 3), np.uint8)
    for found in both(pixels, 3, "crop"):
        np.testing.assert_array_equal(found, pixels[:, left : left + 3])
    for found in both(pixels.swapaxes(0, 1), 3, "crop"):
        np.testing.assert_array_equal(found, pixels.swapaxes(0, 1)[left : left + 3])


@pytest.mark.parametrize(
    ("width", "height", "rows"), [(32, 17, (7, 24)), (2000, 2, (15, 16)), (64, 33, (7, 24))]
)
def test_padding_keeps_the_shape_and_at_least_one_row(
    width: int, height: int, rows: tuple[int, int]
) -> None:
    for found in both(np.full((height, width, 3), 200, np.uint8), 32, "pad"):
        expected = np.zeros((32, 32, 3))
        expected[rows[0] : rows[1]] = 200
        np.testing.assert_array_equal(found, expected)


def test_gray_is_made_of_color_in_the_same_way() -> None:
    colors = RNG.integers(0, 256, (50, 60, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colors).convert("L"))
    found = resize.to_channels(tf.constant(colors), 1)[..., 0]
    np.testing.assert_array_equal(found, expected)
    assert (
        expected[0, 0]
        == (
            19595 * int(colors[0, 0, 0])
            + 38470 * int(colors[0, 0, 1])
            + 7471 * int(colors[0, 0, 2])
            + 32768
        )
        // 65536
    )


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
    9: lambda a: a,
}


@pytest.mark.parametrize("orientation", TURNED)
def test_both_forms_turn_alike(orientation: int) -> None:
    pixels = RNG.integers(0, 256, (4, 7, 3), np.uint8)
    expected = TURNED[orientation](pixels)
    image = resize.turn_with_pillow(Image.fromarray(pixels), orientation)
    np.testing.assert_array_equal(np.asarray(image), expected)
    found = resize.turn_with_tensorflow(tf.constant(pixels), tf.constant(orientation))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("side", "factor"), [(1, 1), (511, 1), (512, 2), (1023, 2), (1024, 4), (2048, 8), (9999, 8)]
)
def test_a_jpeg_is_decoded_at_a_part_that_leaves_eight_times_the_size(
    side: int, factor: int
) -> None:
    assert resize.jpeg_factor(side, 10_000, 32) == resize.jpeg_factor(10_000, side, 32) == factor


@pytest.mark.parametrize("side", [701, 1205, 2050])
def test_a_part_of_a_jpeg_gives_almost_what_the_whole_gives(side: int) -> None:
    content = bytes_of(picture(side, side), "JPEG", quality=90)
    whole = Image.open(io.BytesIO(content)).resize((32, 32), Image.Resampling.BILINEAR)
    found = decoding.read_image(io.BytesIO(content), 32)
    difference = np.abs(found.astype(int) - np.asarray(whole))
    assert difference.mean() < 1 and difference.max() <= 6  # at the lower right edges
