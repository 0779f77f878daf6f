import json
import os
from pathlib import Path

import pytest

from ssgan_tf.config import UserError
from ssgan_tf.system.files import (
    SCHEMA,
    check_place,
    output_named,
    read_json,
    write_json,
    written_aside,
)

TYPES = {"name": str, "steps": int, "accuracy": (int, float)}
CONTENT = {"name": "run", "steps": 3, "accuracy": 0.5}


def test_what_was_written_is_read_and_has_a_schema_in_the_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", CONTENT)
    assert json.loads((tmp_path / "a.json").read_text()) == {"schema": SCHEMA} | CONTENT
    assert read_json(tmp_path / "a.json", TYPES) == CONTENT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "not a file of a run"),
        (json.dumps(CONTENT), "has no schema version"),
        (json.dumps({"schema": SCHEMA + 1} | CONTENT), f"has the schema version {SCHEMA + 1}"),
        (json.dumps({"schema": SCHEMA, "name": "run"}), "lacks 'steps'"),
        (json.dumps({"schema": SCHEMA} | CONTENT | {"steps": "3"}), "'steps' is '3'"),
        (json.dumps({"schema": SCHEMA} | CONTENT | {"steps": True}), "'steps' is True"),
        (json.dumps({"schema": SCHEMA} | CONTENT | {"accuracy": "x"}), "not of type number"),
    ],
)
def test_a_file_that_was_edited_or_is_of_another_version_is_named(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        read_json(path, TYPES)
    assert str(path) in str(error.value)
    assert path.read_text() == text


def test_bytes_that_are_no_text_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not JSON"):
        read_json(tmp_path / "a.json", {})
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path / "b.json", {})


def test_a_hand_made_file_needs_no_schema_but_not_a_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(CONTENT))
    assert read_json(tmp_path / "a.json", TYPES, hand_made=True) == CONTENT
    (tmp_path / "a.json").write_text(json.dumps({"schema": 99} | CONTENT))
    with pytest.raises(UserError, match="schema version 99"):
        read_json(tmp_path / "a.json", TYPES, hand_made=True)


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", CONTENT)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})

    def fail_half_way() -> None:
        with written_aside(tmp_path / "a.json") as partial:
            partial.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert read_json(tmp_path / "a.json", TYPES) == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_place_where_nothing_can_be_written_is_named_with_its_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_place("--output=a", tmp_path)
    check_place("--output=a", tmp_path / "new" / "newer")
    for path in (tmp_path / "file", tmp_path / "file" / "new" / "newer"):
        with pytest.raises(UserError) as error:
            check_place("--output=a", path)
        sentence = f"--output=a: {tmp_path}/file is a file, not a directory; give another place."
        assert str(error.value) == sentence
    with pytest.raises(UserError, match=r"^--output=a: cannot be written to \(File name too long"):
        check_place("--output=a", tmp_path / ("x" * 300))
    full = pytest.raises(UserError, match=r"^--output=a: cannot be written to \(disk full\)")
    with full, output_named("--output=a"):
        raise OSError("disk full")


def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.json")
    with pytest.raises(UserError, match="is not a plain file"):
        read_json(tmp_path / "labels.json", {})
