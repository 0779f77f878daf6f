"""What a person does, in a browser without a window."""

import threading
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from pictures_to_label import picture, suggest, unlabeled

from ssgan_tf.data.folder.labels_csv import read_labels
from ssgan_tf.labeling.opening import open_session
from ssgan_tf.labeling.server import LabelingServer

pytestmark = pytest.mark.skipif(
    not browser.FOUND, reason=f"none of {', '.join(browser.NAMES)} is installed"
)
READY = (
    "state && !busy && (finished || !state.image || document.querySelector('#picture').complete)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.opened(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    return unlabeled(tmp_path / "x", 24)


@pytest.fixture
def server(tmp_path: Path, names: list[str]) -> Iterator[LabelingServer]:
    picture(tmp_path / "x/train/circle/a.png", 100)
    picture(tmp_path / "x/train/square/b.png", 101)
    session, _ = open_session(f"folder:{tmp_path}/x", str(suggest(tmp_path / "s.csv", names)))
    with LabelingServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def press(page: browser.Page, *keys: str) -> None:
    for key in keys:
        # The key may reach the page later than the next question to it: on a busy machine.
        counted = "document.addEventListener('keyup', () => handled++, true)"
        before = page.run(f"globalThis.handled ??= ({counted}, 0)")
        page.press(key)
        page.wait(f"handled > {before} && {READY}")


def open_page(page: browser.Page, server: LabelingServer) -> None:
    page.open(server.address)
    page.wait(f"typeof state !== 'undefined' && {READY}")


def text(page: browser.Page, selector: str) -> str:
    return page.run(f"document.querySelector('{selector}').innerText")


def test_a_person_labels_twenty_images_by_keys_reloads_and_goes_on(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    open_page(page, server)
    assert text(page, "#count") == "0 of 24 labeled" and "circle, 88%" in text(page, "#guess")
    assert page.run("document.querySelector('#picture').naturalWidth") == 24
    assert page.run("getComputedStyle(document.querySelector('#picture')).imageRendering") == (
        "pixelated"
    )
    expected: dict[str, str] = {}
    for number in range(10):
        press(page, "2" if number % 2 else "1")
        expected[names[number]] = "square" if number % 2 else "circle"
    press(page, "Enter")  # as guessed
    press(page, "/", *"star", "Enter")  # a new class
    press(page, "3")  # has a key from now on
    press(page, "/", *"sq", "Enter")  # one that was found
    expected |= dict(zip(names[10:14], ["circle", "star", "star", "square"], strict=True))
    press(page, "1", "u", "2")  # undone, and another one
    press(page, "s", "ArrowRight", "Backspace", "u", "2")  # two are skipped, and looked at again
    expected |= {names[14]: "square", names[15]: "square"}
    press(page, "s", "1")
    expected[names[17]] = "circle"
    assert text(page, "#count") == "17 of 24 labeled"
    table = tmp_path / "x/labels.csv"
    known = {identity: label.name for identity, label in read_labels(table, names, (), "").items()}
    assert known == expected

    press(page, "f")  # by mistake: it is asked about
    assert "Press Finish again" in text(page, "#note")
    open_page(page, server)  # reload
    assert text(page, "#count") == "17 of 24 labeled"
    assert text(page, "#about") == names[16]
    press(page, "u")  # of the answer before
    assert text(page, "#about") == names[17]
    press(page, "3", "1", "1", "2")
    expected |= dict(zip(names[17:21], ["star", "circle", "circle", "square"], strict=True))
    lines = table.read_text().splitlines()
    assert lines[0] == "file,label" and len(lines) == 21
    assert dict(line.split(",") for line in lines[1:]) == expected
    press(page, "1", "1", "1")
    assert text(page, "#about") == names[16]  # which was skipped
    press(page, "1")
    assert text(page, "#end_title") == "All 24 images are labeled"
    assert page.run("document.activeElement.id") == "finish"
    page.press("Enter")
    page.wait("finished")
    command = f"python -m ssgan_tf.train --dataset=folder:{tmp_path}/x"
    assert text(page, "#end_command") == command


def test_a_class_that_is_called_like_a_key_has_it(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    open_page(page, server)
    press(page, "/", "1", "Enter")  # a new class, whose key was that of circle
    assert text(page, "#classes").split() == ["2", "circle", "3", "square", "1", "1"]
    press(page, "1", "2", "3")
    known = read_labels(tmp_path / "x/labels.csv", names, (), "")
    assert [known[name].name for name in names[:4]] == ["1", "1", "circle", "square"]


def test_what_other_windows_and_programs_did_is_told(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    open_page(page, server)
    server.session.answer(0, "square", "")
    press(page, "1")
    assert "was labeled square in another window" in text(page, "#note")
    assert text(page, "#about") == names[1]
    (tmp_path / "x" / names[2]).write_bytes(b"damaged")
    page.run("images.clear()")
    press(page, "1")
    assert f"{names[2]} is not an image" in text(page, "#note")
    assert text(page, "#about") == names[3]
    assert names[2] in text(page, "#problems")
    press(page, "/", *"n/a", "Enter")
    assert "would read as no label" in text(page, "#note")
    server.shutdown()
    server.server_close()
    page.run("fetch = () => Promise.reject(new TypeError())")
    press(page, "Escape", "1")
    assert "The program does not answer" in text(page, "#note")
    assert (tmp_path / "x/labels.csv").read_text().split() == [
        "file,label",
        f"{names[0]},square",
        f"{names[1]},circle",
    ]


def test_an_image_that_is_not_on_the_screen_gets_no_label(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    open_page(page, server)
    page.run(
        "globalThis.real = fetch; images.clear(); fetch = (path, options) => "
        "String(path).startsWith('image/') ? Promise.reject(new TypeError()) : real(path, options)"
    )
    press(page, "1")
    table = tmp_path / "x/labels.csv"
    answered = f"file,label\n{names[0]},circle\n"
    for key in ("1", "Enter"):
        press(page, key)
        assert text(page, "#about") == names[1] and table.read_text() == answered
        assert "The program does not answer" in text(page, "#note")
    page.run("fetch = real")
    press(page, "2")
    assert "Answer now" in text(page, "#note") and table.read_text() == answered
    press(page, "2")
    assert table.read_text() == f"{answered}{names[1]},square\n"


def test_an_image_that_the_browser_cannot_decode_is_skipped(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    open_page(page, server)
    page.run(
        "globalThis.real = HTMLImageElement.prototype.decode; globalThis.fails = 1; "
        "HTMLImageElement.prototype.decode = function () { return fails-- > 0 "
        "? Promise.reject(new DOMException('', 'EncodingError')) : real.call(this); }"
    )
    press(page, "1")
    assert text(page, "#about") == names[2]
    assert f"{names[1]} cannot be shown by this browser; skipped" in text(page, "#note")
    page.run("fails = 1000")
    press(page, "1")  # all others are tried once
    press(page, "1")
    assert (tmp_path / "x/labels.csv").read_text().split()[1:] == [
        f"{names[0]},circle",
        f"{names[2]},circle",
    ]


def test_enter_takes_a_class_that_begins_with_the_text_and_says_so(
    page: browser.Page, server: LabelingServer, names: list[str], tmp_path: Path
) -> None:
    server.session.answer(0, "white_cat", "")
    open_page(page, server)
    for typed, chosen in (
        ("white", "Enter: white_cat"),
        ("cat", "Enter: New class “cat”"),
        ("CIRCLE", "Enter: circle"),
    ):
        press(page, "/", *typed)
        assert text(page, "#chosen") == chosen
        assert page.run("document.querySelector('#chosen').offsetHeight") > 10  # it can be seen
        press(page, "Enter")
    press(page, "/", *"cat")
    assert text(page, "#chosen") == "Enter: cat"
    press(page, "Enter")
    given = ["white_cat", "white_cat", "cat", "circle", "cat"]
    lines = [f"{name},{label}" for name, label in zip(names, given, strict=False)]
    assert (tmp_path / "x/labels.csv").read_text().split()[1:] == lines


def test_the_page_fits_a_phone_and_is_usable_without_a_mouse(
    page: browser.Page, server: LabelingServer, tmp_path: Path
) -> None:
    for width, dark in ((390, True), (1280, False)):
        page.picture(tmp_path / "picture.png", width, 800, dark)
        open_page(page, server)
        assert page.run("document.documentElement.scrollWidth") == width
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
    seen = []
    for _ in range(6):
        page.press("Tab")
        seen.append(page.run("document.activeElement.id || document.activeElement.innerText"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert [name.split()[-1] for name in seen[:4]] == ["finish", "search", "circle", "square"]
    nameless = "[...document.querySelectorAll('button, input, progress')].filter((one) => "
    nameless += "!one.hidden && !one.innerText && !one.labels?.length).map((one) => one.id)"
    assert page.run(nameless) == []
    assert page.run("document.querySelector('#picture').alt").startswith("Image unlabeled/")
