"""The command, from images to the table and the page."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import NARROW, make_dataset
from PIL import Image

from ssgan_tf import suggest
from ssgan_tf.data import labels_json
from ssgan_tf.labeling.suggestions_csv import COLUMNS
from ssgan_tf.runs import suggestions, without_labels


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run directory of one's own, to be written into."""
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.fixture
def unlabeled(tmp_path: Path) -> Path:
    """Twelve images, half of them directly in the folder, and not one label."""
    root = tmp_path / "my images ü"
    (root / "unlabeled").mkdir(parents=True)
    for index, image in enumerate(make_dataset(test=12).test.images):
        place = root / "unlabeled" if index % 2 else root
        Image.fromarray(image).resize((48, 32)).save(place / f"{index}, <b>.png")
    return root


def refused(*arguments: str) -> str:
    with pytest.raises(SystemExit) as error:
        suggest.main(["suggest", *arguments])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_suggests_images_that_it_had_no_label_of(
    copy: Path, capsys: pytest.CaptureFixture
) -> None:
    suggest.main(["suggest", f"--run_dir={copy}", "--n=5"])
    split = json.loads((copy / "labels.json").read_text())
    found = rows(copy / "suggestions.csv")
    assert tuple(found[0]) == COLUMNS  # which `label` reads
    assert [row["rank"] for row in found] == list("12345")
    chosen = [row["path"] for row in found]
    assert len(set(chosen)) == 5 and not {*split["ids"], *split["validation_ids"]} & {*chosen}
    assert all(row["predicted"] in map(str, range(10)) for row in found)
    assert all(0.1 <= float(row["probability"]) <= 1 for row in found)
    assert "typical of" in found[0]["reason"]
    shown = capsys.readouterr().out
    assert f"Page:     {copy}/suggestions.html" in shown
    assert f"--labels_from={copy}/suggested_labels.json" in shown  # their labels are known
    assert "--labeled=25" in shown
    content = labels_json.read(copy / "suggested_labels.json")
    assert {*content["ids"]} == {*split["ids"], *chosen}
    assert content["validation_ids"] == split["validation_ids"]


def test_uncertain_images_name_two_classes(copy: Path) -> None:
    suggest.main(["suggest", f"--run_dir={copy}", "--n=3", "--strategy=uncertain"])
    assert all(" or " in row["reason"] for row in rows(copy / "suggestions.csv"))


def test_a_run_that_stopped_at_a_checkpoint_suggests_too(copy: Path, tmp_path: Path) -> None:
    (copy / "results.json").unlink()
    shutil.rmtree(copy / "saved_model")
    output = tmp_path / "elsewhere"
    suggest.main(["suggest", f"--run_dir={copy}", "--n=2", f"--output_dir={output}"])
    assert len(rows(output / "suggestions.csv")) == 2
    assert not (copy / "suggestions.csv").exists()


