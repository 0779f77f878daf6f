"""Writes docs/results.md, and the table of results in the README, from what was measured.

    python -m experiments.tables

Cost: a second. The numbers are those of experiments/results.csv and experiments/curves.csv.gz
(experiments/run.py), experiments/realness.csv (experiments/realness.py) and
experiments/dropped.csv, which is kept by hand; experiments/first_command.json is the results.json
of the README's first command. The words are in experiments/results_template.md.
"""

import argparse
import csv
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scipy.stats import t as student

from experiments import records, runs, suggested
from experiments.records import HERE, Found, Row
from experiments.runs import DATA, LABELS, METHODS, RUNS, Run

ROOT = HERE.parent
NOT_YET = "Not measured yet; `python -m experiments.run --list` has the commands."
# What is reached, beside what the labels alone reach; what is not measured is left out.
HEADLINE = (
    "svhn-1000-article",
    "house_numbers-1000-article",
    "svhn-250-pooled",
    "folder-signs-1500",
    "folder-photos-10000",
)
TARGET = 0.70  # of the table of times
STEPS = (400, 1200, 2000, 4000, 8000, 12000, 16000, 20000)  # of the table of long runs


def spread(values: Iterable[float], sign: str = "") -> str:
    """Fractions as per cent, such as "75.2 ± 0.4": mean and sample standard deviation.

    One value has no deviation, none is an empty cell.

    Args:
        values: fractions.
        sign: "+" for differences.
    """
    values = [100 * value for value in values]
    if not values:
        return ""
    mean = f"{statistics.fmean(values):{sign}.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; without rows a sentence."""
    if not rows:
        return NOT_YET
    head_line, *lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([head_line, "|---" * len(head) + "|", *lines])


def table(
    found: Found,
    declared: Iterable[Run],
    what: Callable[[Run], str] = lambda run: run.what,
    part: str = "test",
) -> str:
    """One row a run that is measured: accuracy, worst seed, gain, cost and command.

    Args:
        found: the results.
        declared: the runs, in the order of the rows.
        what: the first cell.
        part: "test", or "validation" where hyper-parameters were chosen.
    """
    head = ("what", "labels", f"{part} accuracy, %", "worst seed", "gain", "seeds")
    rows = []
    for run in declared:
        values = found.values(run, f"{part}_accuracy")
        if not values:
            continue
        seconds = found.values(run, "seconds").values()
        rows.append(
            (
                what(run),
                f"{int(run.labels):,}" if run.labels != "all" else "all",
                spread(values.values()),
                spread([min(values.values())]) if len(values) > 1 else "",
                spread(found.gains(run, f"{part}_accuracy"), "+"),
                str(len(values)),
                f"{run.steps():,}",
                f"{min(seconds) / 60:.0f}",
                f"`{run.command}`",
            )
        )
    return markdown((*head, "steps", "minutes", "command"), rows)


def headline(found: Found) -> str:
    """The README's table."""
    rows = []
    for run in map(RUNS.__getitem__, HEADLINE):
        alone, reached = (
            spread(found.values(r, "test_accuracy").values()) for r in (RUNS[run.control], run)
        )
        if alone and reached:
            gain = spread(found.gains(run, "test_accuracy"), "+")
            labels = f"{int(run.labels):,}"
            rows.append((f"{DATA[run.data].title}, {run.what}", labels, alone, reached, gain))
    head = ("data", "labels", "labels alone", "with the unlabeled images", "gain")
    return markdown(head, rows)


def first_command(folder: Path = HERE) -> str:
    """How long the README's first command takes, and what it reaches, in one line.

    Args:
        folder: of first_command.json, the results.json that it left.
    """
    found = json.loads((folder / "first_command.json").read_text())
    device, minutes = found["device"].removeprefix("CPU: "), found["wall_seconds"] / 60
    return (
        f"On {device}, training takes {minutes:.0f} minutes. {found['test_accuracy']:.1%} of the "
        f"{found['test_images']:,} test images are classified correctly."
    )


def gan_terms(found: Found) -> str:
    """What the GAN terms of `pooled` add, over all draws that have both runs."""
    without = [RUNS[f"{whole}-no-gan"] for whole in runs.WHOLE]
    gains = [-100 * gain for run in without for gain in found.gains(run, "test_accuracy")]
    if len(gains) < 2:
        return NOT_YET
    mean, error = statistics.fmean(gains), statistics.stdev(gains) / len(gains) ** 0.5
    margin = error * float(student.ppf(0.975, len(gains) - 1))
    more, fewer = (sum(sign * gain > 0 for gain in gains) for sign in (1, -1))
    interval = f"{mean - margin:+.1f} to {mean + margin:+.1f}"
    return (
        f"Over the {len(gains)} draws of these four data sets, the GAN terms add {mean:+.1f} "
        f"points\n(95% interval {interval}): accuracy is higher in {more} draws, lower in {fewer}."
    )


