"""Generates images with the generator of a run.

    python -m ssgan_tf.sample --run_dir=RUN --n=64 --output=grid.png

With `--output=FOLDER/` each image is a file of its own. With `--interpolate` each row of the grid
leads from one point z to another, where the next row starts.
"""

import sys
from pathlib import Path

import numpy as np
from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs import finished_run
from ssgan_tf.system import streams
from ssgan_tf.system.files import check_place, output_named
from ssgan_tf.system.text import counted

ROW = 8  # images side by side


def latent_points(n: int, latent_dim: int, seed: int, interpolate: bool) -> np.ndarray:
    """(n, latent_dim) float32, from N(0, 1); a function of the seed.

    Args:
        n: number of points.
        latent_dim: their dimension.
        seed: another seed gives other points.
        interpolate: each row of 8 goes from one such point to the next, along the great circle:
            on a straight line the middle points would be shorter than those seen in training.
    """
    rng = np.random.default_rng(seed)
    if not interpolate:
        return rng.normal(size=(n, latent_dim)).astype(np.float32)
    rows = -(-n // ROW)
    corners = rng.normal(size=(rows + 1, latent_dim))
    units = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    points = []
    for row in range(rows):
        angle = np.arccos(np.clip(units[row] @ units[row + 1], -1.0, 1.0))
        for share in np.arange(ROW) / ROW:
            weights = np.array([1 - share, share])
            if np.sin(angle) > 1e-6:  # else there is no circle, as with --latent_dim=1
                weights = np.sin(weights * angle) / np.sin(angle)
            points.append(weights @ corners[row : row + 2])
    return np.array(points[:n], np.float32)


def sample_run(
    directory: Path,
    n: int = 64,
    seed: int = 0,
    interpolate: bool = False,
    checkpoint: str = "last",
    data_dir: str = "",
) -> np.ndarray:
    """Generates (n, S, S, channels) uint8 images with the generator of a run.

    Args:
        directory: of the run.
        n: how many.
        seed: another seed gives other images.
        interpolate: see `latent_points`.
        checkpoint: a step, or "last".
        data_dir: where the data is now, only needed for runs of earlier versions.

    Raises:
        UserError: if it is not a run, has no such checkpoint, or no generator.
    """
    config = finished_run.read_config(directory)
    if not config.has_generator:
        why = "on the labels alone"
        if config.method != "supervised":
            why = (
                "with --unsupervised_weight=0. For one that has it, train with "
                "--unsupervised_weight=1 and another --run_dir"
            )
        raise UserError(f"--run_dir={directory}: has no generator: it was trained {why}.")
    generator = finished_run.load_models(directory, checkpoint, data_dir).state.generator
    assert generator is not None
    from ssgan_tf.data.images.resize import unscale

    z = latent_points(n, config.latent_dim, seed, interpolate)
    parts = [
        unscale(generator(z[start : start + 256], statistics="moving")).numpy()
        for start in range(0, n, 256)
    ]
    return np.concatenate(parts)


def write_images(images: np.ndarray, output: Path, grid: bool) -> None:
    """Writes (N, H, W, C) uint8 images as one PNG file, or into a folder as one file each."""
    from ssgan_tf.reporting import pictures

    if grid:
        output.parent.mkdir(parents=True, exist_ok=True)
        pictures.save_png(output, pictures.image_grid(images, columns=ROW))
        return
    output.mkdir(parents=True, exist_ok=True)
    digits = len(str(len(images) - 1))
    for index, image in enumerate(images):
        pictures.save_png(output / f"{index:0{digits}d}.png", image)


def _check_output(output: Path, grid: bool, slash: bool) -> None:
    """Raises `UserError`, before the seconds that follow, where nothing can be written."""
    if not grid and output.suffix and not slash:
        raise UserError(f"--output={output}: give a .png file, or a folder ending in /.")
    if not grid and output.exists() and not output.is_dir():
        raise UserError(f"--output={output}: is a file; give a folder, or a .png file.")
    if output.exists() and (grid or any(output.iterdir())):
        raise UserError(f"--output={output}: is there already; give another name.")
    check_place(f"--output={output}", output)


FLAGS = (
    *RUN_FLAGS,
    Flag("output", None, "A .png file for a grid, or a folder for single images."),
    Flag("n", 64, "How many images.", minimum=1, maximum=100_000),
    Flag("seed", 0, "Another seed gives other images.", minimum=0),
    Flag("interpolate", False, "Lead from one image to another in each row."),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.sample"
    description = "Generates images with the generator of a run."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        output = expand_user(values.output)
        grid = output.suffix.lower() == ".png"
        with output_named(f"--output={output}"):  # a name that is too long is an error already
            _check_output(output, grid, values.output.endswith("/"))
        images = sample_run(
            expand_user(values.run_dir),
            values.n,
            values.seed,
            values.interpolate,
            values.checkpoint,
            values.data_dir,
        )
        with output_named(f"--output={output}"):
            write_images(images, output, grid)
    print(f"{counted(len(images), 'image')}: {output}")


if __name__ == "__main__":
    main()
