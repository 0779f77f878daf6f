"""Whole short runs through the command line, in a temporary directory."""

import csv
import json
import re
import shlex
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import runs_end_briefly, shared
from PIL import Image

from ssgan_tf import predict, train
from ssgan_tf.data import house_numbers
from ssgan_tf.inference.evaluation import Evaluator
from ssgan_tf.runs import preparation, story
from ssgan_tf.runs.progress import Progress
from ssgan_tf.runs.results import METRICS_COLUMNS

METRICS = Path(__file__).resolve().parent.parent / "docs/metrics.md"

pytestmark = pytest.mark.usefixtures("brief_end")
SHORT = (
    "--dataset=house_numbers --labeled=40 --generator_width=8 --discriminator_width=8 "
    "--batch_size=16 --epochs=2"
)  # 96 training images: 6 steps an epoch

# All that the article has not, so that every metric and every random thing occurs.
FINISHED = (
    "--preset=tuned --epochs=2 --labeled_batch_size=8 --unsupervised_weight=0.9 "
    "--consistency_threshold=0.1 --validation_fraction=0.1 --deterministic"
)
# The control, whose steps are traced in half of the time, for what is the same in both methods.
CONTROL = "--method=supervised --deterministic"
CONTROL_FINISHED = f"{CONTROL} --validation_fraction=0.1"
EVERY_STEP = "--checkpoint_every_minutes=0.00001"  # a checkpoint after each


def run(data_dir: str, run_dir: Path, flags: str = "") -> dict:
    train.main(
        ["train", *f"{SHORT} {flags}".split(), f"--data_dir={data_dir}", f"--run_dir={run_dir}"]
    )
    return json.loads((run_dir / "results.json").read_text())


