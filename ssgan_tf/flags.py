"""The command lines: their flags, those of `train` made from `Config`, and how errors end them."""

import contextlib
import dataclasses
import difflib
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from ssgan_tf.config import (
    FOLDER,
    TYPES,
    Config,
    UserError,
    allowed_values,
    starting_values,
    written,
)
from ssgan_tf.flagfiles import naming_files
from ssgan_tf.presets import FOLDER_DEFAULTS, PRESETS
from ssgan_tf.runs.interruption import Interrupted
from ssgan_tf.system import errors

_WIDTH = 100
_COLUMN = 37  # where the meanings start
_EXAMPLES = ("house_numbers --labeled=1000", f"{FOLDER}my_images")  # of --dataset


def parse_config(argv: Sequence[str], program: str, description: str) -> Config:
    """Command line -> `Config`; answers `--help` itself and exits 0.

    A flag that is given beats the preset; one that is not has the preset's value.

    Args:
        argv: with the program's name first, as `sys.argv`.
        program: how it is called, e.g. "python -m ssgan_tf.train"; for the help text.
        description: what it does, for the help text.

    Raises:
        UserError: if a flag is unknown or its value is not allowed.
    """
    if _asks_for_help(argv):
        print(help_text(_called_as(argv, program), description))
        sys.exit(0)
    return naming_files(argv, _config)


def _config(argv: Sequence[str]) -> Config:
    values = flags.FlagValues()
    for field in dataclasses.fields(Config):
        _define(field, values)
    rest = _set(values, argv)
    if rest:
        raise UserError(_no_flag(rest[0], "--labeled=1000"))
    given: dict[str, Any] = {name: values[name].value for name in values if values[name].present}
    if given.get("labeled", "all") != "all":
        with contextlib.suppress(ValueError):  # Config says what is wrong with it
            given["labeled"] = int(given["labeled"])
    return Config(**given)


def _set(values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Sets `values`, and returns what was given beside the flags; raises `UserError`."""
    try:
        return values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        switches = [f"no{flag}" for flag in values if values[flag].flag_type() == "bool"]
        close = difflib.get_close_matches(name, [*values, *switches], n=1)
        meant = f"; did you mean --{close[0]}?" if close else "."
        raise UserError(
            f"--{name}: there is no such flag{meant} (--help lists all flags)"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError("--flagfile: a file that is named there is not text in UTF-8.") from error
    except (flags.Error, ValueError) as error:  # absl raises both
        raise UserError(_in_words(str(error), values)) from error


def _in_words(message: str, values: flags.FlagValues) -> str:
    """What absl says of a value, which is Python's word for it, such as "invalid literal"."""
    if missing := re.fullmatch(r"Missing value for flag -*(\w+)", message):
        return f"--{missing[1]}: needs a value, as in --{missing[1]}=... (--help lists all flags)"
    if message == "--flagfile with no argument":
        return "--flagfile: needs a file with a flag in each line, as in --flagfile=my_flags.txt."
    if unread := re.fullmatch(r"ERROR:: Unable .* flagfile: \[\w+ \d+\] (.+): '(.*)'", message):
        reason = unread[1][0].lower() + unread[1][1:]
        return f"--flagfile={unread[2]}: {reason}; give a file with a flag in each line."
    found = re.match(
        r"flag --((\w+)=.*?): (?:invalid literal|could not convert|\('Non-)", message, re.S
    )
    if not found:
        return f"{message} (--help lists all flags)"
    return f"--{found[1]}: must be {TYPES[values[found[2]].flag_type()]}."


def _no_flag(word: str, example: str) -> str:
    hint = f"flags look like {example}; a value with a space needs quotes"
    if word.lower() in ("true", "false"):
        hint = f"a switch and its value are one word, as in --deterministic={word.lower()}"
    return f"{word!r} is not a flag; {hint}."


def _asks_for_help(argv: Sequence[str]) -> bool:
    return any(word in ("-h", "-help", "--help", "--helpshort", "--helpfull") for word in argv[1:])


def _called_as(argv: Sequence[str], program: str) -> str:
    """`program`, or the console command, such as ssgan-train, if it was that."""
    name = Path(argv[0]).stem  # without Windows' .exe
    return name if name.startswith("ssgan-") else program


@contextlib.contextmanager
def errors_as_sentences(again: str = "") -> Iterator[None]:
    """Ends the program with one sentence and a non-zero status where its body cannot go on.

    Args:
        again: the command that goes on with what was done; empty where nothing is kept.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # see `streams.used`
        raise
    except OSError as error:
        kept = " What is finished is kept; the same command goes on from there." if again else ""
        sys.exit(f"error: {error}.{kept}")
    except Interrupted as stop:
        print(
            f"Stopped after step {stop.step}. This goes on from there:\n  {again}", file=sys.stderr
        )
        sys.exit(stop.status)
    except KeyboardInterrupt:  # of training: before the first step, or after the last
        if again:
            print(
                "Stopped. The same command goes on from the last checkpoint, or starts again.",
                file=sys.stderr,
            )
        sys.exit(130)
    except Exception as error:
        if errors.kind_of(error) == "program":  # its traceback is what has to be reported
            raise
        sys.exit(f"error: {errors.cause(error)}.")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of one of the small commands.

    Attributes:
        name: without the dashes.
        default: its type is the flag's; None: text that must be given.
        meaning: one sentence.
        choices: the allowed values, if they are few.
        minimum: of a number.
        maximum: of a number; beyond it memory would not do.
    """

    name: str
    default: str | int | bool | None
    meaning: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


RUN_FLAGS = (  # of the commands that read a finished run
    Flag("run_dir", None, "The run: what training wrote."),
    Flag("checkpoint", "last", "The step whose weights are used, or 'last'."),
    Flag("data_dir", "", "Where the data is now (TFDS' directory, the folder), if it moved."),
)


def parse_command(
    argv: Sequence[str],
    program: str,
    description: str,
    command_flags: Sequence[Flag],
    positional: tuple[str, str] | None = None,
) -> tuple[Any, list[str]]:
    """Command line of a small command; answers `--help` itself and exits 0.

    Args:
        argv: with the program's name first, as `sys.argv`.
        program: how it is called, e.g. "python -m ssgan_tf.predict".
        description: what it does, for the help text.
        command_flags: its flags.
        positional: name and meaning of what it takes beside flags, if it takes anything.

    Returns:
        An object with the flags as attributes, and what was given beside them.

    Raises:
        UserError: if a flag is unknown, missing, or its value is not allowed.
    """
    if _asks_for_help(argv):
        program = _called_as(argv, program)
        print(_command_help(program, description, command_flags, positional))
        sys.exit(0)

    def parse(words: Sequence[str]) -> tuple[Any, list[str]]:
        values = flags.FlagValues()
        for flag in command_flags:
            define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer}.get(
                type(flag.default), flags.DEFINE_string
            )
            define(flag.name, flag.default, flag.meaning, flag_values=values)
        rest = _set(values, words)
        if rest and not positional:
            raise UserError(_no_flag(rest[0], _usage(command_flags[0])))
        for flag in command_flags:
            _check(flag, values[flag.name].value)
        return values, rest

    return naming_files(argv, parse)


