"""Shows what the cache of decoded images holds, or removes it."""

import os
import sys
from pathlib import Path

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data import cache_store
from ssgan_tf.data.cache import amount, how_to_clear, shown
from ssgan_tf.data.cache_store import CacheError
from ssgan_tf.flags import Flag, errors_as_sentences, parse_command
from ssgan_tf.system import streams

FLAGS = (
    Flag("clear", False, "Remove all images from the cache."),
    Flag("cache_dir", "", "Where the cache is; empty: the usual place of this system."),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line."""
    program = "python -m ssgan_tf.cache"
    description = "Shows what the cache of decoded images holds, or removes it."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        try:
            given = values.cache_dir
            place = expand_user(given) if given else cache_store.default_directory()
            if values.cache_dir and not os.path.isdir(place):
                raise UserError(f"--cache_dir={values.cache_dir}: there is no such directory.")
            _clear(place) if values.clear else _show(place)
        except CacheError as error:
            raise UserError(f"--cache_dir={values.cache_dir}: {error}.") from error


def _show(place: Path) -> None:
    stores = cache_store.kept(place)
    total = amount(sum(one.images for one in stores), sum(one.bytes for one in stores))
    print(f"Cache: {total} in {shown(place)}")
    for one in stores:
        print(f"  {amount(one.images, one.bytes)}, {one.form}: {shown(one.root)}")
    if stores:
        print(f"It is cleared by {how_to_clear(place)}")


def _clear(place: Path) -> None:
    busy = []
    for one in cache_store.kept(place):
        try:
            cache_store.clear(one.place)
            print(f"Removed {amount(one.images, one.bytes)} of {shown(one.root)}")
        except CacheError as error:
            busy.append(f"{shown(one.root)}: {error}")
    if busy:
        raise UserError("; ".join(busy) + ".")
    print(f"The cache in {shown(place)} is empty.")


if __name__ == "__main__":
    main()
