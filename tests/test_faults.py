"""What goes wrong while a run is at work: one sentence, nothing lost, and the next start works.

Whole short runs, on the tiny `house_numbers`; kills and full disks need processes of their own.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_train import (
    CONTROL,
    CONTROL_FINISHED,
    EVERY_STEP,
    FINISHED,
    SHORT,
    assert_same_run,
    control_run,
    fail,
    finished_run,
    rows,
    run,
)

from ssgan_tf import train
from ssgan_tf.config import Config
from ssgan_tf.inference import saved_model
from ssgan_tf.reporting import pictures
from ssgan_tf.runs import config_file, rounds, run_dir
from ssgan_tf.runs.progress import Progress
from ssgan_tf.runs.summaries import Summaries

FLAGS = f"{FINISHED} {EVERY_STEP}"
CONTROL_FLAGS = f"{CONTROL_FINISHED} {EVERY_STEP}"

pytestmark = pytest.mark.usefixtures("brief_end")


def events(directory: Path) -> list[tuple[int, str]]:
    """(step, tag) of everything in the event files, in their order."""
    found = []
    for file in sorted((directory / "tensorboard").glob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found += [(event.step, value.tag) for value in event.summary.value]
    return found


@pytest.fixture(scope="module")
def undisturbed(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory, data_dir)


@pytest.fixture(scope="module")
def control(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Undisturbed as well, of `CONTROL_FLAGS`."""
    return control_run(tmp_path_factory, data_dir)


def stop_at(monkeypatch: pytest.MonkeyPatch, steps: set[int], signum: int) -> None:
    """Sends this process a signal when a step of these is done, each once."""
    advance, left = Progress.advance, set(steps)

    def interrupted(self: Progress, steps: int = 1) -> None:
        advance(self, steps)
        if self.step in left:
            left.remove(self.step)
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(Progress, "advance", interrupted)


