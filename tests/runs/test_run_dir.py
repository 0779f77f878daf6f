import json
from pathlib import Path
from typing import Any

import pytest

from ssgan_tf import train
from ssgan_tf.config import Config, UserError
from ssgan_tf.presets import FORMER_FOLDER_PRESETS
from ssgan_tf.runs import config_file, run_dir


def test_a_folder_that_is_named_by_dots_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos" / "sub")
    for path in ("..", "../", "../sub/.."):
        name = run_dir.directory_of(Config(dataset=f"folder:{path}")).name
        assert name.startswith("photos-all-vgg")


@pytest.mark.parametrize("preset", FORMER_FOLDER_PRESETS)
def test_a_run_that_an_earlier_version_stopped_is_mentioned_where_the_default_directory_is_new(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    former = Path(f"runs/photos-all-{preset}-semi_supervised-0")
    former.mkdir(parents=True)

    def said() -> str:
        with pytest.raises(SystemExit):  # there are no images in the folder
            train.main(["train", "--dataset=folder:photos"])
        return capsys.readouterr().out

    note = f"--run_dir={former} goes on with it"
    assert note not in said()
    config_file.write_config(former, Config(dataset="folder:photos", preset=preset))
    assert said().count(note) == 1
    (former / "results.json").touch()  # it is finished
    assert note not in said()


def test_the_home_of_nobody_is_named() -> None:
    with pytest.raises(UserError, match="no such user"):
        run_dir.directory_of(Config(run_dir="~nobody_of_that_name/run"))


def test_run_directory_is_a_slug_with_the_method_in_it() -> None:
    assert str(run_dir.directory_of(Config())) == "runs/svhn_cropped-1000-article-semi_supervised-0"
    config = Config(dataset="mnist:3", labeled="all", method="supervised", seed=3)
    assert str(run_dir.directory_of(config)) == "runs/mnist_3-all-article-supervised-3"
    assert run_dir.directory_of(Config(run_dir="here")) == Path("here")


def test_the_default_name_of_a_run_has_the_number_of_labels_that_the_file_gives(
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"ids": [f"train_{index:06d}" for index in range(137)]}))
    for dataset, name in (("svhn_cropped", "svhn_cropped-137-"), ("folder:a/b", "b-137-")):
        config = Config(dataset=dataset, preset="article", labels_from=str(path))
        assert run_dir.directory_of(config).name == f"{name}article-semi_supervised-0"
        assert run_dir.directory_of(config.control()).name == f"{name}article-supervised-0"
    path.unlink()
    with pytest.raises(UserError, match="--labels_from="):
        run_dir.directory_of(config)
    assert run_dir.directory_of(Config(labels_from=str(path), run_dir="here")) == Path("here")


def test_the_default_run_directory_is_named_after_the_folder(tmp_path: Path) -> None:
    pictures = tmp_path / "my pictures ü"
    config = Config.from_preset("article", dataset=f"folder:{pictures}")
    expected = "runs/my_pictures_ü-all-article-semi_supervised-0"
    assert str(run_dir.directory_of(config)) == expected
    assert Config.from_preset("article", dataset="folder:x", labeled=20).labeled == 20


def test_a_new_or_empty_directory_may_be_used_and_is_not_made(tmp_path: Path) -> None:
    run_dir.claim(tmp_path, Config())
    run_dir.claim(tmp_path / "new", Config())
    assert not (tmp_path / "new").exists()


def test_the_same_run_may_go_on_even_from_another_place(tmp_path: Path) -> None:
    config_file.write_config(tmp_path, Config(seed=3))
    run_dir.claim(tmp_path, Config(seed=3, run_dir=str(tmp_path), data_dir="elsewhere"))


def test_a_different_run_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    config_file.write_config(tmp_path, Config(seed=3, drop_rate=0.1))
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
    with pytest.raises(UserError, match="file is a file, not a directory; give another place"):
        run_dir.claim(tmp_path / "file" / "run", Config())
    with pytest.raises(UserError, match="cannot be a directory"):
        run_dir.claim(tmp_path / ("x" * 300), Config())


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
    config_file.write_config(tmp_path, config)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/ckpt-7.index").write_bytes(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb")
    run_dir.claim(tmp_path, config)  # of this version
    content = json.loads((tmp_path / "config.json").read_text())
    del content["config"]["bn_start"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    if words:
        with pytest.raises(UserError, match=words) as error:
            run_dir.claim(tmp_path, config_file.continued(tmp_path, config))
        assert "unfinished run of an earlier version" in str(error.value)
        (tmp_path / "results.json").touch()  # finished: nothing is mixed
    run_dir.claim(tmp_path, config_file.continued(tmp_path, config))
