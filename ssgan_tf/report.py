"""Writes a run's picture book: report.html, one file, to be read on screen and on paper.

python -m ssgan_tf.report --run_dir=RUN --compare=OTHER_RUN
"""

import base64
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from ssgan_tf.config import Config, UserError, expand_user
from ssgan_tf.flags import Flag, errors_as_sentences, parse_command
from ssgan_tf.reporting import charts
from ssgan_tf.runs import finished_run
from ssgan_tf.runs.results import read_results, same_test_images
from ssgan_tf.system import streams
from ssgan_tf.system.files import written_aside

if TYPE_CHECKING:
    from ssgan_tf.data.dataset import Dataset, Split
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.inference.evaluation import Evaluation

SHOWN = 16  # images in a strip


def write_report(
    directory: Path,
    config: Config,
    dataset: "Dataset",
    split: "LabelSplit",
    evaluation: "Evaluation",
    results: dict[str, Any],
    compare: Sequence[Path] = (),
) -> Path:
    """Writes `report.html` into the run directory.

    Args:
        directory: of the run; its `metrics.csv` and `samples/` are read.
        config: of the run.
        dataset: its data.
        split: which of its images were labeled.
        evaluation: of its classifier on the test images.
        results: what its `results.json` holds, or will hold.
        compare: other run directories, whose accuracy is put beside this one's.

    Returns:
        The path of the file.

    Raises:
        UserError: if one of the others holds no finished run.
    """
    import jinja2
    from scipy.special import expit, logsumexp, softmax

    others = [(path, read_results(path)) for path in compare]
    probabilities = softmax(evaluation.logits.astype(np.float64), axis=1)
    p_real = expit(logsumexp(evaluation.logits.astype(np.float64), axis=1))
    runs = [(directory, results), *others]
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("ssgan_tf.reporting"), autoescape=True, trim_blocks=True
    ).get_template("report.html.j2")
    page = template.render(
        title=f"{dataset.name}, {results['labeled']:,} labels",
        subtitle=f"{_method(results)}, preset {config.preset}, {results['steps']:,} steps",
        accuracy=f"{results['test_accuracy']:.1%}",
        test_images=f"{len(dataset.test):,}",
        interval=_interval(results),
        rows=[_row(path, found, results) for path, found in runs],
        charts=charts.learning(runs),
        samples=_samples(directory),
        confusion=charts.confusion(evaluation.confusion, dataset.class_names),
        strips=_strips(dataset.test, dataset.class_names, probabilities, p_real),
        classes=_classes(dataset, split, evaluation),
        balanced=_balanced(dataset, evaluation),
        facts=_facts(results),
        command=results["command"],
        configuration=sorted(config.to_dict().items()),
    )
    path = directory / "report.html"
    with written_aside(path) as partial:
        # Paths may have bytes that are not UTF-8.
        partial.write_bytes(page.encode("utf-8", "backslashreplace"))
    return path


def _method(results: dict[str, Any]) -> str:
    return "labels alone" if results["method"] == "supervised" else "semi-supervised GAN"


def _interval(results: dict[str, Any]) -> str:
    low, high = results["test_accuracy_interval"]
    return f"{low:.1%} to {high:.1%}"


