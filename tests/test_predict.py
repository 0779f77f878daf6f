import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_dataset
from PIL import Image

from ssgan_tf import predict, saved_model
from ssgan_tf.config import UserError
from ssgan_tf.discriminator import Discriminator
from ssgan_tf.images import read_image
from ssgan_tf.trainer import scale

NAMES = ["zero", "one", "two"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Discriminator]:
    discriminator = Discriminator(width=8, num_classes=3)
    rng = np.random.default_rng(0)
    for variable in discriminator.variables:
        if "bn" in variable.path or "bias" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    path = tmp_path_factory.mktemp("model") / "saved_model"
    saved_model.save(path, discriminator, None, NAMES)
    return path, discriminator


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Seven images in two folders, a text file that says it is an image, and one that does not."""
    images = make_dataset(test=7).test.images
    directory = tmp_path / "pictures ä"
    (directory / "more").mkdir(parents=True)
    for index, image in enumerate(images):
        place = directory / "more" if index > 4 else directory
        Image.fromarray(image).save(place / f"{index}.png")
    (directory / "broken.png").write_text("no image")
    (directory / "notes.txt").write_text("not looked at")
    return directory, images


def run(
    model: tuple[Path, Discriminator], arguments: list[str], capsys: pytest.CaptureFixture
) -> tuple[int, str, str]:
    status = 0
    try:
        predict.main(["predict", f"--model={model[0]}", *arguments])
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def expected_of(discriminator: Discriminator, images: np.ndarray) -> np.ndarray:
    logits = discriminator(scale(images), statistics="moving").class_logits.numpy()
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_each_file_gets_the_classes_of_the_model_and_a_broken_one_is_named(
    model: tuple, folder: tuple, capsys: pytest.CaptureFixture
) -> None:
    directory, images = folder
    arguments = [str(directory), "--format=jsonl", "--top_k=3", "--batch_size=3"]
    status, out, err = run(model, arguments, capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert f"{directory / 'broken.png'}: is not an image" in err
    assert "1 of 8 files" in err
    order = [f"{index}.png" for index in range(5)] + ["more/5.png", "more/6.png"]
    assert [row["path"] for row in rows] == [str(directory / name) for name in order]
    for row, probabilities in zip(rows, expected_of(model[1], images), strict=True):
        best = np.argsort(-probabilities)
        assert [row["class"], row["class_2"], row["class_3"]] == [NAMES[k] for k in best]
        found = [row["probability"], row["probability_2"], row["probability_3"]]
        np.testing.assert_allclose(found, probabilities[best], atol=2e-6)
        assert 0 < row["p_real"] < 1


def test_csv_has_a_header_and_a_row_for_each_file(
    model: tuple, folder: tuple, capsys: pytest.CaptureFixture
) -> None:
    directory, images = folder
    status, out, _ = run(model, [str(directory / "[0-4].png"), "--format=csv"], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert list(rows[0]) == ["path", "class", "probability", "p_real"]
    classes = expected_of(model[1], images[:5]).argmax(axis=1)
    assert [row["class"] for row in rows] == [NAMES[k] for k in classes]


def test_table_is_for_people_and_a_list_may_come_on_standard_input(
    model: tuple, folder: tuple, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, _ = folder
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{directory}/1.png\n\n{directory}/0.png\n"))
    status, out, _ = run(model, ["-"], capsys)
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["class", "probability", "p_real", "path"]
    assert [line.rpartition("/")[2] for line in lines[1:]] == ["1.png", "0.png"]


def test_batches_change_nothing_and_files_are_taken_as_they_are_needed(
    model: tuple, folder: tuple
) -> None:
    directory, _ = folder
    classifier = predict.Classifier(model[0])
    paths = [str(directory / f"{index}.png") for index in range(5)]
    whole = list(predict.predict(classifier, paths, top_k=3))
    parts = list(predict.predict(classifier, paths, top_k=3, batch_size=2))
    assert [item.path for item in parts] == paths
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(
            [chance for _, chance in one.classes], [chance for _, chance in other.classes], 1e-5
        )
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield paths[0]

    next(predict.predict(classifier, endless(), batch_size=4))
    assert len(taken) <= 13  # one batch at work, one being decoded, one waiting and one in hand


def test_files_are_made_square_as_in_training(tmp_path: Path) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    discriminator = Discriminator(width=8, num_classes=3)
    seen = []
    for fit in ("crop", "pad", "stretch"):
        saved_model.save(tmp_path / fit, discriminator, None, NAMES, fit=fit)
        classifier = predict.Classifier(tmp_path / fit)
        assert classifier.fit == fit
        found = next(predict.predict(classifier, [str(tmp_path / "wide.png")], batch_size=1))
        image = read_image(tmp_path / "wide.png", 32, 3, fit)
        expected = expected_of(discriminator, image[None])[0].max()
        assert found.classes[0][1] == pytest.approx(expected, rel=1e-4)
        seen.append(found.p_real)
    assert len(set(seen)) == 3


def test_the_command_decodes_in_processes_and_says_the_same(
    model: tuple, folder: tuple, capsys: pytest.CaptureFixture
) -> None:
    arguments = [str(folder[0]), "--format=csv", "--batch_size=3"]
    _, expected, _ = run(model, arguments, capsys)  # in this process, which has TensorFlow: threads
    command = [sys.executable, "-m", "ssgan_tf.predict", f"--model={model[0]}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "1 of 8 files could not be read"
    found, awaited = (list(csv.DictReader(io.StringIO(text))) for text in (done.stdout, expected))
    assert [(row["path"], row["class"]) for row in found] == [
        (row["path"], row["class"]) for row in awaited
    ]
    assert len(found) == 7


def test_decoders_are_processes_before_tensorflow_and_threads_after_it() -> None:
    code = """
