"""labels.csv: the labels of images that are not sorted into folders.

file,label
photos/1.jpg,cat
photos/2.jpg,

Files are named relative to the folder that labels.csv is in. An image without a label, or without
a line, is trained on without one.
"""

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
_LABEL = {"label", "labels", "class", "class_name", "classname", "category", "target", "species"}
_NO_LABEL = {"nan", "null", "n/a", "?", "unlabeled", "unlabelled", "no label"}  # and not a class
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
    text = _text(path, where)
    files = _Files(path.parent, ids, skipped)
    found: dict[str, Label] = {}
    unknown: list[tuple[int, str]] = []
    for line, name, label in _rows(text, files, where):
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
            f"{where}: {len(unknown):,} of its lines name no image in the folder ({first})"
            f"{files.hint(unknown[0][1])}. Files are named relative to the folder, as in "
            "photos/1.jpg,cat."
        )
    return found


def _text(path: Path, where: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror}).") from error
    utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as spreadsheets write it
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{where}: line {line} is not UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from error
    if "\0" in text or content.startswith(b"PK\x03\x04"):
        raise UserError(f"{where}: is not a text file; save it as CSV in UTF-8.")
    return text


class _Files:
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


def _rows(text: str, files: _Files, where: str) -> Iterator[tuple[int, str, str]]:
    """Line, file and label, of each line that is not empty."""

    def parsed(delimiter: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                while len(cells) > 1 and not cells[-1].strip():  # spreadsheets add empty ones
                    cells.pop()
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise UserError(
                f"{where}: line {reader.line_num} is not CSV ({error}); put names with quotes, "
                "commas or line breaks into double quotes."
            ) from error

    def fits(delimiter: str) -> tuple[int, bool]:
        try:
            rows = [cells for _, cells in itertools.islice(parsed(delimiter), _LOOKED_AT)]
        except UserError:
            return -1, False
        known = sum(any(files.find(cell) for cell in cells) for cells in rows)
        return known, any(len(cells) > 1 for cells in rows)

    rows = parsed(max(_DELIMITERS, key=fits))
    columns, named = (0, 1), False
    for count, (line, cells) in enumerate(rows):
        if count == 0 and (header := _header(cells, files)):
            columns, named = header, len(cells) > 2
            continue
        if len(cells) > 2 and not named:
            raise UserError(
                f"{where}: line {line} has {len(cells)} columns; it needs two (file,label), or a "
                "header that names them. If the file is something else, rename it."
            )
        cells += [""] * (max(columns) + 1 - len(cells))
        label = unicodedata.normalize("NFC", cells[columns[1]].strip())
        if wrong := why_no_class(label):
            raise UserError(f"{where}: the label {label!a} in line {line} {wrong}; correct it.")
        if label.casefold() in _NO_LABEL:
            raise UserError(
                f"{where}: {label!r} in line {line} would be a class of that name; leave the label "
                "empty if there is none."
            )
        yield line, cells[columns[0]], label


def _header(cells: list[str], files: _Files) -> tuple[int, int] | None:
    """The columns of file and label if these cells are a header, else None."""
    if any(files.find(cell) for cell in cells) or any(map(is_image_name, cells)):
        return None
    names = [cell.strip().casefold() for cell in cells]
    file = next((place for place, name in enumerate(names) if name in _FILE), None)
    label = next((place for place, name in enumerate(names) if name in _LABEL), None)
    if file is not None and label is not None:
        return file, label
    # Words of other languages; the name of a missing file is not a header.
    words = all(re.fullmatch(r"[^\W\d_][^\d./\\]*", name) for name in names)
    return (0, 1) if len(cells) == 2 and words else None
