"""Charts: the confusion matrix, and curves over steps as SVG in the ink of the report's page."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssgan_tf.reporting import chart_text
from ssgan_tf.system.text import display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND = 60  # letters in a line of a legend
MOST_NAMES = 20  # classes; beyond that neither names nor numbers can be read
_INK = "#010203"  # stands for the page's own ink, light or dark
_COLORS = ("#d1495b", "#3a7ca5", "#6a994e", "#9d6b9e", "#e09f3e", "#7f7f7f")
Chart = dict[str, str]  # "svg", and "caption" in plain text


def draw_confusion(axes: "Axes", counts: np.ndarray, names: Sequence[str]) -> str:
    """Draws the class of images (rows) and the predicted class (columns).

    Args:
        axes: to draw on.
        counts: (K, K) int.
        names: of the K classes.

    Returns:
        Which number in the chart stands for which class; empty where their names are drawn.
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))  # of each class
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) > MOST_NAMES:
        return ""
    texts, style, key = chart_text.labels(names)
    rotation = 45 if max(map(display_width, texts)) > 2 else 0
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
    true, predicted = divmod(int(np.argmax(wrong)), len(wrong))
    if wrong.any():
        caption += (
            f" The most frequent mistake: {names[true]} predicted as {names[predicted]}, "
            f"{wrong[true, predicted]:,} times."
        )
    return {"svg": _svg(figure, "Confusion matrix"), "caption": _with_key(caption, key)}


class Record(NamedTuple):
    """What is recorded of a run.

    Attributes:
        name: of its directory.
        results: what its `results.json` holds.
        metrics: the rows of its `metrics.csv`.
    """

    name: str
    results: dict[str, Any]
    metrics: list[dict[str, str]]


def run_names(runs: Sequence[Record]) -> list[str]:
    """Names for a chart: a run and its control by their method, other runs by directory."""
    methods = [run.results.get("method") for run in runs]
    if len(runs) == 2 and methods[0] != methods[1]:
        return ["this run", "labels alone" if methods[1] == "supervised" else "with unlabeled"]
    return [run.name for run in runs]


def learning(runs: Sequence[Record]) -> list[Chart]:
    """Accuracy over steps of all runs, losses of the first; none where nothing was recorded."""
    names = run_names(runs) if len(runs) > 1 else ["test"]
    lines = [
        (name, _column(run.metrics, "step"), 100 * _column(run.metrics, "test_accuracy"))
        for name, run in zip(names, runs, strict=True)
    ]
    metrics = runs[0].metrics
    steps = _column(metrics, "step")
    if len(runs) == 1:
        train = 100 * _column(metrics, "train_labeled_accuracy")
        lines.append(("labeled images", steps, train))
    losses = [name for name in metrics[0] if str(name).startswith("loss_")] if metrics else []
    return _curves(
        lines,
        "Accuracy over steps",
        "accuracy, %",
        "Accuracy at each evaluation; nothing was chosen by it.",
    ) + _curves(
        [
            (name.removeprefix("loss_").replace("_", " "), steps, _column(metrics, name))
            for name in losses
        ],
        "Losses over steps",
        "loss",
        "The losses: means over one epoch, or over several where epochs are short.",
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
        axes.plot(
            steps,
            values,
            color=_COLORS[index % len(_COLORS)],
            marker="o" if alone else "",
            linestyle="--" if index % 2 else "-",
        )
    axes.set(xlabel="steps", ylabel=unit)
    axes.grid(alpha=0.3)
    texts, style, key = chart_text.labels([name for name, _, _ in lines], first=1)
    # As texts of the legend, since matplotlib leaves out lines whose name begins with "_".
    columns = max(1, _LEGEND // (max(map(display_width, texts)) + 6))
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
