"""Checkpoints that were damaged in every way, on a small state."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import UserError
from ssgan_tf.runs.checkpoints import Checkpoints, restore
from ssgan_tf.runs.run_dir import finished_steps


class State:
    """Two variables and their checkpoints in a directory."""

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.weights = tf.Variable(tf.zeros((40, 10)))
        self.step = tf.Variable(0, dtype=tf.int64)
        checkpoint = tf.train.Checkpoint(weights=self.weights, step=self.step)
        self.saver = Checkpoints(checkpoint, directory, keep)

    def save(self, step: int) -> None:
        self.weights.assign(tf.random.stateless_normal((40, 10), (0, step)))
        self.step.assign(step)
        self.saver.save(step)

    def is_that_of(self, step: int) -> bool:
        expected = tf.random.stateless_normal((40, 10), (0, step))
        return int(self.step) == step and np.array_equal(self.weights, expected)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With the checkpoints of steps 10 and 20."""
    state = State(tmp_path / "checkpoints")
    state.save(10)
    state.save(20)
    return tmp_path / "checkpoints"


def data_file(directory: Path, step: int) -> Path:
    return directory / f"ckpt-{step}.data-00000-of-00001"


def test_the_newest_one_is_taken(directory: Path) -> None:
    state = State(directory)
    assert state.saver.restore_newest() == []
    assert state.is_that_of(20)


def test_without_any_nothing_happens(tmp_path: Path) -> None:
    state = State(tmp_path / "nothing")
    assert state.saver.restore_newest() == []
    assert int(state.step) == 0


@pytest.mark.parametrize("part", ["data", "index"])
@pytest.mark.parametrize("damage", ["truncated", "emptied", "missing", "bit flipped"])
def test_a_damaged_one_is_named_and_the_one_before_is_taken(
    part: str, damage: str, directory: Path
) -> None:
    path = data_file(directory, 20) if part == "data" else directory / "ckpt-20.index"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    state = State(directory)
    (problem,) = state.saver.restore_newest()
    assert "ckpt-20: is damaged" in problem
    assert state.is_that_of(10)
    state.save(20)  # and the run goes on over it
    again = State(directory)
    assert again.saver.restore_newest() == []
    assert again.is_that_of(20)


def test_any_flipped_bit_is_noticed_or_changes_nothing(directory: Path) -> None:
    rng = np.random.default_rng(0)
    noticed = 0
    for path in (data_file(directory, 20), directory / "ckpt-20.index"):
        content = path.read_bytes()
        for place in rng.choice(len(content), 40, replace=False):
            flipped = bytes([content[place] ^ (1 << int(rng.integers(8)))])
            path.write_bytes(content[:place] + flipped + content[place + 1 :])
            state = State(directory)
            problems = state.saver.restore_newest()
            noticed += len(problems)
            assert state.is_that_of(10 if problems else 20), (path, place)
        path.write_bytes(content)
    assert noticed > 40


def test_if_none_is_sound_it_stops_and_deletes_nothing(directory: Path) -> None:
    for step in (10, 20):
        data_file(directory, step).write_bytes(b"x")
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(UserError, match="Nothing was deleted") as error:
        State(directory).saver.restore_newest()
    assert "ckpt-10" in str(error.value) and "ckpt-20" in str(error.value)
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_a_write_that_was_interrupted_does_not_count(directory: Path) -> None:
    shutil.copy(data_file(directory, 20), data_file(directory, 30))
    (directory / "ckpt-40_temp").mkdir()
    assert finished_steps(directory) == {10, 20}
    state = State(directory)
    assert state.saver.restore_newest() == []
    assert state.is_that_of(20)
    assert not (directory / "ckpt-40_temp").exists()


@pytest.mark.parametrize("written", [0.0, 0.5])
def test_a_first_checkpoint_whose_index_was_not_written_to_its_end_does_not_count(
    written: float, tmp_path: Path
) -> None:
    State(tmp_path).save(1)
    index = tmp_path / "ckpt-1.index"
    index.write_bytes(index.read_bytes()[: int(written * index.stat().st_size)])
    (tmp_path / "checkpoint").unlink()  # the list is written after the index
    state = State(tmp_path)
    assert state.saver.restore_newest() == []
    assert int(state.step) == 0
    state.save(1)
    again = State(tmp_path)
    assert again.saver.restore_newest() == []
    assert again.is_that_of(1)


def test_a_broken_list_of_checkpoints_does_not_matter(directory: Path) -> None:
    (directory / "checkpoint").write_bytes(b"\xff\x00 no list")
    state = State(directory)
    assert state.saver.restore_newest() == []
    assert state.is_that_of(20)


def test_only_the_newest_ones_are_kept_even_of_those_of_an_earlier_process(directory: Path) -> None:
    state = State(directory, keep=2)
    state.saver.restore_newest()
    state.save(30)
    assert finished_steps(directory) == {20, 30}


def test_a_checkpoint_of_something_else_is_refused(directory: Path) -> None:
    other = tf.train.Checkpoint(weights=tf.Variable(tf.zeros((3, 3))), step=tf.Variable(0))
    with pytest.raises(UserError, match="of another run"):
        restore(other, directory / "ckpt-20")
