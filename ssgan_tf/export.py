"""Exports the classifier of a run, as a SavedModel, for TFLite or as ONNX.

    python -m ssgan_tf.export --run_dir=RUN --output=DIR --calibrate

A run has its `saved_model/` already; this makes another, of any checkpoint, in any format; with
`--calibrate` its probabilities are calibrated on the run's validation images.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data import labels_json
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs import finished_run
from ssgan_tf.system import errors, streams
from ssgan_tf.system.files import check_place, output_named

if TYPE_CHECKING:
    from ssgan_tf.inference.calibration import Calibration

FORMATS = ("saved_model", "tflite", "onnx")
FEW_IMAGES = 100  # a temperature fitted on fewer is hardly more than noise


def export_run(
    directory: Path,
    output: Path,
    calibrate: bool = False,
    checkpoint: str = "last",
    data_dir: str = "",
    form: str = "saved_model",
) -> "Calibration | None":
    """Writes the classifier of a run into a new directory.

    Args:
        directory: of the run.
        output: must not exist yet.
        calibrate: fit a temperature on the run's validation images and store it in the model.
        checkpoint: a step, or "last".
        data_dir: where TFDS keeps the data, or the folder of images is, now; empty: where it was
            in training. Needed for `calibrate`, and for runs of earlier versions.
        form: one of `FORMATS`; TFLite and ONNX contain only the classifier (`convert.convert`).

    Returns:
        What was fitted, if anything.

    Raises:
        UserError: if the directory is not a run with a checkpoint, its data has changed, `output`
            is there, or there are no validation images to calibrate on.
    """
    config = finished_run.read_config(directory)
    _check_output(output, form)
    found = None
    if calibrate:
        _check_validation(directory / "labels.json")
        run = finished_run.load(directory, checkpoint, data_dir)
        found = _calibrate(run)
        state, class_names = run.state, run.dataset.class_names
    else:
        _, class_names, state = finished_run.load_models(directory, checkpoint, data_dir)
    import tensorflow as tf

    from ssgan_tf.inference import convert, saved_model

    classifier, generator = state.classifier, state.generator
    temperature = found.temperature if found else 1.0
    # Written aside and then renamed: whatever is at `output` is whole.
    flag = f"--output={output}"
    with output_named(flag):
        output.parent.mkdir(parents=True, exist_ok=True)
    with output_named(flag), tempfile.TemporaryDirectory("", ".export-", output.parent) as aside:
        made = Path(aside) / "saved_model"
        try:
            saved_model.save(made, classifier, generator, class_names, temperature, config.fit)
        except tf.errors.OpError as error:
            raise UserError(f"{flag}: cannot be written ({errors.cause(error)}).") from error
        if form != "saved_model":
            original, made = made, Path(aside) / form
            images = convert.images_to_check(config.image_size, state.channels, generator)
            convert.convert(original, form, made, images)
        made.rename(output)
    return found


def _check_output(output: Path, form: str) -> None:
    """Raises `UserError`, before the seconds that follow, where it cannot be written."""
    if os.path.exists(output):  # Path.exists() fails if a name is too long
        raise UserError(f"--output={output}: is there already; give a new directory.")
    if (ending := output.suffix.lower()) in (".tflite", ".onnx"):
        hint = "" if ending == f".{form}" else f", and give --format={ending[1:]}"
        raise UserError(
            f"--output={output}: would be a directory, which holds model{ending} and the names of "
            f"the classes; leave out {output.suffix}{hint}."
        )
    check_place(f"--output={output}", output)


def _check_validation(labels: Path) -> None:
    """Raises `UserError` where a run with this labels.json has set no images aside."""
    from ssgan_tf.inference import calibration

    if not (labels.exists() and labels_json.has_validation(labels)):
        raise UserError(
            "--calibrate: the run has no validation images to calibrate on; train with "
            "--validation_fraction=0.1, which is a tenth of the labeled images of a folder, or "
            f"with valid/ in the folder. It needs at least {calibration.LEAST_IMAGES} images."
        )


def _calibrate(run: finished_run.FinishedRun) -> "Calibration":
    """Fits a temperature on the validation images of a run."""
    from ssgan_tf.inference import calibration
    from ssgan_tf.inference.evaluation import Evaluator

    if len(run.split.validation) < calibration.LEAST_IMAGES:
        raise UserError(
            f"--calibrate: the run has {len(run.split.validation)} validation images, too few for "
            f"a temperature; it needs at least {calibration.LEAST_IMAGES}, better a few hundred."
        )
    validation = run.dataset.train.take(run.split.validation)
    found = Evaluator(run.state.classifier, "moving", run.config.batch_size)(validation)
    return calibration.calibrate(found.logits, found.labels)


FLAGS = (
    *RUN_FLAGS,
    Flag("output", None, "The directory to write; it must not exist."),
    Flag(
        "format",
        "saved_model",
        "Format of the model; onnx needs more packages.",
        choices=FORMATS,
    ),
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
            print("note: a temperature of so few images cannot be trusted; set more aside.")
    checked = "" if values.format == "saved_model" else ", equal to the SavedModel on 64 images"
    print(f"Classifier  {output}{checked}")


if __name__ == "__main__":
    main()
