"""Names with a meaning in a folder of images, names that are almost one, paths that are none."""

import contextlib
import difflib
import functools
import lzma
import os
import re
import shlex
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.walk import list_folder, walk_images
from ssgan_tf.data.images.decoding import is_image_name
from ssgan_tf.system.text import counted

PARTS = {
    "train": "train",
    "unlabeled": "unlabeled",
    "unlabelled": "unlabeled",
    "test": "test",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
}
TABLE = "labels.csv"

# Words without a meaning of their own: val_images, TestSet and train2017 are val, test and train.
_FILLING = {
    *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"),
    *("set", "data", "dataset", "file", "files", "folder", "dir", "part", "split", "samples"),
}
_ALSO_MEAN = {
    **{"training": "train", "trained": "train", "labeled": "train", "labelled": "train"},
    **{"testing": "test", "tested": "test", "validate": "validation", "validating": "validation"},
    **{"unlabel": "unlabeled", "nolabel": "unlabeled", "nolabels": "unlabeled"},
    **{"notlabeled": "unlabeled", "notlabelled": "unlabelled"},
}
_LONG = ("unlabeled", "unlabelled", "validation")
_TABLES = {
    *("labels.csv", "label.csv", "lables.csv", "lable.csv", "labels.csv.csv", "labels.csv.txt"),
    *("labels.tsv", "label.tsv"),
}


def meant_part(name: str) -> str | None:
    """The name in `PARTS` that a folder's name almost is, such as test for "tests"; else None.

    Short names must be very close: "text" and "rain" may be classes.
    """
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = re.findall(r"[^\W\d_]+", split.casefold())
    word = "".join(word for word in words if word not in _FILLING)
    for filling in _FILLING:
        if word.removesuffix(filling) in PARTS:
            word = word.removesuffix(filling)
    for candidate in (word, word.removesuffix("s")):
        if candidate in PARTS:
            return candidate
        if candidate in _ALSO_MEAN:
            return _ALSO_MEAN[candidate]
    for part in PARTS:
        # Letters that changed places, or were typed twice.
        swapped = sorted(word) == sorted(part) and word[0] == part[0] and word[-1] == part[-1]
        if swapped or _without_doubles(word) == _without_doubles(part):
            return part
    if word[:1] in ("u", "v") and (close := difflib.get_close_matches(word, _LONG, 1, 0.85)):
        return close[0]
    return None


def meant_table(name: str) -> bool:
    """Whether a file's name is almost `labels.csv`."""
    return name != TABLE and name.casefold() in _TABLES


def ask_about(root: Path, folders: list[str], files: list[str], flag: str) -> list[str]:
    """Asks about names directly in a data set's folder that are almost one with a meaning.

    Args:
        root: the folder.
        folders: names of the folders in it.
        files: names of its files.
        flag: with which errors begin.

    Returns:
        Questions on names that change nothing; and whether the folder above was meant.

    Raises:
        UserError: at the first name that would change what is trained on, or tested.
    """
    notes = [note for note in [_above(root)] if note and "train" not in folders]
    there = {PARTS[name] for name in folders if name in PARTS}
    for name in folders:
        meant = None if name in PARTS or name[0] == "_" else meant_part(name)
        if meant is None:
            continue
        if "train" in folders and PARTS[meant] in there and name.casefold() not in PARTS:
            notes.append(f"{shown(name)}/: is it meant as {meant}/? Then rename it")
            continue
        classes_at_the_top = "train" not in folders and TABLE not in files
        raise UserError(
            f"{flag}: is {shown(name)}/ meant as {meant}/? Then rename it to {meant}; if not, "
            + (
                "move all class folders into train/."
                if classes_at_the_top
                else "rename it to something else."
            )
        )
    for name in files:
        if TABLE not in files and meant_table(name):
            raise UserError(
                f"{flag}: is {shown(name)} meant as {TABLE}? Then rename it; if not, rename "
                "it to something else."
            )
    return notes


def _above(root: Path) -> str:
    """Names the folder above one that is itself a part, such as my_images/train/; "" for others."""
    root = Path(os.path.normpath(root))
    if root.name not in PARTS:
        return ""
    others = [name for name, part in PARTS.items() if part != PARTS[root.name]]
    beside = [f"{name}/" for name in others if _has_images(root.parent / name)]
    if not beside:
        return ""
    meant = shlex.quote(f"--dataset=folder:{shown(str(root.parent))}")
    return f"beside this folder, and not used: {', '.join(beside)}; to use them give {meant}"


