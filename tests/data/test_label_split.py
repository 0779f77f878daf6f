import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_dataset

from ssgan_tf.config import Config, UserError
from ssgan_tf.data import label_split, labels_json
from ssgan_tf.data.dataset import Dataset


def split(dataset: Dataset | None = None, **changes: object) -> label_split.LabelSplit:
    return label_split.split_labels(Config(**changes), dataset or make_dataset())


def skewed(sizes: list[int]) -> Dataset:
    """A data set with `sizes[k]` training images of class k."""
    dataset = make_dataset(train=sum(sizes), num_classes=len(sizes))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, labels=labels))


def per_class(dataset: Dataset, indices: np.ndarray) -> list[int]:
    return np.bincount(dataset.train.labels[indices], minlength=dataset.num_classes).tolist()


def test_balanced_labels_are_equally_many_of_each_class() -> None:
    dataset = skewed([60, 20, 20])
    assert per_class(dataset, split(dataset, labeled=30).labeled) == [10, 10, 10]


def test_shares_are_those_of_the_labels_and_none_is_0() -> None:
    dataset = skewed([60, 20, 20])
    found = label_split.LabelSplit(np.array([0, 1, 2, 60]), np.array([61]), np.array([]))
    assert label_split.shares(dataset, found) == [0.6, 0.2, 0.2]  # 3, 1, and 0 taken for 1


def test_a_remainder_goes_one_to_a_class() -> None:
    dataset = skewed([60, 20, 20])
    found = split(dataset, labeled=32)
    assert sorted(per_class(dataset, found.labeled)) == [10, 11, 11]
    assert found.notes == ("some classes have 11 labeled images, others 10",)


def test_with_all_labels_no_class_is_reported_to_have_few() -> None:
    dataset = skewed([60, 3, 20])
    for labeled in ("all", 83):
        found = split(dataset, labeled=labeled)
        assert found.labeled.tolist() == list(range(83))
        assert found.notes == ()


def test_a_class_smaller_than_its_share_gives_all_and_the_others_the_rest() -> None:
    dataset = skewed([60, 3, 20])
    found = split(dataset, labeled=32)
    assert per_class(dataset, found.labeled) == [15, 3, 14]
    assert found.notes == ("class 1 has only 3 images, fewer than its share of 10",)


@pytest.mark.parametrize("labeled", [3, 82, 83, "all"])
def test_any_number_from_the_classes_to_the_images_can_be_had(labeled: int | str) -> None:
    dataset = skewed([60, 3, 20])
    assert len(split(dataset, labeled=labeled).labeled) == (83 if labeled == "all" else labeled)


