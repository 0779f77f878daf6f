"""labels.csv: the labels of images that are not sorted into folders.

file,label
photos/1.jpg,cat
photos/2.jpg,

Files are named relative to the folder that labels.csv is in. An image without a label, or without
a line, is trained on without one.
"""

import codecs
import csv
import io
import itertools
import posixpath
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.names import shown, why_no_class
from ssgan_tf.data.images.decoding import is_image_name

_FILE = {
    *("file", "files", "filename", "file_name", "file name", "filepath", "file_path", "path", "id"),
    *("image", "images", "img", "image_path", "image_name", "image_id", "img_path", "name"),
}
_MAY_BE_NUMBERS = {"id", "image_id"}  # where another column is called like one of files
_LABEL = {"label", "labels", "class", "class_name", "classname", "category", "target", "species"}
NO_LABEL = {"nan", "null", "n/a", "?", "unlabeled", "unlabelled", "no label"}  # and not a class
_DELIMITERS = ",;\t"
_LOOKED_AT = 100  # lines from which the delimiter is guessed


class Label(NamedTuple):
    """The label of a file in labels.csv.

    Attributes:
        line: its number, from 1.
        name: of the class; empty: no label.
    """

    line: int
    name: str


def read_labels(
    path: Path, ids: Collection[str], skipped: Collection[str], flag: str
) -> dict[str, Label]:
    """Reads labels.csv: with or without a header; commas, semicolons or tabs; UTF-8 or UTF-16.

    Args:
        path: of the file.
        ids: of the images in the folder: their paths within it.
        skipped: paths of files that cannot be read; their lines are ignored.
        flag: with which error messages begin.

    Returns:
        id -> label, for the images that have a line.

    Raises:
        UserError: if it cannot be understood, names a file that is not an image in the folder, or
            gives two labels to one.
    """
    where = f"{flag}: {path.name}"
    files = Files(path.parent, ids, skipped)
    found: dict[str, Label] = {}
    unknown: list[tuple[int, str]] = []
    for record in read_table(path, files, where).records:
        if record.label is None:
            continue
        line, name, label = record.line, record.name, record.label
        identity = files.find(name)
        if identity is None:
            unknown.append((line, name))
        elif identity in ids:
            before = found.setdefault(identity, Label(line, label))
            if before.name != label:
                raise UserError(
                    f"{where}: gives two labels to {shown(identity)}: {before.name!r} in line "
                    f"{before.line} and {label!r} in line {line}; keep one."
                )
    if unknown:
        first = "; ".join(f"line {line}: {shown(name)}" for line, name in unknown[:3])
        raise UserError(
            f"{where}: lines that name no image in the folder: {len(unknown):,} ({first})"
            f"{files.hint(unknown[0][1])}. Files are named relative to the folder, as in "
            "photos/1.jpg,cat; correct the line of an image that was moved, such as to test/, and "
            "delete that of one that is gone."
        )
    return found


class Record(NamedTuple):
    """A record of labels.csv: a line, or several if there are line breaks in quotes.

    Attributes:
        line: its last line, from 1.
        text: as it stands in the file, with the end of its line.
        cells: what it says, without empty cells at the end.
        name: of a file, as it is written; empty in the header and in empty lines.
        label: of that file, may be empty; None in the header and in empty lines.
    """

    line: int
    text: str
    cells: list[str]
    name: str = ""
    label: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is an empty line, or one of empty cells."""
        return not any(cell.strip() for cell in self.cells)


class Table(NamedTuple):
    """labels.csv as it is written.

    Attributes:
        codec: how its text is encoded, after the mark of `mark`.
        mark: the bytes at its start that tell the encoding; may be empty.
        delimiter: between cells.
        columns: the places of file and label.
        records: all, in order.
    """

    codec: str
    mark: bytes
    delimiter: str
    columns: tuple[int, int]
    records: list[Record]


def read_table(path: Path, files: "Files", where: str) -> Table:
    """Reads labels.csv with all that is needed to change one record and keep the others.

    Args:
        path: of the file.
        files: which names stand for images.
        where: with which error messages begin.

    Raises:
        UserError: if it cannot be understood.
    """
    text, codec, mark = _text(path, where)
    delimiter = _delimiter(text, files, where)
    columns, records = _records(text, delimiter, files, where)
    return Table(codec, mark, delimiter, columns, records)


_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def _text(path: Path, where: str) -> tuple[str, str, bytes]:
    """The text, its encoding and the mark before it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}).") from error
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    codec = _MARKS.get(mark, "utf-8")  # UTF-16 as spreadsheets write it
    try:
        text = content[len(mark) :].decode(codec)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where}: line {line} is not UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from error
    if "\0" in text or content.startswith(b"PK\x03\x04"):
        raise UserError(f"{where}: is not a text file; save it as CSV in UTF-8.")
    return text, codec, mark


