import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssgan_tf.config import Config, UserError
from ssgan_tf.flags import (
    RUN_FLAGS,
    Flag,
    errors_as_sentences,
    help_text,
    parse_command,
    parse_config,
)
from ssgan_tf.presets import PRESETS
from ssgan_tf.runs.interruption import Interrupted


def parse(*arguments: str) -> Config:
    return parse_config(["train", *arguments], "train", "Trains.")


def test_no_flags_give_the_article() -> None:
    assert parse() == Config()


def test_flags_become_fields_of_their_types() -> None:
    config = parse("--labeled=250", "--drop_rate=0.5", "--deterministic", "--schedule", "linear")
    assert (config.labeled, config.drop_rate, config.deterministic) == (250, 0.5, True)
    assert config.schedule == "linear"
    assert parse("--labeled=all").labeled == "all"
    assert parse("--nodeterministic").deterministic is False


def test_a_given_flag_beats_the_preset_even_with_the_default_value() -> None:
    config = parse("--preset=notebook", "--conv7_input=conv6")
    assert config == Config.from_preset("notebook", conv7_input="conv6")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--labelled=10", ["labelled", "labeled"]),
        ("--labeled=ten", ["--labeled=ten", "'all'"]),
        ("--labeled=1.5", ["--labeled=1.5", "'all'"]),
        ("--epochs=x", ["epochs", "x"]),
        ("--nodeterministic=1", ["deterministic"]),
        ("--drop_rate=2", ["--drop_rate=2", "from 0 to 0.9"]),
        ("--preset=blog", ["--preset=blog", "article, notebook"]),
        ("1000", ["'1000'", "--labeled=1000"]),
    ],
)
def test_a_bad_command_line_is_one_sentence_that_names_it(argument: str, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        parse(argument)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--batch_size=abc"], "--batch_size=abc: must be a whole number."),
        (["--batch_size", "1:2"], "--batch_size=1:2: must be a whole number."),
        (["--seed=1.5"], "--seed=1.5: must be a whole number."),
        (["--learning_rate="], "--learning_rate=: must be a number, as in 0.5."),
        (["--augment_flip=maybe"], "--augment_flip=maybe: must be true or false."),
        (["--learning_rate=1,5"], "--learning_rate=1,5: must be a number, as in 0.5."),
        (["--augment_flip", "false"], "'false' is not a flag; a switch and its value are one word"),
        (["--batch_size"], "--batch_size: needs a value, as in --batch_size=... (--help lists"),
    ],
)
def test_a_value_of_the_wrong_type_is_answered_in_words_not_in_pythons(
    arguments: list[str], sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        parse(*arguments)
    assert str(error.value).startswith(sentence)


def test_flags_are_read_from_a_file_and_a_file_that_cannot_be_read_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "my flags").write_text("--labeled=250\n# a comment\n--seed=3\n")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    config = parse(f"--flagfile={tmp_path / 'my flags'}", "--seed=4")
    assert (config.labeled, config.seed) == (250, 4)
    for given, sentence in (
        (f"={tmp_path / 'none'}", f"={tmp_path / 'none'}: no such file or directory; give a file"),
        (f"={tmp_path}", f"={tmp_path}: is a directory; give a file with a flag in each line."),
        (f"={tmp_path / 'picture'}", ": a file that is named there is not text in UTF-8."),
        ("", ": needs a file with a flag in each line"),
    ):
        with pytest.raises(UserError) as error:
            parse(f"--flagfile{given}")
        assert str(error.value).startswith(f"--flagfile{sentence}")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--labled=3", "--labled: there is no such flag; did you mean --labeled?"),
        ("--seed=three", "--seed=three: must be a whole number."),
        ("--noaugment_flop", "--noaugment_flop: there is no such flag; did you mean --noaugment_"),
        ("--batch_size=-5", "--batch_size=-5: "),
    ],
)
def test_a_wrong_line_of_a_file_names_the_file(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "my flags").write_text(f"--steps=9\n{line}\n")
    (tmp_path / "good").write_text("--epochs=2\n")
    file, good = str(tmp_path / "my flags"), str(tmp_path / "good")
    for words, start in (
        ([f"--flagfile={file}"], f"--flagfile={file}: {sentence}"),
        (["-flagfile", file, "--seed=3", "--steps_per_call=4"], f"--flagfile={file}: {sentence}"),
        ([f"--flagfile={good}", f"--flagfile={file}"], f"--flagfile={good} or {file}: {sentence}"),
        ([f"--flagfile={good}", line[1:]], sentence),  # one dash will do
        ([line, f"--flagfile={file}"], sentence),
    ):
        with pytest.raises(UserError) as error:
            parse(*words)
        assert str(error.value).startswith(start)


