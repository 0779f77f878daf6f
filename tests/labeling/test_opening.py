from pathlib import Path

import pytest
from pictures_to_label import picture, pictures, suggest, unlabeled

from ssgan_tf.config import Config, UserError
from ssgan_tf.data.images.decoding import ImageError
from ssgan_tf.labeling.opening import open_session
from ssgan_tf.labeling.session import Session


def order(session: Session) -> list[str]:
    """The images in their order."""
    return [session.state(index)["image"]["path"] for index in range(len(session))]


def message(dataset: str, suggestions: str = "") -> str:
    with pytest.raises(UserError) as error:
        open_session(dataset, suggestions)
    text = str(error.value)
    assert text.startswith("--") and "\n" not in text
    return text


def test_without_suggestions_the_order_is_random_and_stays(tmp_path: Path) -> None:
    names = unlabeled(tmp_path, 20)
    first, _ = open_session(f"folder:{tmp_path}")
    shown = order(first)
    assert sorted(shown) == names != shown
    first.answer(3, "circle", "")
    pictures(tmp_path, "unlabeled/more.png")
    again = order(open_session(f"folder:{tmp_path}")[0])
    again.remove("unlabeled/more.png")
    assert again == [*shown[:3], *shown[4:]]


def test_suggestions_lead_and_count_what_has_a_label(tmp_path: Path) -> None:
    names = unlabeled(tmp_path / "x", 6)
    for number, name in ((101, "train/square/1"), (103, "train/square/2"), (104, "test/circle/9")):
        picture(tmp_path / f"x/{name}.png", number)
    asked = [names[4], "unlabeled/gone.png", names[1], "train/square/1.png", names[0]]
    csv = suggest(tmp_path / "s.csv", [*asked, "test/circle/9.png"], "oval")
    (tmp_path / "x/labels.csv").write_text(f"file,label\n{names[1]},star\n")
    session, notes = open_session(f"folder:{tmp_path}/x", str(csv))
    assert order(session) == [names[4], names[1], names[0]]
    assert notes == [
        "not in the folder any more: unlabeled/gone.png",
        "not to be labeled here: train/square/1.png, test/circle/9.png",
    ]
    state = session.state(session.following(0))
    assert state["image"]["path"] == names[0] and (state["done"], state["total"]) == (1, 3)
    assert state["classes"] == ["circle", "square", "star", "oval"]  # folders, table, guess


def test_the_keys_of_the_classes_are_the_same_after_a_restart(tmp_path: Path) -> None:
    unlabeled(tmp_path, 6)
    first, _ = open_session(f"folder:{tmp_path}")
    for index, name in enumerate(("square", "triangle", "circle")):
        first.answer(index, name, "")
    again, _ = open_session(f"folder:{tmp_path}")
    for session in (first, again):
        assert session.state(0)["classes"] == ["square", "triangle", "circle"]


def test_no_label_is_written_for_an_image_or_into_a_folder_that_is_gone(tmp_path: Path) -> None:
    names = unlabeled(tmp_path / "x", 4)
    session, _ = open_session(f"folder:{tmp_path}/x")
    place = order(session).index(names[2])
    (tmp_path / "x" / names[2]).unlink()
    with pytest.raises(UserError, match="The image is not there any more; press S"):
        session.answer(place, "cat", "")
    assert not (tmp_path / "x/labels.csv").exists()
    other = order(session).index(names[3])
    session.answer(other, "cat", "")
    (tmp_path / "x" / names[3]).unlink()
    assert session.answer(other, "dog", "cat") == ("dog", "cat")  # its line is there already
    (tmp_path / "x").rename(tmp_path / "y")
    with pytest.raises(UserError, match="x is not there any more; start again with its new place"):
        session.answer(0, "cat", "")
    assert not (tmp_path / "x").exists()


