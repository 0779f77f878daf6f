"""The page of a report, from what was recorded of a run; it reads and writes no file."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssgan_tf.config import Config, written
from ssgan_tf.reporting import charts, pictures
from ssgan_tf.reporting.charts import Record
from ssgan_tf.system.text import clock

if TYPE_CHECKING:
    from ssgan_tf.data.dataset import Dataset, Split
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.inference.evaluation import Evaluation

SHOWN = 16  # images in a strip


def render(
    runs: Sequence[Record],
    samples: Mapping[int, bytes],
    config: Config,
    dataset: "Dataset",
    split: "LabelSplit",
    evaluation: "Evaluation",
) -> str:
    """Makes the page.

    Args:
        runs: the run, and others whose accuracy is put beside its own.
        samples: grids of generated images as PNG files, by the step after which they were made.
        config: of the run, as all that follows.
        dataset: its data.
        split: which of its images were labeled.
        evaluation: of its classifier on the test images.

    Returns:
        HTML, whole: nothing is loaded from elsewhere.
    """
    import jinja2

    results = runs[0].results
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("ssgan_tf.reporting"), autoescape=True, trim_blocks=True
    ).get_template("report.html.j2")
    return template.render(
        title=f"{dataset.name}, {results['labeled']:,} labels",
        subtitle=f"{_method(results)}, preset {config.preset}, {results['steps']:,} steps",
        accuracy=f"{results['test_accuracy']:.1%}",
        test_images=f"{len(dataset.test):,}",
        interval=_interval(results),
        rows=[_row(run, results) for run in runs],
        charts=charts.learning(runs),
        samples=[_sample(step, content) for step, content in samples.items()],
        confusion=charts.confusion(evaluation.confusion, dataset.class_names),
        strips=_strips(dataset.test, dataset.class_names, evaluation, config.has_generator),
        classes=_classes(dataset, split, evaluation),
        balanced=_balanced(dataset, evaluation),
        facts=_facts(results),
        command=results["command"],
        configuration=sorted((name, written(v)) for name, v in config.to_dict().items()),
    )


def _method(results: dict[str, Any]) -> str:
    return "labels alone" if results["method"] == "supervised" else "semi-supervised"


def _interval(results: dict[str, Any]) -> str:
    low, high = results["test_accuracy_interval"]
    return f"{low:.1%} to {high:.1%}"


def _row(run: Record, results: dict[str, Any]) -> dict[str, str]:
    from ssgan_tf.inference.evaluation import gain_and_chance

    found = run.results
    gain, chance = gain_and_chance(results, found)
    return {
        "name": run.name,
        "method": _method(found),
        "labeled": f"{found['labeled']:,}",
        "accuracy": f"{found['test_accuracy']:.1%}",
        "interval": _interval(found),
        "difference": "" if found is results else f"{100 * gain:+.1f} ({100 * chance:.1f})",
        "steps": f"{found['steps']:,}",
        "time": clock(found["wall_seconds"]),
    }


def _sample(step: int, content: bytes) -> dict[str, str]:
    caption = f"after {step:,} steps"
    alt = f"A grid of generated images {caption}"
    return {"png": _data_url(content), "alt": alt, "caption": caption}


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _strips(
    test: "Split", names: list[str], evaluation: "Evaluation", has_generator: bool
) -> list[dict[str, Any]]:
    """Rows of test images that are worth a look; by p_real only if it was trained."""
    probabilities, p_real = evaluation.probabilities, evaluation.p_real
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    mistakes = np.flatnonzero(predicted != test.labels)

    def image(index: int, number: str) -> dict[str, Any]:
        text = names[test.labels[index]]
        if wrong := predicted[index] != test.labels[index]:
            text += f", predicted as {names[predicted[index]]}"
        return {
            "png": _data_url(pictures.png(test.images[index])),
            "id": str(test.ids[index]),
            "alt": f"Test image {test.ids[index]}: {text}",
            "caption": f"{text}; {number}",
            "wrong": wrong,
        }

    def strip(title: str, text: str, order: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        images = [image(index, f"{values[index]:.1%}") for index in order[:SHOWN]]
        return {"title": title, "text": text, "images": images}

    strips = [
        strip(
            "The most confident mistakes",
            "Wrong with the highest probability; some of the labels may be wrong themselves. "
            "Point at an image to see its name.",
            mistakes[np.argsort(-confidence[mistakes], kind="stable")],
            confidence,
        ),
        strip(
            "The least certain images",
            "The largest probability is smallest; red where the answer is wrong.",
            np.argsort(confidence, kind="stable"),
            confidence,
        ),
    ]
    if not has_generator:
        return strips
    return [
        *strips,
        strip(
            "The lowest probability of being real",
            "The number is p_real, not the probability of the class.",
            np.argsort(p_real, kind="stable"),
            p_real,
        ),
        strip(
            "The highest probability of being real",
            "The number is p_real, as above.",
            np.argsort(-p_real, kind="stable"),
            p_real,
        ),
    ]


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
                "name": "(without a label)",
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
        ("time", f"{clock(results['wall_seconds'])}, loading and evaluations included"),
        ("hardware", ", ".join(filter(None, (results["device"], results.get("precision"))))),
        ("versions", ", ".join(f"{k} {v}" for k, v in results["versions"].items())),
        ("labeled images", f"{results['train_labeled_accuracy']:.1%} classified correctly"),
    ]
    if "validation_accuracy" in results:
        facts.append(("validation images", f"{results['validation_accuracy']:.1%}"))
    if "test_accuracy_raw" in results:
        raw = f"{results['test_accuracy_raw']:.1%} of the test images; all else is of their average"
        facts.append(("the last weights", raw))
    return facts