def fail(*argv: str) -> str:
    """Runs the command line, which must end with one sentence and a non-zero exit."""
    with pytest.raises(SystemExit) as error:
        train.main(["train", *argv])
    message = str(error.value.code)
    assert message.startswith("error: ")
    return message


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path) -> dict[str, np.ndarray]:
    """All tensors of the last checkpoint, optimizers included, but for times and saves."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    other = ("OBJECT_GRAPH", "wall_seconds", "save_counter")
    found = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not any(part in name for part in other)
    }
    history = json.loads(found.pop("history/.ATTRIBUTES/VARIABLE_VALUE"))
    for row in history["rows"]:
        del row["wall_seconds"]
    return found | {"history": np.array(json.dumps(history))}


def assert_same_run(first: Path, second: Path) -> None:
    expected = weights(second)
    found = weights(first)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    for row, other in zip(rows(first), rows(second), strict=True):
        assert {**row, "wall_seconds": 0} == {**other, "wall_seconds": 0}
    pictures, others = (
        {path.name: path.read_bytes() for path in directory.glob("samples/*")}
        for directory in (first, second)
    )
    assert pictures == others


def finished_run(factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """A run that nothing has disturbed, with a checkpoint after each step; not to be changed."""
    return shared(
        factory, "finished", lambda directory: run(data_dir, directory, f"{FINISHED} {EVERY_STEP}")
    )


def control_run(factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """The same of `CONTROL_FINISHED`, which ended briefly."""
    with runs_end_briefly():
        return shared(
            factory,
            "control",
            lambda directory: run(data_dir, directory, f"{CONTROL_FINISHED} {EVERY_STEP}"),
        )


@pytest.fixture(scope="module")
def control(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return control_run(tmp_path_factory, data_dir)


@pytest.fixture(scope="module")
def finished(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory, data_dir)


def test_a_run_leaves_behind_what_the_readme_says(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "config.json",
        "labels.json",
        "checkpoints",
        "tensorboard",
        "samples",
        "metrics.csv",
        "results.json",
        "saved_model",
        "report.html",
        ".lock",
    }
    results = json.loads((finished / "results.json").read_text())
    low, high = results["test_accuracy_interval"]
    assert 0 <= low <= results["test_accuracy"] <= high <= 1
    assert results["steps"] == 10  # 86 images after validation: 5 steps an epoch
    assert results["test_images"] == 40
    for key in ("train_labeled_accuracy", "validation_accuracy", "wall_seconds", "device"):
        assert key in results
    assert results["versions"]["tensorflow"] == tf.__version__
    assert "ssgan_tf.train" in results["command"]
    assert len(json.loads((finished / "labels.json").read_text())["ids"]) == 40


def test_metrics_have_a_row_per_evaluation_and_agree_with_the_results(finished: Path) -> None:
    found = rows(finished)
    assert tuple(found[0]) == METRICS_COLUMNS
    assert [(row["step"], row["epoch"]) for row in found] == [("5", "1"), ("10", "2")]
    results = json.loads((finished / "results.json").read_text())
    for name in ("test_accuracy", "train_labeled_accuracy", "validation_accuracy"):
        assert float(found[-1][name]) == pytest.approx(results[name], abs=1e-6)


def test_losses_in_the_metrics_are_means_over_the_epoch(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    (last, *_) = [
        float(tf.make_ndarray(event.tensor_proto))
        for event in events.Tensors("losses/discriminator")
        if event.step == 5
    ]
    mean = float(rows(finished)[0]["loss_discriminator"])
    assert mean == pytest.approx(last, rel=0.3)  # a sum over the epoch would be five times that
    assert mean != last


def test_samples_are_a_grid_of_sixty_four(finished: Path) -> None:
    pictures = sorted((finished / "samples").iterdir())
    assert [path.name for path in pictures] == ["step_000005.png", "step_000010.png"]
    assert Image.open(pictures[0]).size == (8 * 34 * 2, 8 * 34 * 2)


def test_tensorboard_has_every_tag_that_the_documents_explain(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    explained = re.findall(r"`((?:losses|accuracy|monitors)/\w+)`", METRICS.read_text())
    assert len(explained) == 18
    assert set(events.Tags()["tensors"]) >= {
        *explained,
        "_hparams_/session_start_info",
        "losses/discriminator",
        "losses/supervised",
        "losses/unsupervised_real",
        "losses/unsupervised_fake",
        "losses/generator",
        "losses/consistency",
        "accuracy/train_labeled_running",
        "accuracy/train_labeled",
        "accuracy/validation",
        "accuracy/test",
        "monitors/p_real_on_data",
        "monitors/p_real_on_samples",
        "monitors/learning_rate",
        "monitors/images_per_second",
        "monitors/feature_gap",
        "monitors/pseudo_label_share",
        "monitors/grad_norm_discriminator",
        "monitors/grad_norm_generator",
        "samples",
        "confusion_matrix/test",
        "configuration",
    }


def test_two_deterministic_runs_are_bit_identical_however_many_steps_a_call_takes(
    finished: Path, data_dir: str, tmp_path: Path
) -> None:
    run(data_dir, tmp_path / "calls", f"{FINISHED} --steps_per_call=3")
    assert_same_run(tmp_path / "calls", finished)


def test_an_interrupted_run_resumed_equals_one_that_was_not(
    control: Path, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between two checkpoints: the steps since the first are taken again."""
    advance = Progress.advance

    def interrupted(self: Progress, steps: int = 1) -> None:
        advance(self, steps)
        if self.step == 7:  # in the middle of the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", interrupted)
        with pytest.raises(SystemExit) as stopped:
            run(data_dir, tmp_path, CONTROL_FINISHED)
    assert stopped.value.code == 130
    assert [row["step"] for row in rows(tmp_path)] == ["5"]
    run(data_dir, tmp_path, CONTROL_FINISHED)
    assert_same_run(tmp_path, control)