def test_a_folder_without_any_label_gets_its_first_suggestions(
    unlabeled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    suggest.main(["suggest", f"--dataset=folder:{unlabeled}", "--n=4"])
    place = Path("suggestions/my_images_ü")
    found = rows(place / "suggestions.csv")
    assert len(found) == 4
    for row in found:
        assert (unlabeled / row["path"]).is_file()
        assert row["predicted"] == row["probability"] == ""
    shown = capsys.readouterr().out
    assert "Next:     python -m ssgan_tf.label '--suggestions=" in shown  # of the folder, quoted
    assert f"{place}/suggestions.csv' '--dataset=folder:{unlabeled}'" in shown
    page = (place / "suggestions.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "&lt;b&gt;.png" in page and "<script" not in page and "http" not in page


def test_labels_given_since_are_not_asked_for_again(unlabeled: Path, tmp_path: Path) -> None:
    (unlabeled / "labels.csv").write_text('file,label\n"0, <b>.png",cat\n', encoding="utf-8")
    suggest.main(["suggest", f"--dataset=folder:{unlabeled}", f"--output_dir={tmp_path}/o"])
    found = [row["path"] for row in rows(tmp_path / "o/suggestions.csv")]
    assert len(found) == 11 and "0, <b>.png" not in found


def test_a_folder_with_many_labels_and_without_a_run_gets_typical_images(tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / "unlabeled").mkdir(parents=True)
    for index, image in enumerate(make_dataset(test=36).test.images):
        place = root / "unlabeled" if index >= 30 else root / "train" / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index}.png")
    suggest.main(["suggest", f"--dataset=folder:{root}", "--n=4", f"--output_dir={tmp_path}/o"])
    found = rows(tmp_path / "o/suggestions.csv")
    assert len(found) == 4
    assert "strategy typical" in (tmp_path / "o/suggestions.html").read_text()


def test_fewer_images_than_asked_for_are_all_suggested_with_a_note(
    unlabeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    suggest.main(["suggest", f"--dataset=folder:{unlabeled}", f"--output_dir={tmp_path}/o"])
    assert len(rows(tmp_path / "o/suggestions.csv")) == 12
    shown = capsys.readouterr().out
    assert "only 12 images have no label; all that is left is suggested" in shown
    assert "Check:" not in shown  # there are no labels


def test_wrong_labels_of_a_folder_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, rng = tmp_path / "images", np.random.default_rng(0)
    for index in range(24):
        shade = index % 2 * 150
        name = "dark" if shade == 0 or index == 1 else "bright"  # one bright image is in dark/
        (root / name).mkdir(parents=True, exist_ok=True)
        image = rng.integers(shade, shade + 100, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / name / f"{index}.png")
    (root / "unlabeled").mkdir()
    Image.new("RGB", (32, 32)).save(root / "unlabeled/x.png")
    suggest.main(["suggest", f"--dataset=folder:{root}", f"--output_dir={tmp_path}/o"])
    first = rows(tmp_path / "o/suspicious_labels.csv")[0]
    assert (first["path"], first["label"], first["predicted"]) == ("dark/1.png", "dark", "bright")
    assert "Labels to check" in (tmp_path / "o/suggestions.html").read_text()
    table = tmp_path / "o/suspicious_labels.csv"
    assert f"Check:    labels that may be wrong, in {table}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_a_gan_trained_without_labels_gives_features(
    unlabeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(without_labels, "RECIPE", without_labels.RECIPE | NARROW | {"steps": 3})
    flags = [f"--dataset=folder:{unlabeled}", "--features=gan", "--n=2"]
    suggest.main(["suggest", *flags, f"--output_dir={tmp_path}/o"])
    assert len(rows(tmp_path / "o/suggestions.csv")) == 2
    shown = capsys.readouterr().out
    assert "3 steps without labels" in shown and "0:00 left" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--run_dir", "is missing", "--dataset=folder:PATH"]),
        (["--run_dir={run}", "--dataset=mnist"], ["--dataset=mnist", "either"]),
        (["--run_dir={tmp}/none"], ["--run_dir={tmp}/none", "no such folder"]),
        (["--run_dir={run}", "--n=0"], ["--n=0", "at least 1"]),
        (["--run_dir={run}", "--strategy=best"], ["--strategy=best", "auto, typical"]),
        (["--run_dir={run}", "--checkpoint=7"], ["--checkpoint=7", "'last'"]),
        (["--run_dir={run}", "--data_dir={tmp}"], ["--data_dir={tmp}", "no prepared"]),
        (["--dataset=folder:{tmp}/none"], ["folder:{tmp}/none", "no such folder"]),
        (["--dataset=folder:{tmp}"], ["folder:{tmp}", "has no images"]),
        (["--run_dir={run}", "--features=pixels"], ["--features=pixels", "--run_dir", "leave"]),
        (["--dataset=folder:x", "--checkpoint=last"], ["--checkpoint=last", "--dataset", "leave"]),
        (["--dataset=folder:x", "--strategy=uncertain"], ["--strategy=uncertain", "--run_dir"]),
        (["--dataset=folder:{tmp}", "--output_dir={run}/config.json"], ["config.json is a file"]),
    ],
)
def test_a_mistake_is_named(
    arguments: list[str], words: list[str], run: Path, tmp_path: Path
) -> None:
    def fill(text: str) -> str:
        return text.format(run=run, tmp=tmp_path)

    message = refused(*map(fill, arguments))
    for word in words:
        assert fill(word) in message


def test_a_folder_where_all_have_a_label_says_what_to_do(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), "red" if name == "cat" else "blue").save(
            tmp_path / "images" / name / "1.png"
        )
    message = refused(f"--dataset=folder:{tmp_path}/images", f"--output_dir={tmp_path}/o")
    assert "all 2 images have a label already" in message
    assert f"{tmp_path}/images/unlabeled/" in message
    assert not (tmp_path / "o").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_to_is_named_before_the_work(
    unlabeled: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    message = refused(f"--dataset=folder:{unlabeled}", f"--output_dir={tmp_path}/locked/o")
    assert f"{tmp_path}/locked cannot be written to" in message


def test_a_file_that_is_deleted_meanwhile_is_shown_as_the_network_saw_it(
    unlabeled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = suggestions.choose

    def and_delete(*arguments: object) -> suggestions.Found:
        found = choose(*arguments)
        (unlabeled / "0, <b>.png").unlink()
        return found

    monkeypatch.setattr(suggestions, "choose", and_delete)
    suggest.main(["suggest", f"--dataset=folder:{unlabeled}", f"--output_dir={tmp_path}/o"])
    assert (tmp_path / "o/suggestions.html").read_text().count("<img ") == 12
