"""Suggests which images should get a label next, and which labels to check.

    python -m ssgan_tf.suggest --run_dir=RUN --n=50
    python -m ssgan_tf.suggest --dataset=folder:my_images     # the very first labels

Writes `suggestions.csv` and `suggestions.html`, with a run into its directory.
"""

import os
import re
import sys
from pathlib import Path

from absl import logging

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.inference.suggestion import STRATEGIES
from ssgan_tf.runs import finished_run, pool, suggestions
from ssgan_tf.system import streams
from ssgan_tf.system.files import check_place

_, CHECKPOINT, DATA_DIR = RUN_FLAGS
FLAGS = (
    Flag("run_dir", "", "A run: suggests from its unlabeled images, by its classifier."),
    Flag("dataset", "", "Without a run: folder:PATH, or a data set of TensorFlow Datasets."),
    Flag("n", 50, "How many images to suggest.", minimum=1, maximum=100_000),
    Flag(
        "strategy",
        "auto",
        "Typical images, uncertain ones, or any; auto: typical with few labels, else uncertain.",
        choices=STRATEGIES,
    ),
    Flag(
        "features",
        pool.FEATURES[0],
        "Without a run: colors and edges, in seconds, or what a GAN sees that is trained without "
        "labels for some minutes.",
        choices=pool.FEATURES,
    ),
    Flag(
        "folds",
        3,
        "Labels are checked in this many parts, each by the labels of the others.",
        minimum=2,
    ),
    Flag("seed", 0, "Another seed gives other clusters and random images.", minimum=0),
    Flag("output_dir", "", "Where to write; empty: into the run, else suggestions/NAME."),
    CHECKPOINT,
    DATA_DIR,
)


def suggest_images(
    run_dir: str = "",
    dataset: str = "",
    n: int = 50,
    strategy: str = "auto",
    features: str = pool.FEATURES[0],
    folds: int = 3,
    seed: int = 0,
    output_dir: str = "",
    checkpoint: str = "last",
    data_dir: str = "",
) -> suggestions.Written:
    """Suggests images of a run, or of a data set without one; see `FLAGS`.

    Raises:
        UserError: if not exactly one of `run_dir` and `dataset` is given, the data is not there,
            or there is no image without a label.
    """
    if not run_dir and not dataset:
        raise UserError(
            "--run_dir: is missing; give a run, or for the very first labels "
            f"--dataset={FOLDER}PATH."
        )
    if run_dir and dataset:
        raise UserError(
            f"--dataset={dataset}: the run has a data set; give either --run_dir or --dataset."
        )
    if dataset and strategy == "uncertain":
        raise UserError(
            "--strategy=uncertain: needs the classifier of a run; give --run_dir, or "
            "--strategy=typical."
        )
    output = _output(run_dir, dataset, output_dir)
    if run_dir:
        finished_run.read_config(expand_user(run_dir))
    check_place(f"--output_dir={output}", output)
    if run_dir:
        images = pool.pool_of_run(expand_user(run_dir), checkpoint, data_dir)
    else:
        config = Config(dataset=dataset, data_dir=data_dir, seed=seed)
        images = pool.pool_of_dataset(config, features)
    found = suggestions.choose(images, n, strategy, folds, seed)
    return suggestions.write(output, images, found, run_dir)


def _output(run_dir: str, dataset: str, output_dir: str) -> Path:
    if output_dir or run_dir:
        return expand_user(output_dir or run_dir)
    name = dataset
    if is_folder(dataset):
        name = os.path.basename(os.path.abspath(expand_user(dataset.removeprefix(FOLDER))))
    return Path("suggestions") / re.sub(r"[^\w.]+", "_", name).strip("._")


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.suggest"
    description = "Suggests which images should get a label next, and which labels to check."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        for name, unused_with, why in (
            ("features", "run_dir", "a run has its own classifier"),
            ("checkpoint", "dataset", "there is no run"),
        ):
            if values[name].present and values[unused_with].value:
                raise UserError(
                    f"--{name}={values[name].value}: has no effect with --{unused_with}, as {why}; "
                    "leave it out."
                )
        written = suggest_images(**{flag.name: values[flag.name].value for flag in FLAGS})
    print(f"Page:     {written.page}\nTable:    {written.table}")
    if written.suspicious:
        print(f"Check:    labels that may be wrong, in {written.suspicious}")
    print(f"Next:     {written.command}")
    if written.train:
        print(f"Then:     {written.train}")


if __name__ == "__main__":
    main()
