"""Standard streams that are closed, cannot encode a name, or lose their reader."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

_NAMES = ("stdin", "stdout", "stderr")
_closed: list[str] = []


def fill_closed() -> None:
    """Opens closed streams (`2>&-`) on the null device.

    Otherwise the next file to be opened, such as a pipe between processes, would become standard
    error, and error messages would go into it. Calling it again does nothing.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number
            _closed.append(name)
            if getattr(sys, name) is None:
                mode = "r" if number == 0 else "w"
                setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def is_closed(name: str) -> bool:
    """Whether "stdin", "stdout" or "stderr" was closed when the process began."""
    return name in _closed


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Prepares the streams for a command, and flushes them at its end; decorates its `main`.

    Characters that their encoding lacks are escaped. If the reader of the output, such as `head`,
    stops reading, the command ends without an error message.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        sys.exit(1)


def drop_output() -> None:
    """Discards the rest of the output, so that Python can end without an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
