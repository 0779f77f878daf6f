"""Exports the classifier of a run, as a SavedModel, for TFLite or as ONNX.

    python -m ssgan_tf.export --run_dir=RUN --output=DIR --calibrate

A run has its `saved_model/` already; this makes another, of any checkpoint, in any format, and with
probabilities that are calibrated on the run's validation images if that is wanted.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data import label_split
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs import finished_run
from ssgan_tf.system import errors, streams

if TYPE_CHECKING:
    from ssgan_tf.training.state import State

FORMATS = ("saved_model", "tflite", "onnx")
LEAST_IMAGES = 20  # fewer say nothing of probabilities
FEW_IMAGES = 100  # a temperature fitted on fewer is hardly more than noise
CHECKED = 64  # images on which a converted model must agree


class Calibration(NamedTuple):
    """What the temperature does to the validation images.

    Attributes:
        temperature: T of softmax(logits / T), fitted on them.
        images: how many there are.
        error_before: expected calibration error at T = 1.
        error_after: the same at the fitted T.
    """

    temperature: float
    images: int
    error_before: float
    error_after: float


def export_run(
    directory: Path,
    output: Path,
    calibrate: bool = False,
    checkpoint: str = "last",
    data_dir: str = "",
    form: str = "saved_model",
) -> Calibration | None:
    """Writes the classifier of a run into a new directory.

    Args:
        directory: of the run.
        output: must not be there yet.
        calibrate: fit a temperature on the run's validation images and store it in the model.
        checkpoint: a step, or "last".
        data_dir: where TFDS keeps the data, or the folder of images is, now; empty: where it was
            in training. Needed for `calibrate`, and for runs of earlier versions.
        form: one of `FORMATS`; TFLite and ONNX have the classifier alone (`convert.convert`).

    Returns:
        What was fitted, if anything.

    Raises:
        UserError: if the directory is not a run with a checkpoint, its data has changed, `output`
            is there, or there are no validation images to calibrate on.
    """
    config, labels = finished_run.read_config(directory), directory / "labels.json"
    if output.exists():
        raise UserError(f"--output={output}: is there already; give a new directory.")
    parent = next(path for path in output.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"--output={output}: cannot be made, since {parent} cannot be written to.")
    if calibrate and not (labels.exists() and label_split.has_validation(labels)):
        raise UserError(
            "--calibrate: the run has no validation images to calibrate on; train with a larger "
            "--validation_fraction, such as 0.1, or with a folder that has valid/."
        )
    found = None
    if calibrate:
        run = finished_run.load(directory, checkpoint, data_dir)
        found = _calibrate(run)
        trainer, class_names = run.trainer, run.dataset.class_names
    else:
        _, class_names, trainer = finished_run.load_models(directory, checkpoint, data_dir)
    import tensorflow as tf

    from ssgan_tf.inference import convert, saved_model

    # Written aside and then renamed: whatever is at `output` is whole.
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as aside:
        try:
            saved_model.save(
                Path(aside) / "saved_model",
                trainer.classifier,
                trainer.generator,
                class_names,
                found.temperature if found else 1.0,
                config.fit,
            )
        except tf.errors.OpError as error:
            raise UserError(
                f"--output={output}: cannot be written ({errors.cause(error)})."
            ) from error
        made = Path(aside) / "saved_model"
        if form != "saved_model":
            made = Path(aside) / form
            images = _images_to_check(trainer)
            convert.convert(Path(aside) / "saved_model", form, made, images)
        made.rename(output)
    return found


def _calibrate(run: finished_run.FinishedRun) -> Calibration:
    """Fits a temperature on the validation images of a run, at least one."""
    from scipy.special import softmax

    from ssgan_tf.inference import calibration
    from ssgan_tf.inference.evaluation import Evaluator

    if len(run.split.validation) < LEAST_IMAGES:
        raise UserError(
            f"--calibrate: the run has {len(run.split.validation)} validation images, too few for "
            f"a temperature; it needs at least {LEAST_IMAGES}, better some hundred."
        )
    validation = run.dataset.train.take(run.split.validation)
    evaluation = Evaluator(run.trainer.classifier, "moving", run.config.batch_size)(validation)
    logits, labels = evaluation.logits, evaluation.labels
    temperature = calibration.fit_temperature(logits, labels)
    both = [
        calibration.expected_calibration_error(softmax(logits / t, axis=1), labels)
        for t in (1.0, temperature)
    ]
    return Calibration(temperature, len(labels), *both)


def _images_to_check(trainer: "State") -> np.ndarray:
    """(64, S, S, channels) uint8 that need no data: generated ones, else coarse patterns."""
    from ssgan_tf.data.images.resize import unscale

    rng, side = np.random.default_rng(0), trainer.config.image_size
    if trainer.generator is not None:
        z = rng.normal(size=(CHECKED, trainer.config.latent_dim)).astype(np.float32)
        return unscale(trainer.generator(z, statistics="moving")).numpy()
    patterns = rng.integers(0, 256, (CHECKED, 8, 8, trainer.channels), np.uint8)
    return patterns.repeat(side // 8, axis=1).repeat(side // 8, axis=2)


FLAGS = (
    *RUN_FLAGS,
    Flag("output", None, "The directory that is written, a new one."),
    Flag("format", "saved_model", "Of the model; onnx needs more packages.", choices=FORMATS),
    Flag("calibrate", False, "Fit a temperature on the run's validation images."),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.export"
    description = "Exports the classifier of a run, as a SavedModel, for TFLite or as ONNX."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        output = expand_user(values.output)
        run_directory = expand_user(values.run_dir)
        found = export_run(
            run_directory,
            output,
            values.calibrate,
            values.checkpoint,
            values.data_dir,
            values.format,
        )
    if found:
        print(
            f"Temperature {found.temperature:.2f}, fitted on {found.images:,} validation images: "
            f"on these same images the calibration error was {found.error_before:.3f} and is "
            f"{found.error_after:.3f}."
        )
        if found.images < FEW_IMAGES:
            print(f"note: {found.images} images are too few to trust it; set more aside.")
    checked = "" if values.format == "saved_model" else ", equal to the SavedModel on 64 images"
    print(f"Classifier  {output}{checked}")


if __name__ == "__main__":
    main()
