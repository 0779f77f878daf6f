import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf import export
from ssgan_tf.config import UserError
from ssgan_tf.data.load import load_dataset
from ssgan_tf.inference import calibration
from ssgan_tf.inference.calibration import log_loss
from ssgan_tf.runs import config_file


def answers(path: Path) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    found = tf.saved_model.load(str(path)).signatures["serving_default"](images=tf.constant(images))
    return {name: value.numpy() for name, value in found.items()}


def test_export_equals_the_runs_own_model(run: Path, tmp_path: Path) -> None:
    assert export.export_run(run, tmp_path / "again") is None
    expected = answers(run / "saved_model")
    for name, value in answers(tmp_path / "again").items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def test_calibrate_stores_the_temperature_fitted_on_the_validation_images(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    export.main(["export", f"--run_dir={run}", f"--output={tmp_path / 'cal'}", "--calibrate"])
    assert "validation images" in capsys.readouterr().out
    temperature = float(tf.saved_model.load(str(tmp_path / "cal")).temperature)
    plain, calibrated = answers(run / "saved_model"), answers(tmp_path / "cal")
    np.testing.assert_allclose(calibrated["logits"], plain["logits"], rtol=1e-5, atol=1e-6)
    expected = tf.nn.softmax(plain["logits"] / temperature)
    np.testing.assert_allclose(calibrated["probabilities"], expected, atol=1e-6)
    # The least log loss, over the images that labels.json names as set aside, is at that T.
    config = config_file.read_config(run)
    train = load_dataset(config).train
    ids = json.loads((run / "labels.json").read_text())["validation_ids"]
    chosen = train.take(np.flatnonzero(np.isin(train.ids, ids)))
    model = tf.saved_model.load(str(run / "saved_model")).signatures["serving_default"]
    logits = model(images=tf.constant(chosen.images))["logits"].numpy()
    losses = [log_loss(logits, chosen.labels, t * temperature) for t in (0.9, 1.0, 1.1)]
    assert losses[1] < min(losses[0], losses[2])


def test_an_output_that_cannot_be_made_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"--output=.*file is a file, not a directory"):
        export.export_run(run, tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(UserError, match=r"--output=/proc/model: cannot be written to \("):
        export.export_run(run, Path("/proc/model"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--run_dir", "missing"]),
        (["--run_dir={run}"], ["--output", "missing"]),
        (["--run_dir={tmp}", "--output={tmp}/x"], ["--run_dir={tmp}", "no run"]),
        (["--run_dir={run}", "--output={run}"], ["--output={run}", "already"]),
        (
            ["--run_dir={run}", "--output={tmp}/my.tflite", "--format=tflite"],
            ["/my.tflite: would be a directory", "leave out .tflite."],
        ),
        (["--run_dir={run}", "--output={tmp}/my.ONNX"], ["out .ONNX, and give --format=onnx."]),
        (["--run_dir={run}", "--output={tmp}/x", "more"], ["'more'"]),
        (["--no_such_flag=1"], ["no_such_flag", "--help"]),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    arguments: list[str], words: list[str], run: Path, tmp_path: Path
) -> None:
    def fill(text: str) -> str:
        return text.format(run=run, tmp=tmp_path)

    with pytest.raises(SystemExit) as error:
        export.main(["export", *map(fill, arguments)])
    for word in words:
        assert fill(word) in str(error.value)
    assert not list(tmp_path.iterdir())


def test_calibration_needs_validation_images(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    other.mkdir()
    (other / "config.json").write_bytes((run / "config.json").read_bytes())
    content = json.loads((run / "labels.json").read_text()) | {"validation_ids": []}
    (other / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="--validation_fraction"):
        export.export_run(other, tmp_path / "out", calibrate=True)


def test_a_few_validation_images_are_no_ground_for_a_temperature(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "LEAST_IMAGES", 48)
    with pytest.raises(UserError, match="has 47 validation images, too few"):
        export.export_run(run, tmp_path / "out", calibrate=True)
    assert not (tmp_path / "out").exists()


def test_help_names_every_flag(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as error:
        export.main(["export", "--help"])
    assert error.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--run_dir", "--output", "--calibrate"):
        assert flag in shown
