import json
import math
import shutil
from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.runs.results import read_metrics, read_results, write_metrics


def test_a_broken_metrics_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch\nx,y\n")
    with pytest.raises(UserError, match=r"metrics\.csv"):
        read_metrics(tmp_path, 10)


def test_metrics_beyond_the_checkpoint_are_dropped_on_reading(tmp_path: Path) -> None:
    rows = [{"step": step, "epoch": step // 10, "test_accuracy": 0.5} for step in (10, 20, 30)]
    write_metrics(tmp_path, rows)
    found = read_metrics(tmp_path, last_step=20)
    assert [row["step"] for row in found] == ["10", "20"]
    assert found[0]["validation_accuracy"] == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("test_accuracy", 7),
        ("test_accuracy", True),
        ("train_labeled_accuracy", -0.1),
        ("validation_accuracy", "high"),
        ("test_accuracy_raw", math.nan),
        ("wall_seconds", math.nan),
        ("wall_seconds", math.inf),
        ("steps", -1),
        ("test_images", 0),
        ("train_images", 10**400),
        ("test_accuracy_interval", [True, False]),
        ("test_accuracy_interval", [0.2, math.nan]),
        ("test_accuracy_interval", [0.3, 0.2]),
        ("test_accuracy_interval", [0.3]),
        ("command", 'python -m ssgan_tf.train --data_dir="a b'),
        ("versions", "2.21"),
        ("balanced_accuracy", 1.5),
        ("recall", [0.5]),
        ("recall", {"3": 7}),
        ("recall", {"3": "high"}),
        ("test_ids_digest", 7),
    ],
)
def test_an_edited_results_file_is_named_with_the_field(
    field: str, value: object, run: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(run / "results.json", tmp_path))
    assert read_results(tmp_path)["steps"] == 6
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(UserError) as error:
        read_results(tmp_path)
    for word in (str(path), repr(field), "restore the original file"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interval_that_ends_at_none_or_all_is_a_good_one(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(run / "results.json", tmp_path))
    interval = {"test_accuracy_interval": [-1e-17, 1 + 2e-16]}  # as rounding leaves it
    path.write_text(json.dumps(json.loads(path.read_text()) | interval))
    assert len(read_results(tmp_path)["test_accuracy_interval"]) == 2
