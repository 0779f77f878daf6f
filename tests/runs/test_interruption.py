import io
import os
import signal
import subprocess
import sys
import threading

import pytest

from ssgan_tf.runs.interruption import Interrupted, Interruption


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_is_noted_and_the_old_handlers_come_back(
    signum: int, capfd: pytest.CaptureFixture
) -> None:
    before = signal.getsignal(signum)
    with Interruption() as interruption:
        assert interruption.signum is None
        os.kill(os.getpid(), signum)
        assert interruption.signum == signum
    assert signal.getsignal(signum) is before
    assert "Stopping after this step" in capfd.readouterr().err
    assert Interrupted(signum, 7).status == 128 + signum


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = """
import os, signal
from ssgan_tf.runs.interruption import Interruption
with Interruption():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "still here" not in done.stdout


def test_in_another_thread_it_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_signal_is_noted_where_standard_error_is_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as in a notebook
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signum == signal.SIGTERM
