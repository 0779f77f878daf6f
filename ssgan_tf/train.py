"""Trains a classifier from few labeled and many unlabeled images.

    python -m ssgan_tf.train --labeled=1000

From Python:

    from ssgan_tf import Config, train_and_evaluate

    results = train_and_evaluate(Config(labeled=1000))
"""

import shlex
import sys

from absl import logging

from ssgan_tf import flags
from ssgan_tf.runs import announcement, config_file, run_dir
from ssgan_tf.runs.story import placed, train_and_evaluate
from ssgan_tf.system import streams


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)  # TFDS' remarks on its own files
    argv = sys.argv if argv is None else argv
    description = "Trains a classifier from few labeled and many unlabeled images."
    with flags.errors_as_sentences():
        config = placed(flags.parse_config(argv, "python -m ssgan_tf.train", description))
    with flags.errors_as_sentences(again=shlex.join(config.command())):
        results = train_and_evaluate(config)
        config = config_file.continued(run_dir.directory_of(config), config)
        print(announcement.closing_lines(config, results))


if __name__ == "__main__":
    main()
