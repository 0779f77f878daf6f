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
        if _is_typed(str(error), typed, [Path(file).expanduser() for file in files]):
            raise
        try:
            parse(typed)
        except UserError as of_typed:
            if str(of_typed) == str(error):
                raise
        raise UserError(f"--flagfile={' or '.join(files)}: {error}") from error


def _is_typed(message: str, typed: Sequence[str], files: Sequence[Path]) -> bool:
    """Whether the flag that a message begins with was typed, and is in none of the files.

    If it is in both, its value decides.
    """
    found = re.match(r"--(?:no)?(\w+)", message)
    if not found:
        return False
    flag = re.compile(rf"^\s*--?(no)?{found[1]}\b", re.MULTILINE)
    there = (file.read_text(errors="replace") for file in files if file.is_file())
    words = [f"--{word.lstrip('-')}: " for word in typed if flag.search(word)]
    return bool(words) and (message.startswith((*words,)) or not any(map(flag.search, there)))


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
