import io
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image

from ssgan_tf.images import ImageError, read_image

GRADIENT = np.add.outer(np.arange(32) * 3, np.arange(32) * 4).astype(np.uint8)
COLOUR = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT.T], axis=-1)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_an_image_of_the_right_size_keeps_its_pixels(kind: str) -> None:
    np.testing.assert_array_equal(read_image(file_of(Image.fromarray(COLOUR), kind), 32), COLOUR)
    grey = read_image(file_of(Image.fromarray(GRADIENT), kind), 32, channels=1)
    np.testing.assert_array_equal(grey[..., 0], GRADIENT)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_other_formats_are_read(kind: str) -> None:
    flat = Image.new("RGB", (40, 40), (200, 100, 50))
    found = read_image(file_of(flat, kind), 32)
    assert found.shape == (32, 32, 3)
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 4


def test_sixteen_bits_become_eight_by_scale_not_by_cutting_off() -> None:
    deep = Image.fromarray(GRADIENT.astype(np.uint16) * 257)  # 0 .. 65535
    np.testing.assert_array_equal(read_image(file_of(deep), 32, channels=1)[..., 0], GRADIENT)


def test_transparent_parts_become_white_and_a_palette_its_colours() -> None:
    image = Image.new("RGBA", (32, 32), (10, 20, 30, 255))
    image.putpixel((5, 7), (10, 20, 30, 0))
    found = read_image(file_of(image), 32)
    assert found[7, 5].tolist() == [255, 255, 255]
    assert found[0, 0].tolist() == [10, 20, 30]
    palette = Image.new("RGB", (32, 32), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert read_image(file_of(palette), 32)[0, 0].tolist() == [10, 20, 30]


def test_a_photo_is_turned_as_its_exif_data_says() -> None:
    image = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    found = read_image(file_of(image, exif=exif), 32)
    np.testing.assert_array_equal(found, np.rot90(COLOUR, -1))


def test_fit_crops_pads_or_stretches_what_is_not_square() -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255  # white in the middle third
    image = Image.fromarray(wide)
    assert (read_image(file_of(image), 32, fit="crop") == 255).all()
    padded = read_image(file_of(image), 33, fit="pad")[..., 0]
    assert (padded[:11] == 0).all() and (padded[22:] == 0).all()  # black above and below
    assert padded[16, 16] == 255 and padded[16, 2] == 0
    stretched = read_image(file_of(image), 32, fit="stretch")[..., 0]
    assert (stretched[:, 13:19] == 255).all() and (stretched[:, :8] == 0).all()


def broken(name: str, directory: Path) -> Path:
    path = directory / "image.png"
    whole = file_of(Image.fromarray(COLOUR), "JPEG" if name == "cut short" else "PNG").getvalue()
    content = {
        "text": b"not an image at all",
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "flipped": whole[:40] + bytes(255 - byte for byte in whole[40:60]) + whole[60:],
    }
    path.write_bytes(content[name])
    return path


@pytest.mark.parametrize("name", ["text", "empty", "cut short", "flipped"])
def test_a_broken_file_is_a_named_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"not an image|damaged"):
        read_image(broken(name, tmp_path), 32)


def test_a_missing_file_and_a_directory_are_named_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        read_image(tmp_path / "nothing.png", 32)
    with pytest.raises(ImageError):
        read_image(tmp_path, 32)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_gigantic_image_is_refused_before_it_is_decoded() -> None:
    # Its header says 30,000 x 30,000; the pixels would take 2.7 GB.
    header = file_of(Image.new("1", (30000, 30000)))
    with pytest.raises(ImageError, match="100 million pixels"):
        read_image(header, 32)
    with pytest.raises(ImageError, match="100 million"):
        read_image(file_of(Image.new("1", (11000, 11000))), 32)


def bytes_of(image: Image.Image, kind: str, **options: object) -> bytes:
    return file_of(image, kind, **options).getvalue()


def samples() -> list[bytes]:
    """Small images of all formats and many modes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 20, 4), np.uint8)
    rgba = Image.fromarray(pixels)
    frames = [rgba.convert("P"), rgba.rotate(90).convert("P")]
    gray16 = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [
        bytes_of(rgba, "PNG"),
        bytes_of(rgba.convert("P"), "PNG", transparency=0),
        bytes_of(rgba.convert("LA"), "PNG"),
        bytes_of(rgba.convert("1"), "PNG"),
        bytes_of(gray16, "PNG"),
        bytes_of(rgba.convert("RGB"), "JPEG", exif=exif),
        bytes_of(rgba.convert("CMYK"), "JPEG"),
        bytes_of(rgba.convert("L"), "JPEG", progressive=True),
        bytes_of(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        bytes_of(rgba.convert("RGB"), "BMP"),
        bytes_of(rgba, "WEBP", lossless=True),
    ]
    for content in found:
        assert read_image(io.BytesIO(content), 16).shape == (16, 16, 3)
    return found


SAMPLES = samples()
PLACES = strategies.integers(0, 10_000)
MUTATIONS = strategies.lists(
    strategies.one_of(
        strategies.tuples(strategies.just("set"), PLACES, strategies.integers(0, 255)),
        strategies.tuples(strategies.just("cut"), PLACES, strategies.integers(1, 40)),
        strategies.tuples(strategies.just("put"), PLACES, strategies.binary(max_size=8)),
        strategies.tuples(strategies.just("end"), PLACES, strategies.just(0)),
    ),
    max_size=6,
)


def check_mutated(content: bytes, mutations: list[tuple], channels: int) -> None:
    """An image or an `ImageError`, whatever was done to its bytes."""
    for kind, place, value in mutations:
        place %= len(content) + 1
        if kind == "set":
            content = content[:place] + bytes([value]) + content[place + 1 :]
        elif kind == "cut":
            content = content[:place] + content[place + value :]
        elif kind == "put":
            content = content[:place] + value + content[place:]
        else:
            content = content[:place]
    try:
        image = read_image(io.BytesIO(content), 16, channels)
    except ImageError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert image.shape == (16, 16, channels) and image.dtype == np.uint8


FUZZED = (strategies.sampled_from(SAMPLES), MUTATIONS, strategies.sampled_from((1, 3)))


@given(*FUZZED)
@settings(max_examples=500, deadline=None)
def test_mutated_bytes_give_an_image_or_a_named_error(
    content: bytes, mutations: list[tuple], channels: int
) -> None:
    check_mutated(content, mutations, channels)


@pytest.mark.slow
def test_a_hundred_thousand_mutated_images_in_bounded_memory() -> None:
    count = 0

    @given(*FUZZED)
    @settings(
        max_examples=100_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(content: bytes, mutations: list[tuple], channels: int) -> None:
        nonlocal count
        count += 1
        check_mutated(content, mutations, channels)

    check()
    assert count >= 100_000  # the search has not ended earlier
    # 100 million pixels, decoded, with transparency, and composed with white.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_500_000  # kB


def test_a_jpeg_of_several_pictures_as_some_cameras_write_it_is_taken() -> None:
    picture = Image.fromarray(COLOUR)
    content = bytes_of(picture, "MPO", save_all=True, append_images=[picture.rotate(90)])
    assert read_image(io.BytesIO(content), 16).shape == (16, 16, 3)


def test_formats_for_which_a_program_would_be_started_are_refused() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with pytest.raises(ImageError, match="not an image that can be read"):
        read_image(io.BytesIO(postscript), 16)
