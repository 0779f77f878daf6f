"""The files of the cache: pixels, one image after the other, and an index that says what they are.

There is a directory for each folder of images and form of them. The pixels are written first, and
flushed to the disk, and then a line of the index for each image: if the program is stopped at any
time, only the end of the files is useless. Rows of pixels are never overwritten, since other
processes may be using them.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from ssgan_tf.data.images.resize import Form
from ssgan_tf.data.storage import rows
from ssgan_tf.system.files import written_aside

VERSION = 2  # of these files; raise it when they change
NEVER = (-1, -1, -1)  # the stamp of a file that is to be read again
UNREADABLE = -1
_DIRECTORY = re.compile(r"images-[0-9a-f]{16}")
_INDEX, _LOCK, _PIXELS = "index.jsonl", "lock", "pixels-*.bin"
_UNUSED_ROWS = 1000  # fewer are not worth copying the rest


class CacheError(Exception):
    """The cache cannot be used; its message says why."""


class Entry(NamedTuple):
    """What is known about a file.

    Attributes:
        stamp: its size and times of change, which show whether the file was changed.
        row: the place of its pixels; `UNREADABLE` if there are none.
        width: of the image in the file, in pixels.
        height: the same.
        remark: a note, or why the file cannot be read.
        digest: of the pixels, in hexadecimal digits, which shows damage.
        original: the same, of the decoded image before it was resized.
    """

    stamp: tuple[int, int, int]
    row: int
    width: int
    height: int
    remark: str
    digest: str
    original: str


def digest(pixels: np.ndarray) -> str:
    """A hash of an image, in hexadecimal digits."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).hexdigest()


def default_directory() -> Path:
    """Where this system keeps files that can be made again.

    Raises:
        CacheError: if the user has no home.
    """
    try:
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
            return Path(local) / "ssgan_tf" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/ssgan_tf"
        named = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "ssgan_tf"
    except RuntimeError as error:
        raise CacheError("there is no home directory") from error


