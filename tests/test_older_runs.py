"""Runs of earlier versions, kept as fixtures: before flags came and went.

Those named 04d6a2a have checkpoints: two are finished, two were stopped after step 7 of 12, and
`expected_metrics.csv` is what the version that began them ended with.
"""

import csv
import dataclasses
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import make_dataset
from PIL import Image
from test_report import Page

from ssgan_tf import evaluate, export, predict, report, sample
from ssgan_tf.config import Config, UserError
from ssgan_tf.data import label_split, labels_json
from ssgan_tf.inference.evaluation import Evaluation
from ssgan_tf.runs import config_file, run_dir, run_report
from ssgan_tf.runs.results import read_results, same_test_images
from ssgan_tf.runs.story import train_and_evaluate
from ssgan_tf.training.state import State

FIXTURES = Path(__file__).parent / "fixtures"
ARTICLE, TUNED = FIXTURES / "run_0_1_0_article", FIXTURES / "run_0_1_0_tuned"
WIDTHS = {"generator_width": 2, "discriminator_width": 2}


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A copy to be written into."""
    return Path(shutil.copytree(TUNED, tmp_path / "run"))


def edit_config(directory: Path, **changes: object) -> None:
    content = json.loads((directory / "config.json").read_text())
    content["config"] |= changes
    content["defaults"] = Config().to_dict() | {"gone": 3}
    (directory / "config.json").write_text(json.dumps(content))


def test_a_run_of_the_article_is_read_as_it_was() -> None:
    config = config_file.read_config(ARTICLE)
    stored = json.loads((ARTICLE / "config.json").read_text())["config"]
    kept = {name: value for name, value in stored.items() if hasattr(config, name)}
    assert {name: getattr(config, name) for name in kept} == kept
    assert stored.keys() - kept.keys() == config_file._GONE.keys()
    assert (config.augment_flip, config.balance_classes, config.cache_dir) == (False, "false", "")


def test_a_run_on_a_folder_has_its_own_values_and_not_what_folders_have_now() -> None:
    config = config_file.read_config(TUNED)
    stored = json.loads((TUNED / "config.json").read_text())["config"]
    assert stored.pop("augment_shift") == 2  # pixels of 32
    assert config.augment_shift == 2 / 32
    kept = {name: value for name, value in stored.items() if hasattr(config, name)}
    assert {name: getattr(config, name) for name in kept} == kept
    assert stored.keys() - kept.keys() == config_file._GONE.keys()
    assert (config.augment_flip, config.precision, config.batch_size) == (False, "float32", 8)
    now = Config(dataset="folder:pets")
    assert (now.augment_flip, now.precision, now.batch_size) == (True, "auto", 0)


@pytest.mark.parametrize(
    ("directory", "flags"),
    [
        (ARTICLE, {"dataset": "house_numbers", "labeled": 10, "batch_size": 8}),
        (
            TUNED,
            {
                "dataset": "folder:pets",
                "preset": "tuned",
                "labeled_batch_size": 4,
                "batch_size": 8,
                "epochs": 40,
            },
        ),
    ],
)
def test_the_command_of_an_older_run_goes_on_with_it(
    directory: Path, flags: dict, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    asked = Config(**flags, **WIDTHS, steps=2, run_dir=str(tmp_path))
    run_dir.claim(tmp_path, config_file.continued(tmp_path, asked))
    config_file.write_config(tmp_path, config_file.continued(tmp_path, asked))
    assert (tmp_path / "config.json").read_bytes() == (directory / "config.json").read_bytes()
    other = Config(**flags, **WIDTHS, steps=2, augment_shift=0.125)
    with pytest.raises(UserError, match=r"not --augment_shift=0\.125"):
        run_dir.claim(tmp_path, config_file.continued(tmp_path, other))


def test_a_flag_that_is_gone_is_ignored_where_it_had_its_default(tuned: Path) -> None:
    edit_config(tuned, gone=3)
    assert config_file.read_config(tuned) == config_file.read_config(TUNED)
    edit_config(tuned, gone=4)
    with pytest.raises(UserError, match=r"no flag --gone in this version, .* has --gone=4"):
        config_file.read_config(tuned)


def test_labels_json_does_not_name_the_classes_and_is_still_compared() -> None:
    path = ARTICLE / "labels.json"
    assert labels_json.model_facts(path) is None
    assert len(labels_json.read(path)["ids"]) == 10


@pytest.mark.parametrize("directory", [ARTICLE, TUNED])
def test_results_have_no_recall_and_no_digest_and_still_make_a_report(
    directory: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(directory, tmp_path / "run"))
    results = read_results(run)
    assert not {"recall", "balanced_accuracy", "test_ids_digest"} & results.keys()
    dataset = make_dataset(train=40, test=20)
    labels = dataset.test.labels
    evaluation = Evaluation(labels, np.eye(10, dtype=np.float32)[labels])
    split = label_split.split_labels(Config(labeled=10), dataset)
    other = [run] if directory == ARTICLE else []
    config = config_file.read_config(run)
    text = run_report.report_of(run, config, dataset, split, evaluation, results, compare=other)
    run_report.write_report(run, text)
    page = Page((run / "report.html").read_text())
    assert page.charts == ["Accuracy over steps", "Losses over steps", "Confusion matrix"]


def test_an_older_and_a_newer_run_are_compared_by_name_and_number() -> None:
    old = read_results(ARTICLE)
    assert same_test_images(old, old | {"test_ids_digest": "ab"})
    assert not same_test_images(old, old | {"test_ids_digest": "ab", "test_images": 21})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("preset", [pytest.param("article", marks=pytest.mark.slow), "tuned"])
def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_to_the_same_end(
    preset: str, data_dir: str, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(FIXTURES / f"run_04d6a2a_{preset}_stopped", directory)
    config = config_file.read_config(directory)
    results = train_and_evaluate(
        dataclasses.replace(config, data_dir=data_dir, run_dir=str(directory))
    )
    expected, found = (
        rows_of(directory / "expected_metrics.csv"),
        rows_of(directory / "metrics.csv"),
    )
    assert [row["step"] for row in found] == [row["step"] for row in expected] == ["4", "8", "12"]
    for row, then in zip(found, expected, strict=True):
        # One step after the checkpoint, and five, through which other rounding grows.
        near = 1e-3 if row["step"] == "8" else 0.02
        for name in (name for name in then if name.startswith("loss_") and then[name]):
            assert float(row[name]) == pytest.approx(float(then[name]), rel=near), name
    assert results["test_accuracy"] == pytest.approx(float(expected[-1]["test_accuracy"]), abs=0.1)


@pytest.fixture(params=[pytest.param("supervised", marks=pytest.mark.slow), "tuned"])
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy to be written into."""
    return Path(shutil.copytree(FIXTURES / f"run_04d6a2a_{request.param}", tmp_path / "run"))


