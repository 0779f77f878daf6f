"""Standard input, output and error, which may be closed, or unable to hold a file's name."""

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator

_NAMES = ("stdin", "stdout", "stderr")
_closed: list[str] = []


def fill_closed() -> None:
    """Opens those that are closed (`2>&-`) on the null device.

    Else the next file to be opened, such as a pipe between processes, would become standard error,
    and whatever is written there would go into it. Calling it again does nothing.
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
    """A command's use of them, from its begin to its end; decorates its `main`.

    They take names of files in whatever encoding: what it lacks is escaped. Where the reader of the
    output, such as `head`, has had enough, the command ends without a complaint.
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
    """Sends what is still to be written nowhere, so that the end of Python does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_one_line(text: str) -> str:
    """Escapes what would break a line or drive a terminal; the rest stays as it is."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in text
    )


def width(name: str) -> int:
    """Of a name, in letters; those of East Asia are as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def padded(name: str, columns: int) -> str:
    """A name with spaces after it, so that it is `columns` wide in a terminal."""
    return name + " " * (columns - width(name))


def clock(seconds: float) -> str:
    """A time such as 0:05 or 1:01:05: hours only where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
