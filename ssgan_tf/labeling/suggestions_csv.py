"""suggestions.csv: which images to label, best first, and why."""

import csv
from pathlib import Path
from typing import NamedTuple

from ssgan_tf.config import UserError

COLUMNS = ("rank", "path", "predicted", "probability", "reason")  # as `suggest` writes them
_TO_CHECK = (*COLUMNS[:2], "label", *COLUMNS[2:])  # of its suspicious_labels.csv


class Suggestion(NamedTuple):
    """An image to label.

    Attributes:
        path: of the image within its folder, with slashes.
        predicted: the class that a classifier takes it for; empty: there is none yet.
        probability: of that class, from 0 to 1, or None.
        reason: why a label of this image should help; may be empty.
    """

    path: str
    predicted: str = ""
    probability: float | None = None
    reason: str = ""


def read_suggestions(path: Path, flag: str) -> list[Suggestion]:
    """Reads what `suggest` wrote, in its order; of an image that is there twice, the first one.

    Args:
        path: of the file.
        flag: with which error messages begin.

    Raises:
        UserError: if it cannot be read, or is not of this form.
    """
    found: dict[str, Suggestion] = {}
    try:
        if path.exists() and not path.is_file():  # a pipe would wait forever
            raise UserError(f"{flag}: is not a plain file; give a suggestions.csv.")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise UserError(
                    f"{flag}: lacks the columns of a suggestions.csv ({','.join(COLUMNS)}); write "
                    "it with python -m ssgan_tf.suggest."
                )
            if tuple(reader.fieldnames or ()) == _TO_CHECK:
                raise UserError(
                    f"{flag}: lists labels to check, and this page gives new ones; correct a label "
                    "in labels.csv, or by moving the image to the folder of its class."
                )
            for row in reader:
                one = _suggestion(row, f"{flag}: line {reader.line_num}")
                found.setdefault(one.path, one)
    except FileNotFoundError as error:
        raise UserError(f"{flag}: there is no such file.") from error
    except OSError as error:
        raise UserError(f"{flag}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag}: is not UTF-8; write it again with suggest.") from error
    except csv.Error as error:
        raise UserError(f"{flag}: is not CSV ({error}); write it again with suggest.") from error
    if not found:
        raise UserError(f"{flag}: has no suggestion; write it again with a larger --n.")
    return list(found.values())


def _suggestion(row: dict[str, str | None], where: str) -> Suggestion:
    """The suggestion of a row."""
    path, predicted, number, reason = (row[name] or "" for name in COLUMNS[1:])
    if not path:
        raise UserError(f"{where} has no path; write the file again with suggest.")
    probability = None
    if number := number.strip():
        try:
            probability = float(number)
        except ValueError:
            probability = -1.0
        if not 0 <= probability <= 1:
            raise UserError(
                f"{where} has the probability {number!r}, which is not from 0 to 1; write the file "
                "again with suggest."
            )
    return Suggestion(path, predicted, probability, reason)
