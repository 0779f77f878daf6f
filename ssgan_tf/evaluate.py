"""Evaluates the classifier of a run.

    python -m ssgan_tf.evaluate --run_dir=RUN

Prints a table and writes `evaluation_PART.json` and `confusion_PART.png` into the run directory.
"""

import sys
from pathlib import Path
from typing import Any

from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs import finished_run
from ssgan_tf.system import streams
from ssgan_tf.system.files import write_json

PARTS = ("test", "train_labeled", "train_unlabeled", "validation")


def evaluate_run(
    directory: Path,
    part: str = "test",
    checkpoint: str = "last",
    data_dir: str = "",
    write: bool = True,
) -> dict[str, Any]:
    """Measures how good the classifier of a run is on a part of its data.

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
    run = finished_run.load(directory, checkpoint, data_dir)
    import numpy as np
    import tensorflow as tf
    from scipy.special import logsumexp, softmax

    from ssgan_tf.inference import calibration
    from ssgan_tf.inference.evaluation import Evaluator, auroc
    from ssgan_tf.runs import summaries
    from ssgan_tf.training import losses

    config, dataset, split, trainer = run
    indices = {
        "train_labeled": split.labeled,
        "train_unlabeled": split.unlabeled[dataset.train.labels[split.unlabeled] >= 0],
        "validation": split.validation,
    }
    images = dataset.test if part == "test" else dataset.train.take(indices[part])
    if not len(images):
        raise UserError(f"--split={part}: the run has no such images whose class is known.")
    found = Evaluator(trainer.classifier, config.bn_inference, config.batch_size)(images)
    probabilities = softmax(found.logits.astype(np.float64), axis=1)
    precision, recall = found.precision_and_recall
    result: dict[str, Any] = {
        "part": part,
        "images": len(images),
        "step": int(trainer.step),
        "accuracy": found.accuracy,
        "accuracy_interval": found.interval,
        "balanced_accuracy": found.balanced_accuracy,
        "log_loss": calibration.log_loss(found.logits, found.labels),
        "expected_calibration_error": calibration.expected_calibration_error(
            probabilities, found.labels
        ),
        "classes": [
            {
                "name": name,
                "images": int(np.sum(found.labels == k)),
                "precision": None if np.isnan(precision[k]) else float(precision[k]),
                "recall": None if np.isnan(recall[k]) else float(recall[k]),
            }
            for k, name in enumerate(dataset.class_names)
        ],
        "confusion": found.confusion.tolist(),
    }
    if trainer.generator is not None:
        # Both by moving averages, as p_real of the exported model is: a batch of generated images
        # alone has statistics of its own, which would tell it from real ones.
        moving = found
        if config.bn_inference != "moving":
            moving = Evaluator(trainer.classifier, "moving", config.batch_size)(images)
        z = tf.random.stateless_normal((2048, config.latent_dim), (config.seed, 0))
        fakes = [
            losses.gan_logit(
                trainer.classifier(
                    trainer.generator(part_of_z, statistics="moving"), statistics="moving"
                ).class_logits
            )
            for part_of_z in tf.split(z, 16)
        ]
        result["p_real_auroc"] = auroc(logsumexp(moving.logits, axis=1), np.concatenate(fakes))
    if write:
        write_json(directory / f"evaluation_{part}.json", result)
        picture = summaries.confusion_picture(found, dataset.class_names)
        summaries.save_png(directory / f"confusion_{part}.png", picture)
    return result


def table(result: dict[str, Any]) -> str:
    """`evaluate_run`'s result, for people."""
    low, high = result["accuracy_interval"]
    lines = [
        f"{result['part']}: {result['images']:,} images, step {result['step']:,}",
        "",
        f"accuracy           {result['accuracy']:.1%}  (95% interval {low:.1%} to {high:.1%})",
        f"balanced accuracy  {result['balanced_accuracy']:.1%}  (mean recall of the classes)",
        f"log loss           {result['log_loss']:.3f}",
        f"calibration error  {result['expected_calibration_error']:.3f}",
    ]
    if "p_real_auroc" in result:
        auroc = result["p_real_auroc"]
        lines.append(f"p_real, AUROC      {auroc:.3f}  (these images against generated ones)")
    width = max(5, *(streams.width(row["name"]) for row in result["classes"]))
    lines += ["", f"{'class':<{width}}  {'images':>6}  {'precision':>9}  {'recall':>6}"]
    for row in result["classes"]:
        precision, recall = (
            "-" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall")
        )
        name = streams.padded(row["name"], width)
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
    print(f"\nWritten: {directory}/evaluation_{values.split}.json, confusion_{values.split}.png")


if __name__ == "__main__":
    main()
