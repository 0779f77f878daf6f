"""Labeling one folder: its images in their order, its classes, and the answers so far."""

import io
import threading
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssgan_tf.config import FOLDER, Config, UserError, expand_user
from ssgan_tf.data.folder.answers import Answers
from ssgan_tf.data.folder.labels_csv import NO_LABEL
from ssgan_tf.data.folder.layout import read_layout
from ssgan_tf.data.folder.load import check_test_images
from ssgan_tf.data.folder.names import PARTS, TABLE, shown, why_no_class
from ssgan_tf.data.folder.walk import natural_key
from ssgan_tf.data.images.decoding import ImageError, read_whole
from ssgan_tf.labeling.suggestions_csv import Suggestion

SIDE = 1600  # pixels, of the square into which images are shrunk
_LOSSLESS = 512  # pixels, of the longer side of images that are sent as PNG
_LONGEST = 100  # letters of the name of a class
_GONE = "is not there any more"


class Session:
    """What the page shows and changes. Threads may share it."""

    def __init__(
        self,
        dataset: str,
        suggestions: Sequence[Suggestion],
        paths: Sequence[Path],
        class_names: Sequence[str],
        answers: Answers,
        train: str,
        again: str,
        then: str = "",
    ) -> None:
        """
        Args:
            dataset: folder:PATH.
            suggestions: the images that are to be labeled, in this order.
            paths: of their files.
            class_names: those that the folder has.
            answers: the labels in its labels.csv.
            train: the command to type next.
            again: that of this session, which goes on where images are left.
            then: the command that labels others, where this session has none left; empty: there
                are none.
        """
        self.dataset, self.answers, self._train = dataset, answers, train
        self._again, self._then = again, then
        self.given = 0  # answers, less those that were taken back
        self._paths = paths
        # labels.csv would make such a folder a class, with all images in it.
        tops = {one.path.partition("/")[0] for one in suggestions if "/" in one.path}
        self._folders = tops - PARTS.keys()
        self._classes = list(class_names)
        self._changing = threading.Lock()
        guesses = {"": ""}
        for name in {one.predicted for one in suggestions if one.predicted}:
            try:
                guesses[name] = self._class_named(name)
            except UserError:  # nobody could accept this guess
                guesses[name] = ""
        self._suggestions = [one._replace(predicted=guesses[one.predicted]) for one in suggestions]
        # New classes come at the end: the keys of the others stay.
        more = {*guesses.values()} - {*class_names, ""}
        self._classes = [*class_names, *sorted(more, key=natural_key)]
        self._problems: dict[int, str] = {}  # images that cannot be shown, and why

    def __len__(self) -> int:
        return len(self._suggestions)

    @property
    def done(self) -> int:
        """How many of the images have a label."""
        labels = self.answers.read()
        return sum(bool(labels.get(one.path)) for one in self._suggestions)

    @property
    def table(self) -> Path:
        """The file that the labels are written to."""
        return expand_user(self.dataset.removeprefix(FOLDER)) / TABLE

    def result(self) -> dict[str, Any]:
        """Where the labels are, what training lacks, what to type next, and whether that is now."""
        found: dict[str, Any] = {
            "table": str(self.table),
            "labels": sum(map(bool, self.answers.read().values())),
            "next": self._train,
            "now": True,
            "lacks": "",
        }
        try:
            layout = read_layout(self.table.parent, f"--dataset={self.dataset}")
            check_test_images(layout, Config.test_fraction)
        except UserError as error:
            found["lacks"] = str(error).removeprefix(f"--dataset={self.dataset}: ")
            left = self._then if self.following(-1) is None else self._again
            found |= {"next": left or self._train, "now": bool(left)}
        return found

    def state(self, index: int | None) -> dict[str, Any]:
        """What the page shows.

        Args:
            index: of the image; None: there is none to label.
        """
        labels = self.answers.read()
        with self._changing:
            known = {*self._classes, ""}
            self._classes += [name for name in dict.fromkeys(labels.values()) if name not in known]
        problems = {**self._problems}
        state: dict[str, Any] = {
            "total": len(self._suggestions),
            "done": sum(bool(labels.get(one.path)) for one in self._suggestions),
            "classes": self._classes,
            "problems": [
                f"{shown(self._suggestions[place].path)} {why}" for place, why in problems.items()
            ],
            "image": None,
        }
        if index is not None:
            one = self._suggestions[index]
            state["image"] = {
                "index": index,
                "path": one.path,
                "label": labels.get(one.path) or "",
                "predicted": one.predicted,
                "probability": one.probability,
                "reason": one.reason,
                "following": self.following(index),
            }
        return state

    def following(self, index: int) -> int | None:
        """The next image without a label; behind the last one come those that were skipped."""
        labels, count = self.answers.read(), len(self._suggestions)
        for step in range(1, count + 1):
            place = (index + step) % count
            if labels.get(self._suggestions[place].path):
                continue
            if not self._paths[place].is_file():
                self._problems[place] = _GONE
                continue
            if self._problems.get(place) == _GONE:  # it has come back
                self._problems.pop(place, None)
            if place not in self._problems:
                return place
        return None

    def picture(self, index: int) -> tuple[str, bytes]:
        """An image as a browser can show it: its media type and its content.

        Raises:
            ImageError: if it cannot be read; then it is not among those to label any more.
        """
        try:
            image = read_whole(self._paths[index], SIDE)
        except ImageError as error:
            self._problems[index] = str(error)
            raise
        self._problems.pop(index, None)
        content = io.BytesIO()
        if max(image.size) <= _LOSSLESS:
            image.save(content, "PNG", compress_level=1)
            return "image/png", content.getvalue()
        image.save(content, "JPEG", quality=90)
        return "image/jpeg", content.getvalue()

    def answer(self, index: int, label: str | None, before: str) -> tuple[str, str | None]:
        """Gives an image a label, or takes it back; it is on the disk afterwards.

        Args:
            index: of the image.
            label: a class, which may be new; empty, or None: no label, see `Answers.write`.
            before: the label that the page shows.

        Returns:
            The label as it is written, and what the image had before, see `Answers.write`.

        Raises:
            UserError: if this cannot be the name of a class, or cannot be written.
            LabeledMeanwhileError: if another window has given it another label.
        """
        name = self._class_named(label) if label else ""
        folder = self.table.parent
        if not folder.is_dir():  # the lock would make it anew
            raise UserError(f"The folder {folder} {_GONE}; start again with its new place.")
        path = self._suggestions[index].path
        if name and not self._paths[index].is_file() and not self.answers.read().get(path):
            # Training would refuse its new line in the table.
            raise UserError(f"The image {_GONE}; press S for the next one.")
        had = self.answers.write(path, name or label, before)
        with self._changing:
            self.given += bool(name) - bool(had)
        return name, had

    def _class_named(self, label: str) -> str:
        """The class of this name, with the upper and lower case that it has.

        Raises:
            UserError: if labels.csv would refuse it, or if it cannot be a new class.
        """
        name = unicodedata.normalize("NFC", label.strip())
        with self._changing:
            same = [known for known in self._classes if known.casefold() == name.casefold()]
        is_new = not same
        if not is_new:
            name = name if name in same else same[0]
        start = f"The class {name!a}"
        if not name:
            raise UserError("The name of a class is missing.")
        if is_new and len(name) > _LONGEST:
            raise UserError(f"A name of {len(name)} letters is too long; give {_LONGEST} at most.")
        if wrong := why_no_class(name):
            raise UserError(f"{start} {wrong}; give another name.")
        if name.casefold() in NO_LABEL:
            raise UserError(f"{start} would read as no label in {TABLE}; give another name.")
        if is_new and name in self._folders:
            raise UserError(
                f"{start} has the name of a folder, whose images would all become {name!a}; give "
                "another name, or rename the folder and start again."
            )
        return name
