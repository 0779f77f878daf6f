from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.labels_csv import Label, read_labels

IDS = ["a.png", "b.png", "photos/c d.jpg", "photos/é, f.jpg", "1.png"]
EXPECTED = {"a.png": "cat", "b.png": "", "photos/c d.jpg": "dog", "photos/é, f.jpg": "cat"}


def read(tmp_path: Path, content: str | bytes, skipped: tuple[str, ...] = ()) -> dict[str, Label]:
    path = tmp_path / "labels.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labels(path, IDS, skipped, "--dataset=folder:x")


def message(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    text = str(error.value)
    assert text.startswith("--dataset=folder:x: labels.csv: ") and "\n" not in text
    return text


PLAIN = 'a.png,cat\nb.png,\nphotos/c d.jpg,dog\n"photos/é, f.jpg",cat\n'


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.rstrip("\n").encode(),
        b"file,label\n" + PLAIN.encode(),
        b"\xef\xbb\xbf" + b"file,label\n" + PLAIN.encode(),
        ("\ufeff" + PLAIN.replace("\n", "\r\n")).encode(),
        PLAIN.replace("\n", "\r").encode(),
        ("File;Label\n" + "a.png;cat\nb.png;\nphotos/c d.jpg;dog\nphotos/é, f.jpg;cat\n").encode(),
        ("a.png\tcat\nb.png\nphotos/c d.jpg\tdog\nphotos/é, f.jpg\tcat\n").encode(),
        ("file,label\n" + PLAIN).encode("utf-16"),
        ("id,breed\n\n" + PLAIN + ",\n\n").encode(),
        PLAIN.replace("photos/", "photos\\").encode(),
        PLAIN.replace("a.png,cat", " ./a.png , cat ").encode(),
        PLAIN.replace("é", "e\u0301").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        (PLAIN + "a.png,cat\n").encode(),
        (
            "width,class,filename\n10,cat,a.png\n11,,b.png\n12,dog,photos/c d.jpg\n"
            '13,cat,"photos/é, f.jpg"\n'
        ).encode(),
        (
            "image_id,filename,label\n0,a.png,cat\n1,b.png,\n2,photos/c d.jpg,dog\n"
            '3,"photos/é, f.jpg",cat\n'
        ).encode(),
    ],
)
def test_the_forms_in_which_programs_write_it(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content)
    assert {identity: label.name for identity, label in found.items()} == EXPECTED


def test_lines_are_counted_as_editors_do_and_full_paths_may_be_given(tmp_path: Path) -> None:
    found = read(tmp_path, f"file,label\n\n{tmp_path}/a.png,cat\nb.png,dog\n")
    assert found == {"a.png": Label(3, "cat"), "b.png": Label(4, "dog")}


def test_a_label_may_be_a_number_and_a_header_need_not_be_there(tmp_path: Path) -> None:
    assert read(tmp_path, "1.png,01\na.png,1\n")["1.png"].name == "01"


def test_files_that_cannot_be_read_may_be_named(tmp_path: Path) -> None:
    assert list(read(tmp_path, "a.png,cat\npipe.jpg,cat\n", ("pipe.jpg",))) == ["a.png"]


def test_mistakes_are_named_with_their_lines(tmp_path: Path) -> None:
    # A first line is a header only if its cells are words; a wrong name is none.
    for wrong in ("photo 0", "a.jpeg2000x", "sub/a"):
        assert wrong in message(tmp_path, f"{wrong},dog\na.png,cat\nb.png,dog\n")
    text = message(tmp_path, "a.png,cat\nx.png,dog\ny.png,dog\n")
    assert "lines that name no image in the folder: 2 (line 2: x.png; line 3: y.png)" in text
    assert "; there is photos/c d.jpg." in message(tmp_path, "a.png,cat\nc d.jpg,dog\n")
    assert "need their extension, as in b.png" in message(tmp_path, "id,breed\nb,cat\n")
    text = message(tmp_path, "file,label\na.png,cat\nb.png,dog\na.png,dog\n")
    assert "two labels to a.png: 'cat' in line 2 and 'dog' in line 4" in text
    assert "'cat' in line 1 and '' in line 2" in message(tmp_path, "a.png,cat\na.png,\n")
    text = message(tmp_path, "a.png,cat\nb.png,katze\xfc\n".encode("latin-1"))
    assert "line 2 is not UTF-8" in text
    assert "line 2 has 3 columns" in message(tmp_path, "a.png,cat\nb.png,1,2\n")
    assert "line 1 has 4 columns" in message(tmp_path, "xmin,xmax,ymin,ymax\n1,2,3,4\n")
    assert "line 2 is not CSV" in message(tmp_path, 'a.png,cat\n"b.png,cat\n')
    assert "in line 1 has a line break" in message(tmp_path, 'a.png,"two\u2028lines"\n')
    assert "'NaN' in line 2 would be a class" in message(tmp_path, "a.png,cat\nb.png,NaN\n")
    assert "is not a text file" in message(tmp_path, b"PK\x03\x04sheet")


def test_a_table_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels.csv: cannot be read"):
        read_labels(tmp_path / "labels.csv", IDS, (), "--dataset=folder:x")
