"""The report of a run, `report.html`: what is on the page is read from run directories."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssgan_tf.config import Config, UserError, is_folder
from ssgan_tf.data import label_split
from ssgan_tf.runs import finished_run
from ssgan_tf.runs.results import Results, read_metrics, read_results, same_test_images
from ssgan_tf.system.files import check_place, output_named, written_aside

if TYPE_CHECKING:
    from ssgan_tf.data.dataset import Dataset
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.inference.evaluation import Evaluation


def report_of(
    directory: Path,
    config: Config,
    dataset: "Dataset",
    split: "LabelSplit",
    evaluation: "Evaluation",
    results: dict[str, Any],
    compare: Sequence[Path] = (),
) -> str:
    """The text of `report.html`.

    Args:
        directory: of the run; its `metrics.csv` and `samples/` are read.
        config: of the run, as it was trained.
        dataset: its data.
        split: which of its images were labeled.
        evaluation: of its classifier on the test images.
        results: what its `results.json` holds, or will hold.
        compare: other run directories, whose accuracy is put beside this one's.

    Raises:
        UserError: if one of the other directories holds no finished run.
    """
    from ssgan_tf.reporting import page
    from ssgan_tf.reporting.charts import Record

    runs = [
        Record(path.absolute().name, found, read_metrics(path, found["steps"]))
        for path, found in ((directory, results), *((path, read_results(path)) for path in compare))
    ]
    return page.render(runs, _samples(directory), config, dataset, split, evaluation)


def write_report(directory: Path, text: str) -> Path:
    """Writes `report.html` into the run directory, whole or not at all; returns its path."""
    path = directory / "report.html"
    with written_aside(path) as partial:
        # Paths may have bytes that are not UTF-8.
        partial.write_bytes(text.encode("utf-8", "backslashreplace"))
    return path


def _samples(directory: Path) -> dict[int, bytes]:
    """The first, a middle and the last grid of generated images: PNG files by step."""
    files = [path for path in sorted((directory / "samples").glob("step_*.png")) if path.is_file()]
    chosen = sorted({0, len(files) // 2, len(files) - 1}) if files else []
    return {
        int(files[index].stem.removeprefix("step_")): files[index].read_bytes() for index in chosen
    }


def _hint(results: Results, other: Results) -> str:
    """What may be the reason, for runs of a folder."""
    if not is_folder(results["dataset"]) or not is_folder(other["dataset"]):
        return ""
    return (
        " If the folder has no test/, labels that were given between the runs change which images "
        "are set aside: make a folder test/, and train both again."
    )


def report_run(directory: Path, compare: Sequence[Path] = (), data_dir: str = "") -> Path:
    """Writes the report of a finished run again, with other runs beside it if there are any.

    Args:
        directory: of the run.
        compare: other run directories.
        data_dir: where TFDS keeps the data now; empty: where it was in training.

    Raises:
        UserError: if one of the directories holds no finished run, or its data is not there.
    """
    trained = finished_run.read_config(directory)
    for path in compare:
        if not os.path.isdir(path):  # Path.is_dir() fails if a name is too long
            raise UserError(
                f"--compare={path}: there is no such directory; commas stand between several."
            )
    results, *others = [read_results(path) for path in (directory, *compare)]
    for path, other in zip(compare, others, strict=True):
        if not same_test_images(results, other):
            raise UserError(
                f"--compare={path}: has other test images ({other['dataset']}, "
                f"{other['test_images']:,}) than this run ({results['dataset']}, "
                f"{results['test_images']:,}); accuracies on them do not compare."
                + _hint(results, other)
            )
    check_place(f"--run_dir={directory}", directory)
    config, dataset, split, state = finished_run.load(directory, data_dir=data_dir)
    from ssgan_tf.inference.evaluation import Evaluator

    evaluation = Evaluator(state.classifier, config.bn_inference, config.batch_size)(dataset.test)
    if label_split.has_other_test_labels(directory / "labels.json", dataset):
        results |= {
            "test_accuracy": evaluation.accuracy,
            "test_accuracy_interval": evaluation.interval,
        }
    text = report_of(directory, trained, dataset, split, evaluation, results, compare)
    with output_named(f"--run_dir={directory}"):
        return write_report(directory, text)
