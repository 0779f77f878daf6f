import io
import sys
from types import SimpleNamespace

import pytest

from ssgan_tf.runs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


VALUES = {"losses/discriminator": 1.25, "losses/generator": 0.5}


def one_epoch() -> None:
    progress = Progress(first_step=0, total_steps=20, steps_per_epoch=10, batch_size=4)
    progress.start_epoch(0, 10)
    for _ in range(10):
        progress.advance()
    progress.show(VALUES)
    progress.end_epoch(1, 10, VALUES, {"test": 0.5, "train_labeled": 0.75})


def test_a_terminal_sees_step_losses_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "140")
    one_epoch()
    shown = terminal.getvalue()
    for part in ("epoch 1/2", "step 10/20", "D 1.250", "G 0.5000", "images/s", "run 0:00 left"):
        assert part in shown


def test_a_log_sees_one_line(capsys: pytest.CaptureFixture) -> None:
    one_epoch()
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 1
    for part in ("1/2", "10", "D 1.250", "test 50.0%", "labeled 75.0%"):
        assert part in captured.out


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the test lets pass."""
    now = [0.0]
    monkeypatch.setattr("ssgan_tf.runs.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def estimates(capsys: pytest.CaptureFixture) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Time:")]


def test_the_time_of_the_run_is_estimated_once_without_the_steps_that_compile(
    clock: list[float], capsys: pytest.CaptureFixture
) -> None:
    progress = Progress(first_step=100, total_steps=1000, steps_per_epoch=500, batch_size=4)
    progress.start_epoch(100, 500)
    for step in range(101, 150):
        clock[0] += 60 if step == 101 else 0.5  # the first one is compiled
        progress.advance()
        progress.estimate(VALUES)
    (line,) = estimates(capsys)  # after step 109, 891 steps of half a second before the end
    assert "about 7:26 from here (500 ms a step" in line


@pytest.mark.parametrize("round_steps", [10, 5, 1])
def test_what_comes_between_two_rounds_is_not_in_the_estimate(
    round_steps: int, clock: list[float], capsys: pytest.CaptureFixture
) -> None:
    """Rounds of so many steps of half a second, each with an evaluation of 100 seconds."""
    progress = Progress(0, 100, round_steps, 4)
    found = []
    for start in range(0, 30, round_steps):
        progress.start_epoch(start, start + round_steps)
        for step in range(start + 1, start + round_steps + 1):
            clock[0] += 60 if step == 1 else 0.5
            progress.advance()
            progress.estimate(VALUES)
            found += [(step, line) for line in estimates(capsys)]
        clock[0] += 100
    ((said_at, line),) = found
    assert said_at == 9  # after eight steps, and the compiled one
    assert "about 0:46 from here (500 ms a step" in line


def test_a_checkpoint_within_a_round_is_not_in_the_estimate(
    clock: list[float], capsys: pytest.CaptureFixture
) -> None:
    progress = Progress(0, 100, 50, 4)
    progress.start_epoch(0, 50)
    for step in range(1, 20):
        clock[0] += 0.5
        progress.advance()
        progress.estimate(VALUES)
        if step == 5:
            clock[0] += 100
            progress.restart_clock()
    (line,) = estimates(capsys)
    assert "(500 ms a step" in line


def test_a_step_is_waited_for_only_where_the_clock_is_read(clock: list[float]) -> None:
    """To read a metric ends the overlap of Python and the device."""
    read = []

    class Metric:
        def __float__(self) -> float:
            read.append(progress.step)
            return 0.0

    progress = Progress(0, 100, 50, 4)
    progress.start_epoch(0, 50)
    for _ in range(50):
        clock[0] += 0.5
        progress.advance()
        progress.estimate({"losses/discriminator": Metric()})
    assert read == [1, 9]
