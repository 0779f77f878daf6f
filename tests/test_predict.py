import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import make_dataset
from PIL import Image

from ssgan_tf import predict
from ssgan_tf.config import UserError
from ssgan_tf.data.images.decoding import read_image
from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.image_paths import Unreadable, expand
from ssgan_tf.inference.prediction_writer import FORMATS, PredictionWriter
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.system import streams

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
import os, signal, sys
from ssgan_tf.predict import decoding_processes
sys.modules["tensorflow"] = None
print(decoding_processes().submit(os.getpid).result() == os.getpid())
del sys.modules["tensorflow"]
processes = decoding_processes()
print(processes.submit(os.getpid).result(), os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # They hold its output open: it is only read to its end if they end with the process.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    same, one, other = done.stdout.split()
    assert same == "True"
    assert (one != other) == (sys.platform == "linux")


@pytest.mark.parametrize("end", ["good", "no model", "reader gone", "interrupted"])
def test_the_decoders_are_ended_however_the_command_ends(
    end: str,
    model: tuple,
    folder: tuple,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    decoders = ThreadPoolExecutor(1)
    monkeypatch.setattr(predict, "decoding_processes", lambda: decoders)
    given = model
    if end == "no model":
        given = (Path("nowhere"), None)
    elif end == "reader gone":
        monkeypatch.setattr(predict.PredictionWriter, "write", _raise(BrokenPipeError))
        monkeypatch.setattr(streams, "drop_output", lambda: None)
    elif end == "interrupted":
        monkeypatch.setattr(predict, "_classify", _raise(KeyboardInterrupt))
    status, _, _ = run(given, [str(folder[0])], capsys)
    assert status == {"good": 1, "reader gone": 1, "interrupted": 130}.get(end, status)
    with pytest.raises(RuntimeError, match="after shutdown"):
        decoders.submit(int)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
            "error: OOM when allocating tensor.",
        ),
        (MemoryError("Unable to allocate 4 GiB"), "error: Unable to allocate 4 GiB."),
        (tf.errors.DataLossError(None, None, "truncated block"), "error: truncated block."),
        (BrokenProcessPool(), "error: a process .* was ended, perhaps because memory ran out."),
        (KeyError("logits"), None),
        (tf.errors.InvalidArgumentError(None, None, "Incompatible shapes"), None),
    ],
)
def test_a_failure_outside_the_program_is_one_sentence_and_a_fault_keeps_its_traceback(
    error: Exception, sentence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "run", lambda *_: _raise(error)())
    expected = SystemExit if sentence else type(error)
    with pytest.raises(expected, match=f"^{sentence}$" if sentence else None) as raised:
        predict.main(["predict", "--model=somewhere", "photo.png"])
    assert sentence or raised.value is error


def _raise(error: BaseException | type[BaseException]) -> Callable:
    def function(*_: object) -> None:
        raise error

    return function


def test_each_file_is_classified_as_soon_as_it_is_there(model: tuple, folder: tuple) -> None:
    classifier = predict.Classifier(model[0])
    sizes: list[int] = []
    original = classifier._classify
    classifier._classify = lambda images: (sizes.append(len(images)), original(images=images))[1]
    files = [str(folder[0] / f"{index}.png") for index in range(4)]
    second = threading.Event()

    def slow() -> Iterator[str]:
        yield files[0]
        assert second.wait(60)
        yield files[1]

    found = predict.predict(classifier, slow())
    assert next(found).path == files[0]  # though the second one is not there yet
    second.set()
    assert [item.path for item in found] == [files[1]]
    assert sizes == [1, 1]  # and nothing else went through the model
    sizes.clear()
    assert len(list(predict.predict(classifier, files * 100, batch_size=64))) == 400
    assert max(sizes) == 64 and sum(sizes) == 400 and sizes[0] <= 4
    # A model that compiles for each size of a batch meets few of them.
    assert all(size & (size - 1) == 0 for size in sizes[:-1])


def test_an_error_of_the_list_comes_after_what_was_before_it(model: tuple, folder: tuple) -> None:
    def broken() -> Iterator[str]:
        yield str(folder[0] / "0.png")
        raise OSError("gone")

    found = predict.predict(predict.Classifier(model[0]), broken())
    assert next(found).path.endswith("0.png")
    with pytest.raises(OSError, match="gone"):
        next(found)


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


def test_what_systems_make_is_named_where_it_is_given_and_is_no_failure(
    model: tuple, folder: tuple, capsys: pytest.CaptureFixture
) -> None:
    (folder[0] / "Thumbs.db").write_text("no image")
    given = [str(folder[0] / name) for name in ("0.png", "Thumbs.db")]
    status, out, err = run(model, given, capsys)
    assert status == 0 and "0.png" in out
    assert err.count("Thumbs.db") == 1 and "could not be read" not in err
    assert "no images found" in str(run(model, given[1:], capsys)[0])