def _check(flag: Flag, value: Any) -> None:
    """Raises `UserError` where `value` is missing, or not one of the flag's choices or range."""
    if flag.default is None and not value:
        meaning = flag.meaning[0].lower() + flag.meaning[1:]
        raise UserError(f"--{flag.name}: is missing; give {meaning}")
    if flag.choices and value not in flag.choices:
        raise UserError(f"--{flag.name}={value}: must be one of {', '.join(flag.choices)}.")
    if flag.minimum is not None and value < flag.minimum:
        raise UserError(f"--{flag.name}={value}: must be at least {flag.minimum}.")
    if flag.maximum is not None and value > flag.maximum:
        raise UserError(f"--{flag.name}={value}: must be at most {flag.maximum:,}.")


def _command_help(
    program: str,
    description: str,
    command_flags: Sequence[Flag],
    positional: tuple[str, str] | None,
) -> str:
    required = "".join(f" --{f.name}=..." for f in command_flags if f.default is None)
    usage = f"usage: {program}{required} [--flag=value ...]"
    rows = [(_usage(flag), flag.meaning + _allowed(flag)) for flag in command_flags]
    if positional:
        usage += f" {positional[0]}..."
        rows.append(positional)
    width = max(len(row[0]) for row in rows) + 2
    lines = [
        textwrap.fill(
            f"{name:<{width}}{meaning}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * (width + 2),
        )
        for name, meaning in rows
    ]
    return "\n".join([description, "", usage, "", *lines])


def _usage(flag: Flag) -> str:
    if isinstance(flag.default, bool):
        return f"--{flag.name}"
    return f"--{flag.name}={'...' if flag.default is None else flag.default}"


def _allowed(flag: Flag) -> str:
    return f" One of: {', '.join(flag.choices)}." if flag.choices else ""


def _define(field: dataclasses.Field, values: flags.FlagValues) -> None:
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}.get(
        field.type, flags.DEFINE_string
    )
    default = str(field.default) if define is flags.DEFINE_string else field.default
    define(field.name, default, field.metadata["meaning"], flag_values=values)


def help_text(program: str, description: str) -> str:
    """All flags in their groups, with meaning, default and allowed values."""
    lines = [description, "", f"usage: {program} [--flag=value ...]", ""]
    lines += [f"  {program} --dataset={example}" for example in _EXAMPLES]
    lines += ["", "The values shown are the defaults, those of --preset=article; the other presets"]
    lines += ["and the defaults for folders stand below."]
    group = None
    for field in dataclasses.fields(Config):
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines += ["", f"{group}:"]
        default = str(field.default).lower() if field.type is bool else field.default
        usage = f"--{field.name}={default}"
        meaning = field.metadata["meaning"]
        if field.metadata["choices"]:
            meaning += f" One of: {', '.join(map(str, field.metadata['choices']))}."
        elif allowed_values(field):
            meaning += f" {allowed_values(field).capitalize()}."
        lines += textwrap.wrap(
            f"{usage:<{_COLUMN}}{meaning}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * (_COLUMN + 2),
        )
    lines += ["", "Presets other than article:"]
    defaults = starting_values({})
    for name in PRESETS:
        values = starting_values({"preset": name}) | {"preset": defaults["preset"]}
        if changes := {key: value for key, value in values.items() if value != defaults[key]}:
            lines += _listed(f"--preset={name}:", changes)
    folder = starting_values({"dataset": FOLDER})
    preset = starting_values({"preset": folder["preset"]}) | {"preset": ""}
    lines += ["", f"Defaults for --dataset={FOLDER}PATH, beside those of its preset:"]
    changes = {k: v for k, v in folder.items() if k in FOLDER_DEFAULTS or v != preset[k]}
    lines += _listed("", changes)
    return "\n".join(lines)


def _listed(start: str, values: dict[str, Any]) -> list[str]:
    words = " ".join(f"--{name}={written(value)}" for name, value in values.items())
    return textwrap.wrap(
        f"{start} {words}".strip(), _WIDTH, initial_indent="  ", subsequent_indent="    "
    )
