import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import NASTY

from ssgan_tf import export
from ssgan_tf.config import UserError
from ssgan_tf.inference import convert, saved_model
from ssgan_tf.models.generator import Generator

FORMATS = [
    "tflite",
    pytest.param(
        "onnx",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("tf2onnx") is None, reason="needs the extra 'onnx'"
        ),
    ),
]


@pytest.fixture
def copied(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is converted is a copy of the run's own SavedModel, which takes no time."""
    monkeypatch.setattr(
        saved_model, "save", lambda path, *_: shutil.copytree(run / "saved_model", path)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_a_converted_model_gives_what_the_saved_model_gives(
    form: str, run: Path, copied: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / NASTY / "converted"
    export.main(["export", f"--run_dir={run}", f"--output={output}", f"--format={form}"])
    assert "equal to the SavedModel on 64 images" in capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {f"model.{form}", "class_names.txt"}
    names = (run / "saved_model" / "assets" / "class_names.txt").read_text()
    assert (output / "class_names.txt").read_text() == names
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    model = (output / f"model.{form}").read_bytes()
    found = convert.FORMATS[form][1](model, images)
    signature = tf.saved_model.load(str(run / "saved_model")).signatures["serving_default"]
    for name, value in signature(images=tf.constant(images)).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_a_model_that_differs_is_refused_and_not_written(
    run: Path, copied: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_wrongly(model: bytes, images: np.ndarray) -> convert.Outputs:
        loaded = tf.saved_model.load(str(run / "saved_model"))
        found = loaded.signatures["serving_default"](images=tf.constant(images))
        arrays = {name: value.numpy() for name, value in found.items()}
        return arrays | {"logits": arrays["logits"] * 1.001}

    monkeypatch.setitem(convert.FORMATS, "tflite", (lambda directory: b"model", run_wrongly))
    with pytest.raises(UserError, match="does not give"):
        export.export_run(run, tmp_path / "out", form="tflite")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(
    run: Path, copied: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="tf2onnx"):
        export.export_run(run, tmp_path / "out", form="onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_is_checked_on_images_that_need_no_data() -> None:
    for generator in (Generator(width=8), None):
        found = convert.images_to_check(32, 3, generator)
        assert found.shape == (64, 32, 32, 3) and found.dtype == np.uint8
    assert found.std() > 50
