import io
import os
import sys
from pathlib import Path

import pytest

from ssgan_tf.inference.image_paths import Unreadable, expand


def test_lists_may_have_line_ends_and_marks_of_windows_and_folders(
    folder: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder[0])
    Path("carriage\r").touch()
    expected = ["ä.png", " b.png", "more/5.png", "more/6.png", "carriage\r", "c.png"]
    text = "ä.png\r\n\r\n b.png\nmore\r\ncarriage\r\nc.png"
    encoded = text.encode()
    for content in (encoded, b"\xef\xbb\xbf" + encoded, text.encode("utf-16")):
        (tmp_path / "list").write_bytes(content)
        with (tmp_path / "list").open() as file:
            assert list(expand(["-"], file)) == expected
    assert list(expand(["-"], io.StringIO(text))) == expected
    with open(os.devnull) as empty:
        assert list(expand(["-"], empty)) == []
    # In a list nothing is a pattern.
    assert list(expand(["-"], io.StringIO("[0-4].png\n"))) == ["[0-4].png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these files")
def test_what_is_not_a_plain_file_is_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.png").symlink_to("/dev/null")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").touch()
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    for arguments in ([str(tmp_path)], [str(tmp_path / "pipe.jpg"), str(tmp_path / "device.png")]):
        found = list(expand(arguments, sys.stdin))
        bad = {item.path for item in found if isinstance(item, Unreadable)}
        assert bad == {str(tmp_path / "pipe.jpg"), str(tmp_path / "device.png")}
    assert len([path for path in expand([str(tmp_path)], sys.stdin) if "1.png" in path]) == 1
    assert list(expand([str(tmp_path / "linked")], sys.stdin)) == [str(tmp_path / "linked/1.png")]


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    assert list(expand([f"{tmp_path}/*.png"], sys.stdin)) == [str(tmp_path / "1.png")]
    pattern = f"{tmp_path}/*.jpg"
    assert list(expand([pattern], sys.stdin)) == [Unreadable(pattern, "matches no file")]
