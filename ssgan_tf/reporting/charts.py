"""Charts: the confusion matrix, and curves over steps as SVG in the ink of the report's page."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssgan_tf.reporting import chart_text
from ssgan_tf.runs.results import METRICS_COLUMNS, read_metrics
from ssgan_tf.system import streams

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND = 60  # letters in a line of a legend
MOST_NAMES = 20  # classes; beyond that neither names nor numbers can be read
_INK = "#010203"  # stands for the page's own ink, light or dark
_COLORS = ("#d1495b", "#3a7ca5", "#6a994e", "#9d6b9e", "#e09f3e", "#7f7f7f")
Chart = dict[str, str]  # "svg", and "caption" in plain text


def draw_confusion(axes: "Axes", counts: np.ndarray, names: Sequence[str]) -> str:
    """Draws what images show (rows) and what they were taken for (columns).

    Args:
        axes: to draw on.
        counts: (K, K) int.
        names: of the K classes.

    Returns:
        Which number in the chart stands for which class; empty where their names are drawn.
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))  # of each class
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="shows")
    if len(names) > MOST_NAMES:
        return ""
    texts, style, key = chart_text.labels(names)
    rotation = 45 if max(map(streams.width, texts)) > 2 else 0
    axes.set_xticks(range(len(names)), texts, rotation=rotation, **style)
    axes.set_yticks(range(len(names)), texts, **style)
    for row, column in np.ndindex(shares.shape):
        text, shade = f"{100 * shares[row, column]:.0f}", shares[row, column]
        color = "white" if shade > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=color, size=8)
    return key


def confusion(counts: np.ndarray, names: Sequence[str]) -> Chart:
    """The confusion matrix, (K, K) int, of the classes `names`."""
    figure = _figure(5, 4.6)
    key = draw_confusion(figure.add_subplot(), counts, names)
    caption = "Percent of the images of each class (rows)."
    wrong = counts - np.diag(np.diag(counts))
    shows, taken = np.unravel_index(np.argmax(wrong), wrong.shape)
    if wrong.any():
        caption += (
            f" The most frequent mistake: {names[shows]} taken for {names[taken]}, "
            f"{wrong[shows, taken]:,} times."
        )
    return {"svg": _svg(figure, "Confusion matrix"), "caption": _with_key(caption, key)}


def run_names(runs: Sequence[tuple[Path, dict[str, Any]]]) -> list[str]:
    """How runs are called in a chart: a run and its control by what they are, else by directory."""
    methods = [results.get("method") for _, results in runs]
    if len(runs) == 2 and methods[0] != methods[1]:
        return ["this run", "labels alone" if methods[1] == "supervised" else "with unlabeled"]
    return [path.absolute().name for path, _ in runs]


def learning(runs: Sequence[tuple[Path, dict[str, Any]]]) -> list[Chart]:
    """Accuracy over steps of all runs, losses of the first; none where nothing was recorded.

    Args:
        runs: their directories, whose `metrics.csv` is read, and what their `results.json` hold.
    """
    tables = [read_metrics(path, results["steps"]) for path, results in runs]
    names = run_names(runs) if len(runs) > 1 else ["test"]
    lines = [
        (name, _column(rows, "step"), 100 * _column(rows, "test_accuracy"))
        for name, rows in zip(names, tables, strict=True)
    ]
    if len(runs) == 1:
        train = 100 * _column(tables[0], "train_labeled_accuracy")
        lines.append(("labeled images", _column(tables[0], "step"), train))
    charts = _curves(
        lines,
        "Accuracy over steps",
        "accuracy, %",
        "Accuracy after each epoch; nothing was chosen by it.",
    )
    losses = [name for name in METRICS_COLUMNS if name.startswith("loss_")]
    return charts + _curves(
        [
            (
                name.removeprefix("loss_").replace("_", " "),
                _column(tables[0], "step"),
                _column(tables[0], name),
            )
            for name in losses
        ],
        "Losses over steps",
        "loss, mean of the epoch",
        "The losses.",
    )


def _column(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    """(N,) float64; NaN where there is no number."""

    def number(text: str | None) -> float:
        try:
            return float(text or "nan")
        except ValueError:
            return np.nan

    return np.array([number(row.get(name)) for row in rows], np.float64)


def _curves(
    lines: Sequence[tuple[str, np.ndarray, np.ndarray]], title: str, unit: str, caption: str
) -> list[Chart]:
    """One chart of the lines (name, x, y) that have a point, or none."""
    lines = [line for line in lines if np.isfinite(line[2]).any()]
    if not lines:
        return []
    figure = _figure(5, 3.2)
    axes = figure.add_subplot()
    for index, (_, steps, values) in enumerate(lines):
        alone = np.isfinite(values).sum() == 1  # a line needs two
        style = {"marker": "o" if alone else "", "linestyle": "--" if index % 2 else "-"}
        axes.plot(steps, values, color=_COLORS[index % len(_COLORS)], **style)
    axes.set(xlabel="steps", ylabel=unit)
    axes.grid(alpha=0.3)
    texts, style, key = chart_text.labels([name for name, _, _ in lines], first=1)
    # As texts of the legend, since matplotlib leaves out lines whose name begins with "_".
    columns = max(1, _LEGEND // (max(map(streams.width, texts)) + 6))
    legend = figure.legend(
        axes.get_lines(),
        list(map(str, range(len(lines)))),
        loc="outside upper left",  # above the chart: no curve is covered
        ncols=columns,
        frameon=False,
    )
    for text, name in zip(legend.get_texts(), texts, strict=True):
        text.set(text=name, **style)
    return [{"svg": _svg(figure, title), "caption": _with_key(caption, key)}]


def _with_key(caption: str, key: str) -> str:
    return f"{caption} In the chart: {key}." if key else caption


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def _svg(figure: "Figure", title: str) -> str:
    """The figure as an element of the page, in the page's ink, with a title for screen readers."""
    import matplotlib

    for axes in figure.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=_INK)
        for spine in axes.spines.values():
            spine.set_color(_INK)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_color(_INK)
    for text in (text for legend in figure.legends for text in legend.get_texts()):
        text.set_color(_INK)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
