"""Everything TensorBoard shows."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue], it is made when the module is imported
)
from tensorboard.plugins.hparams import api as hparams

from ssgan_tf.config import Config, written
from ssgan_tf.system.files import written_aside
from ssgan_tf.system.paths import literal

_KEPT = "events.out.tfevents.0.kept"


class Summaries:
    """Writes a run's TensorBoard events; tags are explained in docs/metrics.md."""

    def __init__(self, directory: Path, config: Config, first_step: int = 0) -> None:
        """
        Args:
            directory: of the event files; a resumed run adds a file.
            config: shown as text and as hparams.
            first_step: from which the run goes on; what was written beyond it is dropped.
        """
        directory.mkdir(parents=True, exist_ok=True)
        resumed = keep_events(directory, first_step)
        self._link = contextlib.ExitStack()  # the writer looks at its file until it is closed
        place = self._link.enter_context(literal(directory))
        self._writer = tf.summary.create_file_writer(str(place))
        if resumed:
            return
        values = {
            name: value if isinstance(value, (bool, int, float)) else _writable(str(value))
            for name, value in config.to_dict().items()
        }
        cells = {name: written(value).replace("|", r"\|") for name, value in values.items()}
        rows = "\n".join(f"| {name} | {cell} |" for name, cell in cells.items())
        with self._writer.as_default(step=0):
            tf.summary.text("configuration", "| flag | value |\n|---|---|\n" + rows)
            # TensorBoard compares runs by these.
            hparams.hparams(
                {
                    name: value
                    for name, value in values.items()
                    if name not in ("run_dir", "data_dir", "labeled")
                }
                | {"labeled": str(config.labeled)}
            )

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes one point of each curve."""
        with self._writer.as_default(step=step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        """Writes a picture, (H, W, C) uint8."""
        with self._writer.as_default(step=step):
            tf.summary.image(tag, image[np.newaxis])

    def flush(self) -> None:
        """Makes all that was written visible."""
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._writer.close()
        self._link.close()


def _writable(text: str) -> str:
    """A path may hold what TensorBoard cannot show: line breaks, bytes that are not UTF-8."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().splitlines())


def keep_events(directory: Path, last_step: int) -> bool:
    """Puts all events up to a step into one file, so that a resumed run repeats none of them.

    That file's name sorts before all others, whatever the clock said when they were written.

    Returns:
        Whether there were any.
    """
    with literal(directory) as place:
        files = sorted(place.glob("events.out.tfevents.*"))
        return bool(files) and _keep_events(files, place / _KEPT, last_step)


def _keep_events(files: list[Path], first: Path, last_step: int) -> bool:
    kept: dict[bytes, None] = {}  # without those that are in two files since a crash
    for file in files:
        try:
            records: Any = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()  # of bytes
            for record in records:
                event = Event.FromString(record)
                if event.step <= last_step and not event.file_version:
                    kept[record] = None
        except (tf.errors.OpError, DecodeError):
            continue  # cut off when the process died: what follows was not flushed
    with written_aside(first) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        # The form is said by the first record of a file.
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for record in kept:
            writer.write(record)
    for file in files:
        if file != first:
            file.unlink()
    return bool(kept)
