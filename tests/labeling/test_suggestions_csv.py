from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.labeling.suggestions_csv import Suggestion, read_suggestions

HEADER = "rank,path,predicted,probability,reason\n"
FLAG = "--suggestions=s.csv"


def read(tmp_path: Path, content: str | bytes) -> list[Suggestion]:
    path = tmp_path / "s.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_suggestions(path, FLAG)


def test_suggestions_keep_their_order_and_may_lack_a_prediction(tmp_path: Path) -> None:
    rows = (
        '1,b/2.png,cat,0.75,"near, and typical"\r\n2,"a, 1.png",,,\r\n3,b/2.png,dog,0.5,again\r\n'
    )
    assert read(tmp_path, "\ufeff" + HEADER.replace("\n", "\r\n") + rows) == [
        Suggestion("b/2.png", "cat", 0.75, "near, and typical"),
        Suggestion("a, 1.png"),
    ]


def test_names_of_files_keep_their_spaces(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + "1, a.png ,cat, 0.5 ,near\n") == [
        Suggestion(" a.png ", "cat", 0.5, "near")
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "lacks the columns"),
        ("file,label\n1.png,cat\n", "lacks the columns"),
        ("PK\x03\x04", "lacks the columns"),
        (HEADER, "has no suggestion"),
        ("rank,path,label,predicted,probability,reason\n", "lists labels to check"),
        (HEADER + "1,,cat,0.5,\n", "line 2 has no path"),
        (HEADER + "1\n", "line 2 has no path"),
        (HEADER + "1,1.png,cat,much,\n", "the probability 'much', which is not from 0 to 1"),
        (HEADER + "1,1.png,cat,1.5,\n", "the probability '1.5'"),
        (HEADER + "1,1.png,cat,nan,\n", "the probability 'nan'"),
        (HEADER + '1,"1.png,cat,0.5,\n', "is not CSV"),
        (HEADER.encode() + b"1,caf\xe9.png,,,\n", "is not UTF-8"),
        (HEADER.encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    text = str(error.value)
    assert words in text and text.startswith(FLAG) and "\n" not in text


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        read_suggestions(tmp_path / "nothing.csv", FLAG)
    with pytest.raises(UserError, match="is not a plain file"):
        read_suggestions(tmp_path, FLAG)