def gan_time(found: Found) -> str:
    """The seconds of a draw without and with the GAN terms, on the same kind of processor."""
    whole, seed = RUNS["folder-signs-1500-pooled"], 2
    rows = [found.rows[name].get(seed) for name in (f"{whole.name}-no-gan", whole.name)]
    seconds = [f"{float(row['seconds']):,.0f}" for row in rows if row]
    if len(seconds) < 2:
        return NOT_YET
    return f"{seconds[0]} seconds instead of {seconds[1]} (hand signs, seed {seed}, one core)"


def labels_tables(found: Found) -> str:
    """Accuracy and gain of each method over the number of labels, on the SVHN subset."""
    accuracies, gains = [], []
    for method, (name, _) in METHODS.items():
        row = [RUNS[f"svhn-{labels}-{method}"] for labels in LABELS]
        cells = []
        for run in row:
            values = found.values(run, "test_accuracy").values()
            cells.append(f"{spread(values)} ({len(values)})" if values else "")
        if any(cells):
            accuracies.append((name, *cells))
        if any(cells) and row[0].control:
            gains.append((name, *(spread(found.gains(run, "test_accuracy"), "+") for run in row)))
    head = [f"{int(labels):,}" if labels != "all" else labels for labels in LABELS]
    first = markdown(("test accuracy, % (seeds)", *head), accuracies)
    return f"{first}\n\n{markdown(('gain over the labels alone', *head), gains)}"


def long_table(found: Found) -> str:
    """Test accuracy on the way of the long runs."""
    rows = []
    for run in runs.LONG:
        curve = {int(point["step"]): point["test_accuracy"] for point in found.curves[run.name, 0]}
        cells = [spread([float(curve[step])]) if step in curve else "" for step in STEPS]
        if curve:
            rows.append((run.what, *cells))
    return markdown(("test accuracy, %, after steps", *(f"{step:,}" for step in STEPS)), rows)


def seconds_to_target(curve: Sequence[Row]) -> tuple[float, bool]:
    """Seconds to the first evaluation at `TARGET` or above, else of the whole run; and whether."""
    for point in curve:
        if float(point["test_accuracy"]) >= TARGET:
            return float(point["wall_seconds"]), True
    return float(curve[-1]["wall_seconds"]), False


def time_table(found: Found) -> str:
    """Time to the target with 1,000 labels; the whole length of a run that never gets there."""
    rows = []
    for method in METHODS:
        run = RUNS[f"svhn-1000-{method}"]
        curves = {seed: found.curves[run.name, seed] for seed in range(run.seeds)}
        times = {
            seed: seconds_to_target(curve)
            for seed, curve in curves.items()
            if curve and curve[0]["wall_seconds"]
        }
        if times:
            cells = [
                f"{seconds:.0f} ({'' if reached else 'never, '}seed {seed})"
                for seed, (seconds, reached) in times.items()
            ]
            rows.append((run.what, ", ".join(cells)))
    return markdown(("with", f"seconds to {TARGET:.0%}"), rows)


def suggested_table(folder: Path) -> str:
    """Accuracy over the number of labels, by how the images to label were chosen."""
    values, rows = suggested.accuracies(folder), []
    for data, labels in itertools.product(suggested.DATA, suggested.BUDGETS):
        cells = {choice: values[data, labels, choice] for choice in suggested.CHOICES}
        if any(cells.values()):
            asked, drawn = cells["suggested"], cells["random"]
            gains = [asked[seed] - drawn[seed] for seed in asked if seed in drawn]
            shown = [
                f"{spread(cell.values())} ({len(cell)})" if cell else "" for cell in cells.values()
            ]
            title = runs.DATA[suggested.DATA[data]].title
            rows.append((title, str(labels), *shown, spread(gains, "+")))
    if not rows:
        return "Not measured yet: `python -m experiments.suggested`."
    return markdown(("data", "labels", *suggested.CHOICES, "suggested - random"), rows)


def dropped_table(folder: Path) -> str:
    """What was tried and is not in the program."""
    rows = []
    for row in _read(folder / "dropped.csv"):
        flag = f"`{row['flag']}`" if row["flag"] else ""
        cells = [row[name] for name in ("data", "labels", "part", "difference", "seeds")]
        rows.append((row["what"], flag, *cells, row["commit"]))
    head = ("what", "flag", "data", "labels", "images", "difference", "seeds", "commit")
    return markdown(head, rows)


