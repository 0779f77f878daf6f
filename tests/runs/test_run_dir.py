import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from ssgan_tf.config import Config, UserError
from ssgan_tf.runs import run_dir
from ssgan_tf.runs.results import read_results


def test_a_new_or_empty_directory_may_be_used_and_is_not_made(tmp_path: Path) -> None:
    run_dir.claim(tmp_path, Config())
    run_dir.claim(tmp_path / "new", Config())
    assert not (tmp_path / "new").exists()


def test_the_same_run_may_go_on_even_from_another_place(tmp_path: Path) -> None:
    run_dir.write_config(tmp_path, Config(seed=3))
    run_dir.claim(tmp_path, Config(seed=3, run_dir=str(tmp_path), data_dir="elsewhere"))


def test_a_different_run_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    run_dir.write_config(tmp_path, Config(seed=3, drop_rate=0.1))
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"--drop_rate=0\.1 --seed=3") as error:
        run_dir.claim(tmp_path, Config(seed=4, drop_rate=0.7))
    assert "--seed=4" in str(error.value)
    assert "--drop_rate=0.7" in str(error.value)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty"):
        run_dir.claim(tmp_path, Config())
    with pytest.raises(UserError, match="is a file"):
        run_dir.claim(tmp_path / "thesis.tex", Config())


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for impossible in (tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="cannot be"):
            run_dir.claim(impossible, Config())


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "run"
    with pytest.raises(UserError) as error, run_dir.locked(directory):
        pass
    assert str(error.value).startswith(f"--run_dir={directory}: ")
    assert "cannot be made (Not a directory)" in str(error.value)


def test_a_crash_while_the_config_was_written_does_not_block_the_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json.partial").touch()
    run_dir.claim(tmp_path, Config())


def test_a_resumed_run_keeps_its_first_config(tmp_path: Path) -> None:
    run_dir.write_config(tmp_path, Config())
    before = (tmp_path / "config.json").read_bytes()
    run_dir.write_config(tmp_path, Config(keep_checkpoints=9))
    assert (tmp_path / "config.json").read_bytes() == before


def test_only_runs_counted_in_epochs_can_be_made_longer() -> None:
    assert run_dir.longer(Config(epochs=25), Config(epochs=40))
    assert not run_dir.longer(Config(epochs=40), Config(epochs=25))
    for changes in (
        {"schedule": "linear"},
        {"schedule": "linear"},
        {"unsupervised_ramp": 0.3},
        {"steps": 2000},  # the schedule spans them
    ):
        assert not run_dir.longer(Config(epochs=25, **changes), Config(epochs=40, **changes))
    # The steps of such a run are chosen by the number of images, and its schedule spans them.
    assert not run_dir.longer(Config(epochs=0), Config(epochs=40))


def test_versions_do_not_need_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = run_dir.versions()
    assert "git_commit" not in found
    assert {"ssgan_tf", "python", "tensorflow", "keras"} <= found.keys()


def test_a_broken_metrics_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch\nx,y\n")
    with pytest.raises(UserError, match=r"metrics\.csv"):
        run_dir.read_metrics(tmp_path, 10)


