import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import NAMES, probabilities_of

from ssgan_tf import predict
from ssgan_tf.inference import classifier
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.system import streams


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
    for row, probabilities in zip(rows, probabilities_of(model[1], images), strict=True):
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
    classes = probabilities_of(model[1], images[:5]).argmax(axis=1)
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


@pytest.mark.slow
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
        monkeypatch.setattr(classifier, "_classify", _raise(KeyboardInterrupt))
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


def command(model: tuple, *arguments: str | bytes, **keywords: Any) -> subprocess.CompletedProcess:
    """The command in a process of its own, whose standard streams are strict UTF-8."""
    words = [sys.executable, "-m", "ssgan_tf.predict", f"--model={model[0]}", *arguments]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(words, env=environment, stderr=subprocess.PIPE, check=False, **keywords)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_behind_the_output_is_reported(model: tuple, folder: tuple) -> None:
    with open("/dev/full", "w") as full:
        done = command(model, f"{folder[0]}/0.png", stdout=full)
    assert done.returncode == 1
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("error: standard output: cannot be written to (No space left")
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.slow
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


# TensorFlow is compiled anew for a process without docstrings, which takes longer than all else.
@pytest.mark.parametrize("optimize", ["", pytest.param("2", marks=pytest.mark.slow)])
def test_the_command_in_a_bad_place(optimize: str, model: tuple, folder: tuple) -> None:
    """No standard error, a slow list, an output that takes ASCII alone."""
    words = [sys.executable, "-m", "ssgan_tf.predict", f"--model={model[0]}", "--format=jsonl", "-"]
    settings = {"PYTHONOPTIMIZE": optimize, "PYTHONIOENCODING": "ascii", "CUDA_VISIBLE_DEVICES": ""}
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


@pytest.mark.slow
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


def test_closed_streams_are_reported_where_they_are_needed(model: tuple) -> None:
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
