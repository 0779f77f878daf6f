import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import NARROW

from ssgan_tf.config import Config, UserError
from ssgan_tf.data import storage
from ssgan_tf.data.dataset import Dataset
from ssgan_tf.data.label_split import split_labels
from ssgan_tf.data.load import load_named
from ssgan_tf.data.pipeline import training_batches
from ssgan_tf.data.storage import COPIES, Rows, Storage, reordered, rows, take

SHAPE = (50, 32, 32, 3)
SIZE = 50 * 32 * 32 * 3


def test_images_stay_in_memory_as_long_as_the_budget_lasts(tmp_path: Path) -> None:
    room = Storage(2.5 * COPIES * SIZE / 1e9, tmp_path)
    kinds = [isinstance(room.allocate(SHAPE), np.memmap) for _ in range(3)]
    assert kinds == [False, False, True]


def test_a_file_of_images_is_announced_and_has_no_name_that_could_be_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = Storage(1e-9, tmp_path / "new").allocate(SHAPE)
    assert isinstance(images, np.memmap) and images.shape == SHAPE
    assert list((tmp_path / "new").iterdir()) == []
    said = capsys.readouterr().out
    for word in ("50 take", "--memory_budget_gb", str(tmp_path / "new")):
        assert word in said


def test_without_a_budget_it_is_a_share_of_the_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 1e7 < storage.free_memory() < 1e15
    for free, expected in ((1e9, False), (SIZE, True)):
        monkeypatch.setattr(storage, "free_memory", lambda free=free: free)
        assert isinstance(Storage(0, tmp_path).allocate(SHAPE), np.memmap) == expected


@pytest.mark.parametrize("budget", [1, 1e-9])
def test_rows_are_read_where_they_are(budget: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (3000, 4, 4, 1), np.uint8)
    images = Storage(budget, tmp_path).allocate(values.shape)
    images[:] = values
    order, part = rng.permutation(3000)[:2500], rng.permutation(2500)[:1000]
    some = take(take(images, order), part)
    expected = values[order][part]
    assert np.shares_memory(some.array, images)  # no copy
    assert some.in_file == isinstance(images, np.memmap)
    assert (some.shape, some.dtype, len(some)) == (expected.shape, np.uint8, 1000)
    np.testing.assert_array_equal(some, expected)
    mask = rng.random(1000) < 0.5
    for places in (3, -1, np.int64(7), slice(5, 40), slice(None, None, -2), [4, 4, 1], mask):
        np.testing.assert_array_equal(some[places], expected[places])
    np.testing.assert_array_equal(some[:, 1, 2, 0], expected[:, 1, 2, 0])
    np.testing.assert_array_equal(np.stack(list(some)), expected)
    np.testing.assert_array_equal(rows(some, slice(990, 2000)), expected[990:])
    np.testing.assert_array_equal(reordered(images, order), values[order])
    with pytest.raises(IndexError):
        some[1000]


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"--memory_budget_gb.* is full"):
        Storage(1e-9, tmp_path).allocate(SHAPE)


@pytest.fixture
def both(data_dir: str) -> tuple[Dataset, Dataset]:
    """The tiny `house_numbers` in memory and from disk."""
    return tuple(
        load_named("house_numbers", data_dir, memory_budget_gb=budget) for budget in (1, 1e-9)
    )


def test_data_is_the_same_from_memory_and_from_disk(both: tuple[Dataset, Dataset]) -> None:
    kinds = [type(dataset.train.images) for dataset in both]
    assert kinds == [np.ndarray, Rows] and both[1].train.images.in_file
    for part in ("train", "test"):
        first, second = (getattr(dataset, part) for dataset in both)
        for name in ("images", "labels", "ids"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_the_labeled_part_is_not_copied(both: tuple[Dataset, Dataset]) -> None:
    labeled = np.arange(5, 90)
    for dataset in both:
        part = dataset.train.take(labeled)
        whole = getattr(dataset.train.images, "array", dataset.train.images)
        assert np.shares_memory(part.images.array, whole)
        np.testing.assert_array_equal(part.images, dataset.train.images[labeled])


def test_data_in_a_file_is_put_in_order_without_a_second_file(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated: list[tuple[int, ...]] = []
    allocate = Storage.allocate

    def noted(self: Storage, shape: tuple[int, ...]) -> np.ndarray:
        allocated.append(shape)
        return allocate(self, shape)

    monkeypatch.setattr(Storage, "allocate", noted)
    load_named("house_numbers", data_dir, memory_budget_gb=1e-9)
    assert [shape[0] for shape in allocated] == [40, 96]


@pytest.mark.parametrize("first_step", [0, 7])
def test_batches_are_the_same_from_memory_and_from_disk(
    first_step: int, both: tuple[Dataset, Dataset]
) -> None:
    config = Config(**NARROW, labeled=40, batch_size=16, labeled_batch_size=8)
    batches = [
        list(training_batches(config, dataset, split_labels(config, dataset), first_step, 12))
        for dataset in both
    ]
    assert len(batches[0]) == 12 - first_step
    for one, other in zip(*batches, strict=True):
        for tensor, same in zip(one, other, strict=True):
            assert tensor.shape == same.shape
            np.testing.assert_array_equal(tensor, same)


def test_a_folder_is_the_same_from_memory_and_from_disk(tmp_path: Path) -> None:
    from PIL import Image

    from ssgan_tf.data.folder.load import load_folder

    rng = np.random.default_rng(0)
    for name in ("train/a", "train/b", "unlabeled"):
        (tmp_path / name).mkdir(parents=True)
        for index in range(10):
            image = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / name / f"{index}.png")
    memory, disk = (
        load_folder(str(tmp_path), memory_budget_gb=budget).train for budget in (1, 1e-9)
    )
    assert disk.images.in_file
    np.testing.assert_array_equal(memory.images, disk.images)
    assert memory.ids.tolist() == disk.ids.tolist()


def test_reading_from_a_file_takes_no_more_memory_than_what_is_read(tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
from pathlib import Path
from ssgan_tf.data.storage import Storage, give_back, rows

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

before = peak()
images = Storage(1e-9, Path(sys.argv[1])).allocate((100_000, 32, 32, 3))  # 307 MB
for start in range(0, 100_000, 1000):
    images[start : start + 1000] = start // 1000
    give_back(images)
rng = np.random.default_rng(0)
for _ in range(300):
    places = rng.integers(0, 100_000, 128)
    assert (rows(images, places)[:, 5, 5, 1] == places // 1000).all()
print(peak() - before)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 100  # MB, a third of what was read
