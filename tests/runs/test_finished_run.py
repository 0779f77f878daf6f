"""Commands on a run whose data is gone, or is elsewhere."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import NARROW, runs_end_briefly, shared
from PIL import Image

from ssgan_tf import evaluate, export, predict, sample, train
from ssgan_tf.config import Config, UserError
from ssgan_tf.data import label_split
from ssgan_tf.data.load import load_dataset
from ssgan_tf.runs import checkpoints, config_file, finished_run, pool, run_dir
from ssgan_tf.runs.results import read_results, same_test_images
from ssgan_tf.runs.run_report import report_run
from ssgan_tf.runs.story import train_and_evaluate

pytestmark = pytest.mark.usefixtures("brief_end")


def write_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (value, value, value)).save(path)


@pytest.fixture
def alone(run: Path, tmp_path: Path) -> Path:
    """A run, without the data that it was trained on."""
    directory = Path(shutil.copytree(run, tmp_path / "run"))
    content = json.loads((directory / "config.json").read_text())
    content["config"]["data_dir"] = str(tmp_path / "gone")
    (directory / "config.json").write_text(json.dumps(content))
    return directory


@pytest.mark.slow
def test_without_the_data_one_can_sample_export_and_predict(
    alone: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(UserError, match="holds no prepared house_numbers"):
        evaluate.evaluate_run(alone, write=False)
    np.testing.assert_array_equal(sample.sample_run(alone, n=4), sample.sample_run(run, n=4))
    output = tmp_path / "model"
    export.main(["export", f"--run_dir={alone}", f"--output={output}"])
    assert (output / "assets" / "class_names.txt").read_text().split() == [
        str(label) for label in range(10)
    ]
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    capsys.readouterr()
    predict.main(["predict", f"--model={alone}", "--format=csv", str(tmp_path / "a.png")])
    assert f"{tmp_path / 'a.png'}," in capsys.readouterr().out


@pytest.fixture
def unused_generator(run: Path, tmp_path: Path) -> Path:
    """A run of `--unsupervised_weight=0` whose checkpoint has a generator, as they once had."""
    directory = Path(shutil.copytree(run, tmp_path / "run"))
    edit_config(directory, unsupervised_weight=0.0, run_dir=str(directory))
    return directory


def edit_config(directory: Path, **changes: object) -> None:
    content = json.loads((directory / "config.json").read_text())
    content["config"] |= changes
    (directory / "config.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_a_generator_in_a_checkpoint_is_ignored_where_the_run_has_none(
    unused_generator: Path, run: Path
) -> None:
    found, expected = (evaluate.evaluate_run(path, write=False) for path in (unused_generator, run))
    assert found == {key: value for key, value in expected.items() if key != "p_real_auroc"}
    with pytest.raises(UserError, match=r"has no generator: .*=0\. .*=1 and another --run_dir"):
        sample.sample_run(unused_generator)
    edit_config(unused_generator, ema_decay=0.0)  # all else has to be there, and nothing else
    with pytest.raises(UserError, match="of another run"):
        evaluate.evaluate_run(unused_generator, write=False)
    edit_config(unused_generator, ema_decay=0.9, method="supervised")
    with pytest.raises(UserError, match="of another run"):
        finished_run.load_models(unused_generator)


@pytest.mark.slow
def test_a_run_goes_on_from_a_checkpoint_with_a_generator_that_it_does_not_use(
    unused_generator: Path,
) -> None:
    (unused_generator / "results.json").unlink()
    edit_config(unused_generator, steps=8)
    results = train_and_evaluate(finished_run.read_config(unused_generator))
    assert results["steps"] == 8
    shapes = checkpoints.shapes(unused_generator / "checkpoints" / "ckpt-8")
    assert not [name for name in shapes if name.startswith("generator")]
    assert "discriminator/classifier/bias" in shapes


def made_older(directory: Path) -> None:
    """Takes from `labels.json` what earlier versions did not write."""
    content = json.loads((directory / "labels.json").read_text())
    for name in ("class_names", "channels", "train_ids_digest", "test_ids_digest", "resize_rule"):
        del content[name]
    content.pop("pixels_digest", None)
    (directory / "labels.json").write_text(json.dumps(content))


@pytest.mark.slow
def test_an_older_run_needs_its_data_only_without_its_exported_model(
    alone: Path, run: Path, data_dir: str
) -> None:
    made_older(alone)
    _, class_names, trainer = finished_run.load_models(alone)
    assert class_names == [str(label) for label in range(10)] and trainer.channels == 3
    np.testing.assert_array_equal(sample.sample_run(alone, n=4), sample.sample_run(run, n=4))
    names = alone / "saved_model/assets/class_names.txt"
    names.write_text("one\ntwo\n")  # of another model
    with pytest.raises(UserError, match="holds no prepared house_numbers"):
        sample.sample_run(alone, n=4)
    names.unlink()
    with pytest.raises(UserError, match="holds no prepared house_numbers"):
        sample.sample_run(alone, n=4)
    assert sample.sample_run(alone, n=4, data_dir=data_dir).shape == (4, 32, 32, 3)


@pytest.mark.parametrize(
    ("name", "value"), [("class_names", ["one"]), ("class_names", 3), ("channels", 2)]
)
def test_facts_of_the_model_that_cannot_be_are_named(name: str, value: object, alone: Path) -> None:
    content = json.loads((alone / "labels.json").read_text()) | {name: value}
    (alone / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=name) as error:
        finished_run.load_models(alone)
    assert str(alone / "labels.json") in str(error.value)


def test_a_run_is_loaded_without_the_file_that_its_labels_are_from(
    run: Path, data_dir: str, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(run, tmp_path / "run"))
    config = dataclasses.replace(
        config_file.read_config(run), labels_from=str(tmp_path / "gone.json")
    )
    (directory / "config.json").unlink()
    config_file.write_config(directory, config)
    assert len(finished_run.load(directory).split.labeled) == 20


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Config]:
    """A folder of images, a run on it, and its configuration."""
    place = shared(tmp_path_factory, "pets", make_pets)
    return place / "pets", place / "run", config_of_pets(place)


def make_pets(place: Path) -> None:
    for index in range(10):
        write_image(place / f"pets/train/cat/{index}.png", 10 + index)
        write_image(place / f"pets/train/dög/{index}.png", 110 + index)
    with runs_end_briefly():
        train_and_evaluate(config_of_pets(place))


def config_of_pets(place: Path) -> Config:
    return Config(
        preset="article",
        discriminator="pooled",
        **NARROW | {"generator_width": 2, "discriminator_width": 2},
        dataset=f"folder:{place / 'pets'}",
        cache_dir=str(place / "cache"),
        image_size=16,
        batch_size=8,
        steps=2,
        run_dir=str(place / "run"),
    )


def copied(pets: tuple[Path, Path, Config], tmp_path: Path) -> tuple[Path, Path, Config]:
    """The folder under another name, a copy of the run, and what to resume it with."""
    folder = Path(shutil.copytree(pets[0], tmp_path / "animals"))
    directory = Path(shutil.copytree(pets[1], tmp_path / "run"))
    config = dataclasses.replace(
        pets[2], dataset=f"folder:{folder}", run_dir=str(directory), precision="float32"
    )
    return folder, directory, config


def test_a_run_goes_on_with_a_folder_that_has_moved(
    pets: tuple[Path, Path, Config], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    _, directory, config = copied(pets, tmp_path)
    (directory / "results.json").unlink()
    results = train_and_evaluate(config)
    assert "Going on from step 2" in capsys.readouterr().out
    before = read_results(pets[1])
    assert results["test_accuracy"] == before["test_accuracy"]
    assert same_test_images(results, before)
    # From now on it is found in the new place.
    assert config_file.read_config(directory).dataset == config.dataset
    assert evaluate.evaluate_run(directory, write=False)["images"] == before["test_images"]


@pytest.mark.parametrize(
    ("change", "words"),
    [("more", "had other data or labels"), ("repainted", "but other pixels")],
)
def test_a_finished_run_is_not_taken_for_that_of_other_images_below_the_same_name(
    change: str, words: str, pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, config = copied(pets, tmp_path)
    folder = folder.rename(tmp_path / pets[0].name)
    config = dataclasses.replace(config, dataset=f"folder:{folder}")
    if change == "more":
        write_image(folder / "train/cat/10.png", 60)
    else:
        write_image(folder / "train/cat/0.png", 60)
    for unfinished in (False, True):
        if unfinished:
            (directory / "results.json").unlink()
        with pytest.raises(UserError, match=words):
            train_and_evaluate(config)
    assert config_file.read_config(directory).dataset == pets[2].dataset


@pytest.mark.slow
def test_validation_images_of_the_folder_calibrate(
    pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(pets[0], tmp_path / "pets"))
    for index in range(10):
        write_image(folder / f"valid/cat/{index}.png", 40 + index)
        write_image(folder / f"valid/dög/{index}.png", 140 + index)
    directory = tmp_path / "run"
    place = {"dataset": f"folder:{folder}", "run_dir": str(directory)}
    train_and_evaluate(dataclasses.replace(pets[2], steps=1, **place))
    found = export.export_run(directory, tmp_path / "out", calibrate=True)
    assert found is not None and found.images == 20


def test_a_finished_run_is_found_with_a_folder_that_has_moved(
    pets: tuple[Path, Path, Config], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    _, _, config = copied(pets, tmp_path)
    train_and_evaluate(config)
    assert "is finished already" in capsys.readouterr().out


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_does_not_go_on_with_a_folder_of_other_images(
    finished: bool, pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, config = copied(pets, tmp_path)
    if not finished:
        (directory / "results.json").unlink()
    missing = json.loads((directory / "labels.json").read_text())["ids"][0]
    (folder / missing).rename(folder / "train/cat/other.png")
    with pytest.raises(UserError, match=f"{missing} of it is not in {folder}"):
        train_and_evaluate(config)
    assert config_file.read_config(directory).dataset == pets[2].dataset


@pytest.fixture
def usual(
    pets: tuple[Path, Path, Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, Config]:
    """The folder, and its finished run where it is without `--run_dir`."""
    folder, _, config = copied(pets, tmp_path)
    monkeypatch.chdir(tmp_path)
    config = dataclasses.replace(config, run_dir="")
    first = run_dir.directory_of(config)
    shutil.copytree(pets[1], first)
    content = (first / "config.json").read_text().replace(str(pets[0]), str(folder))
    (first / "config.json").write_text(content)
    return folder, first, config


def test_a_folder_with_new_labels_is_trained_on_in_a_new_directory(
    usual: tuple[Path, Path, Config], capsys: pytest.CaptureFixture
) -> None:
    folder, first, config = usual
    before = (first / "results.json").read_bytes()
    flags = [word for word in config.command()[2:] if not word.startswith("--run_dir")]
    train.main(flags)  # nothing has changed
    assert f"{first} is finished already" in capsys.readouterr().out
    for index in range(20):
        write_image(folder / f"train/cat/more_{index}.png", 30 + index)
    train.main(flags)
    output, second = capsys.readouterr().out, first.with_name(f"{first.name}-2")
    assert f"note: images or labels of this folder have changed since {first}, " in output
    for line in (f"Run:      {second}", f"Run                {second} ", f"{second}/report.html"):
        assert line in output
    assert read_results(second)["train_images"] > read_results(first)["train_images"]
    assert (first / "results.json").read_bytes() == before
    train.main(flags)
    assert f"{second} is finished already" in capsys.readouterr().out
    write_image(folder / "train/cat/one_more.png", 60)
    train_and_evaluate(dataclasses.replace(config, steps=1))  # other flags, too
    assert read_results(first.with_name(f"{first.name}-3"))["steps"] == 1


def test_a_label_that_was_corrected_makes_other_data(usual: tuple[Path, Path, Config]) -> None:
    folder, first, config = usual
    names = json.loads((first / "labels.json").read_text())["ids"]
    for path in sorted(folder.rglob("*.png")):  # all in one folder, their classes in a table
        with open(folder / "labels.csv", "a") as file:
            file.write(f"all/{path.parent.name}_{path.name},{path.parent.name}\n")
        (folder / "all").mkdir(exist_ok=True)
        path.rename(folder / "all" / f"{path.parent.name}_{path.name}")
    dataset = load_dataset(config)
    split = label_split.split_labels(config, dataset)
    label_split.save(folder / "labels.json", config, dataset, split)
    assert label_split.is_same(folder / "labels.json", config, dataset, split) and names
    table = (folder / "labels.csv").read_text()
    identity = dataset.train.ids[split.labeled[0]]
    wrong = f"{identity},{dataset.class_names[1 - dataset.train.labels[split.labeled[0]]]}"
    lines = [wrong if line.startswith(f"{identity},") else line for line in table.splitlines()]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    changed = load_dataset(config)
    assert not label_split.is_same(folder / "labels.json", config, changed, split)


def test_a_run_that_was_stopped_stays_when_labels_came_since(
    usual: tuple[Path, Path, Config], capsys: pytest.CaptureFixture
) -> None:
    folder, first, config = usual
    (first / "results.json").unlink()
    write_image(folder / "train/cat/more.png", 33)
    train_and_evaluate(config)
    second = first.with_name(f"{first.name}-2")
    shown = capsys.readouterr().out
    assert f"since {first} (not finished; to go on with it, take these changes back)" in shown
    assert f"which stays as it is; the new run is {second}." in shown
    assert not (first / "results.json").exists()
    assert read_results(second)["train_images"]
    train_and_evaluate(config)
    assert f"the run on the folder as it is now is {second}." in capsys.readouterr().out


@pytest.mark.parametrize("case", ["asked for", "gone"])
def test_no_new_directory_is_made(
    case: str, usual: tuple[Path, Path, Config], capsys: pytest.CaptureFixture
) -> None:
    folder, first, config = usual
    write_image(folder / "train/cat/more.png", 33)
    if case == "asked for":
        train_and_evaluate(dataclasses.replace(config, run_dir=str(first)))
    else:
        shutil.rmtree(folder)
        train_and_evaluate(config)
    output = capsys.readouterr().out
    assert "finished already" in output
    assert ("to train on them, give another --run_dir" in output) == (case == "asked for")
    assert not first.with_name(f"{first.name}-2").exists()


def test_a_folder_that_is_not_there_is_named_beside_a_run_of_a_similar_name(
    usual: tuple[Path, Path, Config],
) -> None:
    folder, first, config = usual
    mistyped = f"folder:{folder.parent}/{folder.name}!"
    assert run_dir.directory_of(dataclasses.replace(config, dataset=mistyped)) == first
    for _ in ("finished", "not finished"):
        with pytest.raises(
            UserError,
            match=f"^--dataset={mistyped}: there is no such folder; there is {folder.name}",
        ):
            train_and_evaluate(dataclasses.replace(config, dataset=mistyped))
        (first / "results.json").unlink(missing_ok=True)


def test_test_images_of_the_same_number_and_other_names_are_other_images(
    pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, config = copied(pets, tmp_path)
    (directory / "results.json").unlink()
    named = json.loads((directory / "labels.json").read_text())["ids"]
    tests = [p for p in folder.glob("train/*/*") if p.relative_to(folder).as_posix() not in named]
    tests[0].rename(tests[0].with_stem(tests[0].stem + "_new"))
    with pytest.raises(UserError, match="of it is not in"):
        train_and_evaluate(config)
    content = json.loads((directory / "labels.json").read_text())
    del content["test_ids"]  # as in files of earlier versions: their digest is left
    (directory / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="had other data or labels"):
        train_and_evaluate(config)


def test_a_moved_folder_can_be_evaluated_by_its_new_place(
    pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, _ = copied(pets, tmp_path)
    content = (directory / "config.json").read_text().replace(str(pets[0]), str(tmp_path / "gone"))
    (directory / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"no such folder as .*gone here.* --data_dir"):
        evaluate.evaluate_run(directory, write=False)
    with pytest.raises(UserError, match=r"no such folder as .*gone here.* --data_dir"):
        pool.pool_of_run(directory)
    with pytest.raises(UserError, match="--data_dir=nope: there is no such folder"):
        evaluate.evaluate_run(directory, data_dir="nope", write=False)
    for given in (f"{folder}/", f"folder:{folder}"):
        found = evaluate.evaluate_run(directory, data_dir=given, write=False)
        assert found["accuracy"] == read_results(directory)["test_accuracy"]


def test_a_run_is_evaluated_and_reported_on_its_own_images_after_new_labels(
    pets: tuple[Path, Path, Config], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, directory, config = copied(pets, tmp_path)
    for index in range(30):
        write_image(folder / f"unlabeled/{index}.png", 200 + index)
    shutil.rmtree(directory)
    train_and_evaluate(config)
    before = evaluate.evaluate_run(directory, write=False)
    rows = [f"unlabeled/{index}.png,{('cat', 'newt')[index % 2]}" for index in range(30)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows, ""]))
    now = load_dataset(config)
    assert len(now.test) > before["images"] and len(now.class_names) == 3
    capsys.readouterr()
    assert evaluate.evaluate_run(directory, write=False) == before
    assert "note: images or labels of the folder have changed since" in capsys.readouterr().out
    report_run(directory)
    assert "newt" not in (directory / "report.html").read_text()
    write_image(folder / "unlabeled/more.png", 99)
    (folder / "unlabeled/29.png").rename(folder / "unlabeled/30.png")
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows[:-1], ""]))
    assert evaluate.evaluate_run(directory, write=False) == before
    report_run(directory)
    test_ids = json.loads((directory / "labels.json").read_text())["test_ids"]
    (folder / test_ids[0]).unlink()
    sentence = f"1 image of the run is not in {folder} any more, such as {test_ids[0]}; put it back"
    with pytest.raises(UserError, match=sentence):
        evaluate.evaluate_run(directory, write=False)


def test_copies_of_its_images_that_came_later_do_not_matter_to_a_run(
    pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, config = copied(pets, tmp_path)
    before = evaluate.evaluate_run(directory, write=False, data_dir=str(folder))
    stored = json.loads((directory / "labels.json").read_text())
    images = [*stored["ids"], *stored["test_ids"]]
    for name in images:  # which of them stays is decided by the hashes of their paths
        for copy in range(3):
            shutil.copy(folder / name, (folder / name).with_name(f"{copy}-{Path(name).name}"))
    now = load_dataset(config)
    assert not set(images) <= {*now.train.ids, *now.test.ids}
    assert evaluate.evaluate_run(directory, write=False, data_dir=str(folder)) == before


def test_what_is_wrong_with_the_folder_of_a_finished_run_is_said_of_that_folder(
    pets: tuple[Path, Path, Config], tmp_path: Path
) -> None:
    folder, directory, _ = copied(pets, tmp_path)
    (damaged,) = json.loads((directory / "labels.json").read_text())["ids"][:1]
    (folder / damaged).write_text("no image")
    sentence = f"1 image of the run cannot be used any more, such as {damaged}: damaged, "
    with pytest.raises(UserError, match=sentence):
        evaluate.evaluate_run(directory, write=False, data_dir=str(folder))
    other = tmp_path / "other"
    for name in ("cat", "dog"):
        write_image(other / f"train/{name}/a.png", ord(name[0]))
        write_image(other / f"test/{name}/b.png", 100 + ord(name[0]))
    with pytest.raises(UserError, match=f"--data_dir={other}: .* of the run are not in it, such"):
        evaluate.evaluate_run(directory, write=False, data_dir=str(other))
    shutil.rmtree(other / "train")
    with pytest.raises(UserError, match=f"^the run's folder {other}: has no folder train/"):
        evaluate.evaluate_run(directory, write=False, data_dir=str(other))


def test_a_directory_that_holds_runs_is_answered_with_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    with pytest.raises(
        UserError, match="is not a run itself; give one of the runs in it: one, two"
    ):
        finished_run.read_config(tmp_path)
    with pytest.raises(UserError, match="there is no such folder; there is two"):
        finished_run.read_config(tmp_path / "twoo")
