"""Standard input, output and error, which may be closed, or unable to hold a file's name."""

import io
import os
import sys
import unicodedata

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
                setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))


def is_closed(name: str) -> bool:
    """Whether "stdin", "stdout" or "stderr" was closed when the process began."""
    return name in _closed


def take_any_name() -> None:
    """Lets the streams take names of files in whatever encoding: what it lacks is escaped."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            reading = stream is sys.stdin
            stream.reconfigure(errors="surrogateescape" if reading else "backslashreplace")


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
