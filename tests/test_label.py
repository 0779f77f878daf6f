"""The command, and the loop: label in the browser, then load the folder as training does."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pictures_to_label import pictures, suggest, unlabeled

from ssgan_tf import label
from ssgan_tf.config import Config
from ssgan_tf.data.dataset import UNKNOWN
from ssgan_tf.data.folder.load import load_folder
from ssgan_tf.runs import config_file


def started(*flags: str) -> tuple[subprocess.Popen[str], str]:
    """The command, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ssgan_tf.label", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background, as these tests may be, ignores Ctrl-C, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    said = ""
    while not (found := re.search(r"^Open: +(http://\S+/)$", said, re.M)):
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        said += line
    process.stdout.readline()
    return process, found[1]


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(address + path)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Origin", address.rsplit("/", 2)[0])
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("start", ["train/", ""])
def test_twenty_images_are_labeled_and_training_takes_them_with_the_others(
    tmp_path: Path, start: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "my pictures"
    before = [f"{start}{name}/{i}.png" for name in ("circle", "square") for i in range(5)]
    names = [f"unlabeled/{number:02}.png" for number in range(30)]
    pictures(root, *names, *before)  # so no two are the same
    csv = suggest(tmp_path / "suggestions.csv", names[5:25])
    cache = str(tmp_path / "cache")
    first = load_folder(str(root), cache_dir=cache)
    assert len(first.train) + len(first.test) == 40

    process, address = started(f"--dataset=folder:{root}", f"--suggestions={csv}")
    state = ask(address, "state?after=-1")
    given = {}
    while state["image"]:
        name = ("circle", "square", "star")[len(given) % 3]
        given[state["image"]["path"]] = name
        body = {"index": state["image"]["index"], "label": name, "before": ""}
        state = ask(address, "answer", body)
    assert list(given) == names[5:25]
    ask(address, "finish", {})
    said, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert said.splitlines() == [
        f"Labeled:  20 here; labels in {root}/labels.csv: 20",
        f"Next:     python -m ssgan_tf.train '--dataset=folder:{root}'",
    ]

    def decoded(*_: object) -> None:
        raise AssertionError("an image was decoded again")

    monkeypatch.setattr("ssgan_tf.data.cache.read_picture", decoded)
    after = load_folder(str(root), cache_dir=cache)
    capsys.readouterr()
    assert after.class_names == ["circle", "square", "star"]
    found = {}
    for split in (after.train, after.test):
        for identity, number in zip(split.ids.tolist(), split.labels.tolist(), strict=True):
            if number != UNKNOWN:
                found[identity] = after.class_names[number]
    assert found == given | {name: name.split("/")[-2] for name in before}
    assert (after.train.labels == UNKNOWN).sum() == 10


def test_ctrl_c_ends_with_what_to_type_next_and_a_second_start_goes_on(tmp_path: Path) -> None:
    names = unlabeled(tmp_path, 4)
    process, address = started(f"--dataset=folder:{tmp_path}")
    state = ask(address, "state")
    body = {"index": state["image"]["index"], "label": "cat", "before": ""}
    ask(address, "answer", body)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert f"Labeled:  1 here; labels in {tmp_path}/labels.csv: 1" in said
    assert "Not yet:  labels.csv gives one class" in said
    assert said.endswith(f"Next:     python -m ssgan_tf.label --dataset=folder:{tmp_path}\n")
    process, address = started(f"--dataset=folder:{tmp_path}", "--port=0")
    assert ask(address, "state")["total"] == len(names) - 1
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


def test_it_starts_without_tensorflow(tmp_path: Path) -> None:
    unlabeled(tmp_path, 1)
    code = """
import sys
from ssgan_tf import label
from ssgan_tf.labeling import server
server.LabelingServer.serve_forever = lambda self: None
label.main(["label", f"--dataset=folder:{sys.argv[1]}"])
assert not {"tensorflow", "keras", "matplotlib", "scipy", "sklearn"} & {*sys.modules}
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_bad_input_ends_with_one_sentence(tmp_path: Path) -> None:
    unlabeled(tmp_path, 1)
    run = tmp_path / "run"
    run.mkdir()
    config_file.write_config(run, Config(dataset="cifar10"))
    dataset = f"--dataset=folder:{tmp_path}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flags, words in (
            ([], "--dataset: is missing; give the folder of images: folder:PATH."),
            ([dataset, f"--run_dir={tmp_path}"], f"--run_dir={tmp_path}: is not a run itself"),
            ([dataset, f"--run_dir={run}"], f"--run_dir={run}: is a run of cifar10, not of a fo"),
            (["--dataset=mnist"], "is not a folder of images"),
            ([dataset, f"--suggestions={tmp_path}/x.csv"], "there is no such file"),
            ([dataset, f"--suggestions={'x' * 300}/x.csv"], "x.csv: cannot be read"),
            ([dataset, f"--port={port}"], f"--port={port}: cannot be used"),
            ([dataset, "--port=70000"], "must be at most"),
        ):
            with pytest.raises(SystemExit) as end:
                label.main(["label", *flags])
            assert isinstance(end.value.code, str) and end.value.code.startswith("error: --")
            assert words in end.value.code and "\n" not in end.value.code
