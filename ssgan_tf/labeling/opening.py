"""The images of a folder that are to be labeled: suggested ones, or all in a random order."""

import contextlib
import hashlib
import shlex
from collections import defaultdict
from collections.abc import Iterable

from ssgan_tf.config import FOLDER, UserError, expand_user, is_folder
from ssgan_tf.data.folder.answers import Answers
from ssgan_tf.data.folder.layout import Item, Layout, read_layout
from ssgan_tf.data.folder.names import by_folders, listed
from ssgan_tf.labeling.session import Session
from ssgan_tf.labeling.suggestions_csv import Suggestion, read_suggestions
from ssgan_tf.system.text import counted


def open_session(
    dataset: str, suggestions: str = "", train: str = "", again: str = ""
) -> tuple[Session, list[str]]:
    """Reads a folder, and checks that labels can be written there.

    Args:
        dataset: folder:PATH.
        suggestions: the path of a suggestions.csv; empty: all images without a label, in a random
            order that is always the same.
        train: the command to type next; empty: that of a first run.
        again: the command that goes on with this session; empty: that of all images.

    Returns:
        The session, and lines that the user should read.

    Raises:
        UserError: if the folder cannot be understood or written to, has no image without a label,
            or is not the one of the suggestions.
    """
    flag = f"--dataset={dataset}"
    train = train or shlex.join(["python", "-m", "ssgan_tf.train", flag])
    whole = shlex.join(["python", "-m", "ssgan_tf.label", flag])
    if not is_folder(dataset):
        raise UserError(
            f"{flag}: is not a folder of images, which is written --dataset=folder:my_images; "
            "those of TensorFlow Datasets have their labels already."
        )
    if dataset == FOLDER:
        raise UserError(f"{flag}: needs a path, as in --dataset=folder:my_images.")
    root = expand_user(dataset.removeprefix(FOLDER)).absolute()
    layout = read_layout(root, flag, labels_needed=False)
    answers = Answers(root, [item.id for item in layout.items], flag)
    labels = answers.read()
    notes = list(layout.notes)
    items = _to_label(layout, labels, notes)
    if suggestions:
        asked = f"--suggestions={suggestions}"
        known = {item.id for item in layout.items}
        chosen = _suggested(read_suggestions(expand_user(suggestions), asked), items, known, notes)
        if not chosen:
            raise UserError(
                f"{asked}: names no image without a label in {root}; is it of another folder?"
            )
        if all(labels.get(one.path) for one in chosen):
            raise UserError(
                f"{asked}: all {len(chosen):,} images have a label now; train with them, or leave "
                f"the flag out to label the rest: {train}"
            )
    else:
        chosen = [Suggestion(name) for name in _shuffled(items) if not labels.get(name)]
        if not chosen:
            raise UserError(
                f"{flag}: has no image without a label{by_folders(layout.class_names)}; put some "
                f"into {root}/unlabeled/."
            )
    paths = [items[one.path].path for one in chosen]
    names = _class_names(layout, labels)
    others = items.keys() - {one.path for one in chosen}
    then = "" if all(map(labels.get, others)) else whole
    return Session(dataset, chosen, paths, names, answers, train, again or whole, then), notes


def _class_names(layout: Layout, labels: dict[str, str]) -> list[str]:
    """Those of folders, then those of labels.csv as they came, so that keys stay the same."""
    of_folders = {item.label for item in layout.items if not labels.get(item.id)}
    names = [name for name in layout.class_names if name in of_folders]
    return [name for name in dict.fromkeys([*names, *labels.values()]) if name]


def _to_label(layout: Layout, labels: dict[str, str], notes: list[str]) -> dict[str, Item]:
    """Images without a label, and those with one of labels.csv; the others have it by folders."""
    copies = _copies(layout, labels)
    if copies:
        notes.append(
            f"not shown: {counted(len(copies), 'image')} without a label, copies of files that "
            "have one or are for the test"
        )
    return {
        item.id: item
        for item in layout.items
        if item.part != "validation"
        and item.id not in copies
        and (item.label is None or labels.get(item.id))
    }


def _copies(layout: Layout, labels: dict[str, str]) -> set[str]:
    """Images without a label whose files are copies of labeled ones, or of test images."""
    by_size: dict[int, list[Item]] = defaultdict(list)
    for item in layout.items:
        with contextlib.suppress(OSError):
            by_size[item.path.stat().st_size].append(item)
    found: set[str] = set()
    for group in by_size.values():
        known, others = [], []
        for item in group:
            labeled = item.label or labels.get(item.id)
            (known if labeled or item.part == "test" else others).append(item)
        if known and others:  # files whose size no other one has are not read
            digests = {_digest(item) for item in known} - {None}
            found |= {item.id for item in others if _digest(item) in digests}
    return found


def _digest(item: Item) -> bytes | None:
    """Of its bytes; None where it cannot be read."""
    try:
        return hashlib.sha256(item.path.read_bytes()).digest()
    except OSError:
        return None


def _suggested(
    suggestions: list[Suggestion], items: dict[str, Item], known: set[str], notes: list[str]
) -> list[Suggestion]:
    """Those that can be labeled; the others are noted."""
    gone = [one.path for one in suggestions if one.path not in known]
    labeled = [one.path for one in suggestions if one.path in known and one.path not in items]
    if gone:
        notes.append(f"not in the folder any more: {listed(gone, 3)}")
    if labeled:
        notes.append(f"not to be labeled here: {listed(labeled, 3)}")
    return [one for one in suggestions if one.path in items]


def _shuffled(names: Iterable[str]) -> list[str]:
    """In an order by hash, which stays when images come and go."""
    return sorted(names, key=lambda name: hashlib.sha256(f"label {name}".encode()).digest())
