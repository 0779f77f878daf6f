"""The layout of a user's data set: which images there are, and their labels.

my_images/train/CLASS/*     images with a label; or CLASS/* directly in my_images
my_images/unlabeled/**      images without one
my_images/test/CLASS/*      test images
my_images/valid/CLASS/*     validation images
my_images/labels.csv        labels of images anywhere in the folder
"""

import collections
import dataclasses
import difflib
import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.labels_csv import Label, read_labels
from ssgan_tf.data.folder.names import (
    PARTS,
    TABLE,
    ask_about,
    class_of,
    elsewhere,
    folder_alone,
    listed,
    on_no_classes,
    on_unused,
    shown,
    why_no_folder,
)
from ssgan_tf.data.folder.walk import (
    holds_runs,
    is_run,
    kind_of,
    list_folder,
    natural_key,
    walk_images,
)
from ssgan_tf.data.images.decoding import is_image_name
from ssgan_tf.system.text import counted


class Item(NamedTuple):
    """An image file.

    Attributes:
        path: starts with the data set's folder.
        id: its path within that folder, with slashes, the same on every machine.
        part: "train", "validation" or "test".
        label: its class, or None.
    """

    path: Path
    id: str
    part: str
    label: str | None


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        items: its images: by part, then by class, those without a label last, then by id.
        class_names: in order, at least two if labels are needed.
        has_test: whether there is a test part.
        notes: lines that the user should read.
        skipped: ids of what cannot be read, and why.
        others: how many files have no name of an image.
    """

    items: list[Item]
    class_names: list[str]
    has_test: bool
    notes: list[str]
    skipped: list[tuple[str, str]]
    others: int


def read_layout(root: Path, flag: str, labels_needed: bool = True) -> Layout:
    """Finds the images of a data set; opens none of them.

    Args:
        root: its folder.
        flag: with which error messages begin.
        labels_needed: False: there may be no class yet; images outside of class folders count as if
            there were a labels.csv, and so do those of a single folder.

    Raises:
        UserError: if the folder cannot be understood, has fewer than two classes, a class without
            an image, or a name that is almost one with a meaning.
    """
    if not os.path.isdir(root):  # Path.is_dir() fails if a folder above it is locked
        raise UserError(f"{flag}: {why_no_folder(root)}.")
    if is_run(root) and os.path.isdir(root / "checkpoints"):  # others have such JSON files, too
        raise UserError(f"{flag}: is a run, not a folder of images; give that of its images.")
    return _Reading(root.absolute(), flag, labels_needed).layout()  # no path would start with "."


class _File(NamedTuple):
    path: str
    part: str
    label: str | None
    loose: bool = False  # it is not used unless labels.csv gives it a label


class _Reading:
    """Reads one folder: first what its folders say, then what labels.csv adds."""

    def __init__(self, root: Path, flag: str, labels_needed: bool) -> None:
        self._root, self._flag, self._labels_needed = root, flag, labels_needed
        self._start = str(root / "x")[:-1]  # of all paths
        self._found: list[_File] = []
        self._skipped: list[tuple[str, str]] = []
        self._others = 0
        self._only_folders = False  # images directly in the folder are not used
        self._no_classes: list[str] = []  # folders beside labels.csv whose images have no label
        self._unused: list[str] = []
        self._notes: list[str] = []
        self._class_folders: dict[str, str] = {}  # class -> its folder for training
        folders, self._files = self._entries("")
        self._folders = [name for name in folders if not holds_runs(root / name)]
        self._unused += [f"{name}/ (runs)" for name in folders if name not in self._folders]
        self._has_train = "train" in self._folders
        self._has_table = TABLE in self._files
        self._takes_loose = self._has_table or not labels_needed  # images outside of class folders

    def layout(self) -> Layout:
        """Reads the folder."""
        self._notes += ask_about(self._root, self._folders, self._files, self._flag)
        is_asked = not (self._labels_needed or self._has_table)
        alone = folder_alone(self._root, self._folders, self._notes) if is_asked else ""
        for name in self._folders:
            part = PARTS.get(name)
            if part == "unlabeled":
                self._add(name, "train", None)
            elif part:
                self._add_part(name, part)
            elif self._has_table or name == alone:
                self._add(name, "train", None, loose=name.startswith("_"))
            elif self._has_train or name.startswith("_"):
                self._unused.append(f"{name}/")
            else:
                self._add_class(name, "train")
        in_class = any(file.label and file.part == "train" for file in self._found)
        takes = self._has_table or (self._takes_loose and (self._has_train or not in_class))
        images = [name for name in self._files if takes and is_image_name(name)]
        self._found += [_File(str(self._root / name), "train", None) for name in images]
        self._unused += [name for name in self._files if name not in (TABLE, *images)]
        items = self._identified()
        labels = [file.label for file in self._found]
        if self._has_table:
            labels = self._with_table(items, labels)
        used = []
        for file, identity, label in zip(self._found, items, labels, strict=True):
            loose = file.loose or (self._only_folders and "/" not in identity)
            loose = loose and (self._labels_needed or file.part != "test")  # it can get a label
            if loose and label is None:
                self._unused.append(identity)
            else:
                used.append(Item(Path(file.path), identity, file.part, label))
        return self._result(used)

    def _result(self, items: list[Item]) -> Layout:
        parts = ("train",) if self._labels_needed else ("train", "validation", "test")
        trained_on = {item.label for item in items if item.part in parts and item.label}
        if self._labels_needed:
            self._check_classes(trained_on)
        names = sorted(trained_on, key=natural_key)
        for item in items:
            if item.label and item.label not in trained_on:
                close = difflib.get_close_matches(item.label, names, 1, 0.6)
                raise UserError(
                    f"{self._flag}: {item.id.partition('/')[0]}/ has the class {item.label}, of "
                    f"which training has no image{f'; there is {close[0]}' if close else ''}."
                )
        has_test = "test" in self._folders
        if self._labels_needed and has_test and not any(item.part == "test" for item in items):
            loose = sum(file.part == "test" for file in self._found)
            raise UserError(
                f"{self._flag}: test/ has "
                + (f"{counted(loose, 'image')}, none with a label; " if loose else "no image; ")
                + "fill test/<class name>/, or remove it; images without a label go to unlabeled/."
            )
        tops = set() if self._has_train else {item.id.partition("/")[0] for item in items}
        self._notes += on_unused(self._unused, [name for name in names if name in tops])
        place = {name: index for index, name in enumerate(names)}
        order = ("train", "validation", "test")
        items = sorted(
            items,
            key=lambda item: (
                order.index(item.part),
                place[item.label] if item.label else len(names),
                natural_key(item.id),
            ),
        )
        return Layout(items, names, has_test, self._notes, self._skipped, self._others)

    def _entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders and the files in a folder, in order; anything else is skipped."""
        try:
            entries = list_folder(self._root / folder)
        except OSError as error:
            if folder:
                self._skipped.append((folder, f"cannot be opened ({error.strerror})"))
                return [], []
            raise UserError(f"{self._flag}: cannot be opened ({error.strerror}).") from error
        named: dict[str, list[str]] = {"folder": [], "file": []}
        for entry in entries:
            kind = kind_of(entry)
            if kind in named:
                named[kind].append(entry.name)
            else:
                self._skipped.append((self._identity(entry.path), kind))
        return named["folder"], named["file"]

    def _add(self, folder: str, part: str, label: str | None, loose: bool = False) -> None:
        """Adds all images below a folder."""
        found = walk_images(self._root / folder)
        self._found += [_File(path, part, label, loose) for path in found.files]
        self._skipped += [(self._identity(path), reason) for path, reason in found.skipped]
        self._others += found.others

    def _add_part(self, folder: str, part: str) -> None:
        """Adds the class folders of a part; images outside of them need labels.csv."""
        folders, files = self._entries(folder)
        for name in folders:
            if name.startswith("_"):
                self._unused.append(f"{folder}/{name}/")
            elif part == "train" and PARTS.get(name.casefold()) == "unlabeled":
                raise UserError(
                    f"{self._flag}: {folder}/{shown(name)}/ would be a class of that name; move "
                    "it out of train/, or rename it to something else."
                )
            else:
                self._add_class(f"{folder}/{name}", part)
        loose = part != "train" or not self._takes_loose
        for name in files:
            if is_image_name(name):
                self._found.append(_File(str(self._root / folder / name), part, None, loose))
            else:
                self._others += 1

    def _add_class(self, folder: str, part: str) -> None:
        """Adds a class folder."""
        label = class_of(folder, self._root, self._flag)
        if part == "train":
            self._class_folders[label] = folder
        self._add(folder, part, label)

    def _identity(self, path: str) -> str:
        """An id: with composed letters, and without bytes that are not UTF-8."""
        return unicodedata.normalize("NFC", self._raw_identity(path))

    def _raw_identity(self, path: str) -> str:
        name = path.removeprefix(self._start).replace(os.sep, "/")
        return name.encode("utf-8", "backslashreplace").decode("utf-8")

    def _identified(self) -> list[str]:
        """The ids of all that was found, no two the same."""
        identities = [self._identity(file.path) for file in self._found]
        count = collections.Counter(identities)
        return [
            identity if count[identity] == 1 else self._raw_identity(file.path)
            for identity, file in zip(identities, self._found, strict=True)
        ]

    def _with_table(self, ids: list[str], labels: list[str | None]) -> list[str | None]:
        """The labels of folders, completed by those of labels.csv.

        Raises:
            UserError: if it contradicts a class folder, or cannot be used.
        """
        skipped = [identity for identity, _ in self._skipped]
        rows = read_labels(self._root / TABLE, set(ids), skipped, self._flag)
        named = {identity: row.name for identity, row in rows.items() if row.name}
        of_folders = self._classes_at_the_top(ids, named)
        result = []
        for identity, label in zip(ids, labels, strict=True):
            label = label or of_folders.get(identity.partition("/")[0])
            row = rows.get(identity, Label(0, label or ""))
            if label and row.name != label:
                raise UserError(
                    f"{self._flag}: {shown(identity)} is {row.name or 'without a label'} in line "
                    f"{row.line} of {TABLE}, and its folder says {label}; correct one of them."
                )
            result.append(row.name or None)
        return result

    def _classes_at_the_top(self, ids: list[str], rows: dict[str, str]) -> dict[str, str]:
        """Folder -> class, beside labels.csv; `rows`: its labels by id.

        If it gives labels to images of unlabeled/, test/ or valid/ alone, and the folder would do
        without it, all else means what it meant without it. Otherwise only folders that have the
        name of one of its classes are classes.
        """
        if self._has_train:
            return {}
        folders = [name for name in self._folders if name not in PARTS]
        filled = {identity.partition("/")[0] for identity in ids if "/" in identity}
        in_table = {identity.partition("/")[0] for identity in rows}
        if "unlabeled" in map(PARTS.get, self._folders) and in_table <= PARTS.keys():
            names = [name for name in folders if name[0] != "_"]
            names = [class_of(name, self._root, self._flag) for name in names]
            classes = [name for name in names if name in filled]
            if len(classes) >= (2 if self._labels_needed else 1):
                self._only_folders = True
                self._notes.append(f"classes by their folders: {listed(classes)}")
                return {name: name for name in classes}
        names = [unicodedata.normalize("NFC", name) for name in folders]
        found = {name: name for name in names if name in rows.values()}
        others = [name for name in names if name in filled - {*found, *in_table}]
        self._no_classes = [f"{name}/" for name in others if name[0] != "_"]
        self._notes += on_no_classes(self._no_classes)
        return found

    def _check_classes(self, trained_on: set[str]) -> None:
        """Raises UserError if there are too few classes, or if one has no image."""
        for label, folder in self._class_folders.items():
            if label in trained_on:
                continue
            if not self._has_train and len(trained_on) > 1:
                self._unused.append(f"{folder}/ (no images)")
            elif len(self._class_folders) > 1:
                raise UserError(
                    f"{self._flag}: class {label} has no images in {folder}/; put some there, or "
                    "remove the folder."
                )
        if len(trained_on) > 1:
            return
        count = "one" if trained_on else "no"
        needs = "a classifier needs at least two"
        if self._has_table:
            notes = "".join(f"; {note}" for note in on_no_classes(self._no_classes))
            raise UserError(f"{self._flag}: {TABLE} gives {count} class; {needs}{notes}.")
        if self._has_train:
            others = [name for name in self._folders if name not in PARTS]
            is_class = "; if train is a class, move all class folders into train/" if others else ""
            raise UserError(
                f"{self._flag}: train/ has {count} class folder; {needs}, such as "
                f"{self._root}/train/cat/ and {self._root}/train/dog/{is_class}."
            )
        raise UserError(
            f"{self._flag}: has no folder train/, no {TABLE}, and {count} class folder; {needs}: "
            f"{self._root}/train/<class name>/ or {self._root}/<class name>/; to label "
            f"images in the browser, see python -m ssgan_tf.label"
            f"{elsewhere(self._root, self._folders, self._flag)}."
        )