class Store:
    """The images of one folder in one form. Changing it needs its lock, see `opened`."""

    def __init__(self, directory: Path, shape: tuple[int, int, int], about: dict[str, Any]) -> None:
        """
        Args:
            directory: of its files.
            shape: (S, S, C) of an image.
            about: what the pixels depend on besides the files; a store with another value is
                emptied.
        """
        self._directory, self._shape, self._about = directory, shape, about
        self._index = directory / _INDEX
        self.entries: dict[str, Entry] = {}
        self._rows = 0  # in use, with those of entries that were replaced
        with _problems_named():
            if not self._load():
                self._begin({})
            for file in directory.glob(_PIXELS):  # of a process that was killed
                if file != self._pixels:
                    file.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Of the pixels, in bytes."""
        return self._rows * int(np.prod(self._shape))

    def images(self) -> np.ndarray:
        """(rows, S, S, C) uint8, mapped into memory."""
        if not self._rows:
            return np.empty((0, *self._shape), np.uint8)
        with _problems_named():
            return np.memmap(self._pixels, np.uint8, "r", shape=(self._rows, *self._shape))

    def add(self, found: Iterable[tuple[str, Entry, np.ndarray | None]]) -> list[Entry]:
        """Stores what was found in files.

        Args:
            found: their names, entries (whose row is not known yet), and images or None.

        Returns:
            The entries with their rows.

        Raises:
            CacheError: if it cannot be written.
        """
        entries, pixels = [], []
        for name, entry, image in found:
            row = UNREADABLE if image is None else self._rows + len(pixels)
            entries.append((name, entry._replace(row=row)))
            if image is not None:
                pixels.append(image)
        with _problems_named():
            with open(self._pixels, "r+b") as file:
                file.seek(self.size)
                for image in pixels:
                    file.write(np.ascontiguousarray(image).data)
                file.flush()
                os.fsync(file.fileno())
            with open(self._index, "ab") as file:
                file.write(b"".join(_line([name, *entry]) for name, entry in entries))
        self._rows += len(pixels)
        self.entries.update(entries)
        return [entry for _, entry in entries]

    def compact(self, root: Path, expected: int) -> None:
        """Drops the pixels of files that changed or are gone, if they are more than the rest.

        Args:
            root: of the names.
            expected: number of files that are certainly in use.

        Raises:
            CacheError: if it cannot be written.
        """
        if self._rows <= 2 * expected + _UNUSED_ROWS:
            return
        there = {n: entry for n, entry in self.entries.items() if os.path.lexists(root / n)}
        if self._rows > 2 * len(there) + _UNUSED_ROWS:
            with _problems_named():
                self._begin(there)

    def _load(self) -> bool:
        """Reads the index; returns whether all is as it was written, and can be used."""
        if not self._index.exists():
            return False
        *lines, torn = self._index.read_bytes().split(b"\n")
        try:
            about, pixels = _content(lines[0])
            for line in lines[1:]:
                name, stamp, *others = _content(line)
                self.entries[name] = entry = Entry(tuple(stamp), *others)
                self._rows = max(self._rows, entry.row + 1)
            self._pixels = self._directory / pixels
            if about != self._about or self._pixels.stat().st_size < self.size:
                return False
        except (ValueError, TypeError, IndexError, FileNotFoundError):
            return False
        if torn:
            os.truncate(self._index, self._index.stat().st_size - len(torn))
        return True

    def _begin(self, entries: dict[str, Entry]) -> None:
        """Starts new files, with copies of what `entries` have in the old ones."""
        readable = [name for name, entry in entries.items() if entry.row != UNREADABLE]
        places = np.array([entries[name].row for name in readable], np.int64)
        moved = {name: entries[name]._replace(row=row) for row, name in enumerate(readable)}
        pixels = self._directory / _PIXELS.replace("*", secrets.token_hex(4))
        with open(pixels, "xb") as file:
            for start in range(0, len(places), 1024):
                file.write(rows(self.images(), places[start : start + 1024]).data)
            file.flush()
            os.fsync(file.fileno())
        self.entries, self._rows, self._pixels = entries | moved, len(places), pixels
        with written_aside(self._index) as partial, open(partial, "wb") as file:
            file.write(_line([self._about, pixels.name]))
            file.write(b"".join(_line([name, *entry]) for name, entry in self.entries.items()))


@contextlib.contextmanager
def opened(directory: Path, root: str, form: Form, rule: dict[str, str]) -> Iterator[Store]:
    """The store of a folder, for this process alone; waits while another process fills it.

    Args:
        directory: of the cache.
        root: the folder of images.
        form: of the images; each form has a store of its own.
        rule: what else the pixels depend on; a store that has another rule is emptied.

    Raises:
        CacheError: if it cannot be read or written.
    """
    about = {"version": VERSION, "root": root, "form": list(form), "rule": rule}
    key = hashlib.blake2b(json.dumps([root, *form]).encode(), digest_size=8).hexdigest()
    place = directory / f"images-{key}"
    lock = FileLock(place / _LOCK)
    with _problems_named():
        place.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                "Cache:    another process is reading these images into it; waiting for that",
                flush=True,
            )
            lock.acquire()
    try:
        yield Store(place, form.shape, about)
    finally:
        lock.release()


class Kept(NamedTuple):
    """What a store holds, as it is printed.

    Attributes:
        place: its directory.
        root: the folder of images.
        form: of the images, in words.
        images: their number.
        bytes: what they take on the disk.
    """

    place: Path
    root: str
    form: str
    images: int
    bytes: int


def kept(directory: Path) -> list[Kept]:
    """All stores of a cache, in the order of their folders."""
    found = []
    for place in _places(directory):
        root, form, names = str(place), "not readable", set()
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, IndexError):
            header, *lines = (place / _INDEX).read_bytes().split(b"\n")
            about, _ = _content(header)
            root, (size, channels, fit) = about["root"], about["form"]
            form = f"{size} x {size} x {channels}, {fit}"
            for line in lines[:-1]:
                name, *values = _content(line)
                (names.discard if Entry(*values).row == UNREADABLE else names.add)(name)
        size = sum(file.stat().st_size for file in _files(place))
        found.append(Kept(place, root, form, len(names), size))
    return sorted(found, key=lambda one: (one.root, one.form))


def clear(place: Path) -> None:
    """Removes a store; pixels that another process has mapped remain there until it ends.

    Raises:
        CacheError: if a process is filling it, or it cannot be removed.
    """
    lock = FileLock(place / _LOCK)
    with _problems_named():
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise CacheError("a process is reading images into it; wait for that") from error
        try:
            for file in sorted(_files(place)):  # the index before the pixels
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # Windows keeps what is open
                (place / _LOCK).unlink(missing_ok=True)
        finally:
            lock.release()
        (place / _LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # files of somebody else stay
            place.rmdir()


def _places(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [place for place in directory.iterdir() if _DIRECTORY.fullmatch(place.name)]


def _files(place: Path) -> list[Path]:
    """What a store wrote, without its lock."""
    return [*place.glob(f"{_INDEX}*"), *place.glob(_PIXELS)]


def _line(content: list[Any]) -> bytes:
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _content(line: bytes) -> list[Any]:
    """What `_line` was given.

    Raises:
        ValueError: if it is not such a line, or was changed.
    """
    checksum, _, text = line.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("wrong checksum")
    return json.loads(text)


@contextlib.contextmanager
def _problems_named() -> Iterator[None]:
    """Turns errors of the disk into `CacheError`; some systems have no locks."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        raise CacheError(getattr(error, "strerror", None) or str(error)) from error
