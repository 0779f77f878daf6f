"""Pictures in pixels: grids of images, the confusion matrix, PNG files."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ssgan_tf.reporting import charts
from ssgan_tf.system.files import written_aside

if TYPE_CHECKING:
    from ssgan_tf.inference.evaluation import Evaluation


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


def confusion_matrix(evaluation: "Evaluation", class_names: list[str]) -> np.ndarray:
    """Draws the confusion matrix: the class of an image (rows), the predicted class (columns).

    Where no font has the letters of the names, classes have their numbers, from 0.

    Returns:
        (H, W, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    if charts.draw_confusion(axes, evaluation.confusion, class_names):
        axes.set(xlabel="number of the predicted class", ylabel="number of the true class")
    axes.set_title(f"accuracy {evaluation.accuracy:.1%} of {len(evaluation.labels):,} images")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def png(image: np.ndarray) -> bytes:
    """(H, W, C) uint8, C 1 or 3, as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def save_png(path: Path, image: np.ndarray) -> None:
    """Writes (H, W, C) uint8, C 1 or 3, as PNG."""
    with written_aside(path) as partial:
        partial.write_bytes(png(image))
