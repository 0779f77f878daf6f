"""What else the classifier knows: whether an image is like its training images, and how sure it is.

What it shows: `p_real = sigmoid(logsumexp(logits))` comes for free with the method. Measured as
AUROC: how well it tells SVHN test digits from other images, beside the usual baseline, the largest
softmax probability (0.5: not at all; 1: always). And whether the probabilities can be believed:
calibration on the test images, before and after temperature scaling on validation images.

    TFDS_DATA_DIR=... python -m experiments.realness --workers=2  # trains one run each, measures
    python -m experiments.realness --table                        # only table and diagram

What is measured is the model, not a result file: without the run directories both runs are trained
again.

Cost: one run of `article` and one of `tuned` with 1,000 labels, half an hour on two cores; the
measurement itself takes a minute. Expected: AUROC of p_real against the run's own fakes 0.80
(`article`) and 0.83 (`tuned`, consistency weight 1), calibration errors from 0.07 and 0.04 down to
0.02; the tables in experiments/README.md, which this program writes.
"""

import json
from pathlib import Path

import numpy as np

from experiments.common import (
    FIGURES,
    HERE,
    RESULTS,
    Run,
    argument_parser,
    execute,
    replace_between_markers,
)

PRESETS = {"article": "", "tuned": " --consistency_weight=1"}  # and flags beside the preset's
TITLES = {"article": "`article`", "tuned": "`tuned`, consistency weight 1"}
COUNT = 2000  # images of each other kind
KINDS = {
    "generated": "images of the run's own generator",
    "house_numbers": "rendered house numbers",
    "noise": "uniform noise",
    "patches": "8 x 8 patches of 16 test digits, put together",
}


def run_of(preset: str) -> Run:
    """A run with validation images, which calibration needs."""
    flags = f"--preset={preset}{PRESETS[preset]} --labeled=1000 --validation_fraction=0.1"
    return Run(f"realness-{preset}", flags, 0)


def measure(directory: Path) -> dict:
    """AUROCs and calibration of the run in `directory`."""
    import tensorflow as tf
    from scipy.special import logsumexp, softmax

    from ssgan_tf.data import label_split
    from ssgan_tf.data.load import load_named
    from ssgan_tf.inference import calibration
    from ssgan_tf.inference.evaluation import auroc
    from ssgan_tf.runs import config_file

    config = config_file.read_config(directory)
    dataset = load_named(config.dataset, config.data_dir)
    split = label_split.split_labels(config, dataset)
    validation = dataset.train.take(split.validation)
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
        "patches": patchwork(dataset.test.images, COUNT, rng),
    }
    # The scores themselves would do, but sigmoid and softmax round to 1 in float32; these do not.
    scores = {
        "p_real": lambda logits: logsumexp(logits, axis=1),
        "max_softmax": lambda logits: logits.max(axis=1) - logsumexp(logits, axis=1),
    }
    test_logits = logits_of(dataset.test.images)
    found: dict = {"auroc": {}, "images": {"test": len(dataset.test)}}
    for kind, images in others.items():
        logits = logits_of(images)
        found["images"][kind] = len(images)
        found["auroc"][kind] = {
            name: auroc(score(test_logits), score(logits)) for name, score in scores.items()
        }

    temperature = calibration.fit_temperature(logits_of(validation.images), validation.labels)
    labels = dataset.test.labels
    found["temperature"] = temperature
    found["validation_images"] = len(validation)
    for name, divisor in (("before", 1.0), ("after", temperature)):
        probabilities = softmax(test_logits / divisor, axis=1)
        bins = calibration.reliability(probabilities, labels)
        found[name] = {
            "calibration_error": calibration.expected_calibration_error(probabilities, labels),
            "log_loss": calibration.log_loss(test_logits, labels, divisor),
            "bins": [
                [int(count), float(confidence), float(accuracy)]
                for count, confidence, accuracy in zip(*bins, strict=True)
                if count
            ],
        }
    return found


def patchwork(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 32, 32, C) uint8: each of the 16 patches from the same place of another image."""
    made = np.empty((count, *images.shape[1:]), np.uint8)
    for row in range(0, 32, 8):
        for column in range(0, 32, 8):
            patch = np.s_[:, row : row + 8, column : column + 8]
            made[patch] = images[rng.integers(0, len(images), count)][patch]
    return made


def auroc_table(found: dict) -> str:
    """One row per kind of other images, two scores per preset."""
    heads = [
        f"{TITLES[preset]}, {score}"
        for preset in found
        for score in ("`p_real`", "largest softmax")
    ]
    lines = ["| SVHN test digits against | " + " | ".join(heads) + " |"]
    lines.append("|---|" + "---|" * len(heads))
    for kind, meaning in KINDS.items():
        cells = [
            f"{result['auroc'][kind][score]:.3f}"
            for result in found.values()
            for score in ("p_real", "max_softmax")
        ]
        lines.append(f"| {meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)


def calibration_table(found: dict) -> str:
    """Error and log loss before and after."""
    lines = [
        "| preset | temperature | calibration error before | after | log loss before | after |",
        "|---|---|---|---|---|---|",
    ]
    for preset, result in found.items():
        before, after = result["before"], result["after"]
        lines.append(
            f"| {TITLES[preset]} | {result['temperature']:.2f} "
            f"| {before['calibration_error']:.3f} | {after['calibration_error']:.3f} "
            f"| {before['log_loss']:.3f} | {after['log_loss']:.3f} |"
        )
    return "\n".join(lines)


def plot(found: dict, path: Path) -> None:
    """Reliability diagram: accuracy over confidence; on the diagonal one can believe it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(found), 4), dpi=110, layout="constrained")
    for axes, (preset, result) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, color in (("before", "tab:orange"), ("after", "tab:green")):
            bins = np.array([row for row in result[name]["bins"] if row[0] >= 10])
            error = result[name]["calibration_error"]
            temperature = 1.0 if name == "before" else result["temperature"]
            label = f"T = {temperature:.2f}, error {error:.3f}"
            axes.plot(bins[:, 1], bins[:, 2], "o-", color=color, markersize=4, label=label)
        axes.set(
            title=TITLES[preset].replace("`", ""),
            xlabel="confidence",
            ylabel="accuracy",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    figure.savefig(path)


def main() -> None:
    """Trains what is missing, measures, writes tables and diagram."""
    parser = argument_parser(__doc__)
    arguments = parser.parse_args()
    path = RESULTS / "realness.json"
    if not arguments.table:
        runs = {preset: run_of(preset) for preset in PRESETS}
        gone = [
            run
            for run in runs.values()
            if not (arguments.run_root / run.directory_name / "results.json").exists()
        ]
        execute(list(runs.values()), arguments.run_root, arguments.workers, again=gone)
        found = {
            preset: measure(arguments.run_root / run.directory_name) for preset, run in runs.items()
        }
        path.write_text(json.dumps(found, indent=1) + "\n")
    if not path.exists():
        for marker in ("realness", "calibration"):
            replace_between_markers(HERE / "README.md", marker, "Not measured yet.")
        return
    found = json.loads(path.read_text())
    image = "![Accuracy over confidence](figures/reliability.png)"
    replace_between_markers(HERE / "README.md", "realness", auroc_table(found))
    replace_between_markers(
        HERE / "README.md", "calibration", f"{calibration_table(found)}\n\n{image}"
    )
    plot(found, FIGURES / "reliability.png")


if __name__ == "__main__":
    main()
