"""Ctrl-C and SIGTERM: noted first, obeyed when the step is done and the checkpoint written."""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818, as KeyboardInterrupt is no error either
    """A run was stopped from outside, after its checkpoint.

    Attributes:
        status: the exit status that is customary: 130 after Ctrl-C, 143 after SIGTERM.
        step: the last one that was taken.
    """

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.status, self.step = 128 + signum, step


class Interruption:
    """While it is entered, a first signal is noted, and a second one ends the process at once.

    Attributes:
        signum: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        message = "\nStopping after this step, with a checkpoint; once more stops at once.\n"
        with contextlib.suppress(OSError, ValueError):  # a notebook's stream has no number
            os.write(sys.stderr.fileno(), message.encode())  # print is not safe in a handler
