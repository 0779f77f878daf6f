import concurrent.futures
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import filelock
import pytest

from ssgan_tf.config import UserError
from ssgan_tf.data.folder import answers as module
from ssgan_tf.data.folder.answers import Answers, LabeledMeanwhileError
from ssgan_tf.data.folder.labels_csv import read_labels

IDS = ["a.png", "b.png", "photos/c d.jpg", "photos/é, f.jpg", 'a "b".png']
FLAG = "--dataset=folder:x"


def answers(root: Path, ids: list[str] = IDS) -> Answers:
    return Answers(root, ids, FLAG)


def content(root: Path) -> bytes:
    return (root / "labels.csv").read_bytes()


def labels(root: Path, ids: list[str] = IDS) -> dict[str, str]:
    """As training reads them."""
    found = read_labels(root / "labels.csv", ids, (), FLAG)
    return {identity: label.name for identity, label in found.items()}


def test_a_new_table_has_a_header_and_quotes_what_needs_it(tmp_path: Path) -> None:
    one = answers(tmp_path)
    assert one.read() == {}
    given = dict(zip(IDS, ["cat", "big, dog", "cat", 'the "x"', "ü"], strict=True))
    for identity, label in given.items():
        assert one.write(identity, label, "") is None
    assert content(tmp_path).decode() == (
        'file,label\na.png,cat\nb.png,"big, dog"\nphotos/c d.jpg,cat\n'
        '"photos/é, f.jpg","the ""x"""\n"a ""b"".png",ü\n'
    )
    assert labels(tmp_path) == one.read() == given


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"file,label\nb.png,dog\n"),
        (b"\n \n", b"\n \nfile,label\nb.png,dog\n"),
        (b"file,label\n", b"file,label\nb.png,dog\n"),
        (b"a.png,cat", b"a.png,cat\nb.png,dog\n"),
        (b"File;Label\r\na.png;cat\r\n", b"File;Label\r\na.png;cat\r\nb.png;dog\r\n"),
        (b"a.png\tcat\ra.png\tcat\r", b"a.png\tcat\ra.png\tcat\rb.png\tdog\r"),
        (b"\xef\xbb\xbfa.png,cat\n", b"\xef\xbb\xbfa.png,cat\nb.png,dog\n"),
        (
            b"width,class,filename\n10,cat, ./a.png\n",
            b"width,class,filename\n10,cat, ./a.png\n,dog,b.png\n",
        ),
        *(
            (
                mark + "a.png;cat\r\n".encode(codec),
                mark + "a.png;cat\r\nb.png;dog\r\n".encode(codec),
            )
            for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
        ),
    ],
)
def test_the_form_of_a_table_stays_and_undo_gives_back_its_bytes(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    (tmp_path / "labels.csv").write_bytes(before)
    one = answers(tmp_path)
    had = one.write("b.png", "dog", "")
    assert had is None and content(tmp_path) == after
    assert one.write("b.png", had, "dog") == "dog"
    kept = content(tmp_path)
    # What the new record needed in front of it stays.
    assert kept.startswith(before) and kept in (before, before + b"\n", before + b"file,label\n")
    assert labels(tmp_path) == ({"a.png": "cat"} if b"a" in before.replace(b"label", b"") else {})


def test_a_record_without_a_label_is_filled_and_emptied_again(tmp_path: Path) -> None:
    before = b'id,n,label\r\n"a.png", 1,\r\nb.png,"2",cat\r\n\r\na.png,1,\r\nphotos\\c d.jpg\r\n'
    (tmp_path / "labels.csv").write_bytes(before)
    one = answers(tmp_path)
    assert one.write("a.png", "dog", "") == ""  # there are two records of it; one stays
    kept = b'id,n,label\r\na.png, 1,%b\r\nb.png,"2",cat\r\n\r\nphotos\\c d.jpg\r\n'
    assert content(tmp_path) == kept % b"dog"
    assert one.write("a.png", "", "dog") == "dog"
    assert content(tmp_path) == kept % b""
    assert one.write("photos/c d.jpg", "cat", "") == ""
    assert content(tmp_path).endswith(b"\r\nphotos\\c d.jpg,,cat\r\n")
    assert labels(tmp_path) == {"a.png": "", "b.png": "cat", "photos/c d.jpg": "cat"}


def test_of_two_windows_the_second_is_told(tmp_path: Path) -> None:
    one, other = answers(tmp_path), answers(tmp_path)
    one.write("a.png", "cat", "")
    with pytest.raises(LabeledMeanwhileError) as error:
        other.write("a.png", "dog", "")
    assert error.value.label == "cat"
    assert other.write("a.png", "cat", "") == "cat"  # they agree
    other.write("a.png", "dog", "cat")  # it knows what it changes
    with pytest.raises(LabeledMeanwhileError) as error:
        one.write("a.png", None, "cat")  # undo
    assert error.value.label == "dog" and one.read() == {"a.png": "dog"}
    assert content(tmp_path) == b"file,label\na.png,dog\n"


MANY = """
import sys
from pathlib import Path
from ssgan_tf.data.folder.answers import Answers

def many(root, number):
    ids = [f"{i}.png" for i in range(90)]
    mine = Answers(Path(root), ids, "")
    for identity in ids[number::3]:
        mine.write(identity, f"class {number}", "")
        if identity in ("0.png", "1.png", "2.png"):  # whole tables are written too
            mine.write(identity, f"other {number}", f"class {number}")
"""


def test_threads_and_processes_do_not_overwrite_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{MANY}\nmany(sys.argv[1], 0)", str(tmp_path)]
    process = subprocess.Popen(command)
    names: dict[str, Any] = {}
    exec(MANY, names)
    while not (tmp_path / "labels.csv").exists():
        time.sleep(0.001)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda number: names["many"](tmp_path, number), (1, 2)))
    assert process.wait() == 0
    ids = [f"{i}.png" for i in range(90)]
    expected = {name: f"class {i % 3}" for i, name in enumerate(ids)}
    expected |= {f"{i}.png": f"other {i}" for i in range(3)}
    assert labels(tmp_path, ids) == expected
    assert content(tmp_path).count(b"\n") == 91