def test_a_finished_run_is_not_touched_again(
    finished: Path, data_dir: str, capsys: pytest.CaptureFixture
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    run(data_dir, finished, FINISHED)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    assert "finished already" in capsys.readouterr().out


def test_the_command_for_predict_in_the_closing_lines_works(
    finished: Path, data_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(data_dir, finished, FINISHED)
    lines = capsys.readouterr().out.splitlines()
    (command,) = (line for line in lines if line.startswith("Classify images:"))
    words = shlex.split(command.partition(":")[2])
    assert words[:3] == ["python", "-m", "ssgan_tf.predict"]
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    assert words.pop() == "IMAGE..."
    predict.main([*words[2:], str(tmp_path / "black.png")])
    assert "black.png" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_stopped_after_its_last_checkpoint_is_brought_to_its_end(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = "--method=supervised --keep_checkpoints=1"
    with monkeypatch.context() as patch:  # a slow first run, so that its time can be recognized
        slow_clock = SimpleNamespace(monotonic=lambda: 1000 * time.monotonic())
        patch.setattr(story, "time", slow_clock)
        patch.setattr(preparation, "time", slow_clock)
        first = run(data_dir, tmp_path, flags)
    assert len(list((tmp_path / "checkpoints").glob("*.index"))) == 1
    (tmp_path / "results.json").unlink()
    again = run(data_dir, tmp_path, flags)
    assert again["test_accuracy"] == first["test_accuracy"]
    assert again["wall_seconds"] > 0.5 * first["wall_seconds"] > 500  # the earlier time counts


def test_a_run_does_not_go_on_with_other_data(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 80, "test": 40})
    flags = f"{SHORT} {FINISHED} --data_dir={tmp_path}/data --run_dir={tmp_path}/run"
    assert "other data or labels" in fail(*flags.split())


def test_an_unreadable_checkpoint_is_named(finished: Path, data_dir: str, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    for path in (tmp_path / "run" / "checkpoints").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:100])
    flags = f"{SHORT} {FINISHED} --data_dir={data_dir} --run_dir={tmp_path}/run"
    assert "checkpoints" in fail(*flags.split())


@pytest.mark.slow
@pytest.mark.writes_everything
def test_notebook_evaluates_with_the_statistics_of_the_batch_and_names_the_half_its_code_tested_on(
    data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = Evaluator.__init__
    monkeypatch.setattr(
        Evaluator,
        "__init__",
        lambda self, *arguments: seen.append(arguments[1]) or original(self, *arguments),
    )
    results = run(data_dir, tmp_path, "--preset=notebook --steps=1")
    assert seen[0] == "batch"
    assert 0 <= results["test_accuracy_first_half"] <= 1


def test_a_different_run_is_never_overwritten(finished: Path, data_dir: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    flags = f"{SHORT} --seed=1 --data_dir={data_dir} --run_dir={finished}"
    message = fail(*flags.split())
    assert "--seed=0" in message
    assert "--seed=1" in message
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.writes_everything
def test_the_control_takes_as_many_steps_without_a_generator_and_prints_one_line_per_epoch(
    data_dir: str, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    results = run(data_dir, tmp_path, "--method=supervised --eval_every=2")
    assert results["steps"] == 12
    captured = capfd.readouterr()
    lines = [line for line in captured.out.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert ["test" in line for line in lines] == [False, True]
    assert "\r" not in captured.err
    assert "95% interval" in captured.out
    assert not (tmp_path / "samples").exists()
    (found,) = rows(tmp_path)
    assert found["epoch"] == "2"
    assert found["loss_generator"] == ""
    assert found["loss_supervised"] == found["loss_discriminator"] != ""
    signatures = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "encoded"}


@pytest.mark.slow
def test_all_labels_and_a_labeled_batch_and_steps_beyond_an_epoch(
    data_dir: str, tmp_path: Path
) -> None:
    results = run(data_dir, tmp_path, "--labeled=all --labeled_batch_size=8 --steps=7")
    assert (results["labeled"], results["steps"]) == (96, 7)


def test_labels_of_an_earlier_run_can_be_used_again(
    finished: Path, data_dir: str, tmp_path: Path
) -> None:
    run(
        data_dir,
        tmp_path,
        f"--labels_from={finished}/labels.json --method=supervised --seed=5 --steps=1",
    )
    first, second = (
        json.loads((path / "labels.json").read_text())["ids"] for path in (finished, tmp_path)
    )
    assert first == second


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--labeled=97", ["--labeled=97", "96 labeled training images"]),
        ("--labeled=9", ["--labeled=9", "10 classes"]),
        ("--labels_from=/nowhere.json", ["--labels_from=/nowhere.json"]),
        ("--batch_size=97", ["--batch_size=97", "96 images"]),
    ],
)
def test_bad_input_leaves_no_directory(
    flags: str, words: list[str], data_dir: str, tmp_path: Path
) -> None:
    target = tmp_path / "run"
    message = fail(*SHORT.split(), *flags.split(), f"--data_dir={data_dir}", f"--run_dir={target}")
    for word in words:
        assert word in message
    assert not target.exists()


def test_a_run_directory_whose_name_is_too_long_is_named() -> None:
    message = fail(f"--run_dir={'x' * 300}")
    assert "--run_dir=xxx" in message and "cannot be a directory (File name too long)" in message


def test_a_folder_that_gives_its_run_a_name_that_is_too_long_is_told_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * 240
    for image in ("cat/1.png", "dog/1.png"):
        (tmp_path / name / image).parent.mkdir(parents=True)
        (tmp_path / name / image).touch()
    message = fail(f"--dataset=folder:{name}")
    assert "--run_dir=runs/xxx" in message and "(File name too long); give another" in message
