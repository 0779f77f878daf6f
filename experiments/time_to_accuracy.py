"""How long until 70%: the article, the tuned preset, its control over wall time, 1,000 labels.

What it shows: with augmentation and a higher learning rate 70% come sooner, with and without
unlabelled images. Counted is the time from the start of the run, loading and evaluations included,
to the first evaluation (one an epoch) with at least 70% of the test images right; a run that never
gets there counts with its whole length and is marked. The test images choose nothing here: the time
is reported, and every run goes on to its last step.

    TFDS_DATA_DIR=... python -m experiments.time_to_accuracy --workers=2
    python -m experiments.time_to_accuracy --table              # only table and curves

Nothing else may run meanwhile. Two workers have one core each, so the times compare with each
other, not with those of a run that has both.

Cost: nine runs, half an hour on two cores; they are those of label_sweep.py with 1,000 labels.
Expected: medians of 301 s (`article`, which may never get there), 49 s (`tuned` with
consistency weight 1), 14 s (its control) on one core of the table's machine; the table in
experiments/README.md, which this program writes.
"""

import statistics
from pathlib import Path

from experiments.common import (
    FIGURES,
    HERE,
    argument_parser,
    execute,
    finished,
    replace_between_markers,
)
from experiments.label_sweep import NAMES, runs_of

# `tuned` with its earlier consistency weight, which was measured in one go with the other two; the
# weight changes nothing in the cost of a step.
METHODS = ("article", "tuned_weight1", "tuned_supervised")
TARGET = 0.70


def seconds_to_target(result: dict) -> tuple[float, bool]:
    """Wall seconds to the target, or the whole length of a run that never gets there; whether."""
    for _, accuracy, seconds in result["test_accuracy_curve"]:
        if accuracy >= TARGET:
            return seconds, True
    return result["wall_seconds"], False


def table() -> str:
    """Median time per method, as seconds and as a part of the article's."""
    lines = [
        f"| method | s to {TARGET:.0%}, each seed | median | share of `article`'s "
        "| whole run, s, median | on |",
        "|---|---|---|---|---|---|",
    ]
    times_of = {
        method: [seconds_to_target(result) for result in results]
        for method in METHODS
        if (results := finished(runs_of(method, "1000")))
    }
    medians = {m: statistics.median(s for s, _ in times) for m, times in times_of.items()}
    for method, times in times_of.items():
        results = finished(runs_of(method, "1000"))
        share = f"{medians[method] / medians['article']:.2f}" if "article" in medians else ""
        cells = ", ".join(f"{s:.0f}" if reached else f"{s:.0f} (never)" for s, reached in times)
        whole = statistics.median(result["wall_seconds"] for result in results)
        devices = ", ".join(sorted({result["device"].removeprefix("CPU: ") for result in results}))
        lines.append(
            f"| {NAMES[method]} | {cells} | {medians[method]:.0f} | {share} | {whole:.0f} "
            f"| {devices} |"
        )
    return "\n".join(lines)


def plot(path: Path) -> None:
    """Test accuracy over wall time, one line per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    colors = {"article": "tab:blue", "tuned_weight1": "tab:red", "tuned_supervised": "tab:grey"}
    for method in METHODS:
        results = finished(runs_of(method, "1000"))
        for index, result in enumerate(results):
            _, accuracies, seconds = zip(*result["test_accuracy_curve"], strict=True)
            axes.plot(
                [second / 60 for second in seconds],
                [100 * accuracy for accuracy in accuracies],
                color=colors[method],
                linewidth=1.2,
                label=NAMES[method].replace("`", "") if index == 0 else None,
            )
    axes.axhline(100 * TARGET, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlabel("wall time, minutes")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("SVHN subset, 1,000 labels, one line a seed")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)


def main() -> None:
    """Runs what is missing, then writes table and curves."""
    parser = argument_parser(__doc__)
    arguments = parser.parse_args()
    if not arguments.table:
        # Seed after seed: the methods alternate, so that a slow hour of the machine hits them all.
        runs = sorted(
            (run for method in METHODS for run in runs_of(method, "1000")),
            key=lambda run: run.seed,
        )
        execute(runs, arguments.run_root, arguments.workers)
    image = "![Test accuracy over wall time](figures/time_to_accuracy.png)"
    replace_between_markers(HERE / "README.md", "time", f"{table()}\n\n{image}")
    plot(FIGURES / "time_to_accuracy.png")


if __name__ == "__main__":
    main()
