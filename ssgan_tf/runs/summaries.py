"""Everything TensorBoard shows, and the pictures among it."""

import contextlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams

from ssgan_tf.reporting import charts
from ssgan_tf.config import Config
from ssgan_tf.inference.evaluation import Evaluation
from ssgan_tf.system.paths import literal
from ssgan_tf.system.files import written_aside

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
        cells = {name: str(value).replace("|", r"\|") for name, value in values.items()}
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
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                event = event_pb2.Event.FromString(record)
                if event.step <= last_step and not event.file_version:
                    kept[record] = None
        except (tf.errors.OpError, DecodeError):
            continue  # cut off when the process died: what follows was not flushed
    with written_aside(first) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        # The form is said by the first record of a file.
        writer.write(event_pb2.Event(file_version="brain.Event:2").SerializeToString())
        for record in kept:
            writer.write(record)
    for file in files:
        if file != first:
            file.unlink()
    return bool(kept)


def image_grid(images: np.ndarray, columns: int = 8, zoom: int = 2, gap: int = 1) -> np.ndarray:
    """Puts images side by side.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3.
        columns: images per row; the last row is filled up with white.
        zoom: each pixel becomes zoom x zoom pixels.
        gap: white pixels around each image, before zooming.

    Returns:
        (rows * (H + 2 gap) * zoom, columns * (W + 2 gap) * zoom, C) uint8.
    """
    rows = -(-len(images) // columns)
    missing = ((0, rows * columns - len(images)), (0, 0), (0, 0), (0, 0))
    frame = ((0, 0), (gap, gap), (gap, gap), (0, 0))
    tiles = np.pad(np.pad(images, missing, constant_values=255), frame, constant_values=255)
    _, height, width, channels = tiles.shape
    grid = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, columns * width, channels)
    return grid.repeat(zoom, axis=0).repeat(zoom, axis=1)


def confusion_picture(evaluation: Evaluation, class_names: list[str]) -> np.ndarray:
    """Draws the confusion matrix: what an image shows (rows), what it was taken for (columns).

    Where no font has the letters of the names, classes have their numbers, from 0.

    Returns:
        (H, W, 3) uint8.
    """
    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    if charts.draw_confusion(axes, evaluation.confusion, class_names):
        axes.set(xlabel="taken for class number", ylabel="shows class number")
    axes.set_title(f"accuracy {evaluation.accuracy:.1%} of {len(evaluation.labels):,} images")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def save_png(path: Path, image: np.ndarray) -> None:
    """Writes (H, W, C) uint8, C 1 or 3, as PNG."""
    with written_aside(path) as partial:
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        picture.save(partial, format="PNG")