def on_unused(unused: list[str], classes: list[str]) -> list[str]:
    """Lines on what takes no part, and on what to do with images directly in the folder.

    Args:
        unused: names of files and folders, the latter with a slash.
        classes: whose folders are directly in the folder as well.
    """
    images = [name for name in unused if "/" not in name and is_image_name(name)]
    others, lines = [name for name in unused if name not in images], []
    if images:
        of_classes = f", beside the class folders ({listed(classes, 2)})" if classes else ""
        lines.append(
            f"not used: {counted(len(images), 'image')} directly in the folder{of_classes}, such "
            f"as {shown(images[0])}; move {'it' if len(images) == 1 else 'them'} to unlabeled/"
        )
    return lines + ([f"not used: {listed(others)}"] if others else [])


def on_no_classes(folders: list[str]) -> list[str]:
    """A line on folders beside labels.csv that are not called like one of its labels."""
    if not folders:
        return []
    one, is_class = ("it", "it is a class") if len(folders) == 1 else ("them", "they are classes")
    return [
        f"not a class of {TABLE}: {listed(folders)}; images there have no label; if {is_class}, "
        f"move {one} into train/"
    ]


def folder_alone(root: Path, folders: list[str], notes: list[str]) -> str:
    """The only folder of images, as cameras make it, before there is any label; else empty.

    Args:
        root: the data set's folder.
        folders: in it. Beside train/ it takes no part, beside unlabeled/ it is a class.
        notes: get a line on it.
    """
    others = [name for name in folders if name not in PARTS and name[0] != "_"]
    if len(others) != 1 or not {"train", "unlabeled"}.isdisjoint(map(PARTS.get, folders)):
        return ""
    if not walk_images(root / others[0]).files:
        return ""
    name = shown(others[0])
    notes.append(
        f"a single folder is no class: images in {name}/ have no label; if {name} is a class, move "
        "images without a label into unlabeled/"
    )
    return others[0]


def by_folders(classes: list[str]) -> str:
    """The classes, for people whose folders are none."""
    return f" (classes: {listed(classes)})" if classes else ""


def elsewhere(root: Path, folders: list[str], flag: str) -> str:
    """The folder above, or one of its folders, that looks like a data set, as from archives."""
    if meant := _above(root):
        return f"; {meant}"
    for name in folders:
        inside = {entry.name: entry.is_dir() for entry in _opened(root / name)}
        several = sum(inside.values()) > 1 and name not in PARTS
        if inside.get("train") or TABLE in inside or several:
            return f"; or is it {shown(name)}/, as in {flag}/{shown(name)}"
    return ""


def why_no_folder(path: Path) -> str:
    """What is wrong with a path that is not a folder, and what would be right; no full stop."""
    with contextlib.suppress(OSError):  # of a name that is too long, or a locked folder
        if path.is_file() and _is_archive(path):
            return "is an archive; unpack it, and give the folder of the images"
        if path.exists():
            return "is a file; give the folder of the images"
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
        if close := difflib.get_close_matches(path.name, names, n=1):
            return f"there is no such folder; there is {shown(close[0])}"
    with contextlib.suppress(OSError):  # the working directory may be gone
        return "there is no such folder" + ("" if path.is_absolute() else f" in {Path.cwd()}")
    return "there is no such folder"


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (EOFError, zlib.error, lzma.LZMAError):  # it is cut off, or damaged
        return False


def _has_images(folder: Path) -> bool:
    """Whether it may have some: there are images or folders directly in it."""
    return any(entry.is_dir() or is_image_name(entry.name) for entry in _opened(folder))


def _opened(folder: Path) -> list[os.DirEntry]:
    """What is in a folder; nothing in one that cannot be opened."""
    try:
        return list_folder(folder)
    except OSError:
        return []


def shown(name: str) -> str:
    """A name as it can be printed in a line, even if it is not UTF-8 or has a line break."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def listed(names: list[str], most: int = 10) -> str:
    """Names in a line, at most `most`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more


def _without_doubles(word: str) -> str:
    return re.sub(r"(.)\1+", r"\1", word)


@functools.lru_cache
def why_no_class(name: str) -> str:
    """Why a name cannot be a line of class_names.txt and of a table; empty if it can."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "is not UTF-8"
    if len(name.splitlines()) > 1:
        return "has a line break"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "has a control character"
    return ""


def class_of(folder: str, root: Path, flag: str) -> str:
    """The class of the class folder `folder` in `root`.

    Raises:
        UserError: if its name cannot be a line of the exported model's class_names.txt.
    """
    parent, _, name = folder.rpartition("/")
    if wrong := why_no_class(name):
        raise UserError(
            f"{flag}: the name of the class folder {name!a} in {parent or root.name}/ {wrong}; "
            "rename it."
        )
    return unicodedata.normalize("NFC", name)
