"""labels.json: which images of a run kept their label, or which ones a person wants to have it."""

import os
import unicodedata
from pathlib import Path
from typing import Any

from ssgan_tf.config import FOLDER, UserError, expand_user
from ssgan_tf.data.folder.layout import read_layout
from ssgan_tf.system.files import read_json


def read_given(path: str) -> dict[str, Any]:
    """Reads the file of `--labels_from`. That needs no data, so a wrong one is reported at once.

    Raises:
        UserError: if it is not such a file; it names the flag.
    """
    try:
        return read(expand_user(path))
    except UserError as error:
        raise UserError(f"--labels_from={path}: not usable as labels.json: {error}") from error


def read(path: Path) -> dict[str, Any]:
    """Reads a `labels.json`.

    Raises:
        UserError: if it is not such a file.
    """
    # A file that was written by hand needs only the ids.
    content = read_json(path, {"ids": list}, hand_made=True)
    if not isinstance(content.setdefault("validation_ids", []), list):
        raise UserError(f"{path}: its validation_ids must be a list.")
    named = content["ids"] + content["validation_ids"]
    tests = content.get("test_ids", [])
    if not isinstance(tests, list) or not all(isinstance(name, str) for name in tests):
        raise UserError(f"{path}: its test_ids must be a list of names of images.")
    if not content["ids"] or not all(isinstance(name, str) for name in named):
        raise UserError(f"{path}: its ids must be one or more names of images.")
    if len(set(named)) < len(named):
        raise UserError(f"{path}: each of its ids must occur only once.")
    return content


def gone(path: Path, root: Path) -> list[str]:
    """The images that a run's `labels.json` names and that are not in its folder any more.

    One that is there, but has lost its label or its part, is not among them.

    Args:
        path: of the run's `labels.json`.
        root: the folder.

    Raises:
        UserError: if it is not such a file, or the folder cannot be understood.
    """
    content = read(path)
    named = [*content["ids"], *content["validation_ids"], *content.get("test_ids", [])]
    layout = read_layout(root, f"--dataset={FOLDER}{root}", labels_needed=False)
    used = {item.id for item in layout.items}

    def is_there(name: str) -> bool:  # its letters may be decomposed on this disk
        forms = (name, unicodedata.normalize("NFD", name))
        return name in used or any(os.path.lexists(root / form) for form in forms)

    return [name for name in named if not is_there(name)]


def has_validation(path: Path) -> bool:
    """Whether a run has validation images, according to its `labels.json`.

    Raises:
        UserError: if it is not such a file.
    """
    return bool(read(path)["validation_ids"])


def model_facts(path: Path) -> tuple[list[str], int] | None:
    """Class names, and channels of the images, according to a run's `labels.json`.

    Returns:
        None where it lacks them, as files of earlier versions do.

    Raises:
        UserError: if it is not such a file, or these values are invalid.
    """
    content = read(path)
    if "class_names" not in content or "channels" not in content:
        return None
    names, channels = content["class_names"], content["channels"]
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not named or len(names) < 2 or channels not in (1, 3):
        raise UserError(
            f"{path}: its class_names must be at least two names, its channels 1 or 3; "
            "restore the original file."
        )
    return names, channels