def test_a_finished_run_is_evaluated_exported_sampled_and_reported(
    finished: Path, data_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    where = [f"--run_dir={finished}", f"--data_dir={data_dir}"]
    evaluate.main(["evaluate", *where])
    then = read_results(finished)
    found = json.loads((finished / "evaluation_test.json").read_text())
    assert found["accuracy"] == pytest.approx(then["test_accuracy"], abs=0.026)  # one of 40 images

    export.main(["export", f"--run_dir={finished}", f"--output={tmp_path / 'exported'}"])
    assert (tmp_path / "exported" / "saved_model.pb").is_file()
    report.main(["report", *where])
    assert Page((finished / "report.html").read_text()).charts[-1] == "Confusion matrix"
    if then["method"] == "semi_supervised":
        sample.main(["sample", f"--run_dir={finished}", f"--output={tmp_path / 'grid.png'}"])
        assert (tmp_path / "grid.png").is_file()

    config = dataclasses.replace(
        config_file.read_config(finished), data_dir=data_dir, run_dir=str(finished)
    )
    capsys.readouterr()
    assert train_and_evaluate(config) == then
    assert "is finished already" in capsys.readouterr().out


def test_an_exported_model_is_used_by_predict(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with tarfile.open(FIXTURES / "run_04d6a2a_tuned" / "saved_model.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    Image.new("RGB", (32, 32)).save(tmp_path / "three.png")
    words = [f"--model={tmp_path / 'saved_model'}", "--format=csv", str(tmp_path / "three.png")]
    predict.main(["predict", *words])
    assert "three.png" in capsys.readouterr().out


def test_a_preset_that_is_gone_keeps_its_values_and_gets_the_name_of_the_nearest(
    tuned: Path,
) -> None:
    edit_config(tuned, preset="tuned_large", discriminator_width=96)
    config = config_file.read_config(tuned)
    assert (config.preset, config.discriminator_width) == ("tuned", 96)


@pytest.mark.parametrize("name", ["tuned", "supervised", "article_stopped", "tuned_stopped"])
def test_a_checkpoint_has_all_of_the_state_and_nothing_else(name: str) -> None:
    directory = FIXTURES / f"run_04d6a2a_{name}"
    state = State(config_file.read_config(directory), 10)
    (index,) = (directory / "checkpoints").glob("*.index")
    found = state.checkpoint.restore(str(index.with_suffix("")))
    found.assert_consumed().assert_existing_objects_matched()
    assert int(state.step) == int(index.stem.removeprefix("ckpt-"))


def test_a_schedule_that_is_gone_is_named(tuned: Path) -> None:
    edit_config(tuned, schedule="cosine")
    with pytest.raises(UserError, match="no --schedule=cosine in this version"):
        config_file.read_config(tuned)
