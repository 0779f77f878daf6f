"""Labels that a person gives one by one: each is in labels.csv, and on the disk, at once.

Other programs may change the file meanwhile. Programs that use this module wait for each other. The
encoding, the line ends, the columns and all other rows of the file stay as they are.
"""

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.labels_csv import Files, Record, Table, read_table
from ssgan_tf.data.folder.names import TABLE
from ssgan_tf.system.files import written_aside

_HEADER = ["file", "label"]
_WAIT = 10  # seconds, for another program
_NEW = Table("utf-8", b"", ",", (0, 1), [])


class LabeledMeanwhileError(Exception):
    """Somebody else has labeled the image.

    Attributes:
        label: that it has now; empty: none any more.
    """

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.label = label


class Answers:
    """The labels of a folder's labels.csv. Threads and processes may share them."""

    def __init__(self, root: Path, ids: Collection[str], flag: str) -> None:
        """
        Args:
            root: the folder.
            ids: of its images, see `layout.Item`.
            flag: with which error messages begin.

        Raises:
            UserError: if nothing can be written there.
        """
        self._path = root / TABLE
        self._flag, self._where = flag, f"{flag}: {TABLE}"
        self._files = Files(root, ids, ())
        self._lock = FileLock(root / f".{TABLE}.lock")
        self._stamp: tuple[int, ...] = ()
        self._table, self._labels = _NEW, dict[str, str]()
        with self._locked():
            pass
        target = Path(os.path.realpath(self._path))
        for place in (target.parent, target):
            if place.exists() and not os.access(place, os.W_OK):
                raise UserError(
                    f"{self._flag}: no label can be written, since {place} cannot be written to; "
                    "change its permissions."
                )

    def read(self) -> dict[str, str]:
        """Id -> label of all images that have a record; empty: no label.

        Raises:
            UserError: if the file cannot be read.
        """
        with self._locked():
            return self._read()

    def write(self, identity: str, label: str | None, before: str) -> str | None:
        """Gives an image another label, and returns when that is on the disk.

        Args:
            identity: of the image.
            label: a class; empty: no label; None: the image has no record afterwards.
            before: the label that the image is thought to have; empty: none.

        Returns:
            What it had: a label, empty, or None for no record. Writing that restores the file.

        Raises:
            LabeledMeanwhileError: if it has another label than `before`, and than `label`.
            UserError: if the file cannot be read or written. Then it is as it was.
        """
        with self._locked():
            had = self._read().get(identity)
            if (had or "") not in (before, label or ""):
                raise LabeledMeanwhileError(had or "")
            if had != label:
                if had is None:
                    self._append([identity, label or ""])
                else:
                    self._replace(identity, label)
            return had

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with self._lock.acquire(timeout=_WAIT):
                yield
        except Timeout as error:
            raise UserError(f"{self._where}: another program is writing to it; end it.") from error
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"{self._flag}: no label can be written to {TABLE} ({why}); make room and give "
                "yourself the right to write there, or copy the folder to another place."
            ) from error

    def _read(self) -> dict[str, str]:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._table, self._labels, self._stamp = _NEW, {}, ()
            return {}
        if _stamp(found) != self._stamp:
            self._table = read_table(self._path, self._files, self._where)
            named = (
                (self._files.find(one.name), one.label)
                for one in self._table.records
                if one.label is not None
            )
            self._labels = {identity: label for identity, label in named if identity is not None}
            self._stamp = _stamp(found)
        return self._labels

    def _append(self, cells: list[str]) -> None:
        """Adds a record at the end, behind a header if it is the first one."""
        row, records = self._written(self._placed(cells)), self._table.records
        if all(record.is_empty for record in records):
            start = self._written(self._placed(_HEADER))
        else:
            start = "" if records[-1].text.endswith(("\n", "\r")) else self._line_end()
        content = (start + row).encode(self._table.codec)
        is_new = not self._path.exists()
        with open(self._path, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                if file.write(content) != len(content):
                    raise OSError(None, "the disk is full")
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)
                if is_new:  # an empty one would make training ask for labels
                    os.unlink(os.path.realpath(self._path))
                raise
            after = os.fstat(file.fileno())
        if is_new:
            _flush_folder(self._path)
        if (
            not start and size == self._stamp[1]
        ):  # what is known grows too: to read a long table takes a second
            records.append(Record(0, row, self._placed(cells), *cells))
            self._labels = self._labels | {cells[0]: cells[1]}
            self._stamp = _stamp(after)

    def _replace(self, identity: str, label: str | None) -> None:
        """Changes the record of an image, or removes it; a second one is removed."""
        kept = []
        for record in self._table.records:
            if record.label is None or self._files.find(record.name) != identity:
                kept.append(record.text)
            elif label is not None:
                kept.append(self._changed(record, label))
                label = None
        target = Path(os.path.realpath(self._path))
        with written_aside(target) as partial:
            with open(partial, "wb") as file:
                file.write(self._table.mark + "".join(kept).encode(self._table.codec))
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(target, partial)
        _flush_folder(target)

    def _changed(self, record: Record, label: str) -> str:
        place = self._table.columns[1]
        cells = record.cells + [""] * (place + 1 - len(record.cells))
        return self._written([*cells[:place], label, *cells[place + 1 :]])

    def _placed(self, cells: list[str]) -> list[str]:
        """File and label in their columns."""
        row = [""] * (max(self._table.columns) + 1)
        for place, cell in zip(self._table.columns, cells, strict=True):
            row[place] = cell
        return row

    def _written(self, cells: list[str]) -> str:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._table.delimiter, lineterminator=self._line_end()).writerow(
            cells
        )
        return text.getvalue()

    def _line_end(self) -> str:
        first = self._table.records[0].text if self._table.records else "\n"
        return next((end for end in ("\r\n", "\r", "\n") if first.endswith(end)), "\n")


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _flush_folder(path: Path) -> None:
    """Makes the name of a new file last, on systems where folders can be flushed."""
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