def test_a_wrong_line_of_a_file_names_the_file_in_small_commands_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flags").write_text("--count=-5\n")
    command_flags = (Flag("run_dir", None, "The run."), Flag("count", 1, "", minimum=1))
    (tmp_path / "other").write_text("--run_dir=a\n")
    (tmp_path / "both").write_text("--run_dir=a\n--count=3\n")
    file, other, both = (f"--flagfile={tmp_path / name}" for name in ("flags", "other", "both"))
    monkeypatch.setenv("HOME", str(tmp_path))
    home = "--flagfile=~/flags"
    for words, start in (
        ([file, "--run_dir=a"], f"{file}: --count=-5: must be at least 1."),
        ([file], "--run_dir: is missing; give the run."),
        ([other, "--count=-5"], "--count=-5: must be at least 1."),  # --run_dir is in the file
        ([both, "--count=-6"], "--count=-6: must be at least 1."),
        (["--count=7", home, "--run_dir=a"], f"{home}: --count=-5: must be at least 1."),
    ):
        with pytest.raises(UserError) as error:
            parse_command(["program", *words], "program", "", command_flags)
        assert str(error.value) == start


def test_a_switch_is_named_as_it_is_typed() -> None:
    with pytest.raises(UserError, match="--augment_fakes=true: --method=supervised"):
        parse("--method=supervised", "--augment_fakes")


def test_a_misspelled_flag_is_answered_with_the_closest_one() -> None:
    with pytest.raises(UserError) as error:
        parse("--labled=3")
    assert str(error.value).startswith("--labled: there is no such flag; did you mean --labeled?")
    with pytest.raises(UserError) as error:
        parse_command(["evaluate", "--rundir=x"], "evaluate", "", RUN_FLAGS)
    assert "did you mean --run_dir?" in str(error.value)


def test_help_as_a_value_is_a_value() -> None:
    assert parse("--dataset", "help").dataset == "help"


def test_help_lists_every_flag_with_its_default_and_choices() -> None:
    text = help_text("train", "Trains.")
    for field in dataclasses.fields(Config):
        assert f"--{field.name}" in text
        for choice in field.metadata["choices"] or ():
            assert str(choice) in text
    assert "--learning_rate=0.0003" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--drop_rate=7", 1)])
def test_help_and_errors_come_without_importing_tensorflow(argument: str, code: int) -> None:
    script = (
        "import sys; sys.argv = ['train', sys.argv[1]]\n"
        "from ssgan_tf import train\n"
        "try:\n    train.main()\n"
        "finally:\n    assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    start = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-c", script, argument], capture_output=True, text=True, check=False
    )
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    assert time.monotonic() - start < 20  # imports TensorFlow or not is what counts, see above


@pytest.mark.parametrize(
    ("error", "again", "status", "words"),
    [
        (UserError("--labeled=0: is too few."), "train", "error: --labeled=0: is too few.", ""),
        (OSError("gone"), "", "error: gone.", ""),
        (
            OSError("gone"),
            "train",
            "error: gone. What is finished is kept; the same command goes on from there.",
            "",
        ),
        (Interrupted(15, 7), "train --x", 143, "Stopped after step 7. This goes on from there:"),
        (KeyboardInterrupt(), "", 130, ""),
        (KeyboardInterrupt(), "train", 130, "Stopped. The same command goes on from the last"),
    ],
)
def test_an_error_ends_a_command_with_what_can_be_done(
    error: BaseException,
    again: str,
    status: int | str,
    words: str,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as end, errors_as_sentences(again):
        raise error
    assert end.value.code == status
    shown = capsys.readouterr().err
    assert shown.startswith(words) and bool(shown) == bool(words)
    assert not isinstance(error, Interrupted) or shown.endswith(f":\n  {again}\n")


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "article"])
def test_the_flags_of_a_preset_in_the_help_give_the_same_as_the_preset(preset: str) -> None:
    listed = help_text("train", "").split(f"  --preset={preset}:")[1].split("\n  --preset")[0]
    given = parse(*listed.split("\n\n")[0].split())
    assert dataclasses.replace(given, preset=preset) == parse(f"--preset={preset}")
