"""What a user has set for Keras, and what this package makes of it."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend import config as keras_config
from PIL import Image

from ssgan_tf.config import Config, UserError
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.generator import Generator
from ssgan_tf.system import keras_settings
from ssgan_tf.training.step import Trainer


@pytest.fixture
def strange_settings() -> Iterator[None]:
    """As a notebook may have them before it uses this package."""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


def outputs() -> list[np.ndarray]:
    """Of both networks with the same weights every time."""
    keras.utils.set_random_seed(0)
    generator = Generator(width=2, image_size=16)
    discriminator = Discriminator(width=2, image_size=16)
    images = generator(tf.random.stateless_normal((2, 100), (0, 0)))
    return [images.numpy(), discriminator(images).class_logits.numpy()]


expected: list[np.ndarray] = outputs()


def test_networks_are_the_same_whatever_is_set(strange_settings: None) -> None:
    for found, wanted in zip(outputs(), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_trainer_keeps_its_numbers_in_float32_and_the_settings_as_they_were(
    precision: str, strange_settings: None
) -> None:
    changes = {"generator_width": 2, "discriminator_width": 2, "image_size": 16}
    trainer = Trainer(Config(**changes, precision=precision, jit_compile="false"), 10, 3)
    for optimizer in (trainer.state.discriminator_optimizer, trainer.state.generator_optimizer):
        kinds = {variable.dtype for variable in optimizer.variables}
        assert kinds <= {"float32", "int32", "int64"}
    assert keras.config.floatx() == "float16"
    assert keras.config.image_data_format() == "channels_first"


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ("{}", False),
        ('{"floatx": "float16", "image_data_format": "channels_first"}', False),
        ("no JSON", False),
        ("", False),
        (b"\xff\xfe", False),
        ('{"floatx": "bfloat16"}', True),
        ('{"floatx": ["float32"]}', True),
        ('{"epsilon": 1}', True),
        ('{"epsilon": null}', True),
        ('{"image_data_format": "NCHW"}', True),
        ("[]", True),
        ("[" * 100_000, True),
        (None, True),
    ],
)
def test_settings_that_keras_refuses_are_hidden_from_it(
    content: str | bytes | None, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is None:
        (tmp_path / "keras.json").mkdir()
    else:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "keras.json").write_bytes(data)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if refused:
        with pytest.raises(Exception):  # noqa: B017 (whatever Keras runs into)
            runpy.run_path(keras_config.__file__)
    else:
        runpy.run_path(keras_config.__file__)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "many")
    keras_settings.prepare()
    assert (os.environ["KERAS_HOME"] != str(tmp_path)) == refused
    assert runpy.run_path(keras_config.__file__)["backend"]() == "tensorflow"


def test_a_pipe_in_place_of_the_settings_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "keras.json")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras")
    keras_settings.prepare()
    assert os.environ["KERAS_HOME"] != str(tmp_path)


def test_keras_on_another_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    keras_settings.check_backend()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"runs on jax.*KERAS_BACKEND=tensorflow"):
        keras_settings.check_backend()


# TensorFlow is compiled anew for a process without docstrings, which takes longer than all else.
@pytest.mark.parametrize("optimize", ["", pytest.param("2", marks=pytest.mark.slow)])
def test_a_run_ends_well_with_strange_settings_and_with_streams_closed(
    optimize: str, tmp_path: Path
) -> None:
    settings = {"floatx": "float16", "image_data_format": "channels_first", "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    for index in range(24):
        folder = tmp_path / "images" / "train" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{index}.png")
    environment = os.environ | {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "torch",
        "TF_USE_LEGACY_KERAS": "1",
        "PYTHONOPTIMIZE": optimize,
        "PYTHONIOENCODING": "ascii",
    }
    command = [sys.executable, "-m", "ssgan_tf.train", f"--dataset=folder:{tmp_path}/images"]
    command += [f"--run_dir={tmp_path}/läuft", "--preset=article", "--image_size=16", "--steps=2"]
    command += ["--generator_width=2", "--discriminator_width=2", "--batch_size=8"]
    command += ["--labeled=all", f"--cache_dir={tmp_path}/cache"]
    output = tmp_path / "output"
    words = ["sh", "-c", 'exec "$@" 0<&- 2>&-', "sh", *command]
    with output.open("wb") as file:
        done = subprocess.run(words, env=environment, stdout=file, timeout=300, check=False)
    assert done.returncode == 0, output.read_text()
    assert (tmp_path / "läuft" / "results.json").exists()
    assert "l\\xe4uft" in output.read_text()


@pytest.mark.slow
def test_keras_loads_pyplot_when_it_draws_and_scikit_learn_not_at_all() -> None:
    code = (
        "import sys\n"
        "from ssgan_tf.system import keras_settings\n"
        "with keras_settings.imported_light():\n"
        "    from keras.src.visualization import plot_image_gallery\n"
        "assert not {'matplotlib', 'sklearn', 'scipy.stats'} & sys.modules.keys()\n"
        "draw = plot_image_gallery.plt.subplots\n"
        "import matplotlib.pyplot\n"
        "assert draw is matplotlib.pyplot.subplots\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
