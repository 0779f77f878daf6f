import csv
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import NARROW
from PIL import Image

from ssgan_tf import evaluate
from ssgan_tf.config import Config, UserError
from ssgan_tf.data.folder.load import load_folder, load_pool
from ssgan_tf.data.folder.train_test_split import path_hash
from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.label_split import split_labels
from ssgan_tf.data.load import load_dataset, load_named
from ssgan_tf.models.whitening import whitening_kernel
from ssgan_tf.runs import finished_run
from ssgan_tf.runs.story import train_and_evaluate
from ssgan_tf.training.state import State

pytestmark = pytest.mark.usefixtures("brief_end")


def write_image(path: Path, value: int, size: tuple[int, int] = (32, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of ten images, whose grey says which, and six images without a label.

    Two of each class are for the test, by their names: photo_7 and photo_9.
    """
    root = tmp_path / "my pictures ü"
    for index in range(10):
        write_image(root / f"train/cat/photo_{index}.png", 10 + index)
        write_image(root / f"train/dog/photo_{index}.jpg", 110 + index, (40 + index, 32))
    for index in range(6):
        write_image(root / f"unlabeled/more/{index}.bmp", 210 + index)
    return root


def test_classes_are_the_folders_and_unlabeled_images_have_no_label(pictures: Path) -> None:
    dataset = load_folder(str(pictures))
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.name == "folder:my pictures ü"
    assert dataset.train.images.shape == (22, 32, 32, 3)  # 8 + 8 + 6
    greys = dataset.train.images[:, 16, 16, 0]
    expected = np.where(greys < 100, 0, np.where(greys < 200, 1, -1))
    np.testing.assert_array_equal(dataset.train.labels, expected)
    assert "unlabeled/more/0.bmp" in dataset.train.ids
    assert dataset.test.labels.tolist() == [0, 0, 1, 1]


def test_the_test_images_are_those_whose_paths_say_so(pictures: Path) -> None:
    def expected(fraction: float) -> set[str]:
        paths = (path.relative_to(pictures).as_posix() for path in pictures.glob("train/*/*"))
        numbers = {path: hashlib.sha256(path.encode()).hexdigest()[:16] for path in paths}
        return {path for path, number in numbers.items() if int(number, 16) < fraction * 2**64}

    before = load_folder(str(pictures))
    ends = [f"{name}/photo_{number}" for name in ("cat", "dog") for number in (7, 9)]
    assert [identity.split(".")[0] for identity in before.test.ids] == [
        f"train/{end}" for end in ends
    ]
    assert "set aside" in before.report[0]
    assert set(load_folder(str(pictures), test_fraction=0.5).test.ids) == expected(0.5)
    for index in range(30):  # with more images, elsewhere, and a class that comes in between
        write_image(pictures / f"train/cat/more_{index}.png", 30 + index)
        write_image(pictures / f"train/cow/{index}.png", 60 + index)
    moved = pictures.rename(pictures.parent / "elsewhere")
    after = load_folder(str(moved))
    assert set(before.test.ids) < set(after.test.ids)
    assert not set(before.train.ids) & set(after.test.ids)
    assert not set(after.train.ids) & set(after.test.ids)


def test_each_class_keeps_an_image_to_train_on_and_classes_without_test_images_are_named(
    pictures: Path,
) -> None:
    write_image(pictures / "train/rare/a.png", 100)
    dataset = load_folder(str(pictures), test_fraction=0.999)
    counts = {
        name: int(np.sum(dataset.train.labels == i)) for i, name in enumerate(dataset.class_names)
    }
    assert counts == {"cat": 1, "dog": 1, "rare": 1}
    reason = "a single image is trained on; give test/"
    assert f"no test image of rare: {reason}" in dataset.report
    with pytest.raises(UserError, match=r"--test_fraction=0.0: leaves no test image of 21"):
        load_folder(str(pictures), test_fraction=0.0)


def test_a_test_folder_is_used_where_there_is_one(pictures: Path) -> None:
    write_image(pictures / "test/dog/x.png", 150)
    dataset = load_folder(str(pictures))
    assert dataset.test.ids.tolist() == ["test/dog/x.png"]
    assert dataset.test.labels.tolist() == [1]
    assert len(dataset.train) == 26


def test_size_channels_and_fit_are_those_asked_for(pictures: Path) -> None:
    dataset = load_folder(str(pictures), image_size=16, channels=1, fit="pad")
    assert dataset.train.images.shape[1:] == (16, 16, 1)
    dogs = dataset.train.images[dataset.train.labels == 1]
    assert (dogs[:, 0, 8, 0] < 60).all() and (dogs[:, 8, 8, 0] > 100).all()  # black at the top


def test_the_report_tells_counts_sizes_and_what_was_skipped(pictures: Path) -> None:
    (pictures / "train/cat/text.png").write_text("not an image")
    (pictures / "train/cat/notes.txt").write_text("a list")
    whole = (pictures / "train/dog/photo_0.jpg").read_bytes()
    (pictures / "train/dog/short.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (30000, 30000)).save(pictures / "unlabeled/huge.png")
    report = "\n".join(load_folder(str(pictures)).report)
    rows = [line.split() for line in report.splitlines()]
    assert ["cat", "8", "2"] in rows and ["dog", "8", "2"] in rows
    assert "6  without a label" in report
    assert "32 x 32 to 49 x 32" in report
    assert "test images: set aside, --test_fraction=0.2" in report
    assert "skipped: 3 files" in report
    assert "train/cat/text.png: is not an image" in report
    assert "train/dog/short.jpg: is damaged" in report
    assert "unlabeled/huge.png: has" in report and "100 million" in report
    assert "not read: 1 file without" in report


def test_a_folder_made_from_a_tfds_data_set_is_the_same_data(data_dir: str, tmp_path: Path) -> None:
    original = load_named("house_numbers", data_dir)
    for name, part in (("train", original.train), ("test", original.test)):
        for image, label, identity in zip(part.images, part.labels, part.ids, strict=True):
            path = tmp_path / name / original.class_names[label] / f"{identity}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    found = load_folder(str(tmp_path))
    assert found.class_names == original.class_names
    for mine, theirs in ((found.train, original.train), (found.test, original.test)):
        order = np.argsort([identity.rpartition("/")[2] for identity in mine.ids])
        expected = theirs.take(np.argsort([f"{identity}.png" for identity in theirs.ids]))
        np.testing.assert_array_equal(mine.images[order], expected.images)
        np.testing.assert_array_equal(mine.labels[order], expected.labels)


def test_mistakes_are_named(pictures: Path, tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(UserError) as error:
            load_folder(str(path))
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such folder" in message(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "no folder train/" in message(tmp_path / "empty")
    write_image(tmp_path / "one/train/cat/1.png", 5)
    assert "one class folder; a classifier needs at least two" in message(tmp_path / "one")
    (pictures / "train/bird").mkdir()
    assert "class bird has no images in train/bird/" in message(pictures)
    (pictures / "train/bird/1.png").write_text("no image")
    text = message(pictures)
    assert "class bird has no image that can be read" in text and "is not an image" in text
    write_image(pictures / "train/bird/2.png", 7)
    write_image(pictures / "test/fish/1.png", 7)
    assert "test/ has the class fish" in message(pictures)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:  # another file with the same pixels
        image.save(target, "PNG", compress_level=1)


def test_no_copy_of_a_test_image_is_trained_on(pictures: Path) -> None:
    copy(pictures / "train/cat/photo_7.png", pictures / "unlabeled/copy.png")
    copy(pictures / "train/cat/photo_9.png", pictures / "train/cat/twin.png")
    copy(pictures / "train/dog/photo_1.jpg", pictures / "unlabeled/dog.png")
    for _ in range(2):  # set aside, and then as a part that is given
        dataset = load_folder(str(pictures))
        test = {image.tobytes() for image in np.asarray(dataset.test.images)}
        train = [image.tobytes() for image in np.asarray(dataset.train.images)]
        assert not test & set(train)
        assert len(train) == len(set(train)) == 22
        assert len(dataset.test) == 4
        for name in ("cat", "dog"):
            (pictures / "test" / name).mkdir(parents=True, exist_ok=True)
        for identity in dataset.test.ids:
            (pictures / identity).rename(pictures / identity.replace("train/", "test/"))
    assert "copies: 2 of test images, left out of training" in dataset.report
    assert "copies: 1 within the training part, left out" in dataset.report


def test_names_of_classes_that_may_be_slips_are_reported(pictures: Path) -> None:
    for index in range(8):
        write_image(pictures / f"train/sandal/{index}.png", 30 + index)
    for number, name in enumerate(("sandl", "Cat ", "scandal")):
        for index in range(1 + 2 * (name == "scandal")):
            write_image(pictures / f"train/{name}/{index}.png", 60 + 10 * number + index)
    write_image(pictures / "test/dog/1.png", 99)
    report = load_folder(str(pictures)).report
    assert [line for line in report if "name" in line or "differ" in line] == [
        "classes that differ only in upper and lower case or spaces: 'Cat ', 'cat'",
        "almost the same name: sandl (1 image) and sandal; rename one if they are one class",
    ]


def test_two_labels_of_one_image_are_named_with_both_files(pictures: Path) -> None:
    copy(pictures / "train/cat/photo_0.png", pictures / "train/dog/cat.png")
    dataset = load_folder(str(pictures))
    report = "\n".join(dataset.report)
    assert "two labels: 1 image has more than one; used without a label" in report
    assert "train/cat/photo_0.png = train/dog/cat.png" in report
    assert np.sum(dataset.train.labels == 0) == 7 and np.sum(dataset.train.labels == 1) == 8
    assert np.sum(dataset.train.labels == -1) == 7
    (pictures / "train/both").mkdir()
    copy(pictures / "train/cat/photo_1.png", pictures / "train/both/1.png")
    with pytest.raises(UserError, match=r"all training images of class both are also.* Move them"):
        load_folder(str(pictures))


def test_counts_stand_below_each_other_under_wide_letters(pictures: Path) -> None:
    (pictures / "train/cat").rename(pictures / "train/三毛猫三毛猫")
    lines = load_folder(str(pictures)).report
    (wide,) = (line for line in lines if line.startswith("三毛猫三毛猫"))
    assert wide == "三毛猫三毛猫           9           1"
    assert "class              train        test" in lines


def test_images_that_are_equal_after_resizing_alone_keep_their_labels(pictures: Path) -> None:
    for index, name in enumerate(("cat/a", "dog/b")):
        image = Image.new("RGB", (512, 512), "white")
        image.putpixel((100 + index, 100), (254, 255, 255))
        image.save(pictures / f"train/{name}.png")
    report = "\n".join(load_folder(str(pictures)).report)
    assert "two labels" not in report and "copies" not in report


def test_copies_and_two_labels_of_the_validation_part_are_reported(pictures: Path) -> None:
    for index, names in enumerate((("cat/1", "cat/1b"), ("cat/2", "dog/2"), ("dog/3",))):
        for name in names:
            write_image(pictures / f"valid/{name}.png", 60 + index)
    copy(pictures / "valid/dog/3.png", pictures / "train/cat/3.png")
    dataset = load_folder(str(pictures))
    kept = min(("valid/cat/1.png", "valid/cat/1b.png"), key=path_hash)
    assert dataset.validation_ids == {kept, "valid/dog/3.png"}
    assert "copies: 2 within the validation part, left out" in dataset.report
    report = "\n".join(dataset.report)
    assert (
        "two labels: 1 image has more than one; left out of the validation part\n"
        "  valid/cat/2.png = valid/dog/2.png\n"
        "two labels: 1 image has more than one; used with the label of the validation part\n"
        "  train/cat/3.png = valid/dog/3.png"
    ) in report


@pytest.mark.parametrize("count", [2, 5])
def test_a_small_folder_has_a_test_image_wherever_the_hashes_are(
    count: int, tmp_path: Path
) -> None:
    names = (f"{name}/{index}.png" for index in range(200) for name in ("a", "b"))
    above = [name for name in names if path_hash(name) > 0.2]  # by chance none is below
    chosen = [path for name in "ab" for path in [one for one in above if one[0] == name][:count]]
    for index, path in enumerate(chosen):
        write_image(tmp_path / path, 10 * index)
    dataset = load_folder(str(tmp_path))
    assert len(dataset.test) == 1 and len(dataset.train) == 2 * count - 1
    ids = [*dataset.train.ids, *dataset.test.ids]
    assert dataset.test.ids[0] == min(ids, key=path_hash)
    other = "b" if dataset.test.ids[0][0] == "a" else "a"
    said = f"no test image of {other}: by chance none of its images is set aside; give test/"
    assert said in dataset.report


def test_the_working_directory_has_the_ids_that_any_other_path_to_it_gives(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "gone.png").symlink_to("nowhere")
    (pictures / "train" / "cat" / "lost.png").symlink_to("nowhere")
    expected = load_folder(str(pictures))
    assert "  gone.png: is a link to nothing" in expected.report
    monkeypatch.chdir(pictures)
    for given in (".", "./", "../" + pictures.name):
        found = load_folder(given)
        assert found.train.ids.tolist() == expected.train.ids.tolist()
        assert (found.name, found.report) == (expected.name, expected.report)


def test_a_validation_folder_is_set_aside_and_not_trained_on(pictures: Path) -> None:
    write_image(pictures / "valid/cat/1.png", 70)
    write_image(pictures / "valid/dog/1.png", 170)
    copy(pictures / "valid/dog/1.png", pictures / "unlabeled/copy.png")
    dataset = load_folder(str(pictures))
    assert dataset.validation_ids == {"valid/cat/1.png", "valid/dog/1.png"}
    assert "copies: 1 of validation images, left out of training" in dataset.report
    for fraction in (0.0, 0.5):
        config = Config(dataset=f"folder:{pictures}", validation_fraction=fraction)
        split = split_labels(config, dataset)
        assert set(dataset.train.ids[split.validation]) == dataset.validation_ids
        assert len(split.labeled) == 16 and len(split.train) == 22
        ignored = "the validation images are those of valid/; --validation_fraction=0.5 is not used"
        assert (ignored in split.notes) == bool(fraction)
        few = split_labels(dataclasses.replace(config, labeled=4), dataset)  # drawn class by class
        assert (ignored in few.notes) == bool(fraction)
    listing = pictures / "labels.json"
    listing.write_text(json.dumps({"ids": ["train/cat/photo_1.png", "valid/dog/1.png"]}))
    config = Config(dataset=f"folder:{pictures}", labels_from=str(listing))
    with pytest.raises(UserError, match=r"'valid/dog/1.png' is a validation image of"):
        split_labels(config, dataset)


def test_a_table_gives_the_labels_of_images_that_are_not_sorted(tmp_path: Path) -> None:
    rows = ["file;label"]
    for index in range(20):
        write_image(tmp_path / f"p/{index}.png", 10 * index)
        rows.append(f"p/{index}.png;{'odd' if index % 2 else 'even'}")
    write_image(tmp_path / "p/unknown.png", 255)
    (tmp_path / "labels.csv").write_bytes("\r\n".join(["\ufeff" + rows[0], *rows[1:]]).encode())
    dataset = load_folder(str(tmp_path), test_fraction=0.5)
    assert dataset.class_names == ["even", "odd"]
    both = [*zip(dataset.train.ids, dataset.train.labels, strict=True)]
    both += zip(dataset.test.ids, dataset.test.labels, strict=True)
    assert len(both) == 21
    for identity, label in both:
        number = identity.removeprefix("p/").removesuffix(".png")
        assert label == (-1 if number == "unknown" else int(number) % 2)


def test_the_report_tells_what_should_be_known_of_the_classes(pictures: Path) -> None:
    for index in range(10):
        write_image(pictures / f"train/cat/more_{index}.png", 30 + index)
    (pictures / "train/Dog").mkdir()
    write_image(pictures / "train/Dog/1.png", 5)
    report = load_folder(str(pictures)).report
    assert not [line for line in report if "folders within a class" in line]
    assert "imbalanced: 12 images of cat and 1 of Dog to train on; see --balance_classes" in report
    assert "classes that differ only in upper and lower case or spaces: 'Dog', 'dog'" in report


def test_the_report_names_folders_within_a_class(pictures: Path) -> None:
    for name in ("train/cat/lions", "train/cat/tigers/2024", "unlabeled/cat/x", "test/dog/pugs"):
        (pictures / name).mkdir(parents=True)
        write_image(pictures / name / "1.png", len(name))
    (pictures / "labels.csv").write_text("unlabeled/cat/x/1.png,cat\n")
    (pictures / "train/train").mkdir()
    (pictures / "train/n/anna").mkdir(parents=True)
    write_image(pictures / "train/train/1.png", 91)
    write_image(pictures / "train/n/anna/1.png", 92)
    (line,) = [text for text in load_folder(str(pictures)).report if "folders within" in text]
    assert line == (
        "folders within a class, whose images are of that class: test/dog/pugs, train/cat/lions, "
        "train/cat/tigers/2024, train/n/anna"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"two\nlines", r"'two\\nlines' in train/ has a line break"),
        ("next\x85line".encode(), r"'next\\x85line' in train/ has a line break"),
        (b"red\x1b[31m", r"'red\\x1b\[31m' in train/ has a control character"),
        (b"caf\xe9", r"'caf\\udce9' in train/ is not UTF-8"),
    ],
)
def test_a_class_that_the_export_could_not_name_is_refused(
    name: bytes, words: str, pictures: Path
) -> None:
    os.mkdir(os.fsencode(pictures / "train") + b"/" + name)
    with pytest.raises(UserError, match=words):
        load_folder(str(pictures))


def test_names_of_files_need_not_be_utf_8(pictures: Path) -> None:
    write_image(Path(os.fsdecode(os.fsencode(pictures / "unlabeled") + b"/caf\xe9.png")), 5)
    ids = load_folder(str(pictures)).train.ids.tolist()
    assert r"unlabeled/caf\udce9.png" in ids
    "".join(ids).encode("utf-8")


def test_a_class_may_be_a_digit_that_is_no_number(pictures: Path) -> None:
    (pictures / "train/cat").rename(pictures / "train/²")
    assert load_folder(str(pictures)).class_names == ["dog", "²"]


@pytest.mark.writes_everything
def test_a_run_on_a_folder_labels_all_by_default_and_keeps_the_class_names(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    whitened_by: list[np.ndarray] = []
    whiten = State.whiten

    def recorded(state: State, images: np.ndarray, indices: np.ndarray) -> None:
        whitened_by.append(indices)
        whiten(state, images, indices)

    monkeypatch.setattr(State, "whiten", recorded)
    config = Config(  # the recipe that folders get
        **NARROW,
        dataset=f"folder:{pictures}",
        image_size=16,
        batch_size=8,
        labeled_batch_size=4,
        steps=3,
        run_dir=str(tmp_path / "run"),
    )
    assert (config.labeled, config.discriminator, config.augment_fakes) == ("all", "vgg", False)
    results = train_and_evaluate(config)
    assert results["labeled"] == 16
    shown = capsys.readouterr().out
    assert "22 training images, 16 of them labeled" in shown
    assert "without a label" in shown
    names = tmp_path / "run" / "saved_model" / "assets" / "class_names.txt"
    assert names.read_text().split() == ["cat", "dog"]
    labels = json.loads((tmp_path / "run" / "labels.json").read_text())
    assert not [name for name in labels["ids"] if name.startswith("unlabeled")]
    assert "probability of being real" not in (tmp_path / "run" / "report.html").read_text()
    # conv1 whitens what is labeled, now and in the checkpoint that a later start goes on from
    dataset = load_dataset(config)
    assert [sorted(places) for places in whitened_by] == [
        np.flatnonzero(dataset.train.labels >= 0).tolist()
    ]
    scaled = scale(dataset.train.images[dataset.train.labels >= 0]).numpy()

    def squares(kernel: np.ndarray) -> np.ndarray:  # of gray images any directions will do
        return kernel.reshape(12, -1) @ kernel.reshape(12, -1).T

    expected = squares(whitening_kernel(scaled, config.augment_color))
    state = finished_run.load_models(tmp_path / "run").state
    for network in (state.discriminator, state.averaged):
        found = squares(network.conv1.kernel.numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=0.1)


@pytest.mark.slow
def test_a_folder_that_has_moved_is_found_by_data_dir(pictures: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train_and_evaluate(
        Config.from_preset(
            "article",
            **NARROW,
            dataset=f"folder:{pictures}",
            image_size=16,
            batch_size=8,
            steps=1,
            run_dir=str(run_dir),
        )
    )
    moved = pictures.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no such folder"):
        evaluate.evaluate_run(run_dir, write=False)
    assert evaluate.evaluate_run(run_dir, data_dir=str(moved), write=False)["images"] == 4


def test_a_slash_at_the_end_changes_nothing_and_an_empty_path_is_named() -> None:
    assert Config.from_preset("article", dataset="folder:x/").dataset == "folder:x"
    with pytest.raises(UserError, match="needs a path"):
        Config.from_preset("article", dataset="folder:")


def test_a_batch_larger_than_the_folder_is_named_after_the_report(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = Config.from_preset(
        "article", dataset=f"folder:{pictures}", batch_size=128, run_dir=str(tmp_path / "run")
    )
    with pytest.raises(UserError, match=r"there are 22 images .* such as --batch_size=8"):
        train_and_evaluate(config)
    assert "without a label" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_epochs_of_a_few_steps_go_together_and_the_run_ends_where_it_should(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = Config.from_preset(
        "article",
        **NARROW,
        dataset=f"folder:{pictures}",
        image_size=16,
        batch_size=16,  # 22 images: one step an epoch
        steps=25,
        run_dir=str(tmp_path / "run"),
    )
    assert train_and_evaluate(config)["steps"] == 25
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        steps = [(int(row["step"]), int(row["epoch"])) for row in csv.DictReader(file)]
    assert steps == [(10, 10), (20, 20), (25, 25)]
    said = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert said.index("Time:") < said.index("epoch")  # known before the first ten steps are over
    assert said.count("Time:") == 1


def test_a_pool_has_all_labels_and_no_test_image_is_set_aside(pictures: Path) -> None:
    write_image(pictures / "valid/cat/1.png", 50)
    write_image(pictures / "test/dog/1.png", 150)
    (pictures / "unlabeled/broken.png").write_text("no image")
    found = load_pool(str(pictures))
    assert len(found.train) == 27 and np.sum(found.train.labels >= 0) == 21
    assert found.validation_ids == {"valid/cat/1.png"}
    assert found.test.ids.tolist() == ["test/dog/1.png"]
    assert "skipped: 1 file that cannot be read" in found.report


def test_copies_are_left_out_of_a_pool_so_that_nothing_is_labeled_twice(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "unlabeled/1.png"):  # its label is known
        write_image(tmp_path / name, 10)
    for name in ("train/cat/2.png", "train/dog/2.png"):  # it has two labels
        write_image(tmp_path / name, 20)
    write_image(tmp_path / "unlabeled/3.png", 30)
    found = load_pool(str(tmp_path))
    assert found.train.ids.tolist() == ["train/cat/1.png", "unlabeled/3.png"]


@pytest.mark.parametrize("broken", [False, True])
def test_a_folder_without_an_image_is_no_pool(tmp_path: Path, broken: bool) -> None:
    if broken:
        (tmp_path / "1.png").write_text("no image")
    with pytest.raises(UserError, match="no image that can be read" if broken else "has no images"):
        load_pool(str(tmp_path))