def test_a_folder_without_any_label_can_be_labeled(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png", "unlabeled/a/2.png", "unlabeled/a/3.png")
    session, notes = open_session(f"folder:{tmp_path}")
    names = ["1.png", "unlabeled/a/2.png", "unlabeled/a/3.png"]
    assert sorted(order(session)) == names and not notes
    assert session.state(0)["classes"] == []
    lacks = session.result()["lacks"]
    assert lacks.startswith("has no folder train/") and "needs at least two" in lacks
    assert session.result()["next"] == f"python -m ssgan_tf.label --dataset=folder:{tmp_path}"
    for index, name in enumerate(("cat", "dog")):
        session.answer(index, name, "")
    assert session.result()["lacks"] == (
        f"--test_fraction={Config.test_fraction}: leaves no test image of 2 labeled ones; give "
        "a class a second label, or make a folder test/."
    )
    assert session.result()["next"] == f"python -m ssgan_tf.label --dataset=folder:{tmp_path}"
    session.answer(2, "ant", "")
    assert session.result()["next"] == f"python -m ssgan_tf.train --dataset=folder:{tmp_path}"
    session.answer(2, "cat", "ant")
    assert session.result() == {
        "table": str(tmp_path / "labels.csv"),
        "labels": 3,
        "next": f"python -m ssgan_tf.train --dataset=folder:{tmp_path}",
        "now": True,
        "lacks": "",
    }


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("suggested", [True, False])
def test_where_no_image_is_left_and_training_cannot_start_no_command_is_said_to_be_next(
    suggested: bool, others: int, tmp_path: Path
) -> None:
    pictures(tmp_path, "unlabeled/1.png", "unlabeled/2.png")
    table = tmp_path / "suggestions.csv"
    rows = ["unlabeled/1.png", "unlabeled/2.png"][: 2 - others]
    suggest(table, rows)
    session, _ = open_session(f"folder:{tmp_path}", str(table) if suggested else "")
    for index in range(len(session)):
        session.answer(index, "cat", "")
    result = session.result()
    assert "needs at least two" in result["lacks"]
    left = bool(suggested and others)
    command = "label" if left else "train"
    assert result["next"] == f"python -m ssgan_tf.{command} --dataset=folder:{tmp_path}"
    assert result["now"] == left


@pytest.mark.parametrize("damaged", [True, False])
def test_images_that_cannot_be_shown_are_not_left_to_label(damaged: bool, tmp_path: Path) -> None:
    pictures(tmp_path, "unlabeled/1.png", "unlabeled/2.png")
    session, _ = open_session(f"folder:{tmp_path}")
    first, second = (order(session).index(f"unlabeled/{number}.png") for number in (1, 2))
    session.answer(first, "cat", "")
    assert session.result()["now"]
    if damaged:
        (tmp_path / "unlabeled/2.png").write_text("no image")
        with pytest.raises(ImageError):
            session.picture(second)
    else:
        (tmp_path / "unlabeled/2.png").unlink()
    result = session.result()
    assert result["next"] == f"python -m ssgan_tf.train --dataset=folder:{tmp_path}"
    assert not result["now"]


def test_copies_of_labeled_and_test_images_are_not_asked_about(tmp_path: Path) -> None:
    pictures(tmp_path, "train/cat/1.png", "unlabeled/2.png", "unlabeled/3.png", "test/dog/4.png")
    for name, copy in (("train/cat/1.png", "a"), ("test/dog/4.png", "b"), ("unlabeled/3.png", "c")):
        (tmp_path / f"unlabeled/{copy}.png").write_bytes((tmp_path / name).read_bytes())
    (tmp_path / "unlabeled/d.png").write_bytes(b"x" * (tmp_path / "train/cat/1.png").stat().st_size)
    session, notes = open_session(f"folder:{tmp_path}")
    shown = ["unlabeled/2.png", "unlabeled/3.png", "unlabeled/c.png", "unlabeled/d.png"]
    assert sorted(order(session)) == shown
    assert notes == [
        "not shown: 2 images without a label, copies of files that have one or are for the test"
    ]
    session.answer(order(session).index("unlabeled/3.png"), "cat", "")
    session, _ = open_session(f"folder:{tmp_path}")
    assert sorted(order(session)) == ["unlabeled/2.png", "unlabeled/d.png"]


def test_images_of_test_without_a_label_are_labeled_too(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png", "2.png", "test/3.png", "test/4.png")
    session, _ = open_session(f"folder:{tmp_path}")
    assert sorted(order(session)) == ["1.png", "2.png", "test/3.png", "test/4.png"]
    for index, path in enumerate(order(session)):
        session.answer(index, "cat" if path in ("1.png", "test/3.png") else "dog", "")
    assert session.result()["lacks"] == ""
    with pytest.raises(UserError, match="no image without a label \\(classes: cat, dog\\); put"):
        open_session(f"folder:{tmp_path}")


def test_names_that_cannot_be_classes_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "holiday/1.png", "holiday/2.png", "unlabeled/3.png", "train/Cat/4.png")
    (tmp_path / "labels.csv").write_text("file,label\nholiday/1.png,Dog\n")
    session, _ = open_session(f"folder:{tmp_path}")
    index = order(session).index("unlabeled/3.png")
    for name, words in (
        (" ", "is missing"),
        ("n/a", "would read as no label"),
        ("two\u2028lines", "has a line break"),
        ("a\ud800", "is not UTF-8"),
        ("x" * 101, "is too long"),
        ("holiday", "has the name of a folder, whose images would all become"),
    ):
        with pytest.raises(UserError, match=words):
            session.answer(index, name, "")
    assert session.answer(index, " dog ", "") == ("Dog", None)  # as the class is written
    assert session.given == 1


def test_a_class_of_the_folder_that_reads_as_no_label_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "train/nan/1.png", "train/cat/2.png", "unlabeled/3.png")
    session, _ = open_session(f"folder:{tmp_path}")
    with pytest.raises(UserError, match="'nan' would read as no label"):
        session.answer(0, "nan", "")
    session.answer(0, "cat", "")  # nothing was written that locks the table


