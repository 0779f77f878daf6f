"""What is written, and what is to be typed next, without a network."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from ssgan_tf import label, suggest
from ssgan_tf.config import Config
from ssgan_tf.flags import parse_config
from ssgan_tf.inference.suggestion import Choice
from ssgan_tf.labeling.suggestions_csv import Suggestion, read_suggestions
from ssgan_tf.runs import config_file
from ssgan_tf.runs.pool import Pool
from ssgan_tf.runs.suggestions import Found, Written, write


def written(root: Path, run_dir: str, **flags: object) -> Written:
    """Suggests the second of two images of a folder."""
    pool = Pool(
        config=Config(dataset=f"folder:{root}", run_dir=run_dir, **flags),
        root=root,
        ids=np.array(["unlabeled/a.png", "unlabeled/ b.png"]),
        images=np.zeros((2, 32, 32, 3), np.uint8),
        labels=np.array([-1, -1]),
        label_names=["cat", "dog"],
        validation_ids=[],
        notes=(),
        features=np.eye(2, dtype=np.float32),
        probabilities=np.array([[0.5, 0.5], [0.25, 0.75]]) if run_dir else None,
        class_names=["cat", "dog"] if run_dir else [],
    )
    return write(root / "o", pool, Found("typical", [Choice(1, "near")], []), run_dir)


def test_after_labeling_the_run_is_trained_again_with_its_flags_in_a_new_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    flags = {"augment_flip": False, "image_size": 64}
    run = tmp_path / "first"
    run.mkdir()
    config = Config(dataset=f"folder:{tmp_path}", labeled=20, **flags)
    config_file.write_config(run, config.fit_to(100), config.automatic())
    found = written(tmp_path, str(run), **flags)
    words = shlex.split(found.train)
    assert words[:3] == ["python", "-m", "ssgan_tf.train"]
    again = parse_config(words[2:], "", "")
    assert again == Config(dataset=f"folder:{tmp_path}", **flags)  # what was chosen is not given
    folder, table = f"folder:{tmp_path}", str(run / "suggestions.csv")
    assert label._train_command(folder, table, "") == found.train
    assert label._train_command(folder, "", "") == ""
    words = shlex.split(found.command)
    assert words[2] == "ssgan_tf.label"
    assert words[-1] == f"--run_dir={run}"  # the table is in another directory, that of no run
    assert (
        label._train_command(folder, str(tmp_path / "o/suggestions.csv"), str(run)) == found.train
    )
    monkeypatch.setattr(suggest, "suggest_images", lambda **_: found)
    suggest.main(["suggest", "--run_dir=runs/first"])
    assert capsys.readouterr().out.endswith(f"Next:     {found.command}\nThen:     {found.train}\n")


def test_without_a_run_there_is_no_command_of_it(tmp_path: Path) -> None:
    found = written(tmp_path, "")
    assert found.train == "" and "--run_dir" not in found.command


def test_label_reads_what_is_written(tmp_path: Path) -> None:
    table = written(tmp_path, "").table
    assert read_suggestions(table, "") == [Suggestion("unlabeled/ b.png", "", None, "near")]
