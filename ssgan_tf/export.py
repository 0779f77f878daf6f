"""Exports the classifier of a run as a SavedModel.

    python -m ssgan_tf.export --run_dir=RUN --output=DIR --calibrate

A run has its `saved_model/` already; this makes another, from the newest checkpoint, whose
probabilities are calibrated on the run's validation images.
"""

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags, logging

from ssgan_tf import label_split, run_dir
from ssgan_tf.config import Config, UserError
from ssgan_tf.device import prepare_device, quiet_start


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


def export_run(directory: Path, output: Path, calibrate: bool = False) -> Calibration | None:
    """Writes the classifier of a run's newest checkpoint as a SavedModel.

    Args:
        directory: of the run.
        output: must not be there yet.
        calibrate: fit a temperature on the run's validation images and store it in the model.

    Returns:
        What was fitted, if anything.

    Raises:
        UserError: if the directory is not a run with a checkpoint, its data has changed, `output`
            is there, or there are no validation images to calibrate on.
    """
    if not (directory / "config.json").exists():
        raise UserError(f"--run_dir={directory}: holds no run; give what a training run wrote.")
    config = Config.from_json(directory / "config.json")
    if output.exists():
        raise UserError(f"--output={output}: is there already; give a new directory.")
    if calibrate and not config.validation_fraction:
        raise UserError(
            "--calibrate: the run has no validation images to calibrate on; train with "
            "--validation_fraction=0.1."
        )
    with quiet_start():
        import tensorflow as tf

        prepare_device(config.deterministic)
    from scipy.special import softmax

    from ssgan_tf import calibration, datasets, saved_model
    from ssgan_tf.evaluate import Evaluator
    from ssgan_tf.trainer import Trainer

    checkpoint = tf.train.latest_checkpoint(str(directory / "checkpoints"))
    if checkpoint is None:
        raise UserError(f"--run_dir={directory}: has no checkpoint; train at least one epoch.")
    dataset = datasets.load(config.dataset, config.data_dir)
    trainer = Trainer(config, dataset.num_classes, dataset.channels)
    run_dir.restore(trainer.checkpoint, checkpoint)

    found = None
    if calibrate:
        split = label_split.split_labels(config, dataset)
        label_split.save(directory / "labels.json", config, dataset, split)  # or it differs
        validation = dataset.train.take(split.validation)
        evaluation = Evaluator(trainer.classifier, "moving", config.batch_size)(validation)
        logits, labels = evaluation.logits, evaluation.labels
        temperature = calibration.fit_temperature(logits, labels)
        errors = [
            calibration.expected_calibration_error(softmax(logits / t, axis=1), labels)
            for t in (1.0, temperature)
        ]
        found = Calibration(temperature, len(labels), *errors)

    # Written aside and then renamed: whatever is at `output` is whole.
    aside = output.with_name(output.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    saved_model.save(
        aside,
        trainer.classifier,
        trainer.generator,
        dataset.class_names,
        found.temperature if found else 1.0,
    )
    aside.rename(output)
    return found


def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    argv = sys.argv if argv is None else argv
    values = flags.FlagValues()
    flags.DEFINE_string("run_dir", None, "The run to export.", flag_values=values)
    flags.DEFINE_string("output", None, "The SavedModel's directory, new.", flag_values=values)
    flags.DEFINE_bool(
        "calibrate", False, "Fit a temperature on the validation images.", flag_values=values
    )
    if any(word in ("-h", "-help", "--help") for word in argv[1:]):
        usage = "usage: python -m ssgan_tf.export --run_dir=RUN --output=DIR [--calibrate]"
        meanings = [f"  --{name:<12}{values[name].help}" for name in values]
        print("\n".join([__doc__.splitlines()[0], "", usage, "", *meanings]))
        return
    try:
        try:
            rest = values(list(argv))[1:]
        except flags.Error as error:
            raise UserError(f"{error} (--help lists all flags)") from error
        if rest:
            raise UserError(f"{rest[0]!r} is not a flag; flags look like --run_dir=RUN.")
        for name in ("run_dir", "output"):
            if not values[name].value:
                raise UserError(f"--{name}: is missing; give a directory.")
        output = Path(values.output)
        found = export_run(Path(values.run_dir), output, values.calibrate)
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}.")
    if found:
        print(
            f"Temperature {found.temperature:.2f}, fitted on {found.images:,} validation images: "
            f"their calibration error was {found.error_before:.3f} and is {found.error_after:.3f}."
        )
    print(f"Classifier  {output}")


if __name__ == "__main__":
    main()