def test_the_choice_is_a_function_of_the_seed() -> None:
    first, again, other = (split(labeled=30, seed=seed).labeled for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_first_takes_the_first_by_id() -> None:
    found = split(labeled=30, label_selection="first")
    np.testing.assert_array_equal(found.labeled, np.arange(30))


def test_first_reports_a_class_without_any_label() -> None:
    found = split(skewed([60, 20, 20]), labeled=10, label_selection="first")
    assert found.notes == ("no labeled image of class 1, 2",)


def test_validation_is_stratified_and_taken_before_labels_are_drawn() -> None:
    dataset = skewed([60, 20, 20])
    few, many = (split(dataset, labeled=n, validation_fraction=0.1) for n in (3, 60))
    assert per_class(dataset, few.validation) == [6, 2, 2]
    np.testing.assert_array_equal(few.validation, many.validation)


def test_the_parts_are_disjoint_and_everything() -> None:
    found = split(labeled=30, validation_fraction=0.2)
    parts = [found.labeled, found.unlabeled, found.validation]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert sorted(found.train) == sorted(np.concatenate(parts[:2]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labeled": 101}, ["--labeled=101", "100 labeled training images"]),
        (
            {"labeled": 91, "validation_fraction": 0.1},
            ["--labeled=91", "90 labeled training images after 10 are set aside"],
        ),
        ({"labeled": 9}, ["--labeled=9", "10 classes"]),
        ({"labels_from": "/nowhere/labels.json"}, ["--labels_from=/nowhere/labels.json"]),
    ],
)
def test_an_impossible_split_is_named(changes: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        split(**changes)
    for word in words:
        assert word in str(error.value)


def test_a_written_split_is_read_back_whatever_the_seed(tmp_path: Path) -> None:
    dataset, config = make_dataset(), Config(labeled=30, validation_fraction=0.1)
    written = label_split.split_labels(config, dataset)
    path = tmp_path / "labels.json"
    label_split.save(path, config, dataset, written)
    read = split(seed=5, labels_from=str(path), validation_fraction=0.1)
    np.testing.assert_array_equal(read.labeled, written.labeled)
    np.testing.assert_array_equal(read.validation, written.validation)
    without = split(labels_from=str(path))
    np.testing.assert_array_equal(without.labeled, written.labeled)
    assert len(without.validation) == 0


def test_what_a_file_decides_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"ids": [f"train_{index:06d}" for index in range(9)]}))
    found = split(labels_from=str(path))
    assert found.notes == (f"the 9 labels are those of {path}", "no labeled image of class 9")


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    path, config = tmp_path / "labels.json", Config(labeled=30)
    label_split.save(path, config, make_dataset(), split(labeled=30))
    before = path.read_bytes()
    label_split.save(path, config, make_dataset(), split(labeled=30))  # the same: nothing to say
    smaller = make_dataset(train=90)
    with pytest.raises(UserError, match="other data or labels"):
        label_split.save(path, config, smaller, split(smaller, labeled=30))
    assert path.read_bytes() == before


def test_a_file_without_validation_ids_gets_a_part_beside_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"ids": [f"train_{index:06d}" for index in range(30)]}))
    found = split(labels_from=str(path), validation_fraction=0.1)
    np.testing.assert_array_equal(found.labeled, np.arange(30))
    assert found.validation.min() >= 30


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["not usable as labels.json"]),
        ("[]", ["not usable as labels.json"]),
        ('{"ids": ["train_000001", "test_7"]}', ["1 of its ids", "toy/1.0.0", "'test_7'"]),
        ('{"ids": ["train_000001", "train_000001"]}', ["only once"]),
        ('{"ids": []}', ["one or more names"]),
        ('{"ids": [["train_000001"]]}', ["names of images"]),
        ('{"ids": ["train_000001"], "dataset": "svhn_cropped/3.1.0"}', ["is for svhn_cropped"]),
    ],
)
def test_an_unusable_file_is_named(content: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        split(labels_from=str(path))
    for word in [f"--labels_from={path}", *words]:
        assert word in str(error.value)


def test_images_without_a_label_are_never_labeled_nor_set_aside() -> None:
    dataset = make_dataset(train=100)
    dataset.train.labels[:40] = -1  # as a folder's unlabeled/ has them
    found = split(dataset, labeled="all", validation_fraction=0.2)
    assert found.labeled.min() >= 40 and found.validation.min() >= 40
    assert len(found.labeled) + len(found.validation) == 60
    assert set(range(40)) <= set(found.unlabeled.tolist())
    with pytest.raises(UserError, match="60 labeled training images"):
        split(dataset, labeled=61)


@pytest.mark.parametrize("key", ["ids", "validation_ids"])
def test_an_image_whose_class_is_not_known_is_refused_as_a_label(key: str, tmp_path: Path) -> None:
    dataset, path = make_dataset(), tmp_path / "labels.json"
    dataset.train.labels[:3] = -1  # as a folder's unlabeled/ has them
    content = {"ids": ["train_000007"], "validation_ids": ["train_000008"]}
    content[key] = [*content[key], "train_000002", "train_000001"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="'train_000002', whose class is not known") as error:
        split(dataset, labels_from=str(path))
    assert str(error.value).startswith(f"--labels_from={path}: ")


def test_the_file_names_the_classes_and_tells_images_apart(tmp_path: Path) -> None:
    path, config, dataset = tmp_path / "labels.json", Config(labeled=30), make_dataset()
    label_split.save(path, config, dataset, split(labeled=30))
    assert labels_json.model_facts(path) == ([str(label) for label in range(10)], 3)
    ids = dataset.test.ids.copy()
    ids[4] = "test_other"  # as many as before
    other = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, ids=ids))
    with pytest.raises(UserError, match="other data or labels"):
        label_split.save(path, config, other, split(labeled=30))


