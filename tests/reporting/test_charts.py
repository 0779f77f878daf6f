import csv
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager

from ssgan_tf.inference.evaluation import Evaluation
from ssgan_tf.reporting import chart_text, charts, pictures
from ssgan_tf.reporting.charts import Record
from ssgan_tf.runs import results

COUNTS = np.array([[3, 1], [0, 2]])


@pytest.fixture(autouse=True)
def _glyphs_are_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Own fonts alone, and a missing glyph, a legend of nothing, a squeezed chart are errors."""
    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    chart_text._fonts_with.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def record(directory: Path, steps: int = 9) -> Record:
    return Record(directory.name, {"steps": steps}, results.read_metrics(directory, steps))


def write(directory: Path, steps: list[int], **columns: list) -> Record:
    """A run's metrics."""
    directory.mkdir(exist_ok=True)
    rows = [
        {"step": step, **{name: values[index] for name, values in columns.items()}}
        for index, step in enumerate(steps)
    ]
    results.write_metrics(directory, rows)
    return record(directory, 100)


def texts(svg: str) -> list[str]:
    return [re.sub(r"<.*?>", "", found) for found in re.findall(r"<text.*?</text>", svg, re.S)]


def test_a_confusion_matrix_with_names_that_look_like_formulas() -> None:
    names = ["$a$ <b>", r"50\$ & _{"]
    chart = charts.confusion(COUNTS, names)
    shown = texts(chart["svg"])
    assert shown.count("$a$ &lt;b&gt;") == 2 and shown.count(r"50\$ &amp; _{") == 2
    assert chart["caption"].endswith(f"mistake: {names[0]} predicted as {names[1]}, 1 times.")
    assert {"75", "25", "0", "100"} <= set(shown)


def test_a_confusion_matrix_has_numbers_for_letters_that_no_font_has() -> None:
    chart = charts.confusion(COUNTS, ["猫", "犬"])
    assert "猫" not in chart["svg"]
    assert chart["caption"].endswith("In the chart: 0 = 猫; 1 = 犬.")


def test_the_picture_has_no_boxes() -> None:
    labels = np.arange(2)
    logits = np.eye(2, dtype=np.float32)
    found, plain = (
        pictures.confusion_matrix(Evaluation(labels, logits), names)
        for names in (["猫", "犬"], ["0", "1"])
    )
    # The ticks are the numbers', the names of the axes say that they are numbers.
    np.testing.assert_array_equal(found[60:540, 70:90], plain[60:540, 70:90])
    assert found.shape == plain.shape and not np.array_equal(found, plain)


@pytest.mark.parametrize("content", [None, "", "step,epoch\n", ",".join(results.METRICS_COLUMNS)])
def test_without_metrics_there_are_no_curves(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "metrics.csv").write_text(content)
    assert charts.learning([record(tmp_path)]) == []
    other = write(tmp_path / "other", [1, 2], test_accuracy=[0.1, 0.2], loss_generator=[1, 2])
    both = charts.learning([record(tmp_path), other])
    assert len(both) == 1 and "other" in texts(both[0]["svg"])


def test_one_row_is_a_point_and_a_missing_value_a_gap(tmp_path: Path) -> None:
    run = write(tmp_path, [5], test_accuracy=[0.5], loss_generator=[""], loss_supervised=["?"])
    accuracy = charts.learning([run])
    assert len(accuracy) == 1 and "<use" in accuracy[0]["svg"]
    marks = accuracy[0]["svg"].count("<use")
    run = write(tmp_path, [5, 6], test_accuracy=[0.5, 0.6], loss_generator=["", 2.0])
    accuracy, losses = charts.learning([run])
    assert accuracy["svg"].count("<use") < marks + 10
    assert "generator" in texts(losses["svg"]) and "supervised" not in texts(losses["svg"])


def test_curves_are_named_by_their_runs_whatever_the_name(tmp_path: Path) -> None:
    names = ["$x$ & <y>", "_hidden", r"a\$b"]
    runs = [write(tmp_path / name, [1, 2], test_accuracy=[0.1, 0.2]) for name in names]
    chart = charts.learning(runs)[0]
    assert {"$x$ &amp; &lt;y&gt;", "_hidden", r"a\$b"} <= set(texts(chart["svg"]))
    runs.append(write(tmp_path / "実験", [1, 2], test_accuracy=[0.1, 0.2]))
    chart = charts.learning(runs)[0]
    assert {"1", "2", "3", "4"} <= set(texts(chart["svg"]))
    assert "4 = 実験" in chart["caption"]


def test_a_metrics_file_is_read_by_name_of_its_columns(tmp_path: Path) -> None:
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["loss_generator", "step"], [1.5, 1], [1.0, 2]])
    chart = charts.learning([record(tmp_path)])
    assert [texts(found["svg"])[-1] for found in chart] == ["generator"]


def test_a_run_and_its_control_are_called_by_what_they_are() -> None:
    semi, alone = ({"method": method} for method in ("semi_supervised", "supervised"))
    a, b = (Record(name, results, []) for name, results in (("a", semi), ("b", alone)))
    assert charts.run_names([a, b]) == ["this run", "labels alone"]
    assert charts.run_names([b, a]) == ["this run", "with unlabeled"]
    assert charts.run_names([a, Record("b", semi, [])]) == ["a", "b"]
