import io
import sys
from types import SimpleNamespace

import pytest

from ssgan_tf.progress import Progress, _clock


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
    for part in ("1/2", "10", "D 1.250", "test 50.0%", "labelled 75.0%"):
        assert part in captured.out


def test_the_time_of_the_run_is_estimated_once_without_the_steps_that_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr("ssgan_tf.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    progress = Progress(first_step=100, total_steps=1000, steps_per_epoch=500, batch_size=4)
    progress.start_epoch(100, 500)
    for step in range(101, 150):
        clock[0] += 60 if step == 101 else 0.5  # the first one is compiled
        progress.advance()
        progress.estimate(VALUES)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Time:")]
    assert len(lines) == 1  # after step 111, 889 steps of half a second before the end
    assert "about 7:24 from here (500 ms a step" in lines[0]


def test_clock_has_hours_only_where_there_are_any() -> None:
    assert [_clock(seconds) for seconds in (5, 65, 3665)] == ["0:05", "1:05", "1:01:05"]
