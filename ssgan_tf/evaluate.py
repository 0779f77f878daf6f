"""Evaluates the classifier of a run.

    python -m ssgan_tf.evaluate --run_dir=RUN

Prints a table and writes `evaluation_PART.json` and `confusion_PART.png` into the run directory.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs import finished_run
from ssgan_tf.system import streams
from ssgan_tf.system.files import write_json
from ssgan_tf.system.text import counted, display_width, padded

if TYPE_CHECKING:
    import numpy as np

PARTS = ("test", "train_labeled", "train_unlabeled", "validation")


def evaluate_run(
    directory: Path,
    part: str = "test",
    checkpoint: str = "last",
    data_dir: str = "",
    write: bool = True,
) -> dict[str, Any]:
    """Measures how good the classifier of a run is on one part of its data.

    Args:
        directory: of the run.
        part: one of `PARTS`. The labels of "train_unlabeled" are used here, for the first time.
        checkpoint: a step, or "last".
        data_dir: where TFDS keeps the data now; empty: where it was in training.
        write: the JSON and the picture into the run directory.

    Returns:
        What the JSON file holds; accuracies are fractions.

    Raises:
        UserError: if it is not a run, or has no such checkpoint or part.
    """
    config, dataset, split, state = finished_run.load(directory, checkpoint, data_dir)
    from ssgan_tf.inference.evaluation import Evaluator, realness_auroc
    from ssgan_tf.reporting import pictures

    indices = {
        "train_labeled": split.labeled,
        "train_unlabeled": split.unlabeled[dataset.train.labels[split.unlabeled] >= 0],
        "validation": split.validation,
    }
    images = dataset.test if part == "test" else dataset.train.take(indices[part])
    if not len(images):
        remedy = "; train with --validation_fraction=0.1" if part == "validation" else ""
        raise UserError(f"--split={part}: the run has no such images whose class is known{remedy}.")
    found = Evaluator(state.classifier, config.bn_inference, config.batch_size)(images)
    result: dict[str, Any] = {
        "part": part,
        "images": len(images),
        "step": int(state.step),
        **found.summary(dataset.class_names),
    }
    if state.generator is not None:
        moving = found
        if config.bn_inference != "moving":
            moving = Evaluator(state.classifier, "moving", config.batch_size)(images)
        result["p_real_auroc"] = realness_auroc(
            state.classifier, state.generator, moving, config.seed
        )
    if write:
        picture = pictures.confusion_matrix(found, dataset.class_names)
        _write(directory, part, result, picture)
    return result


def _write(directory: Path, part: str, result: dict[str, Any], picture: "np.ndarray") -> None:
    """Writes both files, or says why not: the numbers are printed all the same."""
    from ssgan_tf.reporting import pictures

    numbers, matrix = directory / f"evaluation_{part}.json", directory / f"confusion_{part}.png"
    for path, write in (
        (numbers, lambda: write_json(numbers, result)),
        (matrix, lambda: pictures.save_png(matrix, picture)),
    ):
        try:
            write()
        except OSError as error:
            print(f"Not written: {path} ({error.strerror or error})")
        else:
            print(f"Written: {path}")
    print()


def table(result: dict[str, Any]) -> str:
    """The result of `evaluate_run` as text."""
    low, high = result["accuracy_interval"]
    lines = [
        f"{result['part']}: {counted(result['images'], 'image')}, step {result['step']:,}",
        "",
        f"accuracy           {result['accuracy']:.1%}  (95% interval {low:.1%} to {high:.1%})",
        f"balanced accuracy  {result['balanced_accuracy']:.1%}  (mean recall of the classes)",
        f"log loss           {result['log_loss']:.3f}",
        f"calibration error  {result['expected_calibration_error']:.3f}",
    ]
    if "p_real_auroc" in result:
        auroc = result["p_real_auroc"]
        lines.append(f"p_real, AUROC      {auroc:.3f}  (these images against generated ones)")
    width = max(5, *(display_width(row["name"]) for row in result["classes"]))
    lines += ["", f"{'class':<{width}}  {'images':>6}  {'precision':>9}  {'recall':>6}"]
    for row in result["classes"]:
        precision, recall = (
            "-" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall")
        )
        name = padded(row["name"], width)
        lines.append(f"{name}  {row['images']:>6,}  {precision:>9}  {recall:>6}")
    return "\n".join(lines)


FLAGS = (
    *RUN_FLAGS,
    Flag("split", "test", "Which of the run's images.", choices=PARTS),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.evaluate"
    description = "Evaluates the classifier of a run."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        directory = expand_user(values.run_dir)
        print(table(evaluate_run(directory, values.split, values.checkpoint, values.data_dir)))


if __name__ == "__main__":
    main()