import os, sys
from ssgan_tf.predict import decoding_processes
print(decoding_processes().submit(os.getpid).result() == os.getpid())
sys.modules["tensorflow"] = None
print(decoding_processes().submit(os.getpid).result() == os.getpid())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False" if sys.platform == "linux" else "True", "True"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.png"], ["--model", "missing"]),
        (["--model=nowhere", "x.png"], ["--model=nowhere", "saved_model/"]),
        (["--model=m"], ["no images"]),
        (["--model=m", "--format=xml", "x"], ["--format=xml", "table, csv, jsonl"]),
        (["--model=m", "--top_k=0", "x"], ["--top_k=0", "at least 1"]),
        (["--model=m", "--batch_size=0", "x"], ["--batch_size=0", "at least 1"]),
        (["--model=m", "--batch_size=65537", "x"], ["--batch_size=65537", "at most 65,536"]),
        (["--nothing", "x"], ["nothing", "--help"]),
    ],
)
def test_a_mistake_is_named(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        predict.main(["predict", *arguments])
    for word in words:
        assert word in str(error.value)


def test_a_directory_that_only_looks_like_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_text("nothing")
    with pytest.raises(UserError, match="--model="):
        predict.Classifier(tmp_path)


@pytest.mark.parametrize("part", ["assets/class_names.txt", "variables/*", "saved_model.pb"])
def test_a_model_that_lacks_a_part_or_has_half_of_it_is_named(
    part: str, model: tuple, tmp_path: Path
) -> None:
    for file in sorted(model[0].glob(part)):
        for end in (None, 0, file.stat().st_size // 2):
            broken = Path(shutil.copytree(model[0], tmp_path / f"{file.name}-{end}"))
            damaged = broken / file.relative_to(model[0])
            if end is None:
                damaged.unlink()
            else:
                damaged.write_bytes(file.read_bytes()[:end])
            with pytest.raises(UserError, match="--model=") as error:
                predict.Classifier(broken)
            assert "\n" not in str(error.value)


def command(model: tuple, *arguments: str | bytes, **keywords: Any) -> subprocess.CompletedProcess:
    """The command in a process of its own, whose standard streams are strict UTF-8."""
    words = [sys.executable, "-m", "ssgan_tf.predict", f"--model={model[0]}", *arguments]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(words, env=environment, stderr=subprocess.PIPE, check=False, **keywords)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_behind_the_output_is_told(model: tuple, folder: tuple) -> None:
    with open("/dev/full", "w") as full:
        done = command(model, f"{folder[0]}/0.png", stdout=full)
    assert done.returncode == 1
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("error: standard output: cannot be written to (No space left")
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


def test_names_that_are_not_utf_8_are_written_with_backslashes(model: tuple, folder: tuple) -> None:
    directory = os.fsencode(folder[0])
    os.rename(directory + b"/0.png", directory + b"/caf\xe9.png")
    os.rename(directory + b"/broken.png", directory + b"/brok\xe9n.png")
    done = command(
        model,
        "--format=jsonl",
        "-",
        input=directory + b"/caf\xe9.png\n" + directory + b"/brok\xe9n.png\n",
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 1
    (row,) = (json.loads(line) for line in done.stdout.splitlines())
    assert os.fsencode(row["path"]) == directory + b"/caf\xe9.png"
    assert rb"brok\udce9n.png: is not an image" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_run_directory_is_taken_for_its_model_and_other_formats_are_named(
    model: tuple, tmp_path: Path
) -> None:
    assert predict.Classifier(model[0].parent).class_names == NAMES
    (tmp_path / "model.tflite").write_text("not read here")
    with pytest.raises(UserError, match=r"model\.tflite is not read here"):
        predict.Classifier(tmp_path)


def test_an_empty_folder_and_a_missing_file_are_named(
    model: tuple, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status, _, _ = run(model, [str(tmp_path)], capsys)
    assert "no images found" in status
    status, _, err = run(model, [str(tmp_path / "nothing.png")], capsys)
    assert status == 1
    assert "nothing.png: is not there" in err
    status, out, _ = run(model, [str(tmp_path / "nothing.png"), "--format=csv"], capsys)
    assert out == ""  # no header without a row


def test_help_names_every_flag(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as error:
        predict.main(["predict", "--help"])
    assert error.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--model", "--format", "--top_k", "--batch_size", "PATH"):
        assert flag in shown
