"""Paths that TensorFlow would read as a pattern: with `*`, `?`, `[` or a backslash."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ssgan_tf.config import UserError

_MAGIC = "*?[" if os.sep == "\\" else "*?[\\"


@contextlib.contextmanager
def literal(directory: Path) -> Iterator[Path]:
    """Gives a path to `directory` that TensorFlow takes literally, for reading and writing in it.

    That is its own path, or else a link to it in the directory for temporary files, which is
    removed at the end. TensorFlow cannot escape a pattern, and accepts only names in UTF-8.

    Args:
        directory: must exist, unless its path is plain.

    Raises:
        UserError: if no link can be made.
    """
    if is_plain(directory):
        yield directory
        return
    with tempfile.TemporaryDirectory(dir=_place_for_links(), prefix="ssgan-") as aside:
        link = Path(aside) / "link"
        try:
            link.symlink_to(directory.absolute(), target_is_directory=True)
        except OSError as error:  # Windows, where the user may not make links
            raise UserError(
                f"{directory}: TensorFlow cannot use a path with one of {_MAGIC} in it; rename it."
            ) from error
        try:
            yield link
        finally:
            link.unlink()  # so that nothing behind it can be removed by mistake


def is_plain(path: Path) -> bool:
    """Whether TensorFlow takes this path literally."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # a name that is not UTF-8
        return False
    return not set(_MAGIC) & set(str(path))


def _place_for_links() -> str:
    """The directory for temporary files, or another one if its path is not plain."""
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if is_plain(Path(place)) and os.access(place, os.W_OK):
            return place
    raise UserError(f"TMPDIR={tempfile.gettempdir()}: give a directory without any of {_MAGIC}.")
