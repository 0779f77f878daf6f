"""Decoded images of folders, kept between runs.

Each image file is decoded once; training, evaluation and report share the result.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import shlex
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import PIL
from tqdm import tqdm

from ssgan_tf import __version__
from ssgan_tf.config import expand_user
from ssgan_tf.data import cache_store
from ssgan_tf.data.cache_store import NEVER, UNREADABLE, CacheError, Entry, Store
from ssgan_tf.data.images.decoding import ImageError, read_picture
from ssgan_tf.data.images.resize import Fit, Form
from ssgan_tf.data.storage import Rows, Storage, give_back, rows
from ssgan_tf.system.device import cores
from ssgan_tf.system.text import counted

_DECODERS = ("decoding", "metadata", "pixels", "resize")  # modules that make pixels of a file
_AT_ONCE = 1024  # images that are decoded between two writings to the disk
_BYTES_AT_ONCE = 64 << 20
_TRIES = 3  # of a file that changes while it is read


class Decoded(NamedTuple):
    """What was found in M of N files.

    Attributes:
        images: (M, S, S, C) uint8, in the order of the files: an array in memory, or `Rows` of a
            file. Both are read by `images[indices]` and `len(images)`.
        kept: (M,) int64, ascending: which of the files these are.
        sizes: M times (width, height) in pixels, of the image in the file.
        digests: M times the hash of `decoding.Picture`: equal images have equal hashes.
        notes: index of a file -> what the user should know about it, if anything.
        problems: index of a file -> why it cannot be read. It is not among `kept`.
    """

    images: np.ndarray | Rows
    kept: np.ndarray
    sizes: list[tuple[int, int]]
    digests: list[bytes]
    notes: dict[int, str]
    problems: dict[int, str]


def decode_files(
    root: Path,
    files: Sequence[Path],
    size: int,
    channels: int,
    fit: Fit,
    cache_dir: str = "",
    memory_budget_gb: float = 0.0,
) -> Decoded:
    """Decodes image files, or takes them from the cache.

    Call it once with all files of a data set: each call may use the whole memory budget. Images
    that do not fit into memory are read from the file of the cache when they are needed.

    Args:
        root: the folder of the data set; all files are below it.
        files: paths that start with `root`, of plain files.
        size: S, the side of the images, see `decoding.read_picture`.
        channels: 3 or 1.
        fit: "crop", "pad" or "stretch".
        cache_dir: where the cache is; empty: the usual place on this system.
        memory_budget_gb: how much memory images may take, see `storage.Storage`.

    Returns:
        The images, and what is known about each file.

    Raises:
        UserError: if the images fit neither into memory nor on the disk.
    """
    form = Form(size, channels, fit)
    reading = _Reading(root, files, form, memory_budget_gb)
    with contextlib.ExitStack() as stack:
        try:
            place = expand_user(cache_dir) if cache_dir else cache_store.default_directory()
            store = cache_store.opened(place, os.path.realpath(root), form, _rule())
            reading.use(stack.enter_context(store), place)
        except CacheError as error:
            reading.give_up(error)
        reading.decode()
        return reading.result()


def pixels_digest(ids: Sequence[str], digests: Sequence[bytes]) -> str:
    """A text that identifies the pixels of a data set's images: RULE/DIGEST.

    Where RULE differs, other versions of the decoders were used, and the same files may have other
    digests.

    Args:
        ids: of the images, in any order.
        digests: of the pixels of each, see `Decoded`.
    """
    text = hashlib.sha256()
    for identity, digest in sorted(zip(ids, digests, strict=True)):
        text.update(f"{identity}\n{digest.hex()}\n".encode(errors="surrogateescape"))
    rule = hashlib.sha256(json.dumps(_rule(), sort_keys=True).encode())
    return f"{rule.hexdigest()[:16]}/{text.hexdigest()}"


@functools.cache
def _rule() -> dict[str, str]:
    """What, besides the file, the pixels of an image depend on, and whether it can be read."""
    text = hashlib.blake2b(digest_size=8)
    package = importlib.resources.files("ssgan_tf.data.images")
    for name in _DECODERS:
        with contextlib.suppress(FileNotFoundError):  # installed without sources: by version alone
            text.update((package / f"{name}.py").read_bytes())
    rule = {"ssgan_tf": __version__, "text": text.hexdigest(), "pillow": PIL.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        rule["pillow-heif"] = importlib.metadata.version("pillow-heif")
    return rule


class _Reading:
    """Combines what the cache has of the files with what has to be decoded."""

    def __init__(self, root: Path, files: Sequence[Path], form: Form, budget_gb: float) -> None:
        self._root, self._files, self._form = root, files, form
        self._names = [os.path.relpath(path, root) for path in files]
        self.shape = (len(files), *form.shape)
        self._entries: list[Entry | None] = [None] * len(files)
        self._room = Storage(budget_gb, Path(tempfile.gettempdir()))
        self._store: Store | None = None
        # All images, those of problems left empty; None: they are in the store alone.
        self._images = np.empty(self.shape, np.uint8) if self._room.reserve(self.shape) else None

    def use(self, store: Store, place: Path) -> None:
        """Takes from the cache in `place` the images whose files have not changed."""
        store.compact(self._root, len(self._files))
        entries = [store.entries.get(name) for name in self._names]
        for index, (entry, path) in enumerate(zip(entries, self._files, strict=True)):
            if entry is not None and (entry.stamp == NEVER or entry.stamp != _stamp(path)):
                entries[index] = None
        if self._images is None:
            store.images()  # which some file systems cannot map
            self._room.announce(self.shape, shown(place))
        else:
            _copy(store, entries, self._images)
        self._store, self._place, self._entries = store, place, entries

    def give_up(self, error: CacheError) -> None:
        """Continues without a cache."""
        place = "name a place with train's --cache_dir or with XDG_CACHE_HOME"
        print(f"Cache:    none ({error}); {place}", flush=True)
        if self._images is None:
            self._images = self._room.allocate(self.shape)
            try:
                if self._store is not None:
                    _copy(self._store, self._entries, self._images)
            except CacheError:
                self._entries = [None] * len(self._files)
        self._store = None

    def decode(self) -> None:
        """Decodes the files that the cache lacks, and adds them part by part."""
        at_once = max(1, min(_AT_ONCE, _BYTES_AT_ONCE // int(np.prod(self.shape[1:]))))
        executor = ThreadPoolExecutor(cores())
        bar = tqdm(total=len(self._files), desc="Reading images", disable=None, leave=False)
        try:
            while missing := [index for index, entry in enumerate(self._entries) if entry is None]:
                bar.update(len(self._files) - len(missing) - bar.n)
                for start in range(0, len(missing), at_once):
                    part, found = missing[start : start + at_once], []
                    try:
                        for one in executor.map(self._decode_file, part):
                            found.append(one)
                            bar.update()
                    finally:  # after Ctrl-C too: the next run continues from here
                        self._keep(part[: len(found)], found)
        finally:
            executor.shutdown(cancel_futures=True)
            bar.close()

    def result(self) -> Decoded:
        """All images and notes; prints where the cache is."""
        entries = {i: entry for i, entry in enumerate(self._entries) if entry is not None}  # all
        kept = [index for index, entry in entries.items() if entry.row != UNREADABLE]
        images: np.ndarray | Rows
        if self._images is not None:
            for place, index in enumerate(kept):
                if place < index:
                    self._images[place] = self._images[index]
            images = self._images[: len(kept)]
        else:
            places = np.array([entries[index].row for index in kept], np.int64)
            images = Rows(cast(Store, self._store).images(), places)
        if self._store is not None:
            count = sum(entry.row != UNREADABLE for entry in self._store.entries.values())
            _say_once(
                f"Cache:    {amount(count, self._store.size)} in {shown(self._place)}; clear it "
                f"with {how_to_clear(self._place)}"
            )
        return Decoded(
            images,
            np.array(kept, np.int64),
            [(entries[index].width, entries[index].height) for index in kept],
            [bytes.fromhex(entries[index].original) for index in kept],
            {index: entries[index].remark for index in kept if entries[index].remark},
            {i: entry.remark for i, entry in entries.items() if entry.row == UNREADABLE},
        )

    def _keep(self, part: list[int], found: list[tuple[Entry, np.ndarray | None]]) -> None:
        """Adds images to the cache, to those in memory, or to both."""
        if self._store is not None:
            named = [(self._names[index], *one) for index, one in zip(part, found, strict=True)]
            try:
                entries = self._store.add(named)
                self._store.images()
                for index, entry in zip(part, entries, strict=True):
                    self._entries[index] = entry
            except CacheError as error:
                self.give_up(error)
        if self._images is not None:
            for index, (entry, image) in zip(part, found, strict=True):
                self._entries[index] = entry._replace(row=UNREADABLE if image is None else 0)
                if image is not None:
                    self._images[index] = image
            give_back(self._images)

    def _decode_file(self, index: int, tries: int = _TRIES) -> tuple[Entry, np.ndarray | None]:
        """What is in a file, and its image; a file that changes meanwhile is read again."""
        path = self._files[index]
        stamp, image = _stamp(path), None
        try:
            image, width, height, remark, original = read_picture(path, *self._form)
            found = cache_store.digest(image)
            entry = Entry(stamp, 0, width, height, remark, found, original.hex())
        except ImageError as error:
            lasting = not _of_the_system(error)
            entry = Entry(stamp if lasting else NEVER, UNREADABLE, 0, 0, str(error), "", "")
        if stamp == _stamp(path):
            return entry, image
        if tries == 1:
            return entry._replace(stamp=NEVER), image
        return self._decode_file(index, tries - 1)


@functools.cache
def _say_once(line: str) -> None:
    """Training loads a folder twice where its labels have changed since an earlier run."""
    print(line, flush=True)


def _copy(store: Store, entries: list[Entry | None], target: np.ndarray) -> None:
    """Copies the images of a store; the entry of a damaged one becomes None."""
    known = [(i, entry) for i, entry in enumerate(entries) if entry and entry.row != UNREADABLE]
    for start in range(0, len(known), _AT_ONCE):
        part = known[start : start + _AT_ONCE]
        places = np.array([entry.row for _, entry in part])
        for (index, entry), image in zip(part, rows(store.images(), places), strict=True):
            target[index] = image
            if cache_store.digest(image) != entry.digest:
                entries[index] = None
        give_back(target)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Size and two times of change of a file, which show whether it was changed.

    Unpacking and copying may set back the first time, but not the second.
    """
    try:
        found = os.stat(path)
    except OSError:
        return NEVER
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _of_the_system(error: ImageError) -> bool:
    """Whether the system failed to read a file: the next time it may succeed."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or getattr(cause, "errno", None) is not None


def amount(images: int, size: int) -> str:
    """A number of images and their bytes, as they are printed."""
    shown_size = f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e9:.3g} GB"
    return f"{counted(images, 'image')}, {shown_size}"


def shown(path: str | Path) -> str:
    """A path as it is printed: short, and without bytes that are not UTF-8."""
    with contextlib.suppress(ValueError, RuntimeError):
        path = Path("~") / Path(path).absolute().relative_to(Path.home())
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def how_to_clear(place: Path) -> str:
    """The command, with the flag that names another place than the usual one."""
    command = "python -m ssgan_tf.cache --clear"
    with contextlib.suppress(CacheError):
        if place == cache_store.default_directory():
            return command
    return f"{command} --cache_dir={shlex.quote(shown(place))}"
