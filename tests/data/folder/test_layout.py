import gzip
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.data.folder import walk
from ssgan_tf.data.folder.layout import Layout, read_layout
from ssgan_tf.data.folder.names import meant_part

FLAG = "--dataset=folder:x"


def fill(root: Path, *names: str) -> Path:
    """Makes files; nothing opens them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def table(root: Path, *rows: str) -> None:
    (root / "labels.csv").write_text("\n".join(rows), encoding="utf-8")


def parts(layout: Layout) -> dict[str, list[tuple[str, str | None]]]:
    found: dict[str, list[tuple[str, str | None]]] = {}
    for item in layout.items:
        found.setdefault(item.part, []).append((item.id, item.label))
    return found


def message(root: Path) -> str:
    with pytest.raises(UserError) as error:
        read_layout(root, FLAG)
    text = str(error.value)
    assert text.startswith(FLAG) and "\n" not in text
    return text


def notes(root: Path) -> str:
    return "\n".join(read_layout(root, FLAG).notes)


TWO = ("train/cat/1.png", "train/dog/1.png")


def test_the_parts_under_all_their_names(tmp_path: Path) -> None:
    fill(tmp_path, *TWO, "unlabeled/a/1.png", "unlabelled/1.png", "test/dog/1.png")
    fill(tmp_path, "valid/cat/1.png", "val/cat/1.png", "validation/dog/1.png")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["cat", "dog"] and layout.has_test
    assert parts(layout) == {
        "train": [
            *((name, name.split("/")[1]) for name in TWO),
            ("unlabeled/a/1.png", None),
            ("unlabelled/1.png", None),
        ],
        "validation": [
            ("val/cat/1.png", "cat"),
            ("valid/cat/1.png", "cat"),
            ("validation/dog/1.png", "dog"),
        ],
        "test": [("test/dog/1.png", "dog")],
    }
    assert layout.items[0].path == tmp_path / "train/cat/1.png"


def test_class_folders_may_be_directly_in_the_folder(tmp_path: Path) -> None:
    fill(tmp_path, "cat/a/1.png", "dog/1.png", "unlabeled/1.png", "test/cat/1.png")
    fill(tmp_path, "_aside/1.png", ".git/1.png", "@eaDir/1.png", "README.md", "loose.png")
    fill(tmp_path, "papers/1.pdf")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["cat", "dog"]
    assert parts(layout) == {
        "train": [("cat/a/1.png", "cat"), ("dog/1.png", "dog"), ("unlabeled/1.png", None)],
        "test": [("test/cat/1.png", "cat")],
    }
    assert layout.notes == [
        "not used: 1 image directly in the folder, beside the class folders (cat, dog), such as "
        "loose.png; move it to unlabeled/",
        "not used: _aside/, README.md, papers/ (no images)",
    ]


def test_only_folders_are_named_as_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png", "unlabeled/0.png", "loose.png")
    (tmp_path / "labels.csv").write_text("file,label\nunlabeled/0.png,ant\n")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["ant", "cat", "dog"]
    assert layout.notes[-1] == (
        "not used: 1 image directly in the folder, beside the class folders (cat, dog), such as "
        "loose.png; move it to unlabeled/"
    )


def test_an_empty_folder_is_no_class_where_images_are_to_be_labeled(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    (tmp_path / "Sub").mkdir()
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert [item.id for item in layout.items] == ["1.png", "2.png"] and not layout.notes
    fill(tmp_path, "Sub/3.png", "Other/4.png")
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert [item.id for item in layout.items] == ["Other/4.png", "Sub/3.png"]
    assert layout.notes == [
        "not used: 2 images directly in the folder, beside the class folders (Other, Sub), such as "
        "1.png; move them to unlabeled/"
    ]


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    fill(tmp_path, *TWO, "train/loose.png", "train/notes.txt", "train/_x/1.png", "more/1.png")
    fill(tmp_path, "test/cat/1.png", "test/loose.png", "valid/loose.png", "Thumbs.db", "train/.x/1")
    (tmp_path / "two\nlines").mkdir()
    layout = read_layout(tmp_path, FLAG)
    assert len(layout.items) == 3
    assert layout.notes == [
        "not used: more/, train/_x/, two\\nlines/, test/loose.png, train/loose.png, valid/loose.png"
    ]
    assert layout.others == 1
    fill(tmp_path, *(f"train/{index}.png" for index in range(20)))
    assert notes(tmp_path).endswith(" and 16 more")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("Unlabeled", "unlabeled"), ("UNLABELLED", "unlabelled"), ("unlabbeled", "unlabeled")),
        *(("un_labeled", "unlabeled"), ("unlabeled images", "unlabeled"), ("Train", "train")),
        *(("training", "train"), ("trian", "train"), ("train2017", "train"), ("tests", "test")),
        *(("TestSet", "test"), ("testing", "test"), ("test_images", "test"), ("tset", "test")),
        *(("val_images", "val"), ("Validation-set", "validation"), ("validaton", "validation")),
        *(("rain", None), ("text", None), ("terrain", None), ("vial", None), ("oval", None)),
        *(("train_station", None), ("valley", None), ("invalid", None), ("cat", None)),
        *(("images", None), ("1", None), ("²", None), ("variation", None), ("toast", None)),
    ],
)
def test_names_that_are_nearly_those_of_parts(name: str, meant: str | None) -> None:
    assert meant_part(name) == meant


@pytest.mark.parametrize("name", ["Unlabeled", "tests", "val_images", "Validation"])
@pytest.mark.parametrize("start", ["train/", ""])
def test_near_misses_are_asked_about(tmp_path: Path, name: str, start: str) -> None:
    fill(tmp_path, f"{start}cat/1.png", f"{start}dog/1.png", f"{name}/1.png")
    text = message(tmp_path)
    assert f"is {name}/ meant as {meant_part(name)}/? Then rename it to {meant_part(name)}" in text
    (tmp_path / name).rename(tmp_path / f"_{name}")
    assert f"not used: _{name}/" in notes(tmp_path)


def test_one_part_given_as_the_folder_is_noted(tmp_path: Path) -> None:
    root = tmp_path / "my images"
    fill(root, *TWO, "unlabeled/1.png", "test/cat/1.png")
    note = "beside this folder, and not used: unlabeled/, test/; to use them give "
    note += f"'--dataset=folder:{root}'"
    assert notes(root / "train") == note
    assert notes(root / "test" / ".." / "train") == note
    assert note.replace("unlabeled/, test", "train/, test") in message(root / "unlabeled")
    assert notes(root) == ""
    (root / "test/cat/1.png").unlink()
    (root / "test/cat").rmdir()
    assert "used: unlabeled/; to use" in notes(root / "train")  # test/ has nothing of use
    (root / "train").rename(root / "pets")  # not the name of a part
    assert notes(root / "pets") == ""


def test_a_whole_data_set_with_the_name_of_a_part_is_one(tmp_path: Path) -> None:
    fill(tmp_path / "train", *TWO, "test/cat/1.png")
    fill(tmp_path, "test/cat/1.png")
    assert notes(tmp_path / "train") == ""


def test_other_near_misses(tmp_path: Path) -> None:
    fill(tmp_path, *TWO, "test/cat/1.png", "tests/1.png")
    assert "tests/: is it meant as test/?" in notes(tmp_path)  # but nothing depends on it
    fill(tmp_path, "Labels.csv")
    assert "is Labels.csv meant as labels.csv?" in message(tmp_path)
    (tmp_path / "Labels.csv").unlink()
    fill(tmp_path, "train/unlabeled/1.png")
    assert "train/unlabeled/ would be a class of that name" in message(tmp_path)


def test_a_table_names_the_labels_of_files_anywhere(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "pictures/2.png", "pictures/3.png", "pictures/4.png", "_x/5.png")
    fill(tmp_path, "_x/6.png", "test/7.png", "test/8.png", "valid/9.png", "pipes.txt")
    table(tmp_path, "file,label", "1.png,cat", "pictures/2.png,dog", "pictures/3.png,")
    rows = ["1.png,cat", "pictures/2.png,dog", "pictures/3.png,", "_x/5.png,dog", "test/7.png,cat"]
    table(tmp_path, "file,label", *rows, "valid/9.png,dog")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["cat", "dog"]
    assert parts(layout) == {
        "train": [
            *(("1.png", "cat"), ("_x/5.png", "dog"), ("pictures/2.png", "dog")),
            *(("pictures/3.png", None), ("pictures/4.png", None)),
        ],
        "validation": [("valid/9.png", "dog")],
        "test": [("test/7.png", "cat")],
    }
    assert layout.notes == ["not used: pipes.txt, _x/6.png, test/8.png"]


def test_a_table_adds_to_class_folders_and_must_not_contradict_them(tmp_path: Path) -> None:
    fill(tmp_path, *TWO, "unlabeled/1.png", "train/loose.png", "new/1.png", "new/2.png")
    table(tmp_path, "train/cat/1.png,cat", "unlabeled/1.png,dog", "new/1.png,bird")
    assert parts(read_layout(tmp_path, FLAG))["train"] == [
        *(("new/1.png", "bird"), ("train/cat/1.png", "cat"), ("train/dog/1.png", "dog")),
        *(("unlabeled/1.png", "dog"), ("new/2.png", None), ("train/loose.png", None)),
    ]
    table(tmp_path, "file,label", "train/cat/1.png,dog")
    text = "train/cat/1.png is dog in line 2 of labels.csv, and its folder says cat"
    assert text in message(tmp_path)
    table(tmp_path, "train/cat/1.png,")
    assert "is without a label in line 1 of labels.csv, and its folder" in message(tmp_path)


def test_with_a_table_folders_are_classes_if_they_are_called_so(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "bird/1.png")
    table(tmp_path, "cat/1.png,cat", "dog/1.png,dog")
    layout = read_layout(tmp_path, FLAG)
    labels = dict(parts(layout)["train"])
    assert labels["cat/2.png"] == "cat" and labels["bird/1.png"] is None
    assert layout.notes == [
        "not a class of labels.csv: bird/; images there have no label; if it is a class, move it "
        "into train/"
    ]


def test_a_class_that_is_called_as_a_part_is_thought_of(tmp_path: Path) -> None:
    fill(tmp_path, "train/1.png", "bus/1.png")  # vehicles
    assert "if train is a class, move all class folders into train/" in message(tmp_path)
    fill(tmp_path, "train/train/1.png", "train/bus/1.png")
    assert read_layout(tmp_path, FLAG).class_names == ["bus", "train"]


@pytest.mark.parametrize(
    "kind", ["zip", "tar", "cut", "file", "similar", "pipe", "too long", "nothing"]
)
def test_a_path_that_is_no_folder_is_answered_with_what_it_is(tmp_path: Path, kind: str) -> None:
    images = fill(tmp_path / "images", "a/1.png")
    path, sentence = tmp_path / "x", "there is no such folder."
    if kind in ("zip", "tar"):
        path = Path(shutil.make_archive(str(path), kind, images))
        sentence = "is an archive; unpack it, and give the folder of the images."
    elif kind in ("cut", "file"):
        path.write_bytes(gzip.compress(b"images" * 90)[:-12] if kind == "cut" else b"images")
        sentence = "is a file; give the folder of the images."
    elif kind == "pipe":  # it would be read for ever
        os.mkfifo(path)
        sentence = "is a file; give the folder of the images."
    elif kind == "similar":
        path, sentence = tmp_path / "imges", "there is no such folder; there is images."
    elif kind == "too long":
        path = tmp_path / ("x" * 300)
    assert message(path) == f"{FLAG}: {sentence}"


def test_a_relative_path_that_is_not_there_is_named_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message(Path("pets")) == f"{FLAG}: there is no such folder in {tmp_path}."


def test_a_run_is_no_folder_of_images(tmp_path: Path) -> None:
    fill(tmp_path, "checkpoints/1.txt", "saved_model/1.png", "config.json", "labels.json")
    assert message(tmp_path) == (
        f"{FLAG}: is a run, not a folder of images; give that of its images."
    )


def test_json_files_of_other_programs_do_no_harm(tmp_path: Path) -> None:
    fill(tmp_path, *TWO, "config.json", "labels.json")
    assert read_layout(tmp_path, FLAG).class_names == ["cat", "dog"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    assert "no such folder" in message(tmp_path / "nothing")
    fill(tmp_path, "1.png")
    assert "has no folder train/, no labels.csv, and no class folder" in message(tmp_path)
    fill(tmp_path, "archive/train/cat/1.png", "archive/train/dog/1.png")
    assert f"or is it archive/, as in {FLAG}/archive" in message(tmp_path)
    table(tmp_path, "1.png,cat")
    assert "labels.csv gives one class" in message(tmp_path)
    root = fill(tmp_path / "two", *TWO, "test/loose.png")
    assert "test/ has 1 image, none with a label" in message(root)
    fill(root, "test/Cat/1.png")
    text = "test/ has the class Cat, of which training has no image; there is cat"
    assert text in message(root)
    (root / "train/bird").mkdir()
    assert "class bird has no images in train/bird/" in message(root)


def test_one_name_in_two_unicode_forms_is_one_class(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    fill(tmp_path, f"train/{one}/1.png", f"train/{other}/1.png", f"train/{other}/2.png")
    fill(tmp_path, "train/tea/1.png", f"test/{other}/1.png", f"unlabeled/{other}.png")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == [one, "tea"]
    found = parts(layout)
    assert found["test"] == [(f"test/{one}/1.png", one)]
    # An id has the composed form, the same on every machine, unless two files need two.
    assert [identity for identity, _ in found["train"]] == [
        f"train/{other}/1.png",
        f"train/{one}/1.png",
        f"train/{one}/2.png",
        "train/tea/1.png",
        f"unlabeled/{one}.png",
    ]
    table(tmp_path, f"unlabeled/{one}.png,{other}")
    assert len(parts(read_layout(tmp_path, FLAG))["train"]) == 5


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(
        tmp_path, *(f"train/{name}/{i}.png" for name in ("1", "01", "10", "2") for i in (1, 10, 2))
    )
    fill(tmp_path, *(f"test/{name}/1.png" for name in ("2", "01", "1")))
    layouts = []
    scandir = os.scandir

    class Sorted:
        def __init__(self, path: Path, reverse: bool) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=reverse)

        def __enter__(self) -> list[os.DirEntry]:
            return self.entries

        def __exit__(self, *error: object) -> None:
            pass

    for reverse in (False, True):
        monkeypatch.setattr(walk.os, "scandir", lambda path, up=reverse: Sorted(path, up))
        layouts.append(read_layout(tmp_path, FLAG))
    assert layouts[0] == layouts[1]
    assert layouts[0].class_names == ["01", "1", "2", "10"]
    assert [item.id for item in layouts[0].items][:3] == [f"train/01/{i}.png" for i in (1, 2, 10)]


@pytest.mark.parametrize("rows", [[], ["cat/1.png,cat", "dog/1.png,dog"]])
def test_runs_that_were_written_into_the_folder_are_no_class(
    tmp_path: Path, rows: list[str]
) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png", "runs/a/samples/1.png", "runs/b/samples/1.png")
    fill(tmp_path, "runs/b/config.json", "runs/b/labels.json")
    if rows:
        table(tmp_path, *rows)
    layout = read_layout(tmp_path, FLAG)
    assert [item.id for item in layout.items] == ["cat/1.png", "dog/1.png"]
    assert layout.notes == ["not used: runs/ (runs)"]


def test_a_class_may_be_a_link_to_a_folder_elsewhere(tmp_path: Path) -> None:
    fill(tmp_path, "pool/cats/1.png", "pool/dogs/1.png", "my/train/dog/2.png")
    (tmp_path / "my/train/cat").symlink_to(tmp_path / "pool/cats")
    (tmp_path / "my/train/dog/more").symlink_to("../../../pool/dogs")
    assert parts(read_layout(tmp_path / "my", FLAG))["train"] == [
        ("train/cat/1.png", "cat"),
        ("train/dog/2.png", "dog"),
        ("train/dog/more/1.png", "dog"),
    ]


def test_a_class_link_to_the_whole_folder_is_skipped(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "loop").symlink_to(".")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["cat", "dog"]
    assert layout.skipped == [("loop", "is a link to a folder that it is in")]


def test_pipes_among_images_are_skipped_and_named(tmp_path: Path) -> None:
    fill(tmp_path, *TWO)
    os.mkfifo(tmp_path / "train/cat/pipe.jpg")
    os.mkfifo(tmp_path / "train/pipe.jpg")
    (tmp_path / "gone").symlink_to("nothing")
    assert sorted(read_layout(tmp_path, FLAG).skipped) == [
        ("gone", "is a link to nothing"),
        ("train/cat/pipe.jpg", "is a pipe"),
        ("train/pipe.jpg", "is a pipe"),
    ]


def test_labels_of_unlabeled_images_alone_leave_class_folders_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "dog/1.png", "unlabeled/1.png", "unlabeled/2.png")
    fill(tmp_path, "test/dog/1.png", "loose.png", "_aside/1.png", "papers/1.pdf")
    before = read_layout(tmp_path, FLAG)
    assert before.class_names == ["cat", "dog"]
    for rows in (["file,label"], ["file,label", "unlabeled/1.png,"]):  # of an answer taken back
        table(tmp_path, *rows)
        assert read_layout(tmp_path, FLAG).items == before.items
    table(tmp_path, "file,label", "unlabeled/1.png,bird")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["bird", "cat", "dog"]
    assert parts(layout) == {
        "train": [
            *(("unlabeled/1.png", "bird"), ("cat/1.png", "cat"), ("dog/1.png", "dog")),
            ("unlabeled/2.png", None),
        ],
        "test": [("test/dog/1.png", "dog")],
    }
    assert "classes by their folders: cat, dog\n" in notes(tmp_path) + "\n"
    assert "loose.png" in notes(tmp_path) and "_aside/1.png" in notes(tmp_path)
    table(tmp_path, "file,label", "unlabeled/1.png,bird", "cat/1.png,bird")
    # A table that labels images in other folders says which of those are classes.
    assert read_layout(tmp_path, FLAG, labels_needed=False).class_names == ["bird", "dog"]


def test_one_folder_beside_labels_of_unlabeled_images_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, "photos/1.png", "unlabeled/1.png", "unlabeled/2.png", "papers/1.pdf")
    table(tmp_path, "unlabeled/1.png,bird", "unlabeled/2.png,cat")
    layout = read_layout(tmp_path, FLAG)
    assert layout.class_names == ["bird", "cat"]
    assert dict(parts(layout)["train"])["photos/1.png"] is None
    assert layout.notes == [
        "not a class of labels.csv: photos/; images there have no label; if it is a class, move it "
        "into train/"
    ]
    table(tmp_path, "unlabeled/1.png,bird", "unlabeled/2.png,photos")
    assert dict(parts(read_layout(tmp_path, FLAG))["train"])["photos/1.png"] == "photos"
    table(tmp_path, "unlabeled/1.png,bird")
    assert "at least two; not a class of labels.csv: photos/; images" in message(tmp_path)


def test_a_folder_whose_images_labels_csv_lists_is_not_called_one_without_labels(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "photos/1.png", "photos/2.png", "photos/3.png")
    (tmp_path / "papers").mkdir()
    table(tmp_path, "photos/1.png,bird", "photos/2.png,cat")
    assert read_layout(tmp_path, FLAG).notes == []


def test_class_folders_beside_a_table_must_have_names_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, "cat/1.png", "two\nlines/1.png", "unlabeled/1.png")
    table(tmp_path, "file,label", "unlabeled/1.png,cat")
    assert "'two\\nlines' in " in message(tmp_path)


def test_without_labels_all_images_count_that_are_in_no_class_folder(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "unlabeled/2.png")
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert layout.class_names == []
    assert parts(layout) == {"train": [("1.png", None), ("unlabeled/2.png", None)]}
    fill(tmp_path, "cat/1.png")  # beside class folders they are not used, with and without a table
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert parts(layout) == {"train": [("cat/1.png", "cat"), ("unlabeled/2.png", None)]}
    table(tmp_path, "file,label", "unlabeled/2.png,dog")
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert parts(layout) == {"train": [("cat/1.png", "cat"), ("unlabeled/2.png", "dog")]}


def test_before_there_are_labels_a_single_folder_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, "DCIM/100CANON/1.jpg", "DCIM/101CANON/1.jpg", "2.png", "_aside/3.png")
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert layout.class_names == []
    names = ("2.png", "DCIM/100CANON/1.jpg", "DCIM/101CANON/1.jpg")
    assert parts(layout) == {"train": [(name, None) for name in names]}
    assert "a single folder is no class: images in DCIM/ have no label" in "".join(layout.notes)
    table(tmp_path, "DCIM/100CANON/1.jpg,cat")  # the first answer
    assert read_layout(tmp_path, FLAG, labels_needed=False).class_names == ["cat"]
    table(tmp_path, "file,label")
    fill(tmp_path, "dogs/1.png")
    (tmp_path / "labels.csv").unlink()
    assert read_layout(tmp_path, FLAG, labels_needed=False).class_names == ["DCIM", "dogs"]


def test_images_of_test_can_get_a_label(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "test/cat/2.png", "test/3.png", "valid/4.png")
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert parts(layout) == {
        "train": [("1.png", None)],
        "test": [("test/cat/2.png", "cat"), ("test/3.png", None)],
    }


def test_without_labels_one_class_and_empty_parts_do(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/1.png", "train/2.png", "test/dog/3.png")
    (tmp_path / "valid").mkdir()
    layout = read_layout(tmp_path, FLAG, labels_needed=False)
    assert layout.class_names == ["cat", "dog"]
    assert parts(layout) == {
        "train": [("train/cat/1.png", "cat"), ("train/2.png", None)],
        "test": [("test/dog/3.png", "dog")],
    }