@pytest.mark.slow
def test_a_run_that_is_stopped_twice_is_the_same_run_bit_for_bit(
    undisturbed: Path,
    data_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    directory = tmp_path / "läuf 1" / "ü"  # blanks and letters beyond ASCII
    with monkeypatch.context() as patch:
        stop_at(patch, {3, 7}, signal.SIGTERM)  # in the middle of either epoch
        for step, seen in ((3, []), (7, ["5"])):
            with pytest.raises(SystemExit) as stopped:
                run_with_blanks(data_dir, directory)
            assert stopped.value.code == 143
            assert f"Stopped after step {step}" in capfd.readouterr().err
            assert [row["step"] for row in rows(directory)] == seen
    run_with_blanks(data_dir, directory)
    assert "Going on from step 7" in capfd.readouterr().out
    assert_same_run(directory, undisturbed)
    assert events(directory) == events(undisturbed)
    results, expected = (
        json.loads((path / "results.json").read_text()) for path in (directory, undisturbed)
    )
    for key in ("wall_seconds", "command"):
        results.pop(key), expected.pop(key)
    assert results == expected


def run_with_blanks(data_dir: str, directory: Path) -> None:
    flags = f"{SHORT} {FLAGS}".split()
    train.main(["train", *flags, f"--data_dir={data_dir}", f"--run_dir={directory}"])


@pytest.mark.slow
def test_ctrl_c_in_the_last_step_of_an_epoch_waits_for_its_evaluation(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, {6}, signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        run(data_dir, tmp_path, f"{CONTROL} --epochs=3")
    assert stopped.value.code == 130
    assert [row["step"] for row in rows(tmp_path)] == ["6"]
    assert run_dir.finished_steps(tmp_path / "checkpoints") == {6}


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_processes_leave_a_run_that_ends_the_same(
    kills: int, control: Path, data_dir: str, tmp_path: Path
) -> None:
    """By SIGKILL; the last while a checkpoint is being written, and another is finished."""
    command = [sys.executable, "-m", "ssgan_tf.train", *f"{SHORT} {CONTROL_FLAGS}".split()]
    command += [f"--data_dir={data_dir}", f"--run_dir={tmp_path}"]
    checkpoints = tmp_path / "checkpoints"

    def wait_for(happened: object) -> None:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path.parent
        )
        deadline = time.monotonic() + 120
        while not happened() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()

    def finished() -> int:
        return max(run_dir.finished_steps(checkpoints), default=0)

    killed_at = 0
    if kills == 2:
        wait_for(lambda: finished() > 0)
        killed_at = finished()
    wait_for(lambda: finished() and (any(checkpoints.glob("*_temp*")) or finished() > 8))
    assert finished() >= killed_at
    run(data_dir, tmp_path, CONTROL_FLAGS)  # the lock of the dead does not block
    assert_same_run(tmp_path, control)
    assert events(tmp_path) == events(control)


def test_a_second_process_is_refused_while_another_is_at_work(
    data_dir: str, tmp_path: Path
) -> None:
    with run_dir.locked(tmp_path / "run"):
        flags = f"{SHORT} --data_dir={data_dir} --run_dir={tmp_path}/run"
        assert "another process is at work there" in fail(*flags.split())
    assert not (tmp_path / "run").exists()  # nothing was in it


@pytest.mark.slow
def test_more_epochs_may_be_asked_for_under_the_exponential_schedule_alone(
    data_dir: str, tmp_path: Path
) -> None:
    flags = f"{CONTROL} --schedule=exponential"
    run(data_dir, tmp_path / "run", f"{flags} --epochs=1 --keep_checkpoints=2")
    results = run(data_dir, tmp_path / "run", f"{flags} --epochs=2 --eval_every=1")
    assert results["steps"] == 12
    assert json.loads((tmp_path / "run" / "results-1-epochs.json").read_text())["steps"] == 6
    run(data_dir, tmp_path / "whole", f"{flags} --epochs=2")
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    fewer = f"{SHORT} {flags} --epochs=1 --data_dir={data_dir} --run_dir={tmp_path}/run"
    assert "--epochs=2, not --epochs=1" in fail(*fewer.split())


def test_more_epochs_are_refused_where_the_schedule_depends_on_them(
    undisturbed: Path, data_dir: str, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(undisturbed, tmp_path / "run"))  # of a linear schedule
    flags = f"{SHORT} {FLAGS} --epochs=3 --data_dir={data_dir} --run_dir={directory}"
    message = fail(*flags.split())
    assert "--epochs=2, not --epochs=3" in message
    assert "exponential" in message


def test_a_damaged_newest_checkpoint_costs_no_more_than_the_steps_since_the_one_before(
    control: Path, data_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(control, directory)
    (directory / "results.json").unlink()
    (directory / "checkpoints" / "ckpt-10.index").write_bytes(b"")
    run(data_dir, directory, CONTROL_FLAGS)
    out = capsys.readouterr().out
    assert "ckpt-10: is damaged" in out and "Going on from step 9" in out
    assert_same_run(directory, control)
    assert events(directory) == events(control)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 12 MB large."""
    place = tmp_path / "small disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a tmpfs can only be mounted by root, and not in every container")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int) -> None:
    """Takes all but `leave` bytes."""
    free = shutil.disk_usage(place).free
    (place / "filler").write_bytes(b"x" * max(0, free - leave))


@pytest.mark.slow  # as root
@pytest.mark.parametrize(
    ("owner", "name", "call", "kept"),
    [
        (rounds, "write_metrics", 2, 5),  # right before the second checkpoint
        (pictures, "save_png", 2, 5),
        (Summaries, "image", 3, 5),  # two an evaluation
        pytest.param(saved_model, "save", 1, 10, marks=pytest.mark.writes_everything),
    ],
)
def test_a_full_disk_is_reported_and_the_run_goes_on_when_there_is_room(
    owner: object,
    name: str,
    call: int,
    kept: int,
    small_disk: Path,
    undisturbed: Path,
    data_dir: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory, original, calls = small_disk / "run", getattr(owner, name), []

    def when_full(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == call:
            fill(small_disk, 5_000)
        return original(*arguments, **keywords)

    flags = [*f"{SHORT} {FINISHED} --keep_checkpoints=1".split(), f"--data_dir={data_dir}"]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, when_full)
        message = fail(*flags, f"--run_dir={directory}")
    assert "the disk is full" in message
    assert run_dir.finished_steps(directory / "checkpoints") == {kept}
    assert not list(directory.rglob("*.partial"))
    (small_disk / "filler").unlink()
    run(data_dir, directory, f"{FINISHED} --keep_checkpoints=1")
    assert_same_run(directory, undisturbed)


@pytest.mark.slow
def test_a_run_directory_that_is_deleted_ends_the_run_with_a_sentence(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Progress.advance

    def deleted(self: Progress, steps: int = 1) -> None:
        advance(self, steps)
        if self.step == 3:
            shutil.rmtree(tmp_path / "run")

    monkeypatch.setattr(Progress, "advance", deleted)
    flags = f"{SHORT} {CONTROL} --data_dir={data_dir} --run_dir={tmp_path}/run"
    assert "was deleted while" in fail(*flags.split())
    monkeypatch.undo()
    run(data_dir, tmp_path / "run", CONTROL)  # starts anew


def test_a_directory_that_may_not_be_written_to_is_reported_before_the_data_is_loaded(
    undisturbed: Path, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    (directory / "results.json").unlink()
    monkeypatch.setattr(run_dir.os, "access", lambda *_: False)  # root may write everywhere
    flags = f"{SHORT} {FLAGS} --data_dir={data_dir} --run_dir={directory}"
    assert "cannot be written to; give another place" in fail(*flags.split())


@pytest.mark.parametrize(
    ("flags", "tag", "step"),
    [
        pytest.param("--learning_rate=1e30", r"(losses|monitors)/\w+", 2, marks=pytest.mark.slow),
        ("--generator_loss=adversarial", "losses/generator", 1),
    ],
)
def test_divergence_is_stopped_at_its_step_and_the_loss_named(
    flags: str,
    tag: str,
    step: int,
    data_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "adversarial" in flags:  # its loss is made NaN
        from ssgan_tf.training import losses

        original = losses.adversarial_loss
        monkeypatch.setattr(
            losses, "adversarial_loss", lambda logit: original(logit) * np.float32(np.nan)
        )
    message = fail(
        *f"{SHORT} {flags}".split(), f"--data_dir={data_dir}", f"--run_dir={tmp_path / 'run'}"
    )
    assert "training has diverged" in message and "--learning_rate" in message
    assert re.search(rf"error: {tag} is (NaN|Inf) at step {step}:", message)
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    "network", [pytest.param("discriminator", marks=pytest.mark.slow), "generator"]
)
def test_a_gradient_that_is_no_number_stops_the_run_though_every_loss_is_one(
    network: str, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssgan_tf.training import optimizer

    original = optimizer.gradients

    def spoiled(*arguments: object) -> dict[str, optimizer.Gradient]:
        found = original(*arguments)
        path = next(iter(found))
        if path.startswith(network):  # one number of all
            value, variable = found[path]
            mask = np.zeros(variable.shape, np.float32)
            mask.flat[0] = np.nan
            found[path] = value + mask, variable
        return found

    monkeypatch.setattr(optimizer, "gradients", spoiled)
    message = fail(*SHORT.split(), f"--data_dir={data_dir}", f"--run_dir={tmp_path / 'run'}")
    assert f"error: monitors/grad_norm_{network} is NaN at step 1:" in message
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.slow
def test_after_a_divergence_the_next_start_goes_on_from_the_last_good_checkpoint(
    undisturbed: Path,
    data_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    from ssgan_tf.training.step import Trainer

    original = Trainer._weight

    def nan_in_step_7(self: Trainer, term: str) -> tf.Tensor:
        return original(self, term) * tf.where(self.step == 6, np.float32(np.nan), 1.0)

    flags = [*f"{SHORT} {FLAGS}".split(), f"--data_dir={data_dir}", f"--run_dir={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_weight", nan_in_step_7)
        assert "error: losses/discriminator is NaN at step 7:" in fail(*flags)
    assert run_dir.finished_steps(tmp_path / "checkpoints") == {4, 5, 6}
    capsys.readouterr()
    run(data_dir, tmp_path, FLAGS)
    assert "Going on from step 6" in capsys.readouterr().out
    assert_same_run(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_clock_that_jumps_back_does_no_harm(
    control: Path, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, {7}, signal.SIGTERM)
        with pytest.raises(SystemExit):
            run(data_dir, tmp_path, CONTROL_FLAGS)
        real = time.time
        patch.setattr(time, "time", lambda: real() - 10 * 365 * 24 * 3600)
        run(data_dir, tmp_path, CONTROL_FLAGS)
    assert_same_run(tmp_path, control)
    assert events(tmp_path) == events(control)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        seconds = [float(row["wall_seconds"]) for row in csv.DictReader(file)]
    assert seconds == sorted(seconds)


@pytest.mark.slow
@pytest.mark.writes_everything
def test_an_export_that_is_interrupted_leaves_the_old_one_usable(
    control: Path, model: tuple, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(control, directory)
    (directory / "results.json").unlink()
    shutil.rmtree(directory / "saved_model")
    shutil.copytree(model[0], directory / "saved_model")
    before = {p: p.read_bytes() for p in (directory / "saved_model").rglob("*") if p.is_file()}

    def half_way(module: object, path: str, signatures: object) -> None:
        Path(path).mkdir()
        (Path(path) / "saved_model.pb").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tf.saved_model, "save", half_way)
        with pytest.raises(SystemExit):
            run(data_dir, directory, CONTROL_FLAGS)
    assert {p: p.read_bytes() for p in before} == before
    (directory / ".export-dead" / "new").mkdir(parents=True)  # as a kill would leave it
    run(data_dir, directory, CONTROL_FLAGS)
    assert not list(directory.glob(".export-*"))
    tf.saved_model.load(str(directory / "saved_model"))


@pytest.mark.slow
def test_every_tf_function_is_traced_once_however_long_the_run(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five epochs of everything; the count is that of the first one."""
    from ssgan_tf.inference.evaluation import Evaluator
    from ssgan_tf.training.loop import Loop

    counts: list[tuple[int, int, int]] = []
    loops: list[Loop] = []
    original_init, original_call = Loop.__init__, Evaluator.__call__

    def init(self: Loop, *arguments: object) -> None:
        original_init(self, *arguments)
        loops.append(self)

    def call(self: Evaluator, *arguments: object) -> object:
        result = original_call(self, *arguments)
        counts.append(
            (
                loops[0].trainer.train_step.experimental_get_tracing_count(),
                loops[0].steps.experimental_get_tracing_count(),
                self._logits.experimental_get_tracing_count(),
            )
        )
        return result

    monkeypatch.setattr(Loop, "__init__", init)
    monkeypatch.setattr(Evaluator, "__call__", call)
    run(data_dir, tmp_path, f"{FINISHED} --epochs=5")
    per_epoch = 3  # test, labelled, validation
    assert {count[:2] for count in counts} == {(1, 1)}
    assert {count[2] for count in counts[per_epoch : 5 * per_epoch]} == {counts[per_epoch][2]}
    assert counts[per_epoch][2] <= 2  # the last, partial batch has a shape of its own


def test_config_differences_that_change_nothing_are_allowed(data_dir: str, tmp_path: Path) -> None:
    config = Config(run_dir=str(tmp_path))
    config_file.write_config(tmp_path, config)
    for changes in ({"eval_every": 5}, {"keep_checkpoints": 9}, {"checkpoint_every_minutes": 1.0}):
        run_dir.claim(tmp_path, Config(run_dir=str(tmp_path), **changes))
