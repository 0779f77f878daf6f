import dataclasses
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ssgan_tf.config import Config, UserError
from ssgan_tf.presets import VGG
from ssgan_tf.runs import config_file, run_dir

PRESENT = VGG | {"augment_fakes": False}  # what the preset comes to: there are no fakes


def edit(path: Path, **changes: Any) -> None:
    """As somebody would by hand: the file stays JSON, NaN included."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_resumed_run_keeps_its_first_config(tmp_path: Path) -> None:
    config_file.write_config(tmp_path, Config())
    before = (tmp_path / "config.json").read_bytes()
    config_file.write_config(tmp_path, Config(keep_checkpoints=9))
    assert (tmp_path / "config.json").read_bytes() == before


def test_only_runs_counted_in_epochs_can_be_made_longer() -> None:
    assert config_file.longer(Config(epochs=25), Config(epochs=40))
    assert not config_file.longer(Config(epochs=40), Config(epochs=25))
    for changes in (
        {"schedule": "linear"},
        {"unsupervised_ramp": 0.3},
        {"steps": 2000},  # the schedule spans them
    ):
        assert not config_file.longer(Config(epochs=25, **changes), Config(epochs=40, **changes))
    # The steps of such a run are chosen by the number of images, and its schedule spans them.
    assert not config_file.longer(Config(epochs=0), Config(epochs=40))


def test_versions_do_not_need_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = config_file.versions()
    assert "git_commit" not in found
    assert {"ssgan_tf", "python", "tensorflow", "keras"} <= found.keys()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "supervised"},
        {"unsupervised_weight": 0.0},
        {"consistency_weight": 0.0},
        {"unsupervised_weight": 0.0, "consistency_weight": 0.0},
        {"augment_cutout": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("preset", "discriminator", "width"),
    [("tuned", "article", 64), ("tuned", "pooled", 64), ("pooled", "pooled", 32)],
)
def test_a_folders_run_of_a_former_preset_goes_on_with_that(
    preset: str,
    discriminator: str,
    width: int,
    asked: dict[str, Any],
    tmp_path: Path,
) -> None:
    layers = {"preset": preset, "discriminator": discriminator}
    former = Config(dataset="folder:photos", **layers, **asked)
    config_file.write_config(tmp_path, former)
    plain = Config(dataset="folder:photos", **asked)
    again = config_file.continued(tmp_path, plain)
    assert again == former
    assert config_file.former_recipe(former, plain)["discriminator_width"] == width
    run_dir.claim(tmp_path, again)  # is not refused
    wide = dataclasses.replace(plain, discriminator_width=128)
    assert config_file.continued(tmp_path, wide).discriminator_width == 128  # claim reports it


@pytest.mark.parametrize(
    "asked",
    [{"method": "supervised"}, {"unsupervised_weight": 0.5}, {"consistency_weight": 0.0}],
    ids=str,
)
@pytest.mark.parametrize("preset", ["tuned", "pooled", "article"])
def test_what_is_asked_for_beside_a_former_run_is_named(
    preset: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    values = PRESENT if preset == "tuned" else {}
    former = Config(dataset="folder:a", **(values | {"preset": preset}))
    config_file.write_config(tmp_path, former)
    plain = Config(dataset="folder:a", **asked)
    again = config_file.continued(tmp_path, plain)
    assert not config_file.former_recipe(former, plain).keys() - {"preset"}
    name = "preset" if preset == "article" else next(iter(asked))
    with pytest.raises(UserError, match=f"holds a run with .*--{name}="):
        run_dir.claim(tmp_path, again)


def test_a_folders_run_of_the_former_preset_with_the_present_recipe_differs_in_the_name_alone(
    tmp_path: Path,
) -> None:
    former = Config(dataset="folder:photos", **(PRESENT | {"preset": "tuned"}))
    config_file.write_config(tmp_path, former)
    again = config_file.continued(tmp_path, Config(dataset="folder:photos"))
    assert again == former
    plain = Config(dataset="folder:photos")
    assert config_file.former_recipe(former, plain) == {"preset": "tuned"}
    run_dir.claim(tmp_path, again)


def test_a_run_of_this_preset_with_another_width_is_not_taken_for_a_former_one(
    tmp_path: Path,
) -> None:
    plain = Config(dataset="folder:photos", method="supervised")
    narrow = dataclasses.replace(plain, discriminator_width=16)
    config_file.write_config(tmp_path, narrow)
    assert config_file.continued(tmp_path, plain) == plain
    assert not config_file.former_recipe(narrow, plain)
    with pytest.raises(UserError, match="discriminator_width"):
        run_dir.claim(tmp_path, plain)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_only_a_changed_file_of_the_package_makes_its_commit_dirty(tmp_path: Path) -> None:
    package = tmp_path / "repository/package"
    package.mkdir(parents=True)
    assert config_file.git_commit(package) is None
    for path in (package / "code.py", package.parent / "results.csv"):
        path.write_text("first")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *words], cwd=package.parent, check=True)
    commit = config_file.git_commit(package)
    assert commit and commit.isalnum()
    (package.parent / "results.csv").write_text("a row more")
    assert config_file.git_commit(package) == commit
    (package / "code.py").write_text("second")
    assert config_file.git_commit(package) == f"{commit}-dirty"


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
    config_file.write_config(tmp_path, Config())
    path = tmp_path / "config.json"
    edit(path, config=Config().to_dict() | changes)
    with pytest.raises(UserError, match=words) as error:
        config_file.read_config(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    edit(path, config=None)
    with pytest.raises(UserError, match="'config' is None"):
        config_file.read_config(tmp_path)


@pytest.mark.parametrize("side", [16, 64])
def test_a_shift_that_was_in_pixels_is_that_of_the_run(side: int, tmp_path: Path) -> None:
    config = Config(preset="tuned", image_size=side, run_dir=str(tmp_path))
    config_file.write_config(tmp_path, config)
    content = json.loads((tmp_path / "config.json").read_text())
    edit(tmp_path / "config.json", config=content["config"] | {"augment_shift": 2})
    again = config_file.continued(tmp_path, config)
    assert again.augment_shift == 2 / side
    run_dir.claim(tmp_path, again)
    given = dataclasses.replace(config, augment_shift=0.1)
    with pytest.raises(UserError, match=r"not --augment_shift=0\.1"):
        run_dir.claim(tmp_path, config_file.continued(tmp_path, given))


def test_a_run_goes_on_with_the_values_of_flags_that_are_younger_than_it(tmp_path: Path) -> None:
    config = Config(preset="tuned", run_dir=str(tmp_path))
    config_file.write_config(tmp_path, config)
    content = json.loads((tmp_path / "config.json").read_text())
    for name in ("bn_start", "balance_classes", "augment_flip"):
        del content["config"][name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    again = config_file.continued(tmp_path, config)
    assert (again.bn_start, again.balance_classes) == ("tf1", "false")
    run_dir.claim(tmp_path, again)
    # What is given counts.
    other = config_file.continued(tmp_path, dataclasses.replace(config, augment_flip=True))
    with pytest.raises(UserError, match="--augment_flip=false, not --augment_flip=true"):
        run_dir.claim(tmp_path, other)


def test_a_run_goes_on_in_its_number_format_unless_another_is_asked_for(tmp_path: Path) -> None:
    config_file.write_config(tmp_path, Config(precision="bfloat16"))
    assert config_file.continued(tmp_path, Config()).precision == "bfloat16"
    assert config_file.continued(tmp_path, Config(precision="float16")).precision == "float16"


def test_a_run_that_does_not_say_what_was_chosen_goes_on_by_the_same_command(
    tmp_path: Path,
) -> None:
    run = Config(
        dataset="folder:a", run_dir=str(tmp_path), epochs=40, steps=2, batch_size=8
    ).fit_to(100)
    config_file.write_config(tmp_path, run)
    content = json.loads((tmp_path / "config.json").read_text())
    del content["chosen"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    asked = Config(dataset="folder:a", run_dir=str(tmp_path), steps=2, batch_size=8)
    run_dir.claim(tmp_path, config_file.continued(tmp_path, asked))


def test_numbers_that_were_given_to_a_run_are_not_taken_for_chosen(tmp_path: Path) -> None:
    plain = Config(dataset="folder:a", run_dir=str(tmp_path))
    asked = dataclasses.replace(plain, epochs=1, batch_size=16)
    config_file.write_config(tmp_path, asked.fit_to(100), asked.automatic())
    with pytest.raises(UserError, match="--epochs=1 --batch_size=16, not"):
        run_dir.claim(tmp_path, config_file.continued(tmp_path, plain))
    run_dir.claim(tmp_path, config_file.continued(tmp_path, asked))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "not a table"),
        ({}, "--preset is missing"),
        (Config().to_dict() | {"from_the_future": 1}, "no flag --from_the_future"),
        (Config().to_dict() | {"epochs": "many"}, "--epochs=many"),
    ],
)
def test_a_dictionary_of_another_shape_is_refused(values: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        config_file.from_dict(values)


def test_a_run_of_another_version_has_the_values_that_it_had() -> None:
    run = Config(preset="tuned").to_dict()
    for name in (
        "augment_flip",
        "balance_classes",
        "bn_start",
        "cache_dir",
    ):  # younger than the run
        del run[name]
    run |= {"augment_shift": 2, "input_hue": 0.0}  # in pixels; a flag that is gone
    config = config_file.from_dict(run, defaults={"input_hue": 0.0})
    assert config == Config(preset="tuned", balance_classes="false", bn_start="tf1")
    with pytest.raises(UserError, match=r"no flag --input_hue .* --input_hue=0.1"):
        config_file.from_dict(run | {"input_hue": 0.1}, defaults={"input_hue": 0.0})
