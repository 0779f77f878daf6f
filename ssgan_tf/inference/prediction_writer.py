"""Predictions as lines of text: a table for people, CSV or JSON lines for programs."""

import csv
import json
from typing import IO, Any

from ssgan_tf.inference.classifier import Prediction
from ssgan_tf.system.text import in_one_line

FORMATS = ("table", "csv", "jsonl")


class PredictionWriter:
    """Writes predictions, each at once."""

    def __init__(self, output: IO[str], form: str, top_k: int) -> None:
        """
        Args:
            output: where to.
            form: one of `FORMATS`. JSON is in ASCII, whatever the output can hold; a byte of a name
                that is not UTF-8 is a lone surrogate there, as Python's `os.fsencode` takes it.
            top_k: how many classes each prediction has.
        """
        self._output, self._form = output, form
        self._columns = ["path", "class", "probability", "p_real"]
        for rank in range(2, top_k + 1):
            self._columns += [f"class_{rank}", f"probability_{rank}"]
        self._csv = csv.DictWriter(output, self._columns, lineterminator="\n")
        # Python quotes a carriage return from 3.13 on.
        self._quoting = csv.DictWriter(
            output, self._columns, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        self._started = False

    def write(self, prediction: Prediction) -> None:
        """One line, before the first one the header."""
        if not self._started:
            self._started = True
            if self._form == "csv":
                self._csv.writeheader()
            elif self._form == "table":
                self._output.write(f"{'class':<16} {'probability':>11} {'p_real':>6}  path\n")
        row = _row(prediction)
        if self._form == "csv":
            (self._quoting if "\r" in prediction.path else self._csv).writerow(row)
        elif self._form == "jsonl":
            self._output.write(json.dumps(row) + "\n")
        else:
            for rank, (name, probability) in enumerate(prediction.classes):
                real = f"{prediction.p_real:6.3f}" if rank == 0 else " " * 6
                path = in_one_line(prediction.path) if rank == 0 else ""
                self._output.write(f"{name:<16} {probability:11.3f} {real}  {path}".rstrip() + "\n")
        self._output.flush()


def _row(prediction: Prediction) -> dict[str, Any]:
    (name, probability), *others = prediction.classes
    row = {
        "path": prediction.path,
        "class": name,
        "probability": round(probability, 6),
        "p_real": round(prediction.p_real, 6),
    }
    for rank, (other, chance) in enumerate(others, 2):
        row |= {f"class_{rank}": other, f"probability_{rank}": round(chance, 6)}
    return row
