"""What `predict` is given, as paths of image files: files, folders, globs, lists."""

import glob
import io
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ssgan_tf.data.folder.walk import is_system_path, walk_images

_UTF_8_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")  # of lists that Windows PowerShell writes


class Unreadable(NamedTuple):
    """A file that is not classified.

    Attributes:
        path: of the file.
        reason: why.
        failure: False if it is left out on purpose, which is no error.
    """

    path: str
    reason: str
    failure: bool = True


def expand(arguments: Sequence[str], standard_input: IO[str]) -> Iterator[str | Unreadable]:
    """Paths of image files: files, folders (all images below), globs, "-" for a list on stdin.

    What is hidden or made by systems (`walk.is_system_path`) is never an image: neither below a
    folder nor in what a glob matches or a list names, where it is left out in silence. A pattern
    may have been expanded by the shell, so it is left out among the arguments too; but since a
    person may have typed it, it is named there, and does not count as a failure.

    Args:
        arguments: as given. A glob that matches nothing is reported as unreadable.
        standard_input: one file or folder a line, see `read_list`.

    Yields:
        Paths; those of a folder or glob in order. What cannot be an image, such as a pipe, is
        never opened.
    """
    for argument in arguments:
        if argument == "-":
            for line in read_list(standard_input):
                if not _is_left_out(line):
                    yield from _images(line)
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            yield from _matches(argument)
        elif _is_left_out(argument):
            yield Unreadable(argument, "is hidden or made by a system; left out", failure=False)
        else:
            yield from _images(argument)


def _is_left_out(path: str) -> bool:
    """Whether it is there and a system's; what is missing is named as that."""
    return os.path.lexists(path) and is_system_path(path)


def _images(path: str) -> Iterator[str | Unreadable]:
    """A file itself, or the images below a folder."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # whoever reads it says why
        yield path
        return
    if stat.S_ISDIR(mode):
        found = walk_images(path)
        for name, reason in found.skipped:
            if not (os.path.islink(name) and os.path.isdir(name)):  # a circle hides nothing
                yield Unreadable(str(name), reason)
        yield from map(str, found.files)
    elif stat.S_ISREG(mode):
        yield path
    else:
        yield Unreadable(path, "is not a plain file, but a pipe, a socket or a device")


def _matches(pattern: str) -> Iterator[str | Unreadable]:
    """What a glob matches. As many folders as are there are taken literally, such as `a[1]`."""
    parts = Path(pattern).parts
    count = 0
    while count < len(parts) - 1 and os.path.isdir(os.path.join(*parts[: count + 1])):
        count += 1
    root = os.path.join(*parts[:count]) if count else ""
    rest = os.path.join(*parts[count:])
    names = sorted(glob.glob(rest, root_dir=root or None, recursive=True))
    paths = [os.path.join(root, name) for name in names]
    if "**" in parts:  # goes into the folders itself
        paths = [path for path in paths if not os.path.isdir(path)]
    if not paths:
        yield Unreadable(pattern, "matches no file")
    for path in paths:
        if not _is_left_out(path):
            yield from _images(path)


def read_list(stream: IO[str]) -> Iterator[str]:
    """The lines of a list of paths, each as soon as it is there.

    Line ends may be those of Windows; a byte order mark is left out. Names need not be UTF-8.

    Args:
        stream: such as standard input.

    Yields:
        Lines that are not blank, without their ends.
    """
    for line in _lines(stream):
        path = line.removesuffix("\n")
        if path.endswith("\r") and not os.path.lexists(path):  # a file may really have such a name
            path = path[:-1]
        if path.strip():
            yield path


def _lines(stream: IO[str]) -> Iterable[str]:
    try:
        number = stream.fileno()
    except (OSError, AttributeError):  # not a file, as in a notebook
        yield from stream
        return
    # By a buffer of our own: a thread that waits in that of sys.stdin would abort Python's end.
    with open(number, "rb", closefd=False) as file:
        if file.peek(2)[:2] in _UTF_16_BOMS:
            yield from io.TextIOWrapper(file, "utf-16", errors="replace", newline="\n")
            return
        for count, line in enumerate(file):
            yield os.fsdecode(line.removeprefix(_UTF_8_BOM) if count == 0 else line)