def test_metrics_beyond_the_checkpoint_are_dropped_on_reading(tmp_path: Path) -> None:
    rows = [{"step": step, "epoch": step // 10, "test_accuracy": 0.5} for step in (10, 20, 30)]
    run_dir.write_metrics(tmp_path, rows)
    found = run_dir.read_metrics(tmp_path, last_step=20)
    assert [row["step"] for row in found] == ["10", "20"]
    assert found[0]["validation_accuracy"] == ""


def edit(path: Path, **changes: Any) -> None:
    """As somebody would by hand: the file stays JSON, NaN included."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("test_accuracy", 7),
        ("test_accuracy", True),
        ("train_labeled_accuracy", -0.1),
        ("validation_accuracy", "high"),
        ("test_accuracy_raw", math.nan),
        ("wall_seconds", math.nan),
        ("wall_seconds", math.inf),
        ("steps", -1),
        ("test_images", 0),
        ("train_images", 10**400),
        ("test_accuracy_interval", [True, False]),
        ("test_accuracy_interval", [0.2, math.nan]),
        ("test_accuracy_interval", [0.3, 0.2]),
        ("test_accuracy_interval", [0.3]),
        ("command", 'python -m ssgan_tf.train --data_dir="a b'),
        ("versions", "2.21"),
        ("balanced_accuracy", 1.5),
        ("recall", [0.5]),
        ("recall", {"3": 7}),
        ("recall", {"3": "high"}),
        ("test_ids_digest", 7),
    ],
)
def test_an_edited_results_file_is_named_with_the_field(
    field: str, value: object, run: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(run / "results.json", tmp_path))
    assert read_results(tmp_path)["steps"] == 6
    edit(path, **{field: value})
    with pytest.raises(UserError) as error:
        read_results(tmp_path)
    for word in (str(path), repr(field), "restore the original file"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interval_that_ends_at_none_or_all_is_a_good_one(run: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(run / "results.json", tmp_path))
    edit(path, test_accuracy_interval=[-1e-17, 1 + 2e-16])  # as rounding leaves it
    assert len(read_results(tmp_path)["test_accuracy_interval"]) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": "many"}, "--epochs=many"),
        ({"learning_rate": math.nan}, "--learning_rate=nan: must be a finite number"),
        ({"drop_rate": 7}, "--drop_rate=7.* from 0 to 0.9"),
        ({"from_the_future": 1}, "no flag --from_the_future"),
    ],
)
def test_an_edited_config_file_is_named_with_the_flag(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    run_dir.write_config(tmp_path, Config())
    path = tmp_path / "config.json"
    edit(path, config=Config().to_dict() | changes)
    with pytest.raises(UserError, match=words) as error:
        run_dir.read_config(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    edit(path, config=None)
    with pytest.raises(UserError, match="'config' is None"):
        run_dir.read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 50}, "the learning rate falls in other stairs with --steps=50"),
        (
            {"unsupervised_ramp": 0.3, "consistency_weight": 1.0, "ema_decay": 0.9},
            "--unsupervised_ramp=0.3 raises",
        ),
        ({"steps": 50, "schedule": "linear"}, ""),
        ({"unsupervised_ramp": 0.3}, ""),
        ({}, ""),
    ],
)
def test_what_an_earlier_version_began_otherwise_is_not_mixed(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    config = Config(**changes, bn_start="tf1")
    run_dir.write_config(tmp_path, config)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/ckpt-7.index").write_bytes(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb")
    run_dir.claim(tmp_path, config)  # of this version
    content = json.loads((tmp_path / "config.json").read_text())
    del content["config"]["bn_start"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    if words:
        with pytest.raises(UserError, match=words) as error:
            run_dir.claim(tmp_path, run_dir.continued(tmp_path, config))
        assert "unfinished run of an earlier version" in str(error.value)
        (tmp_path / "results.json").touch()  # finished: nothing is mixed
    run_dir.claim(tmp_path, run_dir.continued(tmp_path, config))


@pytest.mark.parametrize("side", [16, 64])
def test_a_shift_that_was_in_pixels_is_that_of_the_run(side: int, tmp_path: Path) -> None:
    config = Config(preset="tuned", image_size=side, run_dir=str(tmp_path))
    run_dir.write_config(tmp_path, config)
    content = json.loads((tmp_path / "config.json").read_text())
    edit(tmp_path / "config.json", config=content["config"] | {"augment_shift": 2})
    again = run_dir.continued(tmp_path, config)
    assert again.augment_shift == 2 / side
    run_dir.claim(tmp_path, again)
    given = dataclasses.replace(config, augment_shift=0.1)
    with pytest.raises(UserError, match=r"not --augment_shift=0\.1"):
        run_dir.claim(tmp_path, run_dir.continued(tmp_path, given))


def test_a_run_goes_on_with_the_values_of_flags_that_are_younger_than_it(tmp_path: Path) -> None:
    config = Config(preset="tuned", run_dir=str(tmp_path))
    run_dir.write_config(tmp_path, config)
    content = json.loads((tmp_path / "config.json").read_text())
    for name in ("bn_start", "balance_classes", "augment_flip"):
        del content["config"][name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    again = run_dir.continued(tmp_path, config)
    assert (again.bn_start, again.balance_classes) == ("tf1", "false")
    run_dir.claim(tmp_path, again)
    # What is given counts.
    other = run_dir.continued(tmp_path, dataclasses.replace(config, augment_flip=True))
    with pytest.raises(UserError, match="--augment_flip=False, not --augment_flip=True"):
        run_dir.claim(tmp_path, other)


def test_a_run_that_does_not_say_what_was_chosen_goes_on_by_the_same_command(
    tmp_path: Path,
) -> None:
    run = Config(
        dataset="folder:a", run_dir=str(tmp_path), epochs=40, steps=2, batch_size=8
    ).fit_to(100)
    run_dir.write_config(tmp_path, run)
    content = json.loads((tmp_path / "config.json").read_text())
    del content["chosen"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    asked = Config(dataset="folder:a", run_dir=str(tmp_path), steps=2, batch_size=8)
    run_dir.claim(tmp_path, run_dir.continued(tmp_path, asked))


def test_numbers_that_were_given_to_a_run_are_not_taken_for_chosen(tmp_path: Path) -> None:
    plain = Config(dataset="folder:a", run_dir=str(tmp_path))
    asked = dataclasses.replace(plain, epochs=1, batch_size=16)
    run_dir.write_config(tmp_path, asked.fit_to(100), asked.automatic())
    with pytest.raises(UserError, match="--epochs=1 --batch_size=16, not"):
        run_dir.claim(tmp_path, run_dir.continued(tmp_path, plain))
    run_dir.claim(tmp_path, run_dir.continued(tmp_path, asked))
