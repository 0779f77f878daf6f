"""Names of files and folders that programs trip over, each taken as it is."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import NASTY, make_dataset, runs_end_briefly
from PIL import Image

from ssgan_tf import evaluate, export, predict, report, sample, train
from ssgan_tf.config import Config, UserError, expand_user
from ssgan_tf.data import house_numbers
from ssgan_tf.data.load import load_named
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.image_paths import Unreadable, expand
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.runs.checkpoints import Checkpoints
from ssgan_tf.runs.run_dir import finished_steps
from ssgan_tf.runs.summaries import Summaries, keep_events
from ssgan_tf.system.paths import literal

NAMES = (
    *(
        "a[1]",
        "a[!b]",
        "*",
        "?",
        "a\\b",
        " a ",
        "$HOME",
        "%s",
        "#",
        "'\"",
        "a.",
        "@:",
        "日本",
        "-r",
    ),
    *("~", "a\nb", "{a,b}", "a,b", os.fsdecode(b"caf\xe9")),
)


class State:
    """A variable and its checkpoints."""

    def __init__(self, directory: Path) -> None:
        self.weights = tf.Variable([0.0])
        self.saver = Checkpoints(tf.train.Checkpoint(weights=self.weights), directory, keep=2)

    def save(self, step: int) -> None:
        self.weights.assign([step])
        self.saver.save(step)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_written_read_and_deleted(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name / "checkpoints"
    state = State(directory)
    for step in (1, 2, 3):
        state.save(step)
    assert finished_steps(directory) == {2, 3}
    again = State(directory)
    assert again.saver.restore_newest() == []
    assert again.weights.numpy() == [3]


def test_the_checkpoints_of_the_run_beside_it_are_left_alone(tmp_path: Path) -> None:
    beside = State(tmp_path / "run-1")
    beside.save(1)
    pattern = State(tmp_path / "run-*")
    for step in (1, 2, 3, 4):
        pattern.save(step)
    assert finished_steps(tmp_path / "run-1") == {1}
    assert finished_steps(tmp_path / "run-*") == {3, 4}


def test_tensorflow_finds_the_newest_checkpoint_as_before(tmp_path: Path) -> None:
    state = State(tmp_path)
    for step in (5, 10, 15):
        state.save(step)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-15")
    listed = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
    assert list(listed) == [str(tmp_path / f"ckpt-{step}") for step in (10, 15)]


def test_checkpoints_of_earlier_versions_are_read_and_deleted(tmp_path: Path) -> None:
    weights = tf.Variable([7.0])
    checkpoint = tf.train.Checkpoint(weights=weights)
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=3)
    manager.save(checkpoint_number=1)
    manager.save(checkpoint_number=2)
    state = State(tmp_path)
    assert state.saver.restore_newest() == []
    assert state.weights.numpy() == [7]
    state.save(3)
    assert finished_steps(tmp_path) == {2, 3}


@pytest.mark.parametrize("name", NAMES)
def test_curves_are_kept(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name
    config = Config(run_dir=str(directory), dataset=f"folder:{directory}")
    for first_step in (0, 1):
        writer = Summaries(directory, config, first_step)
        writer.scalars({"a": 1.0}, first_step + 1)
        writer.close()
    assert keep_events(directory, 1)
    assert [path.name for path in directory.iterdir()] == ["events.out.tfevents.0.kept"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    return Discriminator(width=2, num_classes=3, image_size=16)


@pytest.mark.parametrize(
    "name",
    [
        "a[1]?",
        pytest.param("a\\b", marks=pytest.mark.slow),
        pytest.param(os.fsdecode(b"caf\xe9"), marks=pytest.mark.slow),
    ],
)
def test_a_model_is_written_and_loaded(
    name: str, tmp_path: Path, discriminator: Discriminator
) -> None:
    directory = tmp_path / name / "saved_model"
    saved_model.save(directory, discriminator, None, ["a", "b", "c"])
    classifier = predict.Classifier(directory)
    assert classifier.class_names == ["a", "b", "c"]
    assert classifier(np.zeros((1, 16, 16, 3), np.uint8))["logits"].shape == (1, 3)
    assert [path.name for path in directory.parent.iterdir()] == ["saved_model"]


def test_a_link_to_a_plain_name_is_made_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with literal(tmp_path) as place:
        assert place == tmp_path
    strange = tmp_path / "[x]"
    strange.mkdir()
    (strange / "file").write_text("kept")
    monkeypatch.setattr("tempfile.tempdir", str(strange))  # no good place for the link
    with literal(strange) as place:
        assert (place / "file").read_text() == "kept"
        assert not set("*?[\\") & set(str(place))
    assert not place.exists() and not place.parent.exists()
    assert (strange / "file").read_text() == "kept"


def main_of(module: object, *arguments: str) -> None:
    """A command that must end well."""
    module.main([module.__name__, *arguments])


@pytest.mark.slow
def test_a_run_goes_all_its_ways_in_nasty_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 96, "test": 40})
    monkeypatch.chdir(tmp_path)
    data_dir, run = f"data {NASTY}", f"runs/{NASTY}/run"
    small = ["--preset=article", "--generator_width=2", "--discriminator_width=2"]
    small += ["--batch_size=32", "--labeled=20", "--keep_checkpoints=1"]
    flags = ["--dataset=house_numbers", f"--data_dir={data_dir}/", f"--run_dir={run}/", *small]
    with runs_end_briefly():
        main_of(train, *flags, "--epochs=1")
    main_of(train, *flags, "--epochs=2")
    output = capsys.readouterr().out
    assert output.count("Rendering house_numbers") == 1
    assert "Going on from step 3 of" in output
    assert finished_steps(Path(run) / "checkpoints") == {6}
    main_of(evaluate, f"--run_dir={run}")
    main_of(export, f"--run_dir={run}", f"--output=out/{NASTY}/model", "--checkpoint=6")
    main_of(sample, f"--run_dir={run}", f"--output=samples {NASTY}.png", "--n=2")
    main_of(report, f"--run_dir={run}", f"--compare={run},{run}")
    # From another directory, and by the model alone.
    (tmp_path / NASTY).mkdir()
    monkeypatch.chdir(tmp_path / NASTY)
    Image.fromarray(make_dataset(test=1).test.images[0]).save(f"x{NASTY}.png")
    capsys.readouterr()
    main_of(
        predict, f"--model=../out/{NASTY}/model", "--format=jsonl", f"x{NASTY}.png", f"../{NASTY}"
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"] for row in rows] == [f"x{NASTY}.png", f"../{NASTY}/x{NASTY}.png"]


def test_a_folder_of_images_with_a_nasty_name_is_trained_on_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = make_dataset(train=24).train.images
    folder = tmp_path / NASTY
    for index, image in enumerate(images):
        place = folder / "train" / "c[0] *?$#,@'"[: 4 + index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index} {NASTY}.png")
    run = tmp_path / f"run {NASTY}"
    main_of(
        train,
        *(f"--dataset=folder:{folder}", f"--run_dir={run}", "--preset=article"),
        *("--generator_width=2", "--discriminator_width=2", "--batch_size=8", "--steps=2"),
        *("--image_size=16", "--labeled=all", f"--cache_dir={tmp_path}/cache {NASTY}"),
    )
    main_of(evaluate, f"--run_dir={run}")
    assert (run / "evaluation_test.json").exists()


@pytest.mark.parametrize("name", NAMES)
def test_folders_and_globs_below_a_nasty_name_are_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    (folder / "more").mkdir(parents=True)
    for file in ("1.png", "2.png", "more/3.png", "notes.txt"):
        (folder / file).touch()
    paths = [str(folder / file) for file in ("1.png", "2.png", "more/3.png")]
    assert list(expand([str(folder)], None)) == paths
    assert list(expand([f"{folder}/"], None)) == paths
    assert list(expand([f"{folder}/*.png"], None)) == paths[:2]
    assert list(expand([f"{folder}/[!n]*"], None)) == paths  # a folder as the shell would give it
    assert list(expand([f"{folder}/**/*.png"], None)) == paths
    nothing = f"{folder}/x*"
    assert list(expand([nothing], None)) == [Unreadable(nothing, "matches no file")]
    monkeypatch.chdir(tmp_path)
    assert list(expand(["*/1.png"], None)) == [f"{name}/1.png"]
    assert list(expand([f"./{name}/1.png"], None)) == [f"./{name}/1.png"]


def test_a_tilde_is_a_name_where_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/run") == tmp_path / "run"
    assert expand_user("./~nobody-of-that-name/run") == Path("~nobody-of-that-name/run")
    with pytest.raises(UserError, match=r"\./~nobody-of-that-name"):
        expand_user("~nobody-of-that-name")


def test_runs_to_compare_may_have_commas_in_their_names(tmp_path: Path) -> None:
    for name in ("a,b", "c", "a,b,c,d"):
        (tmp_path / name).mkdir()
    a, c, d = (str(tmp_path / name) for name in ("a,b", "c", "a,b,c,d"))
    for given in ([a], [c], [a, c], [c, a], [d, a], [a, "missing", c], []):
        assert report.run_directories(",".join(given)) == [Path(name) for name in given]


def test_prepared_data_is_found_again_and_never_in_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 4, "test": 2})
    for name in ("a1", "a[1]", "a?", "~"):
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / name))
        for _ in range(2):
            assert len(load_named("house_numbers").train) == 4
        output = capsys.readouterr().out
        assert output.count("Rendering") == 1
        assert f"into {tmp_path / name}/house_numbers" in output
        assert (tmp_path / name / "house_numbers").is_dir()
    with pytest.raises(UserError) as error:
        load_named("house_numbers", str(tmp_path / "b[2]"), prepare=False)
    assert str(tmp_path / "b[2]") in str(error.value)
