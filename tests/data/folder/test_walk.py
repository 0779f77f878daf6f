import io
import os
import socket
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from ssgan_tf.data.folder import walk
from ssgan_tf.data.folder.walk import natural_key, walk_images
from ssgan_tf.inference.image_paths import Unreadable, expand


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(found: list[str], root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in found]


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    for index in range(10):
        make(tmp_path / f"cats/deep/{index}.jpg")
    return tmp_path / "cats"


def test_images_are_in_the_order_that_people_expect_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b/1.png", "a 10.png", "a 9.png", "a 09.png", "notes.txt", "b/x/0.WebP"):
        make(tmp_path / name)
    expected = ["a 09.png", "a 9.png", "a 10.png", "b/1.png", "b/x/0.WebP"]
    found = walk_images(tmp_path)
    assert names(found.files, tmp_path) == expected
    assert (found.skipped, found.others) == ([], 1)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> "list[os.DirEntry]":
            return self.entries

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(walk.os, "scandir", Backwards)
    assert walk_images(tmp_path) == found


def test_no_two_names_tie_and_both_forms_of_a_letter_have_one_place() -> None:
    assert sorted(["2", "1", "01", "001"], key=natural_key) == ["001", "01", "1", "2"]
    assert sorted(["1", "001", "01", "2"], key=natural_key) == ["001", "01", "1", "2"]
    for form in ("NFC", "NFD"):
        e_acute = unicodedata.normalize(form, "é")
        assert sorted(["z", e_acute, "a", "ä"], key=natural_key) == ["a", "z", "ä", e_acute]
    two = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    swapped = [two[1], two[0]]
    assert sorted(two, key=natural_key) == sorted(swapped, key=natural_key)


def test_links_in_a_circle_end(ten: Path) -> None:
    (ten / "deep/here").symlink_to(".")
    (ten / "deep/above").symlink_to(ten)
    (ten / "deep/top").symlink_to("/")
    (ten / "other").mkdir()
    (ten / "other/there").symlink_to("../deep")
    (ten / "deep/back").symlink_to("../other")
    found = walk_images(ten)
    assert names(found.files, ten) == [f"deep/{index}.jpg" for index in range(10)]
    assert [(Path(name).name, why) for name, why in found.skipped] == [
        (name, "is a link to a folder that it is in") for name in ("above", "here", "top")
    ]


def test_a_link_in_a_class_to_the_folder_of_all_classes_brings_in_no_other_class(
    ten: Path, tmp_path: Path
) -> None:
    make(tmp_path / "dogs/1.png")
    (ten / "all").symlink_to("..")
    assert len(walk_images(ten).files) == 10


def test_linked_folders_and_files_are_followed_once_and_real_names_are_preferred(
    ten: Path, tmp_path: Path
) -> None:
    make(tmp_path / "elsewhere/1.png")
    (ten / "a link").symlink_to("deep")
    (ten / "b").symlink_to(tmp_path / "elsewhere")
    (ten / "c").symlink_to(tmp_path / "elsewhere")
    (ten / "one.png").symlink_to(tmp_path / "elsewhere/1.png")
    expected = ["b/1.png", *(f"deep/{index}.jpg" for index in range(10)), "one.png"]
    assert names(walk_images(ten).files, ten) == expected


def test_what_is_not_a_plain_file_is_named_and_never_opened(ten: Path) -> None:
    os.mkfifo(ten / "pipe.jpg")
    os.mkfifo(ten / "pipe without an image's name")
    with socket.socket(socket.AF_UNIX) as server:
        place = os.getcwd()
        os.chdir(ten)  # the path of a socket must be short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(place)
        (ten / "device.png").symlink_to("/dev/null")
        (ten / "gone.png").symlink_to("nothing")
        (ten / "gone folder").symlink_to("nothing")
        (ten / "self.png").symlink_to("self.png")
        found = walk_images(ten)
    assert len(found.files) == 10
    assert {Path(name).name: why for name, why in found.skipped} == {
        "pipe.jpg": "is a pipe",
        "socket.png": "is a socket",
        "device.png": "is a device",
        "gone.png": "is a link to nothing",
        "gone folder": "is a link to nothing",
        "self.png": "cannot be read (Too many levels of symbolic links)",
    }
    assert found.others == 1


