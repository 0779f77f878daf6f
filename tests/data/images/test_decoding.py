import hashlib
import io
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from PIL import Image, features

from ssgan_tf.data.images import metadata
from ssgan_tf.data.images.decoding import (
    SUFFIXES,
    ImageError,
    is_image_name,
    read_image,
    read_picture,
    read_whole,
)

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


def test_transparent_parts_become_white_and_a_palette_its_colors() -> None:
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


def test_a_whole_image_keeps_its_shape_and_a_large_one_shrinks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 50), np.uint8)
    small = read_whole(file_of(Image.fromarray(pixels)), 50)
    np.testing.assert_array_equal(np.asarray(small), np.repeat(pixels[..., None], 3, axis=2))
    turned = Image.Exif()
    turned[274] = 6
    for kind in ("PNG", "JPEG"):
        large = file_of(Image.new("RGB", (400, 300), "red"), kind, exif=turned)
        image = read_whole(large, 40)
        assert (image.mode, image.size) == ("RGB", (30, 40))
        red, *rest = image.getpixel((10, 10))
        assert red > 250 and max(rest) < 5
    (tmp_path / "x.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match="is not an image"):
        read_whole(tmp_path / "x.png", 40)


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
        bytes_of(rgba, "TIFF"),
        bytes_of(gray16, "TIFF", compression="tiff_lzw"),
        bytes_of(rgba.convert("RGB"), "MPO", save_all=True, append_images=[rgba.convert("L")]),
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


def varied(width: int = 80, height: int = 60) -> Image.Image:
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


PHOTO = varied()
STRETCHED = np.asarray(PHOTO.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
TURNED = np.asarray(
    PHOTO.transpose(Image.Transpose.ROTATE_270).resize((32, 32), Image.Resampling.BILINEAR)
).astype(int)


def ifd(*entries: tuple[int, int, int, bytes], count: int = 0) -> bytes:
    """EXIF data with entries of tag, type, number and 4 bytes."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    start = b"Exif\0\0II*\0" + struct.pack("<IH", 8, count or len(entries))
    return start + body + bytes(0 if count else 4)


SIX = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
RESOLUTION = 0x011A
DAMAGED_EXIF = {  # what it holds, and whether the orientation can still be read
    "nothing": (b"Exif\0\0", False),
    "no EXIF": (b"Exif\0\0" + bytes(range(60)), False),
    "cut in its header": (b"Exif\0\0II*\0\x08", False),
    "cut after the orientation": (ifd(SIX, count=9), True),
    "a denominator of 0": (
        ifd(SIX, (RESOLUTION, 5, 1, struct.pack("<I", 38))) + struct.pack("<II", 72, 0),
        True,
    ),
    "a number outside": (ifd(SIX, (RESOLUTION, 5, 1, struct.pack("<I", 99_999))), True),
    "a number cut": (ifd(SIX, (RESOLUTION, 5, 1, struct.pack("<I", 38))) + b"\0\0", True),
    "an unknown type": (ifd(SIX, (RESOLUTION, 77, 1, bytes(4))), True),
    "words for a number": (ifd(SIX, (RESOLUTION, 2, 3, b"ab\0\0")), True),
    "a huge note": (ifd(SIX, (0x9286, 7, 0xFFFFFFF0, b"\0\xff\xff\xff")), True),
    "a pointer outside": (ifd(SIX, (0x8825, 4, 1, b"\xff\xff\xff\xff")), True),
    "a pointer to itself": (ifd(SIX, (0x8769, 4, 1, struct.pack("<I", 8))), True),
    "no such orientation": (ifd((0x0112, 3, 1, struct.pack("<HH", 77, 0))), False),
    "an orientation of words": (ifd((0x0112, 2, 3, b"6\0\0\0")), False),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "MPO"])
@pytest.mark.parametrize("name", DAMAGED_EXIF)
def test_damaged_exif_data_cost_no_image_and_no_orientation(name: str, kind: str) -> None:
    exif, turned = DAMAGED_EXIF[name]
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0}
    found = read_picture(file_of(PHOTO, kind, exif=exif, **options), 32, fit="stretch")
    assert (found.width, found.height) == ((60, 80) if turned else (80, 60))
    assert np.abs(found.pixels - (TURNED if turned else STRETCHED)).max() <= 6
    # The same where the rest of its metadata is left out.
    content = file_of(PHOTO, kind, exif=exif, **options).getvalue()
    bare = metadata.without(content) or io.BytesIO(content)
    np.testing.assert_array_equal(read_image(bare, 32, fit="stretch"), found.pixels)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


LARGE = zlib.compress(bytes(70_000_000))
CHUNKS = {
    "large text": chunk(b"zTXt", b"key\0\0" + LARGE),
    "large international text": chunk(b"iTXt", b"key\0\1\0\0\0" + LARGE),
    "a large color profile": chunk(b"iCCP", b"key\0\0" + LARGE),
    "much text": chunk(b"tEXt", b"key\0" + bytes(1_000_000)) * 70,
    "a color profile cut short": chunk(b"iCCP", b"key\0\0abc"),
    "an unknown compression": chunk(b"iCCP", b"key\0\7abc"),
    "a resolution cut short": chunk(b"pHYs", b"\0"),
    "a gamma cut short": chunk(b"gAMA", b""),
    "a wrong checksum": chunk(b"tEXt", b"key\0word")[:-4] + b"abcd",
    "an animation without frames": chunk(b"acTL", bytes(8)),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_beside_the_pixels_cost_no_png(name: str) -> None:
    whole = bytes_of(PHOTO, "PNG")
    exif = chunk(b"eXIf", ifd(SIX)[6:])
    content = whole[:33] + exif + CHUNKS[name] + whole[33:]
    found = read_picture(io.BytesIO(content), 32, fit="stretch")
    np.testing.assert_array_equal(found.pixels, TURNED)
    assert (found.width, found.height) == (60, 80)
    read_picture(io.BytesIO(whole[:-12] + CHUNKS[name] + whole[-12:]), 32)


def test_exif_data_of_a_png_with_a_wrong_checksum_are_still_read() -> None:
    whole = bytes_of(PHOTO, "PNG")
    content = whole[:33] + chunk(b"eXIf", ifd(SIX)[6:])[:-1] + b"?" + whole[33:]
    found = read_picture(io.BytesIO(content), 32, fit="stretch")
    np.testing.assert_array_equal(found.pixels, TURNED)
    assert "metadata" in found.note


def test_text_does_not_hide_that_an_image_is_gigantic_or_damaged() -> None:
    whole = bytes_of(Image.new("1", (11_000, 11_000)), "PNG")
    with pytest.raises(ImageError, match="100 million"):
        read_picture(io.BytesIO(whole[:33] + CHUNKS["large text"] + whole[33:]), 32)
    whole = bytes_of(PHOTO, "PNG")
    half = whole[:33] + CHUNKS["large text"] + whole[33 : len(whole) // 2]
    with pytest.raises(ImageError, match="damaged"):
        read_picture(io.BytesIO(half), 32)


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe0\x00\x07JFIF\0",
        b"\xff\xed\x00\x1bPhotoshop 3.0\x008BIM\x03\xed\0\0\0",
        b"\xff\xe2\x00\x0aMPF\0xxxx",
        b"\xff\xee\x00\x07Adobe",
        b"\xff\xfe\x00\x04\xff\xfe",
    ],
)
def test_segments_beside_the_pixels_cost_no_jpeg(segment: bytes) -> None:
    whole = bytes_of(PHOTO, "JPEG", quality=95, subsampling=0)
    found = read_picture(io.BytesIO(whole[:2] + segment + whole[2:]), 32, fit="stretch")
    assert np.abs(found.pixels - STRETCHED).max() <= 6


def deep_png(values: np.ndarray) -> io.BytesIO:
    """Of (H, W, 1 to 4) values of 16 bits, which Pillow cannot write."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("bits", "noted"), [(8, True), (10, True), (12, True), (16, False)])
def test_an_image_of_16_bits_is_read_by_the_bits_that_it_uses(
    bits: int, noted: bool, channels: int
) -> None:
    values = (COLOUR.astype(int)[..., :1] if channels < 3 else COLOUR.astype(int)) << (bits - 8)
    expected = np.broadcast_to(COLOUR[..., :1], COLOUR.shape) if channels < 3 else COLOUR
    if channels in (2, 4):
        values = np.dstack([values, np.full((32, 32), 65535)])
    found = read_picture(deep_png(values), 32)
    np.testing.assert_array_equal(found.pixels, expected)
    assert (f"{bits} bits" in found.note) == noted


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5], [1.0, 0.25]], [[0, 128], [255, 64]]),
        ([[0.0, 3.2], [255.0, 100.0]], [[0, 3], [255, 100]]),
        ([[0.0, 256.0], [65535.0, 32768.0]], [[0, 1], [255, 128]]),
        ([[-1.0, np.nan], [1.0, np.inf]], [[0, 0], [255, 0]]),
        ([[0, 1 << 12], [(1 << 20) - 1, 1 << 19]], [[0, 1], [255, 128]]),
        ([[-5, 0], [255, 7]], [[0, 0], [255, 7]]),
    ],
)
def test_a_tiff_of_other_numbers_is_scaled(values: list, expected: list) -> None:
    numbers = np.array(values)
    kind = np.float32 if numbers.dtype.kind == "f" else np.int32
    found = read_image(file_of(Image.fromarray(numbers.astype(kind)), "TIFF"), 2, channels=1)
    np.testing.assert_array_equal(found[..., 0], expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_the_first_page_of_a_tiff_is_read(mode: str, compression: str | None) -> None:
    def page(image: Image.Image) -> Image.Image:
        if mode == "I;16":
            return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        return image.convert(mode)

    pages = [page(PHOTO), page(PHOTO.rotate(180))]
    file = file_of(
        pages[0], "TIFF", compression=compression, save_all=True, append_images=pages[1:]
    )
    found = read_picture(file, 32, 1, "stretch")
    gray = pages[0] if mode != "I;16" else PHOTO
    expected = np.asarray(gray.convert("RGB").convert("L").resize((32, 32), 2)).astype(int)
    assert np.abs(found.pixels[..., 0] - expected).max() <= 1
    assert (found.width, found.height, found.note) == (80, 60, "")


def test_a_fourth_channel_that_is_0_everywhere_is_not_transparency() -> None:
    unused = PHOTO.copy()
    unused.putalpha(0)
    for kind in ("BMP", "PNG", "TIFF"):
        found = read_image(file_of(unused, kind), 32, fit="stretch")
        np.testing.assert_array_equal(found, STRETCHED)


def test_a_thin_image_is_still_there_after_padding() -> None:
    thin = Image.new("RGB", (2000, 2), (200, 100, 50))
    for image, place in ((thin, (15, 4)), (thin.transpose(Image.Transpose.ROTATE_90), (4, 15))):
        found = read_picture(file_of(image), 32, fit="pad")
        assert found.pixels[place].tolist() == [200, 100, 50]
        assert found.pixels.any(axis=2).sum() == 32


def test_an_image_that_becomes_constant_is_noted_and_one_that_is_so_is_not() -> None:
    dot = Image.new("L", (3000, 1000))
    dot.putpixel((5, 5), 255)
    assert (
        "became one flat color when it was resized; check the file"
        in read_picture(file_of(dot), 32).note
    )
    assert (
        "became one flat color when it was resized; check the file"
        in read_picture(file_of(dot), 32, fit="pad").note
    )
    assert read_picture(file_of(Image.new("RGB", (99, 50), (9, 8, 7))), 32).note == ""
    assert read_picture(file_of(PHOTO), 32).note == ""


def test_heic_photos_are_read_and_turned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    plain, turned = io.BytesIO(), io.BytesIO()
    pillow_heif.register_heif_opener()  # for saving
    PHOTO.save(plain, "HEIF", quality=95)
    PHOTO.save(turned, "HEIF", quality=95, exif=ifd(SIX))
    for file, expected in ((plain, STRETCHED), (turned, TURNED)):
        file.seek(0)
        assert np.abs(read_image(file, 32, fit="stretch") - expected).mean() < 3
    with pytest.raises(ImageError, match="damaged"):
        read_image(io.BytesIO(plain.getvalue()[: len(plain.getvalue()) // 2]), 32)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    plain.seek(0)
    with pytest.raises(ImageError, match=r"needs pip install 'ssgan-tf\[heic\]'"):
        read_image(plain, 32)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_images_are_read_and_where_pillow_has_none_that_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = file_of(PHOTO, "AVIF", quality=95, exif=ifd(SIX))
    assert np.abs(read_image(file, 32, fit="stretch") - TURNED).mean() < 3
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)
    file.seek(0)
    with pytest.raises(ImageError, match="AVIF"):
        read_image(file, 32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"photo{suffix}", True) for suffix in SUFFIXES),
        *((name, True) for name in ("B.JPG", "a.b.TiF", "x [1].HEIC", "名.png")),
        *((name, False) for name in (".x.jpg", "._x.jpg", "Thumbs.db", "desktop.ini", "x.jpg.txt")),
        *((name, False) for name in (".DS_Store", "jpg", "SYNOPHOTO_THUMB_M.jpg", "notes.pdf")),
    ],
)
def test_images_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_image_name(name) == expected


def test_what_is_not_a_plain_file_is_reported_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a plain file"):
        read_picture(tmp_path / "pipe.jpg", 32)
    with pytest.raises(ImageError, match="not a plain file"):
        read_picture("/dev/zero", 32)
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(ImageError, match="not there"):
        read_picture(tmp_path / "broken.png", 32)
    with pytest.raises(ImageError, match="is a folder"):
        read_picture(tmp_path, 32)


def test_what_pillow_warns_of_stays_silent_in_threads_too(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "large.png")  # for the limit below
    PHOTO.quantize(5).save(tmp_path / "keys.png", transparency=bytes(5))
    PHOTO.save(tmp_path / "exif.jpg", exif=DAMAGED_EXIF["a number cut"][0])
    script = (
        "import sys, pathlib, concurrent.futures\n"
        "from PIL import Image\n"
        "from ssgan_tf.data.images.decoding import read_picture\n"
        "Image.MAX_IMAGE_PIXELS = 3000\n"
        "paths = sorted(pathlib.Path(sys.argv[1]).iterdir()) * 4\n"
        "with concurrent.futures.ThreadPoolExecutor(4) as threads:\n"
        "    found = list(threads.map(lambda path: read_picture(path, 16), paths))\n"
        "assert len(found) == 12 and 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, tmp_path], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("size", "channels"), [((7, 5), 3), ((1500, 700), 3), ((1500, 700), 1)])
def test_the_digest_is_of_mode_size_and_bytes_of_the_decoded_image(
    size: tuple[int, int], channels: int
) -> None:
    image = varied(*size).convert("L" if channels == 1 else "RGB")
    expected = hashlib.blake2b(f"{image.mode} {size}".encode() + image.tobytes(), digest_size=16)
    assert read_picture(file_of(image), 16, channels).digest == expected.digest()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_may_lack_the_mark_of_its_end_but_no_pixel(progressive: bool) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    picture.save(content := io.BytesIO(), "JPEG", progressive=progressive)
    whole = content.getvalue()
    expected = read_picture(io.BytesIO(whole), 32)
    for end in (whole[:-2], whole[:-1]):
        found = read_picture(io.BytesIO(end), 32)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.note == "the mark of its end is missing"
    for cut in (8, 20, 300):
        with pytest.raises(ImageError, match="cut short"):
            read_picture(io.BytesIO(whole[:-cut]), 32)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.png", "is not there"),
        ("x" * 300, "cannot be read (File name too long)"),
        ("", "is a folder"),
    ],
)
def test_what_the_system_refuses_is_not_called_damaged(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=re.escape(reason)):
        read_picture(tmp_path / name, 16, 3)