class Files:
    """Finds the images that the lines of labels.csv name."""

    def __init__(self, root: Path, ids: Collection[str], skipped: Collection[str]) -> None:
        self._root, self._ids = root, ids
        self._known = set(ids) | set(skipped)

    def find(self, name: str) -> str | None:
        """The id of a file, however its path is written; None if there is none."""
        if name in self._known:
            return name
        for spelled in (name, name.strip(), name.strip().replace("\\", "/")):
            path = posixpath.normpath(unicodedata.normalize("NFC", spelled))
            for root in {self._root.as_posix(), self._root.absolute().as_posix()}:
                path = path.removeprefix(root.rstrip("/") + "/")
            if path in self._known:
                return path
        return None

    def hint(self, name: str) -> str:
        """Which image a name that is not found may stand for."""
        wanted = posixpath.basename(name.strip().replace("\\", "/")).casefold()
        for identity in self._ids:
            base = posixpath.basename(identity).casefold()
            if base == wanted:
                return f"; there is {shown(identity)}"
            if wanted and posixpath.splitext(base)[0] == wanted:
                return f"; names need their extension, as in {shown(identity)}"
        return ""


def _parsed(text: str, delimiter: str, where: str) -> Iterator[Record]:
    """All records, also empty ones."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            while len(cells) > 1 and not cells[-1].strip():  # spreadsheets add empty ones
                cells.pop()
            yield Record(reader.line_num, "".join(taken), cells)
            taken.clear()
    except csv.Error as error:
        raise UserError(
            f"{where}: line {reader.line_num} is not CSV ({error}); put names with quotes, "
            "commas or line breaks into double quotes."
        ) from error


def _delimiter(text: str, files: Files, where: str) -> str:
    """The one that makes most of the first cells names of images."""

    def fits(delimiter: str) -> tuple[int, bool]:
        try:
            records = (one for one in _parsed(text, delimiter, where) if not one.is_empty)
            rows = [record.cells for record in itertools.islice(records, _LOOKED_AT)]
        except UserError:
            return -1, False
        known = sum(any(files.find(cell) for cell in cells) for cells in rows)
        return known, any(len(cells) > 1 for cells in rows)

    return max(_DELIMITERS, key=fits)


def _records(
    text: str, delimiter: str, files: Files, where: str
) -> tuple[tuple[int, int], list[Record]]:
    """The columns of file and label, and all records."""
    columns, named, first = (0, 1), False, True
    found: list[Record] = []
    for record in _parsed(text, delimiter, where):
        header = _header(record.cells, files) if first and not record.is_empty else None
        first = first and record.is_empty
        if header:
            columns, named = header, len(record.cells) > 2
        elif not record.is_empty:
            record = _with_label(record, columns, named, where)
        found.append(record)
    return columns, found


def _with_label(record: Record, columns: tuple[int, int], named: bool, where: str) -> Record:
    """A record with the name and the label that it has; `named`: a header names its columns."""
    line, cells = record.line, record.cells
    if len(cells) > 2 and not named:
        raise UserError(
            f"{where}: line {line} has {len(cells)} columns; it needs two (file,label), or a "
            "header that names them. If the file is something else, rename it."
        )
    cells = cells + [""] * (max(columns) + 1 - len(cells))
    label = unicodedata.normalize("NFC", cells[columns[1]].strip())
    if wrong := why_no_class(label):
        raise UserError(f"{where}: the label {label!a} in line {line} {wrong}; correct it.")
    if label.casefold() in NO_LABEL:
        raise UserError(
            f"{where}: {label!r} in line {line} would be a class of that name; leave the label "
            "empty if there is none."
        )
    return record._replace(name=cells[columns[0]], label=label)


def _header(cells: list[str], files: Files) -> tuple[int, int] | None:
    """The columns of file and label if these cells are a header, else None."""
    if any(files.find(cell) for cell in cells) or any(map(is_image_name, cells)):
        return None
    names = [cell.strip().casefold() for cell in cells]
    files_at = [place for place, name in enumerate(names) if name in _FILE]
    file = min(files_at, key=lambda place: names[place] in _MAY_BE_NUMBERS, default=None)
    label = next((place for place, name in enumerate(names) if name in _LABEL), None)
    if file is not None and label is not None:
        return file, label
    # Words of other languages; the name of a missing file is not a header.
    words = all(re.fullmatch(r"[^\W\d_][^\d./\\]*", name) for name in names)
    return (0, 1) if len(cells) == 2 and words else None
