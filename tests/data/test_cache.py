import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from ssgan_tf import cache as command
from ssgan_tf.data import cache, cache_store
from ssgan_tf.data.cache import Decoded, decode_files
from ssgan_tf.data.images.decoding import read_image
from ssgan_tf.data.storage import COPIES, Rows

ODD = ["a[v2].png", "b *?.png", "line\nbreak.png", os.fsdecode(b"not-utf8-\xff.png"), "ü.png"]
TINY = 1e-9  # GB: nothing fits into memory


def write(path: Path, value: int, side: int = 8) -> Path:
    """An image of one grey level as BMP: all of one side have the same size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (value, value, value)).save(path, "BMP")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images, of grey level 0 to 9."""
    root = tmp_path / "my [v2] *"
    for index in range(10):
        write(root / "train" / f"{index}.bmp", index)
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are really decoded, as they are."""
    names: list[str] = []
    read = cache.read_picture

    def noted(path: Path, *form: object) -> object:
        names.append(path.name)
        return read(path, *form)

    monkeypatch.setattr(cache, "read_picture", noted)
    return names


def read(root: Path, place: Path, budget: float = 1.0, form: Sequence = (8, 3, "crop")) -> Decoded:
    files = sorted((path for path in root.rglob("*") if path.is_file()), key=os.fsencode)
    return decode_files(root, files, *form, str(place), budget)


def levels(found: Decoded) -> list[int]:
    return np.asarray(found.images)[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_each_image_is_decoded_once(
    budget: float, folder: Path, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture
) -> None:
    (folder / "train" / "5a.bmp").write_bytes(b"BM no image")
    place = tmp_path / "cache"
    first = read(folder, place, budget)
    assert sorted(decoded) == sorted([*(f"{index}.bmp" for index in range(10)), "5a.bmp"])
    said = capsys.readouterr().out
    assert "Cache:    10 images, 0.00192 MB" in said and "ssgan_tf.cache --clear" in said
    decoded.clear()
    for again in (read(folder, place, budget), read(folder, place, TINY)):
        assert decoded == []
        np.testing.assert_array_equal(again.images, first.images)
        assert again.kept.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]
        assert again[2:] == first[2:]
        assert list(again.problems) == [6] and again.sizes == [(8, 8)] * 10
    assert "Cache:" not in capsys.readouterr().out  # a line that was printed is not printed again
    assert levels(first) == list(range(10)) and len(set(first.digests)) == 10
    assert isinstance(first.images, Rows) == (budget == TINY)


def test_copies_are_known_by_the_pixels_before_they_are_brought_to_size(
    tmp_path: Path, decoded: list[str]
) -> None:
    root = tmp_path / "images"
    blank = Image.new("RGB", (512, 512), "white")
    for name, place in (("a", (100, 100)), ("b", (400, 300))):
        image = blank.copy()
        image.putpixel(place, (254, 255, 255))  # too little to be seen at 8 x 8
        root.mkdir(exist_ok=True)
        image.save(root / f"{name}.png")
    image.save(root / "b copy.bmp")  # another file with the pixels of b
    image.transpose(Image.Transpose.ROTATE_90).save(root / "c.png")
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by a quarter
    image.save(root / "c turned.png", exif=exif)
    Image.new("L", (4, 2), 255).save(root / "d.png")
    Image.new("L", (2, 4), 255).save(root / "e.png")  # the same bytes in another shape
    Image.new("RGB", (2, 4), "white").save(root / "f.png")  # the same color
    for budget in (1.0, 1.0, TINY):
        found = read(root, tmp_path / "cache", budget)
        names = sorted((path.name for path in root.iterdir()), key=os.fsencode)
        of = dict(zip(names, found.digests, strict=True))
        assert len(np.unique(np.asarray(found.images), axis=0)) == 1
        assert of["b.png"] == of["b copy.bmp"] and of["c.png"] == of["c turned.png"]
        assert of["e.png"] == of["f.png"]
        assert len(set(found.digests)) == 5
    assert len(decoded) == 8  # each was read once


def test_a_part_of_the_files_in_another_order_comes_from_the_cache(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    read(folder, tmp_path / "cache")
    decoded.clear()
    files = [folder / "train" / f"{index}.bmp" for index in (7, 2, 9)]
    for budget in (1.0, TINY):
        found = decode_files(folder, files, 8, 3, "crop", str(tmp_path / "cache"), budget)
        assert levels(found) == [7, 2, 9]
    assert decoded == []


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_what_changed_is_decoded_again_and_what_is_gone_is_dropped(
    budget: float, folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    place, path = tmp_path / "cache", folder / "train" / "3.bmp"
    read(folder, place, budget)
    then = path.stat()
    decoded.clear()
    write(path, 33)  # as large as before
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns + 1))
    (folder / "train" / "8.bmp").unlink()
    write(folder / "train" / "a.bmp", 44)
    found = read(folder, place, budget)
    assert sorted(decoded) == ["3.bmp", "a.bmp"]
    assert levels(found) == [0, 1, 2, 33, 4, 5, 6, 7, 9, 44]
    decoded.clear()
    time.sleep(0.05)  # the clock of the file system is coarse
    write(path, 55)
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns + 1))  # as unpacking an archive does
    assert levels(read(folder, place, budget))[3] == 55
    assert decoded == ["3.bmp"]


def test_a_file_that_is_gone_when_it_is_read_is_a_problem_that_is_not_kept(
    folder: Path, tmp_path: Path
) -> None:
    files = [folder / "train" / "1.bmp", folder / "train" / "late.bmp"]
    for budget in (1.0, TINY):
        found = decode_files(folder, files, 8, 3, "crop", str(tmp_path / "cache"), budget)
        assert found.problems == {1: "is not there"} and found.kept.tolist() == [0]
    write(files[1], 77)
    found = decode_files(folder, files, 8, 3, "crop", str(tmp_path / "cache"), 1.0)
    assert levels(found) == [1, 77]


def test_each_form_and_rule_has_images_of_its_own(
    folder: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache"
    forms = [(8, 3, "crop"), (4, 3, "crop"), (8, 1, "crop"), (8, 3, "pad")]
    for _ in range(2):
        for form in forms:
            assert read(folder, place, form=form).images.shape == (10, form[0], form[0], form[1])
    assert len(decoded) == 10 * len(forms)
    decoded.clear()
    monkeypatch.setattr(cache, "_rule", lambda: {"pillow": "another version"})
    for _ in range(2):
        read(folder, place)
    assert len(decoded) == 10
    assert len(list(place.rglob("pixels-*"))) == len(forms)  # the old one is gone
    decoded.clear()
    other = tmp_path / "other"  # the same names, sizes and times
    subprocess.run(["cp", "-rp", folder, other], check=True)
    write(other / "train" / "0.bmp", 99)
    os.utime(other / "train" / "0.bmp", ns=(0, (folder / "train" / "0.bmp").stat().st_mtime_ns))
    assert levels(read(other, place))[0] == 99


def test_a_file_that_changes_while_it_is_read_is_not_kept_under_a_wrong_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing, read_picture = folder / "train" / "4.bmp", cache.read_picture
    values = iter(range(100, 200))

    def changed_after(path: Path, *form: object) -> object:
        picture = read_picture(path, *form)
        if path == changing:
            write(path, next(values))
            os.utime(path, ns=(0, next(values)))
        return picture

    for budget in (1.0, TINY):
        with monkeypatch.context() as patch:
            patch.setattr(cache, "read_picture", changed_after)
            read(folder, tmp_path / "cache", budget)
        expected = read_image(changing, 8)[0, 0, 0]
        assert levels(read(folder, tmp_path / "cache", budget))[4] == expected


def test_what_the_system_could_not_read_now_is_tried_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise cache.ImageError("is damaged or cut short") from OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_picture", fail)
        assert len(read(folder, tmp_path / "cache").problems) == 10
    assert levels(read(folder, tmp_path / "cache")) == list(range(10))


def test_a_new_decoder_reads_what_could_not_be_read(
    folder: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(folder, tmp_path / "cache")
    monkeypatch.setattr(cache.importlib.metadata, "version", lambda name: "1.2.3")
    cache._rule.cache_clear()
    decoded.clear()
    read(folder, tmp_path / "cache")
    assert len(decoded) == 10
    cache._rule.cache_clear()


def test_other_code_that_decodes_makes_other_entries() -> None:
    """Every module that `decoding` imports, and those that these import, counts."""
    package = Path(cache.__file__).parents[1]
    found, ahead = set(), ["ssgan_tf.data.images.decoding"]
    while ahead:
        found.add(name := ahead.pop())
        for node in ast.walk(
            ast.parse((package.parent / f"{name.replace('.', '/')}.py").read_text())
        ):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ssgan_tf"):
                inside = (package.parent / node.module.replace(".", "/")).is_dir()
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                ahead += (names if inside else {node.module}) - found
    names_alone = {"ssgan_tf.config", "ssgan_tf.presets"}  # of the rules; they make no pixels
    assert found - names_alone <= {f"ssgan_tf.data.images.{name}" for name in cache._DECODERS}


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_names_may_hold_anything(budget: float, tmp_path: Path, decoded: list[str]) -> None:
    root = tmp_path / os.fsdecode(b"r\xff[1]")
    for index, name in enumerate(ODD):
        write(root / "x [*]" / name, 10 * index)
    place = tmp_path / os.fsdecode(b"c\xfe [v2] *\n")
    first = read(root, place, budget)
    assert first.problems == {} and sorted(levels(first)) == [0, 10, 20, 30, 40]
    decoded.clear()
    assert levels(read(root, place, budget)) == levels(first)
    assert decoded == []


def damage_index(place: Path) -> None:
    index = next(place.rglob("index.jsonl"))
    text = bytearray(index.read_bytes())
    text[len(text) // 2] ^= 1
    index.write_bytes(text)


def empty_index(place: Path) -> None:
    next(place.rglob("index.jsonl")).write_bytes(b"")


def cut_index(place: Path) -> None:
    index = next(place.rglob("index.jsonl"))
    os.truncate(index, index.stat().st_size - 5)


def cut_pixels(place: Path) -> None:
    pixels = next(place.rglob("pixels-*"))
    os.truncate(pixels, pixels.stat().st_size - 1)


def remove_pixels(place: Path) -> None:
    next(place.rglob("pixels-*")).unlink()


@pytest.mark.parametrize("budget", [1.0, TINY])
@pytest.mark.parametrize(
    ("damage", "expected"),
    [(damage_index, 10), (empty_index, 10), (cut_index, 1), (cut_pixels, 10), (remove_pixels, 10)],
)
def test_a_damaged_cache_is_made_again(
    damage: Callable[[Path], None],
    expected: int,
    budget: float,
    folder: Path,
    tmp_path: Path,
    decoded: list[str],
) -> None:
    place = tmp_path / "cache"
    read(folder, place)
    damage(place)
    for count in (expected, 0):
        decoded.clear()
        assert levels(read(folder, place, budget)) == list(range(10))
        assert len(decoded) == count


def test_pixels_that_are_not_what_they_were_are_decoded_again(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    place = tmp_path / "cache"
    read(folder, place)
    decoded.clear()
    pixels = next(place.rglob("pixels-*"))
    content = bytearray(pixels.read_bytes())
    content[2 * 8 * 8 * 3] ^= 255
    pixels.write_bytes(content)
    assert levels(read(folder, place)) == list(range(10))
    assert decoded == ["2.bmp"]


def test_pixels_of_changed_files_do_not_pile_up(
    folder: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_store, "_UNUSED_ROWS", 0)
    place = tmp_path / "cache"
    for turn in range(5):
        for index in range(10):
            path = write(folder / "train" / f"{index}.bmp", 10 * turn + index)
            os.utime(path, ns=(0, turn))
        mapped = read(folder, place, TINY)
        before = levels(mapped)
    decoded.clear()
    assert levels(read(folder, place)) == list(range(40, 50))
    assert decoded == []
    assert next(place.rglob("pixels-*")).stat().st_size <= 30 * 8 * 8 * 3
    assert levels(mapped) == before  # what was mapped before is still there


def test_without_a_place_for_the_cache_it_goes_on(
    folder: Path, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    for budget in (1.0, TINY):
        for place in (tmp_path / "file" / "cache", Path("/proc/cache")):
            assert levels(read(folder, place, budget)) == list(range(10))
            said = capsys.readouterr().out
            assert said.count("Cache:") == 1 and "none (" in said and "--cache_dir" in said
    assert len(decoded) == 40


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_a_file_system_that_maps_nothing_into_memory_costs_the_cache_alone(
    budget: float,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    memmap = np.memmap

    class Unmapped(np.memmap):
        def __new__(cls, *args: object, **kwargs: object) -> np.memmap:
            if "r" in args:
                raise OSError(19, "No such device")
            return memmap(*args, **kwargs)

    read(folder, tmp_path / "filled")
    monkeypatch.setattr(np, "memmap", Unmapped)
    for place in ("filled", "empty"):
        capsys.readouterr()
        assert levels(read(folder, tmp_path / place, budget)) == list(range(10))
        assert "Cache:    none (No such device)" in capsys.readouterr().out


def test_no_files_are_no_images(tmp_path: Path) -> None:
    for budget in (1.0, TINY):
        found = decode_files(tmp_path, [], 8, 3, "crop", str(tmp_path / "cache"), budget)
        assert found.images.shape == (0, 8, 8, 3) and found.kept.tolist() == []


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_a_disk_that_becomes_full_costs_the_cache_alone(
    budget: float,
    folder: Path,
    tmp_path: Path,
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(cache, "_AT_ONCE", 4)
    fsync, calls = os.fsync, []

    def full_in_the_end(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 4:  # the file of a new cache, and two parts, are written
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_in_the_end)
        assert levels(read(folder, tmp_path / "cache", budget)) == list(range(10))
    assert len(decoded) == 10
    assert "Cache:    none (No space left on device)" in capsys.readouterr().out
    decoded.clear()
    assert levels(read(folder, tmp_path / "cache", budget)) == list(range(10))
    assert len(decoded) == 2


SLOW = """
import signal, sys, time
from pathlib import Path
from ssgan_tf.data import cache
read = cache.read_picture
def slow(path, *form):
    time.sleep(0.01)
    sys.stdout.write(path.name + "\\n")
    sys.stdout.flush()
    return read(path, *form)
