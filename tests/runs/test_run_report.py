import json
import shutil
from pathlib import Path

import pytest
from test_report import Page

from ssgan_tf import evaluate
from ssgan_tf.config import UserError
from ssgan_tf.data import label_split
from ssgan_tf.runs import run_report
from ssgan_tf.runs.run_report import report_run


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run directory of one's own, to be written into."""
    return Path(shutil.copytree(run, tmp_path / "run <1> & co"))


def test_a_run_on_other_test_images_is_not_compared(copy: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    results = json.loads((other / "results.json").read_text()) | {"dataset": "cifar10/3.0.2"}
    (other / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=r"cifar10/3\.0\.2"):
        report_run(copy, [other])


def test_a_run_on_as_many_other_test_images_is_not_compared(copy: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    results = json.loads((other / "results.json").read_text()) | {"test_ids_digest": "ab" * 32}
    (other / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=r"has other test images .* do not compare[.]$"):
        report_run(copy, [other])
    for path in (copy, other):  # two rounds of labeling
        results = json.loads((path / "results.json").read_text()) | {"dataset": "folder:pets"}
        (path / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=r"do not compare[.] If the folder has no test/, .* make a"):
        report_run(copy, [other])


def test_a_report_without_curves_says_so(copy: Path) -> None:
    (copy / "metrics.csv").unlink()
    text = report_run(copy).read_text()
    assert "No curves: metrics.csv is missing or empty." in text
    assert Page(text).charts == ["Confusion matrix"]


def test_a_file_that_cannot_be_read_is_not_called_one_that_cannot_be_written(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(directory: Path) -> dict[int, bytes]:
        raise PermissionError(13, "Permission denied", str(directory / "samples/step_1.png"))

    monkeypatch.setattr(run_report, "_samples", locked)
    with pytest.raises(PermissionError, match=r"Permission denied: .*step_1\.png"):
        report_run(copy)


@pytest.mark.filterwarnings("error:Glyph")
def test_names_of_every_kind_are_text_of_the_page(copy: Path, tmp_path: Path) -> None:
    names = ["$a$ <b>", "実験", "_x", "caf\udce9"]
    others = [Path(shutil.copytree(copy, tmp_path / name)) for name in names]
    page = report_run(copy, others).read_bytes().decode("utf-8")
    for shown in ("<td>$a$ &lt;b&gt;</td>", "<td>実験</td>", r"<td>caf\udce9</td>"):
        assert shown in page
    assert "run <1>" not in page


def test_after_labels_of_test_images_were_corrected_the_accuracy_is_by_the_new_ones(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = json.loads((copy / "results.json").read_text()) | {"test_accuracy": 0.98765}
    (copy / "results.json").write_text(json.dumps(results))
    assert "98.8%" in report_run(copy).read_text()
    monkeypatch.setattr(label_split, "has_other_test_labels", lambda *_: True)
    text = report_run(copy).read_text()
    assert "98.8%" not in text
    assert f"{evaluate.evaluate_run(copy, write=False)['accuracy']:.1%}" in text
