"""A folder as a run had it, after its labels have changed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from pictures_to_label import picture

from ssgan_tf.config import Config, UserError
from ssgan_tf.data import label_split
from ssgan_tf.data.dataset import UNKNOWN, Dataset, Split
from ssgan_tf.data.earlier_labels import as_trained
from ssgan_tf.data.folder.train_test_split import set_aside
from ssgan_tf.data.load import load_dataset
from ssgan_tf.data.storage import Rows

CONFIG = Config(dataset="folder:pets", labeled="all")
# Image i is i everywhere, and its name says so.
TRAIN = {"cat/0": "cat", "cat/1": "cat", "dog/2": "dog", "more/3": "", "more/4": "", "more/5": ""}
TEST = {"cat/6": "cat", "dog/7": "dog"}


def pets(train: dict[str, str], test: dict[str, str]) -> Dataset:
    """A data set whose classes are those of the images, "" being none; all are in one array."""
    names = sorted({*train.values(), *test.values()} - {""})
    pixels = np.repeat(np.arange(9, dtype=np.uint8), 8 * 8 * 3).reshape(9, 8, 8, 3)

    def part(images: dict[str, str]) -> Split:
        rows = Rows(pixels, np.array([int(name.rpartition("/")[2]) for name in images]))
        labels = [names.index(label) if label else UNKNOWN for label in images.values()]
        return Split(rows, np.array(labels), np.array([*images]))

    return Dataset("folder:pets", names, part(train), part(test))


def trained(path: Path) -> Path:
    """The labels.json of a run on `TRAIN` and `TEST`."""
    dataset = pets(TRAIN, TEST)
    label_split.save(path, CONFIG, dataset, label_split.split_labels(CONFIG, dataset))
    return path


def test_new_labels_classes_and_test_images_take_no_part(tmp_path: Path) -> None:
    labels = trained(tmp_path / "labels.json")
    # more/3 is of a new class that comes first; more/4 is a test image now
    train = TRAIN | {"more/3": "ant"}
    del train["more/4"]
    found = as_trained(labels, CONFIG, pets(train, TEST | {"more/4": "dog"}))
    assert found is not None
    dataset, split = found
    assert dataset.class_names == ["cat", "dog"]
    assert dict(zip(dataset.test.ids.tolist(), dataset.test.labels.tolist(), strict=True)) == {
        "cat/6": 0,
        "dog/7": 1,
    }
    assert np.asarray(dataset.test.images)[:, 0, 0, 0].tolist() == [6, 7]
    assert dataset.train.ids[split.labeled].tolist() == ["cat/0", "cat/1", "dog/2"]
    assert dataset.train.labels[split.labeled].tolist() == [0, 0, 1]
    rest = dict(zip(dataset.train.ids, dataset.train.labels, strict=True))
    assert sorted(dataset.train.ids[split.unlabeled]) == ["more/3", "more/4", "more/5"]
    assert [rest[f"more/{index}"] for index in (3, 4, 5)] == [UNKNOWN, 1, UNKNOWN]
    for index, name in enumerate(dataset.train.ids):
        assert np.all(dataset.train.images[index] == int(name[-1]))


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_of_a_real_folder_new_and_corrected_labels_leave_the_parts_as_they_were(
    fraction: float, tmp_path: Path
) -> None:
    config = Config(
        dataset=f"folder:{tmp_path / 'pets'}",
        labeled="all",
        validation_fraction=fraction,
        cache_dir=str(tmp_path / "cache"),
    )
    for index in range(40):
        picture(tmp_path / f"pets/{index:02}.png", index)

    def load(labels: dict[int, str]) -> Dataset:
        lines = [f"{index:02}.png,{label}" for index, label in labels.items()]
        (tmp_path / "pets/labels.csv").write_text("\n".join(["file,label", *lines]))
        return load_dataset(config)

    # One ant: it is for training whatever its hash, and a test image when it is not the only one.
    tests = set_aside(np.zeros(40, int), [f"{index:02}.png" for index in range(40)], 0.2)
    ant, *others = np.flatnonzero(tests).tolist()
    first = {index: ("cat", "dog")[index % 2] for index in range(30)} | {ant: "ant"}
    then, path = load(first), tmp_path / "labels.json"
    split = label_split.split_labels(config, then)
    label_split.save(path, config, then, split)
    assert f"{ant:02}.png" in then.train.ids
    expected = ids_of(then, split)
    more = first | dict.fromkeys(range(30, 40), "ant") | {28: "dog"}
    for labels in (more, first | {others[0]: "ant"}):
        now = load(labels)
        found = as_trained(path, config, now)
        assert found is not None
        dataset, split = found
        assert ids_of(dataset, split) == expected
        for part in (dataset.train, dataset.test):
            for name, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True):
                known = dataset.class_names[label] if label != UNKNOWN else ""
                assert known == labels.get(int(name[:2]), "")
    assert as_trained(path, config, load(first | {29: "bee"})) is None  # the run has no bees


def ids_of(dataset: Dataset, split: label_split.LabelSplit) -> list[list[str]]:
    """Of each part, in any order but for the test images."""
    parts = (split.labeled, split.validation, split.unlabeled)
    return [dataset.test.ids.tolist(), *(sorted(dataset.train.ids[part]) for part in parts)]


def test_a_corrected_label_counts(tmp_path: Path) -> None:
    labels = trained(tmp_path / "labels.json")
    found = as_trained(labels, CONFIG, pets(TRAIN | {"cat/1": "dog"}, TEST | {"cat/6": "dog"}))
    assert found is not None
    dataset, split = found
    assert dataset.train.labels[split.labeled].tolist() == [0, 1, 1]
    assert dataset.test.labels.tolist() == [1, 1]


def test_other_images_and_a_label_that_is_of_no_class_of_the_run_are_not_what_it_had(
    tmp_path: Path,
) -> None:
    labels = trained(tmp_path / "labels.json")
    cases = (
        ({name: label for name, label in TRAIN.items() if name != "cat/1"}, TEST),
        (TRAIN, {name: label for name, label in TEST.items() if name != "cat/6"}),
        (TRAIN | {"cat/1": "ant"}, TEST),
        (TRAIN, TEST | {"cat/6": "ant"}),
        (TRAIN | {"cat/1": ""}, TEST),
    )
    for train, test in cases:
        assert as_trained(labels, CONFIG, pets(train, test)) is None
    other = dataclasses.replace(pets(TRAIN, TEST), pixels_digest="rule/other")
    content = json.loads(labels.read_text()) | {"pixels_digest": "rule/one"}
    labels.write_text(json.dumps(content))
    assert as_trained(labels, CONFIG, other) is None


def test_images_without_a_label_may_have_come_or_gone(tmp_path: Path) -> None:
    labels = trained(tmp_path / "labels.json")
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"pixels_digest": "rule/one"}))
    fewer = {name: label for name, label in TRAIN.items() if name != "more/5"}
    for train in (fewer, fewer | {"more/8": ""}, TRAIN | {"more/8": ""}):
        now = dataclasses.replace(pets(train, TEST), pixels_digest="rule/other")
        found = as_trained(labels, CONFIG, now)
        assert found is not None
        assert found[0].train.ids.tolist() == list(train)
        assert found[0].test.ids.tolist() == list(TEST)


def test_test_images_of_other_pixels_are_noticed_although_images_without_a_label_have_gone(
    tmp_path: Path,
) -> None:
    labels, first = tmp_path / "labels.json", pets(TRAIN, TEST)
    first = dataclasses.replace(first, pixels_digest="rule/one")
    label_split.save(labels, CONFIG, first, label_split.split_labels(CONFIG, first))
    fewer = {name: label for name, label in TRAIN.items() if name != "more/5"}
    now = dataclasses.replace(pets(fewer, TEST), pixels_digest="rule/other")
    assert as_trained(labels, CONFIG, now) is not None
    painted = dataclasses.replace(now.test, images=255 - now.test.images[:])
    assert as_trained(labels, CONFIG, dataclasses.replace(now, test=painted)) is None
    now = dataclasses.replace(now, test=painted, pixels_digest="newer/other")
    assert as_trained(labels, CONFIG, now) is not None  # other decoders


def test_a_file_of_an_earlier_version_will_do_where_the_test_images_are_the_same(
    tmp_path: Path,
) -> None:
    labels = trained(tmp_path / "labels.json")
    content = json.loads(labels.read_text())
    del content["test_ids"]
    labels.write_text(json.dumps(content))
    found = as_trained(labels, CONFIG, pets(TRAIN | {"more/3": "dog"}, TEST))
    assert found is not None and found[0].test.ids.tolist() == ["cat/6", "dog/7"]
    labels.write_text(json.dumps({k: v for k, v in content.items() if k != "train_ids_digest"}))
    assert as_trained(labels, CONFIG, pets(TRAIN | {"more/3": "dog"}, TEST)) is not None
    moved = {name: label for name, label in TRAIN.items() if name != "more/3"}
    assert as_trained(labels, CONFIG, pets(moved, TEST | {"more/3": "dog"})) is None


@pytest.mark.parametrize("value", ["cat/6", [6], [["cat/6"]]])
def test_test_images_that_cannot_be_are_named(value: object, tmp_path: Path) -> None:
    labels = trained(tmp_path / "labels.json")
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"test_ids": value}))
    with pytest.raises(UserError, match="its test_ids must be a list of names"):
        as_trained(labels, CONFIG, pets(TRAIN, TEST))


def test_a_corrected_label_of_a_test_image_is_noticed(tmp_path: Path) -> None:
    labels = trained(tmp_path / "labels.json")
    assert not label_split.has_other_test_labels(labels, pets(TRAIN | {"more/3": "dog"}, TEST))
    assert label_split.has_other_test_labels(labels, pets(TRAIN, TEST | {"cat/6": "dog"}))
    content = json.loads(labels.read_text())
    del content["test_labels_digest"]  # as in earlier versions
    labels.write_text(json.dumps(content))
    assert not label_split.has_other_test_labels(labels, pets(TRAIN, TEST | {"cat/6": "dog"}))
