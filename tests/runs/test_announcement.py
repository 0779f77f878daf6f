"""What a run says before it trains and after."""

import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from ssgan_tf import train
from ssgan_tf.config import Config
from ssgan_tf.flags import parse_config
from ssgan_tf.inference.evaluation import gain_and_chance
from ssgan_tf.presets import VGG
from ssgan_tf.runs import announcement, config_file, run_dir
from ssgan_tf.system.text import display_width
from tests.conftest import make_dataset

RESULTS = {
    "test_accuracy": 0.8,
    "test_accuracy_interval": [0.75, 0.85],
    "test_images": 400,
    "train_images": 900,
    "train_labeled_accuracy": 1.0,
    "dataset": "folder:photos",
    "labeled": 20,
    "method": "semi_supervised",
    "steps": 3200,
    "wall_seconds": 61.0,
    "device": "CPU",
    "versions": {},
    "command": "python -m ssgan_tf.train",
}


def write(config: Config, **changes: object) -> None:
    directory = run_dir.directory_of(config)
    directory.mkdir(parents=True, exist_ok=True)
    config_file.write_config(directory, config)
    (directory / "results.json").write_text(json.dumps({"schema": 1} | RESULTS | changes))


def test_what_a_run_of_a_former_preset_keeps_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "photos").mkdir()
    dataset, directory = f"folder:{tmp_path / 'photos'}", tmp_path / "run"
    write(Config(dataset=dataset, preset="pooled", run_dir=str(directory)))
    train.main(["train", f"--dataset={dataset}", f"--run_dir={directory}"])
    shown = capsys.readouterr().out
    assert "is finished already" in shown and "Test accuracy" in shown
    assert shown.count("--discriminator_width=32 ") == 1


@pytest.mark.parametrize(
    "recorded",
    [
        {"preset": "tuned", **VGG, "augment_fakes": False},
        {"preset": "vgg", "discriminator_width": 16},
    ],
    ids=["the same under another name", "of this preset"],
)
def test_nothing_is_said_of_a_run_that_keeps_nothing_of_a_former_preset(
    recorded: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "photos").mkdir()
    dataset, directory = f"folder:{tmp_path / 'photos'}", tmp_path / "run"
    write(Config(dataset=dataset, run_dir=str(directory), **recorded))
    flags = [f"--discriminator_width={recorded['discriminator_width']}"]
    train.main(["train", f"--dataset={dataset}", f"--run_dir={directory}", *flags])
    shown = capsys.readouterr().out
    assert "is finished already" in shown and "which stay" not in shown


@pytest.mark.parametrize(
    ("command", "control"),
    [
        (
            "--labeled=250",
            "--method=supervised --labeled=250 --drop_rate=0.5 --schedule=linear",
        ),
        (
            "--drop_rate=0.2 --labeled=250",
            "--method=supervised --labeled=250 --drop_rate=0.2 --schedule=linear",
        ),
        (
            "--preset=tuned --labeled_batch_size=8 --run_dir=x/y/ --steps=9",
            "--preset=tuned --method=supervised --steps=9 --run_dir=x/y-supervised",
        ),
        (
            "--labeled_batch_size 8 --seed 3",
            "--method=supervised --drop_rate=0.5 --schedule=linear --seed=3",
        ),
    ],
)
def test_the_closing_lines_have_a_command_for_the_control_that_works(
    command: str, control: str
) -> None:
    config = parse_config(["train", *command.split()], "train", "")
    last = announcement.closing_lines(config, RESULTS).splitlines()[-1].strip()
    assert last == f"python -m ssgan_tf.train {control}"
    again = parse_config(["train", *control.split()], "train", "")
    assert (again.method, again.labeled, again.seed) == ("supervised", config.labeled, config.seed)