def _row(path: Path, found: dict[str, Any], results: dict[str, Any]) -> dict[str, str]:
    difference = 100 * (results["test_accuracy"] - found["test_accuracy"])
    return {
        "name": path.absolute().name,
        "method": _method(found),
        "labeled": f"{found['labeled']:,}",
        "accuracy": f"{found['test_accuracy']:.1%}",
        "interval": _interval(found),
        "difference": "" if found is results else f"{difference:+.1f} points for this one",
        "steps": f"{found['steps']:,}",
        "time": _clock(found["wall_seconds"]),
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _samples(directory: Path) -> list[dict[str, str]]:
    """The first, a middle and the last grid of generated images."""
    files = sorted((directory / "samples").glob("step_*.png"))
    chosen = sorted({0, len(files) // 2, len(files) - 1}) if files else []
    samples = []
    for index in chosen:
        step = int(files[index].stem.removeprefix("step_"))
        data = base64.b64encode(files[index].read_bytes()).decode()
        caption = f"after {step:,} steps"
        samples.append(
            {
                "png": f"data:image/png;base64,{data}",
                "alt": f"A grid of generated images {caption}",
                "caption": caption,
            }
        )
    return samples


def _strips(
    test: "Split", names: list[str], probabilities: np.ndarray, p_real: np.ndarray
) -> list[dict[str, Any]]:
    """Rows of test images that are worth a look."""
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    mistakes = np.flatnonzero(predicted != test.labels)

    def image(index: int, number: str) -> dict[str, Any]:
        shows, taken = names[test.labels[index]], names[predicted[index]]
        wrong = predicted[index] != test.labels[index]
        said = f"{shows}, taken for {taken}" if wrong else shows
        return {
            "png": _png(test.images[index]),
            "alt": f"Test image {test.ids[index]}: {said}",
            "caption": f"{said}; {number}",
            "wrong": wrong,
        }

    def strip(title: str, text: str, order: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        images = [image(index, f"{values[index]:.1%}") for index in order[:SHOWN]]
        return {"title": title, "text": text, "images": images}

    return [
        strip(
            "The most confident mistakes",
            "Wrong with the highest probability; some of the labels may be wrong themselves.",
            mistakes[np.argsort(-confidence[mistakes], kind="stable")],
            confidence,
        ),
        strip(
            "The least certain images",
            "The largest probability is smallest; red where the answer is wrong.",
            np.argsort(confidence, kind="stable"),
            confidence,
        ),
        strip(
            "Least like the training images",
            "The lowest p_real = sigmoid(logsumexp(logits)).",
            np.argsort(p_real, kind="stable"),
            p_real,
        ),
        strip(
            "Most like the training images",
            "The highest p_real.",
            np.argsort(-p_real, kind="stable"),
            p_real,
        ),
    ]


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _balanced(dataset: "Dataset", evaluation: "Evaluation") -> str:
    """The balanced accuracy; empty where it is the accuracy, since all classes are as large."""
    sizes = np.bincount(evaluation.labels, minlength=dataset.num_classes)
    return "" if sizes.min() == sizes.max() else f"{evaluation.balanced_accuracy:.1%}"


def _classes(dataset: "Dataset", split: "LabelSplit", evaluation: "Evaluation") -> dict[str, Any]:
    """Images per class and part, and how well each class is recognized."""
    labels = dataset.train.labels
    parts = {
        "labeled": labels[split.labeled],
        "without their label": labels[split.unlabeled],
        "validation": labels[split.validation],
        "test": dataset.test.labels,
    }
    parts = {name: found for name, found in parts.items() if len(found)}
    precision, recall = evaluation.precision_and_recall
    rows = [
        {
            "name": name,
            "counts": [f"{np.sum(found == label):,}" for found in parts.values()],
            "recall": _share(recall[label]),
            "precision": _share(precision[label]),
        }
        for label, name in enumerate(dataset.class_names)
    ]
    if (labels < 0).any():
        rows.append(
            {
                "name": "(of no known class)",
                "counts": [f"{np.sum(found < 0):,}" for found in parts.values()],
            }
        )
    rows.append({"name": "all", "counts": [f"{len(found):,}" for found in parts.values()]})
    return {"parts": list(parts), "rows": rows}


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("data", f"{results['dataset']}: {results['train_images']:,} training images"),
        ("time", f"{_clock(results['wall_seconds'])}, loading and evaluations included"),
        ("hardware", results["device"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in results["versions"].items())),
        ("labeled images", f"{results['train_labeled_accuracy']:.1%} classified correctly"),
    ]
    if "validation_accuracy" in results:
        facts.append(("validation images", f"{results['validation_accuracy']:.1%}"))
    if "test_accuracy_raw" in results:
        raw = f"{results['test_accuracy_raw']:.1%} of the test images, without averaging"
        facts.append(("weights themselves", raw))
    return facts


def report_run(directory: Path, compare: Sequence[Path] = (), data_dir: str = "") -> Path:
    """Writes the report of a finished run again, with others beside it if there are any.

    Args:
        directory: of the run.
        compare: other run directories.
        data_dir: where TFDS keeps the data now; empty: where it was in training.

    Raises:
        UserError: if one of the directories holds no finished run, or its data is not there.
    """
    finished_run.read_config(directory)
    results, *others = [read_results(path) for path in (directory, *compare)]
    for path, other in zip(compare, others, strict=True):
        if not same_test_images(results, other):
            raise UserError(
                f"--compare={path}: has other test images ({other['dataset']}, "
                f"{other['test_images']:,}) than this run ({results['dataset']}, "
                f"{results['test_images']:,}); accuracies on them do not compare."
            )
    run = finished_run.load(directory, data_dir=data_dir)
    from ssgan_tf.inference.evaluation import Evaluator

    config, dataset, split, trainer = run
    evaluation = Evaluator(trainer.classifier, config.bn_inference, config.batch_size)(dataset.test)
    return write_report(directory, config, dataset, split, evaluation, results, compare)


def run_directories(text: str) -> list[Path]:
    """Directories with commas between, whose names may have commas, too."""
    parts, found = text.split(","), []
    while parts:
        for count in range(len(parts), 0, -1):  # as much as names a directory that is there
            path = expand_user(",".join(parts[:count]).strip())
            if count == 1 or path.is_dir():
                break
        if any(part.strip() for part in parts[:count]):
            found.append(path)
        parts = parts[count:]
    return found


FLAGS = (
    Flag("run_dir", None, "The run: what training wrote."),
    Flag("compare", "", "Other runs on the same data, such as the control; commas between."),
    Flag("data_dir", "", "Where the data is now (TFDS' directory, the folder), if it moved."),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.report"
    description = (
        "Writes a run's picture book: report.html, one file, to be read on screen and on paper."
    )
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        compare = run_directories(values.compare)
        path = report_run(expand_user(values.run_dir), compare, values.data_dir)
    print(f"Report: {path}")


if __name__ == "__main__":
    main()
