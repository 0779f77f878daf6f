"""Classifies image files with an exported model.

    python -m ssgan_tf.predict --model=runs/NAME/saved_model photo.png folder/ 'more/*.jpg'

Needs the exported directory alone, neither the run nor its data. Files that cannot be read are
named on standard error and counted; all others are still classified, and the exit status is 1.
Hidden files and those that systems make, such as Thumbs.db, are left out.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from absl import logging

from ssgan_tf.config import UserError, expand_user
from ssgan_tf.data.images.decoding import SUFFIXES
from ssgan_tf.flags import Flag, errors_as_sentences, parse_command
from ssgan_tf.inference.classifier import Classifier, Prediction, load_classifier, predict
from ssgan_tf.inference.decoders import decoding_processes, ended
from ssgan_tf.inference.image_paths import Unreadable, expand
from ssgan_tf.inference.prediction_writer import FORMATS, PredictionWriter
from ssgan_tf.system import keras_settings, streams
from ssgan_tf.system.device import prepare_device, quiet_start
from ssgan_tf.system.text import counted, in_one_line

FLAGS = (
    Flag("model", None, "The exported model: the saved_model/ of a run."),
    Flag("format", "table", "How to write the predictions.", choices=FORMATS),
    Flag("top_k", 1, "Classes reported for each image.", minimum=1),
    Flag("batch_size", 256, "Images per call of the model.", minimum=1, maximum=65_536),
)
PATHS = (
    "PATH",
    "A file, a folder, a glob, or - for a list of files on standard input. Files that cannot be "
    "read are named on standard error; the exit status is then 1.",
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program, description = "python -m ssgan_tf.predict", "Classifies image files."
    with errors_as_sentences():
        values, paths = parse_command(
            sys.argv if argv is None else argv, program, description, FLAGS, PATHS
        )
        if not paths:
            raise UserError("no images: give files, folders, globs, or - for a list on stdin.")
        try:
            failed = run(values, paths)
        except OSError as error:
            if error.filename is None:  # of the output
                raise
            raise UserError(f"{error.filename}: cannot be read ({error.strerror}).") from error
        except BrokenProcessPool as error:
            raise UserError(
                "a process that decodes images was ended, perhaps because memory ran out."
            ) from error
    if failed:
        sys.exit(1)


def run(values: Any, arguments: Sequence[str]) -> int:
    """Predicts and writes as the flags say; returns the number of unreadable files."""
    if streams.is_closed("stdout"):
        raise UserError("standard output: is closed, there is no place for the predictions.")
    if "-" in arguments and streams.is_closed("stdin"):
        raise UserError("-: standard input is closed, there is no list on it.")
    with ended(decoding_processes()) as decoders:
        with quiet_start(), keras_settings.left_out():  # an exported model needs none
            import tensorflow  # noqa: F401

            prepare_device(deterministic=False)
        classifier = _load(values.model)
        top_k = min(values.top_k, len(classifier.class_names))
        writer = PredictionWriter(sys.stdout, values.format, top_k)
        paths = expand(arguments, sys.stdin)
        found = predict(classifier, paths, top_k, values.batch_size, decoders)
        with contextlib.closing(found):
            done, failed = _write(found, writer)
    if not done:
        given = in_one_line(", ".join(arguments))
        raise UserError(f"{given}: no images found ({', '.join(SUFFIXES)}).")
    if failed:
        print(f"{failed:,} of {counted(done, 'file')} could not be read", file=sys.stderr)
    return failed


def _load(model: str) -> Classifier:
    try:
        return load_classifier(expand_user(model))
    except UserError as error:
        raise UserError(f"--model={error}") from error


def _write(found: Iterator[Prediction | Unreadable], writer: PredictionWriter) -> tuple[int, int]:
    """Writes them as they come; returns how many there were, and how many were unreadable."""
    from tqdm import tqdm

    done = failed = 0
    for item in tqdm(found, unit=" images", file=sys.stderr, disable=not sys.stderr.isatty()):
        counts = not isinstance(item, Unreadable) or item.failure
        done += counts
        if isinstance(item, Unreadable):
            failed += counts
            tqdm.write(f"{in_one_line(item.path)}: {item.reason}", file=sys.stderr)
        else:
            _write_one(item, writer)
    return done, failed


def _write_one(prediction: Prediction, writer: PredictionWriter) -> None:
    try:
        writer.write(prediction)
    except BrokenPipeError:  # see `streams.used`
        raise
    except OSError as error:
        streams.drop_output()
        raise UserError(
            f"standard output: cannot be written to ({error.strerror}); give it a place with room."
        ) from error


if __name__ == "__main__":
    main()
