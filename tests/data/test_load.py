from pathlib import Path

import numpy as np
import pytest

from ssgan_tf.config import UserError
from ssgan_tf.data.load import load_named


def test_house_numbers_loads_as_uint8_in_the_order_of_its_ids(data_dir: str) -> None:
    dataset = load_named("house_numbers", data_dir)
    assert dataset.name == "house_numbers/1.0.0"
    assert dataset.class_names == [str(digit) for digit in range(10)]
    assert (len(dataset.train), len(dataset.test)) == (96, 40)
    assert dataset.train.images.shape == (96, 32, 32, 3)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    assert dataset.train.ids.tolist() == [f"train_{index:06d}" for index in range(96)]
    assert (dataset.num_classes, dataset.channels) == (10, 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("svhn_croped", ["--dataset=svhn_croped", "similar names", "svhn_cropped"]),
        ("Folder:pets", ["--dataset=Folder:pets", "folder: is written in lower case"]),
        ("no such thing", ["--dataset=no such thing"]),
        ("svhn_cropped:9.9.9", ["--dataset=svhn_cropped:9.9.9"]),
    ],
)
def test_an_unknown_data_set_is_named(name: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_named(name, str(tmp_path))
    for word in words:
        assert word in str(error.value)


def test_a_folder_of_that_name_is_pointed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_images").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="your own images give --dataset=folder:my_images"):
        load_named("my_images", str(tmp_path))