@pytest.mark.parametrize(
    ("alone", "words"),
    [  # 1.96 sqrt(0.8 0.2 / 400 + p (1 - p) / 400) is 5.5 and 6.1 points
        (0.90, "the unlabeled images do harm: -10.0 points, where chance alone makes up to 4.9"),
        (0.78, "no clear gain from the unlabeled images: +2.0 points"),
        (0.70, "the unlabeled images help: +10.0 points, where chance alone makes up to 6.0"),
    ],
)
def test_both_methods_say_what_the_unlabeled_images_add_once_both_are_there(
    alone: float, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(dataset="folder:photos").fit_to(900)
    control = config.control()
    write(control, test_accuracy=alone, method="supervised")
    assert words in announcement.closing_lines(config, RESULTS)
    write(config)
    text = announcement.closing_lines(
        control, RESULTS | {"test_accuracy": alone, "method": "supervised"}
    )
    assert words in text
    assert "With unlabeled     80.0%" in text
    write(control, test_accuracy=alone, method="supervised", labeled=900)
    all_labeled = announcement.closing_lines(config, RESULTS | {"labeled": 900})
    method = words.replace("unlabeled images help", "semi-supervised method helps")
    method = method.replace("unlabeled images do", "semi-supervised method does")
    assert method.replace("unlabeled images", "semi-supervised method") in all_labeled


@pytest.mark.parametrize("other", [{"steps": 200}, {"labeled": 21}, {"test_images": 399}])
def test_a_run_that_had_another_task_is_no_control(
    other: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(dataset="folder:photos").fit_to(900)
    write(config.control(), method="supervised", **other)
    assert "python -m ssgan_tf.train" in announcement.closing_lines(config, RESULTS)
    write(config, **other)
    text = announcement.closing_lines(config.control(), RESULTS | {"method": "supervised"})
    assert "Not compared: runs/photos-all-vgg-semi_supervised-0 has other labels" in text


def test_a_control_without_a_counterpart_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = RESULTS | {"method": "supervised"}
    for given in ({}, {"run_dir": "out/control"}):
        control = Config(dataset="folder:photos", method="supervised", **given).fit_to(900)
        write(control, method="supervised")
        assert "there is no semi-supervised run beside" in announcement.closing_lines(
            control, found
        )


def test_the_weight_of_the_gan_makes_no_other_control() -> None:
    one = Config(dataset="folder:photos", method="supervised")
    other = dataclasses.replace(one, unsupervised_weight=0.5)
    assert not config_file.changed_flags(one, other)
    assert not announcement._differences(Config(dataset="folder:photos"), other)


def test_what_else_differs_between_a_run_and_its_control_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(dataset="folder:photos").fit_to(900)
    control = config.control()
    other = dataclasses.replace(control, image_size=64, augment_color=0.0, steps_per_call=20)
    write(other, method="supervised")
    assert "also differ in --image_size, --augment_color)" in announcement.closing_lines(
        config, RESULTS
    )
    text = announcement.closing_lines(control, RESULTS | {"method": "supervised"})
    assert "also differ" not in text


def test_chance_is_not_nothing_where_few_images_were_all_correct() -> None:
    found = {"test_accuracy": 1.0, "test_images": 4}
    gain, chance = gain_and_chance(found, found)  # (4 + 2) / (4 + 4) = 0.75
    assert (gain, chance) == (0, pytest.approx(1.96 * (2 * 0.75 * 0.25 / 8) ** 0.5))


def test_without_unlabeled_images_the_closing_lines_do_not_speak_of_any() -> None:
    text = announcement.closing_lines(Config(), RESULTS | {"labeled": 900})
    assert "There are no unlabeled images. What the semi-supervised method adds:" in text


def test_validation_images_are_no_unlabeled_ones() -> None:
    config = Config(dataset="folder:photos", labeled="all")
    text = announcement.closing_lines(config, RESULTS | {"labeled": 800, "unlabeled": 0})
    assert "There are no unlabeled images." in text and "Label more images" not in text
    text = announcement.closing_lines(config, RESULTS | {"labeled": 800, "unlabeled": 1})
    assert "What the unlabeled images add:" in text and "Label more images" in text


def test_where_a_flag_hides_labels_no_more_are_asked_for() -> None:
    config = Config(dataset="folder:photos", labeled=800)
    text = announcement.closing_lines(config, RESULTS | {"labeled": 800, "unlabeled": 1})
    assert "What the unlabeled images add:" in text and "Label more images" not in text


def test_of_all_labeled_images_the_method_is_named_and_nothing_said_where_nothing_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pooled = Config(dataset="folder:photos", unsupervised_weight=0.0).fit_to(900)
    no_teacher = {"distribution_alignment": False, "consistency_share_power": 0.0}
    plain = dataclasses.replace(pooled, consistency_weight=0.0, **no_teacher)
    all_labeled = RESULTS | {"labeled": 900}
    for semi, says in ((pooled, True), (plain, False)):  # pseudo-labels are a difference
        shutil.rmtree("runs", ignore_errors=True)
        control = semi.control()
        write(semi, labeled=900, test_accuracy=0.8)
        write(control, labeled=900, test_accuracy=0.5, method="supervised")
        for one, method, beside in (
            (semi, "semi_supervised", "Labels alone"),
            (control, "supervised", "Semi-supervised"),
        ):
            text = announcement.closing_lines(one, all_labeled | {"method": method})
            assert (f"\n{beside}" in text) == says
            assert ("the semi-supervised method" in text) == says
            assert "generated" not in text and "unlabeled images" not in text


def test_balanced_accuracy_and_the_recall_of_each_class_stand_beside_accuracy() -> None:
    recall = {"cat": 0.9, "dog": 0.25, "yak": None}
    found = RESULTS | {"balanced_accuracy": 0.575, "recall": recall}
    lines = announcement.closing_lines(Config(), found).splitlines()
    assert "Balanced accuracy  57.5%  (mean recall of the classes)" in lines
    (line,) = (line for line in lines if line.startswith("  recall"))
    assert line.split() == ["recall", "cat", "90%", "dog", "25%", "yak", "-"]


def test_recalls_stand_below_each_other_under_wide_letters() -> None:
    recall = {("三毛猫" if index == 0 else f"{index:06}"): 0.5 for index in range(12)}
    found = RESULTS | {"balanced_accuracy": 0.5, "recall": recall}
    lines = announcement.closing_lines(Config(), found).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("  recall"))
    cells, below = lines[first][19:], lines[first + 1][19:]
    # 80 columns: six cells of 10 and two spaces; the wide letters are three, but six columns.
    assert cells.startswith("三毛猫 50%  000001 50%  ")
    assert below.startswith("000006 50%  000007 50%  ")
    assert display_width(cells) == len(below)


def test_what_was_chosen_for_a_folder_is_shown_with_the_reason_and_what_was_given_is_not() -> None:
    asked = Config(dataset="folder:photos")
    lines = announcement.reasons(asked, asked.fit_to(900), 900, "bfloat16")
    text = "\n".join(lines)
    for flag in ("--preset=vgg", "--batch_size=128", "--labeled_batch_size=64", "--steps=3200"):
        assert flag in text
    assert "--precision=bfloat16: what this device is fast at" in text
    assert "--augment_flip=true" in text
    assert "--distribution_alignment=true: for classes as frequent in all images" in text
    asked = Config(
        dataset="folder:photos",
        discriminator="article",
        batch_size=8,
        labeled_batch_size=4,
        steps=9,
        augment_flip=False,
        distribution_alignment=False,
    )
    lines = announcement.reasons(asked, asked.fit_to(900), 900, "float32")
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "--preset=vgg",
        "--discriminator_width=24 would take about half the time",
    ]
    narrow = Config(dataset="folder:photos", discriminator_width=16)
    text = "\n".join(announcement.reasons(narrow, narrow.fit_to(900), 900, "float32"))
    assert "--preset=vgg" in text and "half the time" not in text
    article = Config(dataset="folder:photos", preset="article", augment_flip=False)
    text = "\n".join(announcement.reasons(article, article.fit_to(900), 900, "float32"))
    assert "--preset" not in text and "usual size" in text
    few = Config(dataset="folder:photos")
    text = "\n".join(announcement.reasons(few, few.fit_to(90), 90, "float32"))
    assert "--batch_size=32: at most half of the 90 images" in text
    for labels, why in ((2000, "64: half of --batch_size"), (2001, "128: as --batch_size, since")):
        fitted = few.fit_to(9000, labels=labels)
        found = announcement.reasons(few, fitted, 9000, "float32", labels=labels)
        assert f"--labeled_batch_size={why}" in "\n".join(found)
    assert announcement.reasons(Config(), Config().fit_to(900), 900, "float32") == []
    text = "\n".join(announcement.reasons(few, few.fit_to(90), 90, "float16"))
    assert "--precision=float16: what this device is fast at" in text