cache.read_picture = slow
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
cache._AT_ONCE = 10
root = Path(sys.argv[1])
found = cache.decode_files(root, sorted(root.rglob("*.bmp")), 8, 3, "crop", sys.argv[2], 1e-9)
print("levels", found.images[:, 0, 0, 0].tolist())
"""


def start(root: Path, place: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", SLOW, str(root), str(place)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for index in range(100):
        write(tmp_path / "many" / f"{index:03}.bmp", index)
    return tmp_path / "many"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_reading_goes_on_where_it_stopped(
    signum: int, many: Path, tmp_path: Path, decoded: list[str]
) -> None:
    process = start(many, tmp_path / "cache")
    for line in process.stdout:
        if "060" in line:  # two threads may have written it
            break
    asked = time.monotonic()
    process.send_signal(signum)
    process.communicate(timeout=30)
    assert process.returncode and time.monotonic() - asked < 3
    assert levels(read(many, tmp_path / "cache")) == list(range(100))
    assert 10 < len(decoded) < 60


def test_two_processes_at_once_share_the_work(many: Path, tmp_path: Path) -> None:
    both = [start(many, tmp_path / "cache") for _ in range(2)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    for lines in said:
        assert f"levels {list(range(100))}" in lines
    assert sum(line.count(".bmp") for lines in said for line in lines) == 100


def test_a_process_that_has_images_mapped_is_not_disturbed(
    many: Path, tmp_path: Path, decoded: list[str]
) -> None:
    place = tmp_path / "cache"
    mapped = read(many, place, TINY).images
    for path in many.iterdir():
        write(path, 255)
        os.utime(path, ns=(0, 0))
    damage_index(place)
    read(many, place)
    command.main(["cache", "--clear", f"--cache_dir={place}"])
    assert mapped[[5, 99, 7]][:, 0, 0, 0].tolist() == [5, 99, 7]


def test_the_command_shows_and_clears_what_the_cache_wrote_and_nothing_else(
    folder: Path, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture
) -> None:
    place = tmp_path / "place"
    read(folder, place)
    (place / "mine.txt").write_text("mine")
    (place / "images-of-mine").mkdir()
    (next(place.glob("images-????????????????")) / "note.txt").write_text("mine")
    capsys.readouterr()
    flags = ["cache", f"--cache_dir={place}"]
    command.main(flags)
    said = capsys.readouterr().out
    assert "10 images" in said and str(folder) in said and "8 x 8 x 3, crop" in said
    command.main([*flags, "--clear"])
    assert "Removed 10 images" in capsys.readouterr().out
    left = sorted(path.name for path in place.rglob("*") if path.is_file())
    assert left == ["mine.txt", "note.txt"] and (place / "images-of-mine").is_dir()
    decoded.clear()
    assert levels(read(folder, place)) == list(range(10)) and len(decoded) == 10
    command.main([*flags, "--clear"])
    with pytest.raises(SystemExit, match="there is no such directory"):
        command.main(["cache", f"--cache_dir={tmp_path / 'nowhere'}", "--clear"])
    with pytest.raises(SystemExit, match="there is no such directory"):
        command.main(["cache", f"--cache_dir={'x' * 300}"])
    assert not (tmp_path / "nowhere").exists()


def test_what_is_being_filled_is_not_cleared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    place = tmp_path / "place"
    read(folder, place)
    with (
        FileLock(next(place.glob("images-*")) / "lock"),
        pytest.raises(SystemExit, match=r"error: .*my \[v2\] \*: a process is reading") as stopped,
    ):
        command.main(["cache", f"--cache_dir={place}", "--clear"])
    assert "Traceback" not in str(stopped.value)
    assert list(place.rglob("pixels-*"))


def test_it_waits_for_a_process_that_is_filling_it(
    folder: Path, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture
) -> None:
    place = tmp_path / "place"
    read(folder, place)
    held = threading.Event()

    def hold() -> None:
        with FileLock(next(place.glob("images-*")) / "lock"):
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert levels(read(folder, place)) == list(range(10))
    thread.join()
    assert "waiting" in capsys.readouterr().out


@pytest.mark.parametrize("budget", [1.0, TINY])
def test_a_folder_as_a_data_set_is_decoded_once_by_all_commands(
    budget: float, tmp_path: Path, decoded: list[str]
) -> None:
    from ssgan_tf.config import Config
    from ssgan_tf.data.load import load_dataset

    root = tmp_path / "photos"
    for index in range(12):
        write(root / "train" / "ab"[index % 2] / f"{index}.bmp", index)
        write(root / "unlabeled" / f"{index}.bmp", 100 + index)
        write(root / "test" / "ab"[index % 2] / f"{index}.bmp", 200 + index)
    (root / "train" / "b" / "3.bmp").write_bytes(b"BM")
    config = Config(
        dataset=f"folder:{root}",
        cache_dir=str(tmp_path / "cache"),
        memory_budget_gb=budget,
        validation_fraction=0.25,
    )
    first = load_dataset(config)
    assert len(decoded) == 36
    again = load_dataset(config, prepare=False)
    assert len(decoded) == 36
    for data in (first, again):
        assert np.asarray(data.test.images)[:, 0, 0, 0].tolist() == [
            200 + int(Path(name).stem) for name in data.test.ids
        ]
        grays = np.asarray(data.train.images)[:, 0, 0, 0].tolist()
        assert grays == [
            int(Path(name).stem) + 100 * name.startswith("unlabeled") for name in data.train.ids
        ]
        assert data.train.ids.tolist() == first.train.ids.tolist() and len(data.train) == 23
        assert any("train/b/3.bmp" in line for line in data.report)
        assert data.train.images.in_file == (budget == TINY)


@pytest.mark.skipif(sys.platform != "linux", reason="the place is another one there")
def test_the_usual_place_is_that_of_the_system(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_store.default_directory() == tmp_path / "home" / ".cache" / "ssgan_tf"
    decode_files(folder, [folder / "train" / "1.bmp"], 8, 3, "crop")
    said = capsys.readouterr().out
    assert said.rstrip().endswith(
        "in ~/.cache/ssgan_tf; clear it with python -m ssgan_tf.cache --clear"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_store.default_directory() == tmp_path / "xdg" / "ssgan_tf"


def test_nothing_beyond_a_batch_is_read_into_memory(tmp_path: Path) -> None:
    """100 MB of labeled images, almost no budget: first from the files, then from the cache."""
    program = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from ssgan_tf.data import cache
from ssgan_tf.data.cache import decode_files
from ssgan_tf.data.storage import rows, take

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

cache._BYTES_AT_ONCE = 4 << 20
root, place = map(Path, sys.argv[1:])
files = sorted(root.rglob("*.bmp"))
decode_files(root, files[:2], 256, 3, "crop", str(place), 1e-9)
before = peak()
images = decode_files(root, files, 256, 3, "crop", str(place), 1e-9).images
labeled = take(images, np.arange(len(images)))
for start in range(0, len(labeled), 4):
    assert rows(labeled, slice(start, start + 4)).shape[1:] == (256, 256, 3)
print("grown", peak() - before)
"""
    for index in range(512):
        write(tmp_path / "root" / f"{index:03}.bmp", index % 256)
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(tmp_path / "cache")]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout.split()[-1]) < 50, done.stdout  # MB, half of it


def test_a_budget_that_fits_is_memory(folder: Path, tmp_path: Path) -> None:
    size = 10 * 8 * 8 * 3
    for budget, kind in ((COPIES * size + 1, np.ndarray), (COPIES * size - 1, Rows)):
        assert type(read(folder, tmp_path / "cache", budget / 1e9).images) is kind
