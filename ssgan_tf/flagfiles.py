"""Files of flags (`--flagfile`): which of them an error comes from."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssgan_tf.config import UserError


def naming_files(argv: Sequence[str], parse: Callable[[Sequence[str]], Any]) -> Any:
    """What `parse` makes of the command line; its `UserError` names the file that it comes from."""
    try:
        return parse(argv)
    except UserError as error:
        typed, files = _without_files(argv)
        if not files or str(error).startswith("--flagfile"):
            raise
        if _is_typed(str(error), typed, files):
            raise
        try:
            parse(typed)
        except UserError as of_typed:
            if str(of_typed) == str(error):
                raise
        raise UserError(f"--flagfile={' or '.join(files)}: {error}") from error


def _is_typed(message: str, typed: Sequence[str], files: Sequence[str]) -> bool:
    """Whether the flag that a message begins with was typed, and is in none of the files."""
    found = re.match(r"--(?:no)?(\w+)", message)
    if not found:
        return False
    flag = re.compile(rf"^\s*--?(no)?{found[1]}\b", re.MULTILINE)
    there = (Path(file).read_text(errors="replace") for file in files if Path(file).is_file())
    return any(map(flag.search, typed)) and not any(map(flag.search, there))


def _without_files(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without its files of flags, and their names."""
    typed, files, words = [], [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("--flagfile", "-flagfile"):
            files.append(value if equals else next(words, ""))
        else:
            typed.append(word)
    return typed, files