def test_a_kill_loses_no_answer_that_was_given(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from ssgan_tf.data.folder.answers import Answers
ids = [f"{i}.png" for i in range(100_000)]
one = Answers(Path(sys.argv[1]), ids, "")
for identity in ids:
    one.write(identity, "cat", "")
    print(identity, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    said = (first + process.stdout.read()).split()
    process.wait()
    found = labels(tmp_path, [f"{i}.png" for i in range(100_000)])
    assert len(said) > 1 and set(said) <= set(found) and set(found.values()) == {"cat"}
    assert len(found) <= len(said) + 1
    # The lock ended with the process.
    answers(tmp_path, said).write(said[0], "dog", "cat")


def test_a_full_disk_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.csv").write_bytes(b"a.png,cat\n")
    one = answers(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    for identity, before in (("b.png", ""), ("a.png", "cat")):
        with pytest.raises(UserError, match=r"no label can be written .* \(No space left"):
            one.write(identity, "dog", before)
        assert content(tmp_path) == b"a.png,cat\n"
    assert sorted(os.listdir(tmp_path)) == [".labels.csv.lock", "labels.csv"]
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(UserError, match="no label can be written"):
        one.write("a.png", "cat", "")
    assert os.listdir(tmp_path) == [".labels.csv.lock"]  # the first answer leaves no empty table


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def read_only(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(tmp_path)):
            raise OSError(30, "Read-only file system", path)
        return opened(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(UserError, match="no label can be written") as error:
        answers(tmp_path)
    assert str(error.value).startswith(FLAG) and "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_permissions_forbid_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch(0o444)
    with pytest.raises(UserError, match=r"labels.csv cannot be written to"):
        answers(tmp_path)
    (tmp_path / "labels.csv").unlink()
    tmp_path.chmod(0o555)
    try:
        for kept in (True, False):  # the file of the lock
            with pytest.raises(UserError, match="no label can be written"):
                answers(tmp_path)
            if kept:
                tmp_path.chmod(0o755)
                (tmp_path / ".labels.csv.lock").unlink()
                tmp_path.chmod(0o555)
    finally:
        tmp_path.chmod(0o755)


def test_a_program_that_holds_the_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT", 0.1)
    with (
        filelock.FileLock(tmp_path / ".labels.csv.lock"),
        pytest.raises(UserError, match="another program is writing"),
    ):
        answers(tmp_path)


def test_a_table_that_was_spoiled_meanwhile_is_not_changed(tmp_path: Path) -> None:
    one = answers(tmp_path)
    one.write("a.png", "cat", "")
    spoiled = content(tmp_path) + b"b.png,caf\xe9\n"
    (tmp_path / "labels.csv").write_bytes(spoiled)
    with pytest.raises(UserError, match="line 3 is not UTF-8"):
        one.write("b.png", "dog", "")
    assert content(tmp_path) == spoiled


def test_a_link_and_the_permissions_of_a_table_stay(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.csv"
    real.write_bytes(b"a.png,cat\n")
    real.chmod(0o640)
    root = tmp_path / "root"
    root.mkdir()
    (root / "labels.csv").symlink_to(real)
    one = answers(root)
    one.write("a.png", "dog", "cat")
    one.write("b.png", "dog", "")
    assert (root / "labels.csv").is_symlink()
    assert real.read_bytes() == b"a.png,dog\nb.png,dog\n" and real.stat().st_mode & 0o777 == 0o640
