"""What is written: places that can be, files that are never half written, JSON with its schema."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssgan_tf.config import UserError

SCHEMA = 1  # of config.json, labels.json and results.json; raise it when one of them changes


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to, and renames it to `path` at the end."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def check_place(flag: str, path: Path) -> None:
    """Raises `UserError`, before the work that follows, where nothing can be made at `path`.

    Args:
        flag: that gives the path, and its value, such as "--output=x"; the message begins with it.
        path: where something is to be written; it may be there.
    """
    with output_named(flag):
        place = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not place.is_dir():
            raise UserError(f"{flag}: {place} is a file, not a directory; give another place.")
        if not os.access(place, os.W_OK | os.X_OK):
            raise UserError(f"{flag}: {place} cannot be written to; give another place.")


@contextlib.contextmanager
def output_named(flag: str) -> Iterator[None]:
    """Turns an `OSError` of what is written inside into one sentence, which begins with `flag`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{flag}: cannot be written to ({error.strerror or error}); give another place."
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file with the version of the schema in front."""
    text = json.dumps({"schema": SCHEMA} | content, indent=2) + "\n"
    with written_aside(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path, types: dict[str, Any], hand_made: bool = False) -> dict[str, Any]:
    """Reads what `write_json` wrote, without the schema.

    Args:
        path: of the file.
        types: of the fields that it must have; it may have others.
        hand_made: whether the schema may be missing.

    Raises:
        UserError: if it cannot be read, is of another version, or lacks one of these fields.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would wait forever
            raise UserError(f"{path}: is not a plain file; give one.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error}); restore the original file.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a file of a run; restore the original file.")
    schema = content.pop("schema", None)
    if schema != SCHEMA and not (hand_made and schema is None):
        found = "no schema version" if schema is None else f"the schema version {schema!r}"
        raise UserError(
            f"{path}: has {found}, this version of ssgan_tf reads {SCHEMA}; use the version that "
            "wrote it."
        )
    for name, kind in types.items():
        if name not in content:
            raise UserError(f"{path}: lacks {name!r}; restore the original file.")
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise UserError(
                f"{path}: {name!r} is {content[name]!r}, which is not of type "
                f"{getattr(kind, '__name__', 'number')}; restore the original file."
            )
    return content