@pytest.mark.parametrize(
    "name",
    [
        "._1.jpg",
        ".hidden/1.jpg",
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "@__thumb/1.jpg",
        "__MACOSX/cats/1.jpg",
        ".ipynb_checkpoints/1-checkpoint.png",
        ".git/1.png",
        "lost+found/1.png",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/1.png",
        "#recycle/1.png",
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
    ],
)
def test_what_is_hidden_or_made_by_systems_is_no_data(ten: Path, name: str) -> None:
    expected = walk_images(ten)
    make(ten / name)
    make(ten / "deep" / name)
    assert walk_images(ten) == expected


def test_a_folder_that_cannot_be_opened_is_named(
    ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(ten / "locked/1.png")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(walk.os, "scandir", refuse)
    found = walk_images(ten)
    assert len(found.files) == 10
    assert found.skipped == [(str(ten / "locked"), "cannot be opened (Permission denied)")]


def test_names_need_not_be_utf_8(ten: Path) -> None:
    name = os.fsencode(ten) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).touch()
    assert os.fsencode(walk_images(ten).files[0]) == name


def test_walking_does_not_wait_for_tensorflow() -> None:
    code = "import sys, ssgan_tf.data.folder.layout; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert b"ssgan_tf.data.folder.walk" in loaded.split() and b"tensorflow" not in loaded.split()


def test_what_systems_make_is_no_image_however_it_is_given(tmp_path: Path) -> None:
    photo = make(tmp_path / "1.png")
    systems = [
        *(".1.png", "._1.png", "Thumbs.db", "desktop.ini", "SYNOPHOTO_THUMB_M.jpg"),
        *("@eaDir/1.png/thumb.jpg", "@eaDir/2.png"),
    ]
    made = [str(make(tmp_path / name)) for name in systems]
    folder = str(tmp_path / "@eaDir")
    for pattern in ("*", ".*", "@eaDir/*", "**/*", "**/.*"):
        found = list(expand([f"{tmp_path}/{pattern}"], None))
        assert found == ([str(photo)] if pattern in ("*", "**/*") else []), pattern
    lines = "\n".join([*made, str(photo), folder])
    assert list(expand(["-"], io.StringIO(lines))) == [str(photo)]
    found = list(expand([*made, str(photo), folder], None))  # as a shell expands a pattern
    reasons = [item for item in found if isinstance(item, Unreadable)]
    assert [item.path for item in reasons] == [*made, folder]
    assert not any(item.failure for item in reasons)
    assert str(photo) in found


def test_a_hidden_folder_and_a_missing_hidden_file_are_taken_as_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = str(make(tmp_path / ".photos" / "1.png"))
    for given in (str(tmp_path / ".photos"), photo, f"{tmp_path}/.photos/*"):
        assert list(expand([given], None)) == [photo]
    missing = str(tmp_path / ".2.png")
    assert list(expand([missing], None)) == [missing]  # is to be named as missing
    monkeypatch.chdir(tmp_path / ".photos")
    assert list(expand(["."], None)) == ["./1.png"]


def test_natural_key_sorts_numbers_by_value() -> None:
    ids = ["part__10", "part__9", "a", "part__9b"]
    assert sorted(ids, key=natural_key) == ["a", "part__9", "part__9b", "part__10"]
    assert sorted(["²", "10", "x²"], key=natural_key) == ["10", "x²", "²"]  # no decimals


def test_a_folder_that_cannot_be_looked_into_holds_no_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "run/config.json")
    make(tmp_path / "run/labels.json")
    assert walk.holds_runs(tmp_path) and walk.holds_runs(tmp_path / "run")

    plain, locked = Path.is_file, {tmp_path / "a_locked"}
    (tmp_path / "a_locked").mkdir()

    def is_file(path: Path) -> bool:
        if path.parent in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert walk.holds_runs(tmp_path)  # as another folder in it shows
    locked.add(tmp_path / "run")
    assert not walk.holds_runs(tmp_path)
