"""The figures of docs/results.md: accuracy over the number of labels, and how they were chosen."""

import statistics
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from experiments.records import Found
from experiments.runs import DATA, LABELS, METHODS, RUNS
from experiments.suggested import BUDGETS, CHOICES, Accuracies
from experiments.suggested import DATA as SUGGESTED_DATA

COLORS = {
    "article-control": "tab:blue",
    "article": "tab:blue",
    "tuned-control": "tab:red",
    "tuned": "tab:red",
    "pooled-control": "tab:green",
    "pooled": "tab:green",
    "vgg-control": "tab:purple",
    "vgg": "tab:purple",
}
CHOICE_COLORS = dict(zip(CHOICES, ("tab:red", "tab:blue", "tab:gray"), strict=True))


def draw(found: Found, accuracies: Accuracies, folder: Path) -> None:
    """Writes labels.svg and suggested.svg; the same results give the same bytes."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "ssgan_tf", "svg.fonttype": "none"}):
        for name, figure in (("labels", labels(found)), ("suggested", suggested(accuracies))):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


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


def suggested(accuracies: Accuracies) -> Figure:
    """Accuracy over labels, a panel for each data set, a line for each way to choose them."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(SUGGESTED_DATA)), SUGGESTED_DATA, strict=True):
        for choice, color in CHOICE_COLORS.items():
            cells = {count: accuracies[data, count, choice].values() for count in BUDGETS}
            points = {x: [100 * value for value in cell] for x, cell in cells.items() if cell}
            for x, values in points.items():
                axes.plot([x] * len(values), values, "x", color=color, markersize=4)
            means = [statistics.fmean(values) for values in points.values()]
            axes.plot(list(points), means, "o-", color=color, markersize=4, label=choice)
        axes.set_xscale("log")
        axes.set_xticks(BUDGETS, [str(count) for count in BUDGETS])
        axes.minorticks_off()
        axes.set_xlabel("labeled images")
        axes.set_title(DATA[SUGGESTED_DATA[data]].title)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy, %: mean, single runs (x)")
    figure.axes[0].legend(loc="upper left")
    return figure
