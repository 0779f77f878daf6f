import itertools
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ssgan_tf.data import house_numbers


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.array([house_numbers.render("test", index)[1] for index in range(500)])


def test_an_image_is_32x32_rgb_with_contrast_and_its_label_a_digit() -> None:
    for index in range(50):
        image, label = house_numbers.render("train", index)
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert int(image.max()) - int(image.min()) > 10
        assert isinstance(label, int)
        assert 0 <= label <= 9


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_depends_on_split_and_index_alone(split: str) -> None:
    first = [house_numbers.render(split, index) for index in (3, 4)]
    again = [house_numbers.render(split, index) for index in (4, 3)][::-1]
    for (image, label), (same_image, same_label) in zip(first, again, strict=True):
        np.testing.assert_array_equal(image, same_image)
        assert label == same_label


@pytest.mark.slow
def test_no_two_images_of_either_split_are_equal() -> None:
    images = [
        house_numbers.render(split, index)[0].tobytes()
        for split in ("train", "test")
        for index in range(300)
    ]
    assert len(set(images)) == len(images)


def test_every_class_is_expected_at_six_per_cent_or_more() -> None:
    assert len(house_numbers.CLASS_PROBABILITIES) == 10
    assert sum(house_numbers.CLASS_PROBABILITIES) == pytest.approx(1)
    assert min(house_numbers.CLASS_PROBABILITIES) >= 0.06


def test_labels_follow_the_class_probabilities(labels: np.ndarray) -> None:
    frequencies = np.bincount(labels, minlength=10) / len(labels)
    # Four standard deviations of the most frequent class: sqrt(0.17 * 0.83 / 500) = 0.017.
    np.testing.assert_allclose(frequencies, house_numbers.CLASS_PROBABILITIES, atol=0.068)
    assert frequencies.min() > 0


@pytest.mark.parametrize("font", house_numbers.FONTS)
def test_a_font_draws_ten_different_digits_of_the_height_of_a_digit(font: str) -> None:
    glyphs = [house_numbers.glyph(font, digit, stroke=0) for digit in range(10)]
    assert len({glyph.tobytes() for glyph in glyphs}) == 10  # no "glyph missing" boxes
    for glyph in glyphs:
        assert abs(glyph.height - house_numbers.DIGIT_HEIGHT) <= 2
        assert 0.15 < glyph.width / glyph.height < 1.3
        assert 0.1 < np.asarray(glyph).mean() / 255 < 0.85


def test_a_stroke_grows_a_glyph_on_all_sides() -> None:
    thin, thick = (house_numbers.glyph("DejaVuSans", 4, stroke) for stroke in (0, 3))
    assert thick.width == pytest.approx(thin.width + 6, abs=2)
    assert thick.height == pytest.approx(thin.height + 6, abs=2)


@pytest.mark.parametrize("label", range(10))
def test_the_digit_in_the_centre_of_a_number_is_the_label(label: int) -> None:
    face, _ = house_numbers._draw_number(np.random.default_rng(label), label)

    def is_in_the_centre(glyph: Image.Image) -> bool:
        left = round(face.width / 2 - glyph.width / 2)
        top = (face.height - glyph.height) // 2
        box = (left, top, left + glyph.width, top + glyph.height)
        return face.crop(box).tobytes() == glyph.tobytes()

    candidates = itertools.product(house_numbers.FONTS, range(10), range(4))
    found = {
        digit
        for font, digit, stroke in candidates
        if is_in_the_centre(house_numbers.glyph(font, digit, stroke))
    }
    assert found == {label}


def test_the_builder_prepares_offline_and_tfds_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*arguments: Any, **options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 12, "test": 5})
    builder = house_numbers.HouseNumbers(data_dir=tmp_path)
    builder.download_and_prepare()
    assert builder.info.supervised_keys == ("image", "label")
    assert builder.info.features["label"].names == [str(digit) for digit in range(10)]
    for split, size in {"train": 12, "test": 5}.items():
        dataset = tfds.load("house_numbers", split=split, data_dir=tmp_path, download=False)
        examples = {example["id"].decode(): example for example in dataset.as_numpy_iterator()}
        assert sorted(examples) == [f"{split}_{index:06d}" for index in range(size)]
        for index in range(size):
            image, label = house_numbers.render(split, index)
            example = examples[f"{split}_{index:06d}"]
            np.testing.assert_array_equal(example["image"], image)
            assert example["label"] == label