def realness_tables(folder: Path) -> str:
    """How well two scores tell test digits from other images, and calibration."""
    rows = _read(folder / "realness.csv")
    kinds = ("generated", "house_numbers", "noise", "patches")
    first = [
        (RUNS[row["name"]].what, score, *(row[f"auroc_{kind}_{column}"] for kind in kinds))
        for row in rows
        for score, column in (("`p_real`", "p_real"), ("largest softmax", "max_softmax"))
    ]
    columns = ("temperature", "error_before", "error_after", "log_loss_before", "log_loss_after")
    second = [(RUNS[row["name"]].what, *(row[column] for column in columns)) for row in rows]
    return "\n\n".join(
        [
            markdown(
                (
                    "AUROC of test digits against",
                    "score",
                    "the run's own fakes",
                    "rendered house numbers",
                    "uniform noise",
                    "patches of 16 test digits",
                ),
                first,
            ),
            markdown(
                (
                    "with",
                    "temperature",
                    "calibration error before",
                    "after",
                    "log loss before",
                    "after",
                ),
                second,
            ),
        ]
    )


def document(found: Found, folder: Path = HERE) -> str:
    """The whole of docs/results.md.

    Args:
        found: the results.
        folder: of dropped.csv and realness.csv.
    """
    article = [RUNS[f"svhn-1000-{name}"] for name in ("article-control", "article")]
    parts_of_pooled = [
        run
        for whole in runs.WHOLE
        for run in (RUNS[whole], *(part for part in runs.PARTS if part.control == whole))
    ]

    def on(run: Run) -> str:
        return f"{DATA[run.data].title}: {run.what}"

    parts = {
        "headline": headline(found),
        "article": table(found, [*article, *runs.ARTICLE], on),
        "labels": labels_tables(found),
        "house_numbers": table(found, runs.HOUSE_NUMBERS),
        "photos": table(found, runs.CIFAR10),
        "folders": table(found, runs.FOLDER_RUNS, on),
        "candidates": table(found, runs.CANDIDATES, on, part="validation"),
        "parts": table(found, parts_of_pooled, on),
        "gan_terms": gan_terms(found),
        "gan_time": gan_time(found),
        "controls": table(found, runs.CONTROLS, part="validation"),
        "ablation": table(found, [article[1], *runs.ABLATION]),
        "long": long_table(found),
        "time": time_table(found),
        "realness": realness_tables(folder),
        "suggested": suggested_table(folder),
        "dropped": dropped_table(folder),
    }
    text = (HERE / "results_template.md").read_text()
    for name, body in parts.items():
        text = text.replace(f"{{{{{name}}}}}", body)
    return text


def write(folder: Path = HERE, root: Path = ROOT, figures: bool = True) -> None:
    """Writes all that follows from the results.

    Args:
        folder: of results.csv and the other files that are read.
        root: docs/results.md and README.md are below it.
        figures: whether the figures are drawn, too.
    """
    found = Found(records.read_results(folder), records.read_curves(folder))
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "results.md").write_text(document(found, folder))
    replace_block(root / "README.md", "results", headline(found))
    replace_block(root / "README.md", "first command", first_command(folder))
    if figures:
        from experiments import figures as drawing  # matplotlib takes a second

        drawing.draw(found, suggested.accuracies(folder), folder / "figures")


def replace_block(path: Path, marker: str, text: str) -> None:
    """Puts generated text between `<!-- marker -->` and `<!-- end marker -->` of a file."""
    start, end = f"<!-- {marker} -->", f"<!-- end {marker} -->"
    text_before = path.read_text() if path.exists() else ""
    if text_before.count(start) != 1 or end not in text_before:
        sys.exit(f"{path}: needs {start} once, and {end} after it.")
    before, rest = text_before.split(start)
    indent = before[before.rfind("\n") + 1 :]  # a marker in a list stands in its column
    path.write_text(f"{before}{start}\n{indent}{text.strip()}\n{indent}{end}{rest.split(end)[1]}")


def _read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file, strict=True)
        rows = [(reader.line_num, row) for row in reader]
    for line, row in rows:
        if None in row or None in row.values():
            sys.exit(
                f"{path}, line {line}: not {len(reader.fieldnames or ())} cells, as in the first "
                'line; put "..." around a cell with a comma.'
            )
    return [row for _, row in rows]


def main() -> None:
    """The command line, which has no flags."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    write()


if __name__ == "__main__":
    main()
