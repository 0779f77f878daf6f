import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssgan_tf import evaluate
from ssgan_tf.config import UserError
from ssgan_tf.runs import finished_run


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run directory of one's own, to be written into."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_the_test_part_has_the_accuracy_that_training_reported(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    evaluate.main(["evaluate", f"--run_dir={copy}"])
    shown = capsys.readouterr().out
    found = json.loads((copy / "evaluation_test.json").read_text())
    trained = json.loads((copy / "results.json").read_text())
    assert found["accuracy"] == trained["test_accuracy"]
    assert found["accuracy_interval"] == trained["test_accuracy_interval"]
    assert f"accuracy           {found['accuracy']:.1%}" in shown
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["images"] == 40
    assert np.trace(confusion) / 40 == pytest.approx(found["accuracy"])
    assert [row["images"] for row in found["classes"]] == confusion.sum(axis=1).tolist()
    assert found["balanced_accuracy"] == trained["balanced_accuracy"]
    recall = {row["name"]: row["recall"] for row in found["classes"]}
    assert recall == trained["recall"]
    known = [value for value in recall.values() if value is not None]
    assert found["balanced_accuracy"] == pytest.approx(sum(known) / len(known))
    assert f"balanced accuracy  {found['balanced_accuracy']:.1%}" in shown
    assert 0 <= found["p_real_auroc"] <= 1
    assert 0 <= found["expected_calibration_error"] <= 1
    assert found["log_loss"] > 0
    assert Image.open(copy / "confusion_test.png").size == (600, 600)


@pytest.mark.parametrize("part", ["train_labeled", "train_unlabeled", "validation"])
def test_other_parts_are_those_of_the_runs_label_split(part: str, run: Path) -> None:
    split = json.loads((run / "labels.json").read_text())
    labeled, validation = len(split["ids"]), len(split["validation_ids"])
    unlabeled = 96 - labeled - validation  # of the 96 training images
    images = {"train_labeled": labeled, "train_unlabeled": unlabeled, "validation": validation}
    found = evaluate.evaluate_run(run, part, write=False)
    assert found["images"] == images[part]
    results = json.loads((run / "results.json").read_text())
    if f"{part}_accuracy" in results:
        assert found["accuracy"] == results[f"{part}_accuracy"]
    assert not (run / f"evaluation_{part}.json").exists()


def test_numbers_are_printed_also_where_the_files_cannot_be_written(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    (copy / "evaluation_test.json.partial").mkdir()
    evaluate.main(["evaluate", f"--run_dir={copy}"])
    shown = capsys.readouterr().out
    assert f"Not written: {copy}/evaluation_test.json (" in shown
    assert f"\nWritten: {copy}/confusion_test.png" in shown
    assert "balanced accuracy" in shown and not (copy / "evaluation_test.json").exists()


@pytest.mark.slow
def test_an_earlier_checkpoint_is_evaluated_when_asked_for(run: Path) -> None:
    steps = sorted(int(path.stem.split("-")[1]) for path in run.glob("checkpoints/*.index"))
    assert len(steps) > 1
    first = evaluate.evaluate_run(run, checkpoint=str(steps[0]), write=False)
    last = evaluate.evaluate_run(run, write=False)
    assert (first["step"], last["step"]) == (steps[0], steps[-1])
    assert first["log_loss"] != last["log_loss"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--run_dir", "missing"]),
        (["--run_dir={tmp}"], ["--run_dir={tmp}", "no run"]),
        (["--run_dir={run}", "--split=all"], ["--split=all", "test, train_labeled"]),
        (["--run_dir={run}", "--checkpoint=77"], ["--checkpoint=77", "'last'", "3"]),
        (["--run_dir={run}", "--checkpoint=²"], ["--checkpoint=²", "'last'", "3"]),
    ],
)
def test_a_mistake_is_named(
    arguments: list[str], words: list[str], run: Path, tmp_path: Path
) -> None:
    def fill(text: str) -> str:
        return text.format(run=run, tmp=tmp_path)

    with pytest.raises(SystemExit) as error:
        evaluate.main(["evaluate", *map(fill, arguments)])
    for word in words:
        assert fill(word) in str(error.value)


def test_a_run_without_validation_images_says_how_to_get_some(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = finished_run.load(run)
    none = dataclasses.replace(found.split, validation=found.split.validation[:0])
    monkeypatch.setattr(finished_run, "load", lambda *_: found._replace(split=none))
    with pytest.raises(UserError, match=r"--split=validation: .* with --validation_fraction"):
        evaluate.evaluate_run(run, "validation", write=False)


@pytest.mark.slow
def test_real_and_generated_images_are_normalized_alike_for_the_auroc(copy: Path) -> None:
    """Also where accuracy is by the statistics of the batch: p_real of the export never is."""
    moving = evaluate.evaluate_run(copy, write=False)
    content = json.loads((copy / "config.json").read_text())
    content["config"]["bn_inference"] = "batch"
    (copy / "config.json").write_text(json.dumps(content))
    batch = evaluate.evaluate_run(copy, write=False)
    assert batch["log_loss"] != moving["log_loss"]
    assert batch["p_real_auroc"] == moving["p_real_auroc"]