def test_help_names_every_flag(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as error:
        predict.main(["predict", "--help"])
    assert error.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--model", "--format", "--top_k", "--batch_size", "PATH"):
        assert flag in shown


def test_lists_may_have_line_ends_and_marks_of_windows_and_folders(
    folder: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder[0])
    Path("carriage\r").touch()
    expected = ["ä.png", " b.png", "more/5.png", "more/6.png", "carriage\r", "c.png"]
    text = "ä.png\r\n\r\n b.png\nmore\r\ncarriage\r\nc.png"
    encoded = text.encode()
    for content in (encoded, b"\xef\xbb\xbf" + encoded, text.encode("utf-16")):
        (tmp_path / "list").write_bytes(content)
        with (tmp_path / "list").open() as file:
            assert list(expand(["-"], file)) == expected
    assert list(expand(["-"], io.StringIO(text))) == expected
    with open(os.devnull) as empty:
        assert list(expand(["-"], empty)) == []
    # In a list nothing is a pattern.
    assert list(expand(["-"], io.StringIO("[0-4].png\n"))) == ["[0-4].png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these files")
def test_what_is_not_a_plain_file_is_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.png").symlink_to("/dev/null")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").touch()
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    for arguments in ([str(tmp_path)], [str(tmp_path / "pipe.jpg"), str(tmp_path / "device.png")]):
        found = list(expand(arguments, sys.stdin))
        bad = {item.path for item in found if isinstance(item, Unreadable)}
        assert bad == {str(tmp_path / "pipe.jpg"), str(tmp_path / "device.png")}
    assert len([path for path in expand([str(tmp_path)], sys.stdin) if "1.png" in path]) == 1
    assert list(expand([str(tmp_path / "linked")], sys.stdin)) == [str(tmp_path / "linked/1.png")]


@pytest.mark.parametrize(
    "name", ["a\rb", "a\nb", "a\r\nb", 'a,"b', "a\x1b[2Jb", "a\u2028b", "日本", "caf\udce9", "a\\b"]
)
def test_any_name_is_one_row_in_every_format(name: str) -> None:
    item = predict.Prediction(name, [("x", 1.0)], 0.5)
    lines = {}
    for form in FORMATS:
        binary = io.BytesIO()
        output = io.TextIOWrapper(binary, "ascii", errors="backslashreplace", newline="")
        writer = PredictionWriter(output, form, 1)
        writer.write(item)
        writer.write(item)
        lines[form] = binary.getvalue().decode("ascii")
    assert [json.loads(line)["path"] for line in lines["jsonl"].splitlines()] == [name, name]
    rows = list(csv.reader(io.StringIO(lines["csv"], newline="")))
    shown = name.encode("ascii", "backslashreplace").decode()
    assert [row[0] for row in rows] == ["path", shown, shown]
    assert len(lines["table"].splitlines()) == 3
    assert "\x1b" not in lines["table"]


def test_the_command_in_a_bad_place(model: tuple, folder: tuple) -> None:
    """No docstrings, no standard error, a slow list, an output that takes ASCII alone."""
    words = [sys.executable, "-m", "ssgan_tf.predict", f"--model={model[0]}", "--format=jsonl", "-"]
    settings = {"PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "ascii", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *words],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdin.write(os.fsencode(folder[0]) + b"/0.png\r\n")
        process.stdin.flush()
        first = process.stdout.readline()  # before there is any more on the list
        rest, _ = process.communicate(os.fsencode(folder[0] / "more"), timeout=60)
    paths = [json.loads(line)["path"] for line in (first, *rest.splitlines())]
    assert paths == [str(folder[0] / name) for name in ("0.png", "more/5.png", "more/6.png")]
    assert process.returncode == 0


COMMANDS = ("train", "evaluate", "predict", "sample", "export", "report", "cache", "verify_gpu")


def test_every_command_helps_without_docstrings_and_with_closed_streams() -> None:
    script = 'for name; do "$PYTHON" -OO -m ssgan_tf.$name --help 0<&- 2>&- || exit; done'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *COMMANDS],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name in COMMANDS:
        assert f"usage: python -m ssgan_tf.{name}" in done.stdout


def test_closed_streams_are_said_where_they_are_needed(model: tuple) -> None:
    script = """
predict="$PYTHON -m ssgan_tf.predict --model=nowhere"
$predict x.png >&-; echo $?
$predict - 0<&-; echo $?
$PYTHON -O -m ssgan_tf.verify_gpu; echo $?
$PYTHON -m ssgan_tf.train --help | head -1
$PYTHON -c "
import os, ssgan_tf, sys
print(min(os.open(os.devnull, os.O_RDONLY) for _ in range(2)), file=sys.stdout)
print('lost', file=sys.stderr)
" 0<&- 2>&-
"""
    done = subprocess.run(
        ["sh", "-c", script],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *statuses, help_line, number = done.stdout.splitlines()
    assert statuses == ["1", "1", "1"]
    assert help_line.startswith("Trains")
    assert int(number) > 2  # nothing that is opened later is taken for a standard stream
    errors = done.stderr.splitlines()
    assert len(errors) == 3, done.stderr
    assert "standard output: is closed" in errors[0]
    assert "standard input is closed" in errors[1]
    assert "PYTHONOPTIMIZE" in errors[2]
