"""What else the classifier knows: whether an image is like its training images, and how sure it is.

`p_real = sigmoid(logsumexp(logits))` comes for free with the method. Measured as AUROC: how well it
tells SVHN test digits from other images, beside the usual baseline, the largest softmax probability
(0.5: not at all; 1: always). And whether the probabilities can be believed: calibration on the test
images, before and after temperature scaling on validation images.

    TFDS_DATA_DIR=... python -m experiments.run --only='realness-*' --workers=2
    TFDS_DATA_DIR=... python -m experiments.realness       # writes realness.csv, then the tables

What is measured is the model, not its result: the run directories must be there. Cost: half an hour
for both runs, a minute for the measurement.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from experiments import tables
from experiments.records import HERE
from experiments.runs import REALNESS

COUNT = 2000  # images of each other kind


def measure(directory: Path) -> dict[str, float]:
    """AUROCs and calibration of the run in `directory`, by column of realness.csv."""
    import tensorflow as tf
    from scipy.special import logsumexp

    from ssgan_tf.data import label_split
    from ssgan_tf.data.load import load_named
    from ssgan_tf.inference import calibration
    from ssgan_tf.inference.evaluation import auroc
    from ssgan_tf.runs import config_file

    config = config_file.read_config(directory)
    dataset = load_named(config.dataset, config.data_dir)
    validation = dataset.train.take(label_split.split_labels(config, dataset).validation)
    test_images, labels = dataset.test.images[:], dataset.test.labels
    model = tf.saved_model.load(str(directory / "saved_model"))

    def logits_of(images: np.ndarray) -> np.ndarray:
        classify = model.signatures["serving_default"]
        parts = [
            classify(images=tf.constant(images[start : start + 200]))["logits"].numpy()
            for start in range(0, len(images), 200)
        ]
        return np.concatenate(parts).astype(np.float64)  # (N, K)

    rng = np.random.default_rng(0)
    z = tf.constant(rng.normal(size=(COUNT, config.latent_dim)), tf.float32)
    others = {
        "generated": model.signatures["generate"](z=z)["images"].numpy(),
        "house_numbers": load_named("house_numbers", "").test.images[:COUNT],
        "noise": rng.integers(0, 256, (COUNT, 32, 32, 3), np.uint8),
        "patches": patchwork(test_images, COUNT, rng),
    }
    # The scores themselves would do, but sigmoid and softmax round to 1 in float32; these do not.
    scores = {
        "p_real": lambda logits: logsumexp(logits, axis=1),
        "max_softmax": lambda logits: logits.max(axis=1) - logsumexp(logits, axis=1),
    }
    logits = logits_of(test_images)
    found = {}
    for kind, images in others.items():
        other = logits_of(images)
        for name, score in scores.items():
            found[f"auroc_{kind}_{name}"] = round(auroc(score(logits), score(other)), 3)
    temperature = calibration.fit_temperature(logits_of(validation.images[:]), validation.labels)
    found["temperature"] = round(temperature, 2)
    for name, divisor in (("before", 1.0), ("after", temperature)):
        probabilities = calibration.probabilities(logits, divisor)
        error = calibration.expected_calibration_error(probabilities, labels)
        found[f"error_{name}"] = round(error, 3)
        found[f"log_loss_{name}"] = round(calibration.log_loss(logits, labels, divisor), 3)
    return found


def patchwork(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 32, 32, C) uint8: each of the 16 patches from the same place of another image."""
    made = np.empty((count, *images.shape[1:]), np.uint8)
    for row in range(0, 32, 8):
        for column in range(0, 32, 8):
            patch = np.s_[:, row : row + 8, column : column + 8]
            made[patch] = images[rng.integers(0, len(images), count)][patch]
    return made


def main() -> None:
    """Measures both runs, writes realness.csv and the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_root", type=Path, default=HERE / "runs", help="run directories")
    run_root = parser.parse_args().run_root
    directories = {run.name: run_root / f"{run.name}-0" for run in REALNESS}
    for run in REALNESS:
        if not (directories[run.name] / "results.json").exists():
            sys.exit(
                f"{directories[run.name]}: holds no finished run; train it with "
                f"{run.command} --seed=0 --run_dir={directories[run.name]}"
            )
    rows = [{"name": name} | measure(directory) for name, directory in directories.items()]
    with (HERE / "realness.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    tables.write()


if __name__ == "__main__":
    main()
