"""What the documents say of the code is true."""

import dataclasses
import re
from pathlib import Path

import pytest

from ssgan_tf import evaluate, export, predict, report, sample
from ssgan_tf.config import Config

ROOT = Path(__file__).resolve().parent.parent
MAP = re.findall(
    r"^\| (.+?) \| \[(.+?)\]\(.+?\) \| `(.+?)` \|$", (ROOT / "BUILD.md").read_text(), re.M
)


def test_the_map_from_the_article_to_the_code_is_there() -> None:
    assert len(MAP) > 25


@pytest.mark.parametrize(("what", "path", "snippet"), MAP, ids=[row[0] for row in MAP])
def test_the_map_points_at_one_line(what: str, path: str, snippet: str) -> None:
    lines = (ROOT / path).read_text().splitlines()
    found = [number for number, text in enumerate(lines, 1) if snippet in text]
    assert len(found) == 1, f"BUILD.md: {what} is in the lines {found} of {path}"


@pytest.mark.parametrize("document", ["README.md", "BUILD.md", "experiments/README.md"])
def test_every_flag_in_the_documents_exists(document: str) -> None:
    flags = set(
        re.findall(
            r"--([a-z][a-z0-9_]*_[a-z0-9_]+|labeled|method|preset|seed)\b",
            (ROOT / document).read_text(),
        )
    )
    known = {field.name for field in dataclasses.fields(Config)}
    known |= {
        flag.name for module in (evaluate, export, predict, report, sample) for flag in module.FLAGS
    }
    assert flags - known == set()


def test_every_module_is_in_the_list_of_rooms() -> None:
    rooms = (ROOT / "BUILD.md").read_text()
    for path in (ROOT / "ssgan_tf").glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in rooms, path.name


@pytest.mark.parametrize("document", ["README.md", "BUILD.md", "experiments/README.md"])
def test_what_the_documents_link_to_is_there_and_no_generated_part_is_empty(document: str) -> None:
    path = ROOT / document
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / link).exists(), link
    for marker in re.findall(r"<!-- (?!end )(.+?) -->", text):
        part = text.partition(f"<!-- {marker} -->")[2].partition(f"<!-- end {marker} -->")[0]
        assert part.strip(), marker
        bare = re.search(r"^ *\|[-|]+\|$(?!\n *\|)", part, flags=re.M)
        assert not bare, f"{marker}: a table without rows"


# Both spellings are understood there, or others are still to follow.
SPELLED_OTHERWISE = {"folder_names.py", "labels_csv.py"}


@pytest.mark.parametrize(
    "path",
    [path for path in (ROOT / "ssgan_tf").rglob("*.*") if path.suffix in (".py", ".j2")],
    ids=lambda path: path.name,
)
def test_words_are_spelled_as_the_flags_are(path: Path) -> None:
    british = r"\w*(?:labell(?:ed|ing)|colour|\bgrey|centre|(?:normal|minim|recogn|color)is[ei])\w*"
    if path.name not in SPELLED_OTHERWISE:
        assert re.findall(british, path.read_text(), re.I) == []
