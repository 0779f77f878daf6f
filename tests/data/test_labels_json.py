import json
import unicodedata
from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.data import labels_json


def test_only_images_that_are_not_on_the_disk_are_gone(tmp_path: Path) -> None:
    names = [f"train/{pet}/{index}.png" for pet in ("cat", "dog") for index in range(2)]
    names += ["extra/e\N{COMBINING ACUTE ACCENT}.png", "extra/0.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "labels.json"
    ids = [unicodedata.normalize("NFC", name) for name in names]
    path.write_text(json.dumps({"ids": ids[:2], "test_ids": ids[2:]}))
    assert labels_json.gone(path, tmp_path) == []  # extra/ has no label in labels.csv any more
    (tmp_path / names[0]).unlink()
    (tmp_path / names[-1]).unlink()
    assert labels_json.gone(path, tmp_path) == [names[0], names[-1]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ('{"ids": []}', "its ids must be one or more names"),
        ('{"ids": ["a"], "validation_ids": ["a"]}', "must occur only once"),
        ('{"ids": ["a"], "test_ids": [1]}', "its test_ids must be a list of names"),
    ],
)
def test_the_flag_is_blamed_only_for_a_file_that_it_gives(
    content: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as error:
        labels_json.read(path)
    assert str(error.value).startswith(f"{path}: ")
    with pytest.raises(UserError, match=words) as error:
        labels_json.read_given(str(path))
    assert str(error.value).startswith(f"--labels_from={path}: not usable as labels.json: ")