def test_images_of_the_same_names_and_other_pixels_are_other_data(tmp_path: Path) -> None:
    path, config = tmp_path / "labels.json", Config(labeled=30)

    def with_pixels(digest: str) -> Dataset:
        return dataclasses.replace(make_dataset(), pixels_digest=digest)

    label_split.save(path, config, with_pixels("rule/one"), split(labeled=30))
    # Other decoders may give other pixels, and prepared data has no such digest.
    for digest in ("rule/one", "later/two", ""):
        label_split.save(path, config, with_pixels(digest), split(labeled=30))
    with pytest.raises(UserError, match=r"images of the same names as toy.*, but other pixels"):
        label_split.save(path, config, with_pixels("rule/two"), split(labeled=30))


@pytest.mark.parametrize(
    ("shape", "black"),
    [
        ((28, 28), True),
        ((17, 10), True),
        ((32, 20), True),
        ((16, 16), False),  # those were enlarged
        ((32, 32), False),
        ((64, 64), False),
        (None, True),  # of all sizes
    ],
)
def test_a_run_on_images_with_black_around_them_does_not_go_on_with_enlarged_ones(
    shape: tuple[int, int] | None, black: bool, tmp_path: Path
) -> None:
    path, config = tmp_path / "labels.json", Config(labeled=30)
    dataset = dataclasses.replace(make_dataset(), source_shape=shape)
    label_split.save(path, config, dataset, split(labeled=30))
    label_split.save(path, config, dataset, split(labeled=30))
    content = json.loads(path.read_text())
    assert content.pop("resize_rule") == "resize-1"
    path.write_text(json.dumps(content))
    if not black:
        label_split.check(path, config, dataset, split(labeled=30))
        return
    with pytest.raises(UserError, match="trained on images with a black border"):
        label_split.check(path, config, dataset, split(labeled=30))
    # Folders were always brought to size by this rule.
    path.write_text(json.dumps(content | {"dataset": "folder:toy"}))
    pictures = dataclasses.replace(make_dataset(), name="folder:toy")
    label_split.check(path, config, pictures, split(labeled=30))


def test_a_folder_whose_test_images_were_chosen_otherwise_is_reported(tmp_path: Path) -> None:
    path, config = tmp_path / "labels.json", Config(labeled=30)
    pictures = dataclasses.replace(make_dataset(), name="folder:toy")
    label_split.save(path, config, pictures, split(labeled=30))
    content = json.loads(path.read_text())
    content["ids"][0] = "test_000001"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        label_split.check(path, config, pictures, split(labeled=30))
    assert "earlier version" not in str(error.value)
    for name in ("test_ids_digest", "resize_rule"):
        del content[name]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="earlier version, which chose the test images"):
        label_split.check(path, config, pictures, split(labeled=30))


def test_a_folder_may_have_another_name_and_other_data_sets_may_not(tmp_path: Path) -> None:
    path, config = tmp_path / "labels.json", Config(labeled=30)
    one, moved = (dataclasses.replace(make_dataset(), name=f"folder:{name}") for name in "ab")
    label_split.save(path, config, one, split(labeled=30))
    label_split.save(path, config, moved, split(labeled=30))
    np.testing.assert_array_equal(
        split(moved, labels_from=str(path)).labeled, split(labeled=30).labeled
    )
    with pytest.raises(UserError, match="other data or labels"):
        label_split.save(path, config, make_dataset(), split(labeled=30))