def test_classes_named_like_digits_or_letters_are_asked_about_unless_flips_are_off() -> None:
    def lines(names: list[str], **given: bool) -> str:
        asked = Config(dataset="folder:signs", **given)
        return "\n".join(announcement.reasons(asked, asked.fit_to(900), 900, "float32", names))

    for names in (["0", "1", "10"], ["A", "b", "é"]):
        assert "the class names look like digits or letters: if so, give false" in lines(names)
        assert "--augment_flip" not in lines(names, augment_flip=False)
    assert "if so" not in lines(["cat", "7"])
    assert "--augment_flip=true: for photos; give false for digits" in lines(["cat", "7"])


def test_the_header_has_the_command_to_give_back_and_the_counts() -> None:
    from ssgan_tf.data.label_split import split_labels

    dataset = make_dataset()
    config = Config(labeled=20, batch_size=16)
    text = announcement.header(config, config, dataset, split_labels(config, dataset), "float32")
    assert "100 training images, 20 of them labeled, 30 test images" in text
    assert "150 steps of batch 16 (25.0 epochs)" in text
    assert "150 steps are few" in text
    assert shlex.quote(str(run_dir.directory_of(config))) in text
    assert "test image" not in text.replace("30 test images", "", 1)  # TFDS' are as they are
    folder = dataclasses.replace(config, dataset="folder:pets", preset="article")
    text = announcement.header(folder, folder, dataset, split_labels(config, dataset), "float32")
    # Wilson's interval of 15 of 30 is 33.2% to 66.8%.
    assert "note: only 30 test images: by chance, an accuracy can be off by about 17 points" in text


def test_few_test_images_of_a_folder_are_noted() -> None:
    config = Config(dataset="folder:pets")
    assert "only one test image: by chance" in announcement._few_test_images(config, 1)[0]
    assert announcement._few_test_images(config, 100) == []