@pytest.mark.parametrize("guess", ["N/A", "two\nlines", "x" * 101, "holiday"])
def test_guesses_that_cannot_be_classes_are_left_out(tmp_path: Path, guess: str) -> None:
    pictures(tmp_path, "holiday/1.png", "holiday/2.png")
    (tmp_path / "labels.csv").write_text("file,label\nholiday/1.png,Dog\n")
    csv = suggest(tmp_path / "s.csv", ["holiday/2.png"], guess)
    state = open_session(f"folder:{tmp_path}", str(csv))[0].state(0)
    assert state["classes"] == ["Dog"] and state["image"]["predicted"] == ""
    csv = suggest(tmp_path / "s.csv", ["holiday/2.png"], " dog ")
    state = open_session(f"folder:{tmp_path}", str(csv))[0].state(0)
    assert state["classes"] == ["Dog"] and state["image"]["predicted"] == "Dog"


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    assert "is not a folder of images" in message("svhn_cropped")
    assert "needs a path" in message("folder:")
    assert "no such folder" in message(f"folder:{tmp_path}/nothing")
    (tmp_path / "x").mkdir()
    dataset = f"folder:{tmp_path}/x"
    assert "has no image without a label; put some into" in message(dataset)
    pictures(tmp_path / "x", "cat/1.png", "dog/2.png")
    assert "has no image without a label" in message(dataset)
    names = unlabeled(tmp_path / "x", 2)
    other = suggest(tmp_path / "other.csv", ["unlabeled/far.png", "away.png"])
    assert "names no image without a label in" in message(dataset, str(other))
    csv = suggest(tmp_path / "s.csv", names)
    table = tmp_path / "x/labels.csv"
    table.write_text("".join(f"{name},cat\n" for name in names))
    assert "all 2 images have a label now; train with them" in message(dataset, str(csv))
    for content, words in (
        (b"far.png,cat\n", "lines that name no image in the folder: 1 (line"),
        (b"unlabeled/00.png,caf\xe9\n", "line 1 is not UTF-8"),
        (b"unlabeled/00.png,cat\nunlabeled/00.png,dog\n", "gives two labels to unlabeled/00.png"),
        (b"cat/1.png,dog\nunlabeled/00.png,cat\n", "its folder says cat"),
    ):
        table.write_bytes(content)
        assert words in message(dataset), content
        assert table.read_bytes() == content
