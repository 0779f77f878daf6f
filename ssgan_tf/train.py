"""Trains a classifier from few labeled and many unlabeled images.

    python -m ssgan_tf.train --labeled=1000

The whole story, from the flags to the SavedModel, is `train_and_evaluate`; from Python:

    from ssgan_tf import Config, train_and_evaluate

    results = train_and_evaluate(Config(labeled=1000))
"""

import shlex
import sys

from absl import logging

from ssgan_tf import flags
from ssgan_tf.config import UserError
from ssgan_tf.runs import announcement, run_dir
from ssgan_tf.runs.interruption import Interrupted
from ssgan_tf.runs.story import train_and_evaluate
from ssgan_tf.system import errors, streams


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)  # TFDS' remarks on its own files
    argv = sys.argv if argv is None else argv
    try:
        description = "Trains a classifier from few labeled and many unlabeled images."
        config = flags.parse_config(argv, "python -m ssgan_tf.train", description)
        results = train_and_evaluate(config)
        config = run_dir.continued(config.resolved_run_dir(), config)
        print(announcement.closing_lines(config, results))
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # see `streams.used`
        raise
    except OSError as error:  # a directory that became unreadable
        sys.exit(f"error: {error}. What is finished is kept; the same command goes on from there.")
    except Interrupted as stop:
        print(
            f"Stopped after step {stop.step}. This goes on from there:\n"
            f"  {shlex.join(config.command())}",
            file=sys.stderr,
        )
        sys.exit(stop.status)
    except KeyboardInterrupt:  # before the first step, or after the last
        print(
            "Stopped. The same command goes on from the last checkpoint, if any.", file=sys.stderr
        )
        sys.exit(130)
    except Exception as error:
        if errors.kind_of(error) == "program":  # its traceback is what has to be reported
            raise
        sys.exit(f"error: {errors.cause(error)}.")


if __name__ == "__main__":
    main()
