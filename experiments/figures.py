"""The figure of docs/results.md: accuracy over the number of labels."""

import statistics
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from experiments.records import Found
from experiments.runs import DATA, LABELS, METHODS, RUNS

COLORS = {
    "article-control": "tab:blue",
    "article": "tab:blue",
    "tuned-control": "tab:red",
    "tuned": "tab:red",
    "pooled-control": "tab:green",
    "pooled": "tab:green",
}


def draw(found: Found, folder: Path) -> None:
    """Writes labels.svg; the same results give the same bytes."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "ssgan_tf", "svg.fonttype": "none"}):
        labels(found).savefig(folder / "labels.svg", metadata={"Date": None})


def labels(found: Found) -> Figure:
    """Accuracy over labels, a line for each method; error bars and single runs of several seeds."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for method, (name, _) in METHODS.items():
        points = []
        for count in LABELS:
            run = RUNS[f"svhn-{count}-{method}"]
            values = [100 * value for value in found.values(run, "test_accuracy").values()]
            if values:
                x = DATA["svhn"].train_images if count == "all" else int(count)
                deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                points.append((x, statistics.fmean(values), deviation))
                if deviation:  # a bar hides one bad run among good ones
                    axes.plot([x] * len(values), values, "x", color=COLORS[method], markersize=4)
        if points:
            x, y, deviations = zip(*points, strict=True)
            axes.errorbar(
                x,
                y,
                deviations,
                label=name.replace("`", ""),
                color=COLORS[method],
                linestyle="--" if method.endswith("-control") else "-",
                marker="o",
                markersize=4,
                capsize=3,
            )
    axes.set_xscale("log")
    shown = [DATA["svhn"].train_images if count == "all" else int(count) for count in LABELS]
    axes.set_xticks(shown, [f"{x:,}" for x in shown])
    axes.minorticks_off()
    axes.set_xlabel("labeled images")
    axes.set_ylabel("test accuracy, %: mean, deviation, single runs (x)")
    data = DATA["svhn"]
    axes.set_title(
        f"{data.title}: {data.train_images:,} training, {data.test_images:,} test images"
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure
