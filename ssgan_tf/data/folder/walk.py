"""Image files below a folder, the same ones in the same order on every machine."""

import contextlib
import os
import re
import stat
import unicodedata
from collections import deque
from pathlib import Path
from typing import NamedTuple

from ssgan_tf.data.images.decoding import is_image_name, is_thumbnail_name

# Made by operating systems and NAS beside the user's files. In lower case.
_SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "#recycle", "#snapshot"),  # Synology
    *("@__thumb", "@recycle", "@recently-snapshot"),  # QNAP
    *("$recycle.bin", "system volume information", "recycler"),  # Windows
    *("__macosx", "network trash folder", "temporary items"),  # macOS
    *("lost+found", "~snapshot", "__pycache__"),
}
_THUMBNAIL_FOLDERS = {"@eadir", "@__thumb"}  # within _SYSTEM_FOLDERS
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
_SYSTEM_NAMES = _SYSTEM_FOLDERS | _SYSTEM_FILES
_LOOKED_AT = 20  # folders that are searched for a run
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Found(NamedTuple):
    """What is below a folder.

    Attributes:
        files: paths of plain files with names of images, in natural order.
        skipped: paths that should have been read and cannot be, each with the reason.
        others: how many files have other names; hidden ones and those of systems do not count.
    """

    files: list[str]
    skipped: list[tuple[str, str]]
    others: int


def walk_images(folder: str | Path) -> Found:
    """Finds the image files below a folder.

    Links to files and folders are followed, except links to a folder that they are in. Each folder
    is read once, however many links lead to it, and by its own name rather than that of a link.
    What is hidden or made by systems (see `is_system_name`) is left out. Files are not opened: a
    pipe would wait forever.

    Args:
        folder: any path; the paths that are found start with it.

    Returns:
        The files, and what had to be skipped.
    """
    seen: set[tuple[int, int]] = set()
    found = Found([], [], 0)
    others = 0
    waiting = deque([str(folder)])  # targets of links come after all other folders
    while waiting:
        real, links = [waiting.popleft()], []
        while real:
            directory = real.pop()
            try:
                status = os.stat(directory)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = _list_unordered(directory)
            except OSError as error:
                found.skipped.append((directory, f"cannot be opened ({error.strerror})"))
                continue
            for entry in entries:
                kind = kind_of(entry)
                if kind == "folder":
                    (links if entry.is_symlink() else real).append(entry.path)
                elif kind == "file" and is_image_name(entry.name):
                    found.files.append(entry.path)
                elif kind != "file" and (is_image_name(entry.name) or entry.is_symlink()):
                    found.skipped.append((entry.path, kind))
                else:
                    others += 1
        waiting.extend(sorted(links, key=natural_key))
    found.files.sort(key=natural_key)
    found.skipped.sort(key=lambda item: natural_key(item[0]))
    return found._replace(others=others)


def changed_since(folder: str | Path, moment: float) -> bool:
    """Whether a file was added, removed or renamed, or a table of labels changed, since then.

    A file that was overwritten is not noticed, nor is what is behind links.

    Args:
        folder: of the images.
        moment: seconds, as in `st_mtime`.
    """
    for place, _, files in os.walk(folder):
        tables = [os.path.join(place, name) for name in files if name.lower().endswith(".csv")]
        for path in (place, *tables):
            with contextlib.suppress(OSError):  # it is gone by now
                if os.stat(path).st_mtime > moment:
                    return True
    return False


def list_folder(folder: str | Path) -> list[os.DirEntry]:
    """What is in a folder, in order, without what is hidden or made by systems.

    Raises:
        OSError: if it cannot be read.
    """
    return sorted(_list_unordered(folder), key=lambda entry: natural_key(entry.name))


def _list_unordered(folder: str | Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not is_system_name(entry.name)]


def kind_of(entry: os.DirEntry) -> str:
    """Whether it is a "folder" or a "file", or else what it is, such as "is a pipe".

    Links are followed, but not to a folder that the link itself is in.
    """
    try:
        if entry.is_dir():
            up = entry.is_symlink() and _leads_up(entry.path)
            return "is a link to a folder that it is in" if up else "folder"
        if entry.is_file():
            return "file"
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "is a link to nothing" if entry.is_symlink() else "is not there any more"
    except OSError as error:  # such as a link to itself
        return f"cannot be read ({error.strerror})"
    return f"is {next((words for test, words in _KINDS if test(mode)), 'not a plain file')}"


def _leads_up(link: str) -> bool:
    target = os.path.realpath(link)
    return any(
        Path(os.path.realpath(parent)).is_relative_to(target)
        for parent in Path(os.path.abspath(link)).parents
    )


def is_system_name(name: str) -> bool:
    """Whether a file or folder is hidden or made by a system: never an image, never a class."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def is_system_path(path: str) -> bool:
    """Whether a path given by the user, a shell or another program belongs to a system.

    A file does if `is_system_name` is true of its name, or if it is a thumbnail of a NAS; a folder
    if it is one that systems make. Hidden folders may be intended, and so may files in folders such
    as `lost+found`.

    Args:
        path: of a file or folder, which is read from the disk.
    """
    *above, name = [part.lower() for part in Path(os.path.normpath(path)).parts] or [""]
    if not _THUMBNAIL_FOLDERS.isdisjoint(above):
        return True
    if os.path.isdir(path):
        return name in _SYSTEM_FOLDERS
    return is_system_name(name) or is_thumbnail_name(os.path.basename(path))


def natural_key(name: str) -> tuple[list[str | int], str, str]:
    """Sorts names as a person would: "part__9" before "part__10".

    No two names tie ("1" and "01"), and the forms in which systems write the same letters (é as one
    or as two characters) do not matter unless nothing else differs.
    """
    composed = unicodedata.normalize("NFC", name)
    parts = re.split(r"(\d+)", composed)
    return [int(part) if part.isdecimal() else part for part in parts], composed, name


def is_run(folder: Path) -> bool:
    """Whether training has written it."""
    with contextlib.suppress(OSError):
        return all((folder / file).is_file() for file in ("config.json", "labels.json"))
    return False


def holds_runs(folder: Path) -> bool:
    """Whether it holds runs, which training writes to the folder where it was started."""
    within = [""]
    with contextlib.suppress(OSError):  # what a locked folder holds is named where it is read
        within += [entry.name for entry in list_folder(folder)[:_LOOKED_AT]]
    return any(is_run(folder / name) for name in within)
