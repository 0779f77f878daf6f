"""Classifies image files with an exported model.

    python -m ssgan_tf.predict --model=runs/NAME/saved_model photo.png folder/ 'more/*.jpg'

Needs the exported directory alone, neither the run nor its data. Files that cannot be read are
named on standard error and counted; all others are still classified, and the exit status is 1.
"""

import contextlib
import csv
import functools
import glob
import io
import itertools
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from absl import logging

from ssgan_tf.config import FITS, UserError, expand_user
from ssgan_tf.device import prepare_device, quiet_start
from ssgan_tf.flags import Flag, parse_command
from ssgan_tf.images import SUFFIXES, Fit, ImageError, read_image
from ssgan_tf.resize import RULES

FORMATS = ("table", "csv", "jsonl")


class Prediction(NamedTuple):
    """What the model says of one file.

    Attributes:
        path: as it was given, or found in a folder.
        classes: the `top_k` most probable classes with their probabilities, best first.
        p_real: 0 to 1, how sure the classifier is that the image is none of its generator's.
    """

    path: str
    classes: list[tuple[str, float]]
    p_real: float


class Unreadable(NamedTuple):
    """A file that could not be classified, and why."""

    path: str
    reason: str


class Classifier:
    """An exported model, loaded.

    Attributes:
        class_names: of the K classes.
        size: S, the side of the images that it takes, in pixels.
        channels: of the images: 3 for colour, 1 for grey.
        fit: how images that are not square were made square in training.
    """

    def __init__(self, directory: Path) -> None:
        """
        Args:
            directory: a SavedModel that this package exported.

        Raises:
            UserError: if it is not one.
        """
        if (directory / "saved_model" / "saved_model.pb").exists():  # a run directory
            directory = directory / "saved_model"
        if not (directory / "saved_model.pb").exists():
            other = next(directory.glob("model.*"), None)
            hint = f"{other.name} is not read here; " if other else ""
            raise UserError(
                f"--model={directory}: is not an exported model; {hint}give the saved_model/ of a "
                "run."
            )
        import tensorflow as tf

        try:
            self._model = tf.saved_model.load(str(directory))
            self._classify = self._model.signatures["serving_default"]
            shape = self._classify.structured_input_signature[1]["images"].shape
            names = self._model.class_names.asset_path.numpy().decode()
            self.fit = FITS[int(self._model.fit)]
            # Models without a number are of before there were any; files were read the same way.
            rule = int(getattr(self._model, "rule", 0))
            self.class_names = Path(names).read_text(encoding="utf-8").splitlines()
            if self._classify.structured_outputs["logits"].shape[1] != len(self.class_names):
                raise ValueError("a name for each class")
        except Exception as error:  # a file cut short can make the readers object to anything
            raise UserError(
                f"--model={directory}: cannot be loaded as a model that this program exported "
                f"({type(error).__name__}); export it again, or copy it whole."
            ) from error
        if rule >= len(RULES):
            raise UserError(
                f"--model={directory}: its images were brought to size in a way that this version "
                "does not know; use a newer ssgan-tf, or export it again with this one."
            )
        self.size, self.channels = shape[1], shape[3]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Classifies uint8 images (N, S, S, channels); the outputs of the signature, as arrays."""
        import tensorflow as tf

        found = self._classify(images=tf.constant(images))
        return {name: value.numpy() for name, value in found.items()}


def predict(
    classifier: Classifier,
    paths: Iterable[str],
    top_k: int = 1,
    batch_size: int = 256,
    decoders: Executor | None = None,
) -> Iterator[Prediction | Unreadable]:
    """Classifies image files, in their order, in constant memory.

    The next batch is decoded, in parallel, while the model works on this one.

    Args:
        classifier: the model.
        paths: of the files; taken as they are needed.
        top_k: how many classes are told of each.
        batch_size: files per call of the model.
        decoders: what decodes the files, such as `decoding_processes()`; None: threads.

    Yields:
        One item per path.
    """
    decode = functools.partial(
        _decode, size=classifier.size, channels=classifier.channels, fit=classifier.fit
    )

    def classify(
        batch: Sequence[str], futures: Sequence[Future]
    ) -> Iterator[Prediction | Unreadable]:
        decoded = [image for future in futures for image in future.result()]
        images = [image for image in decoded if not isinstance(image, ImageError)]
        found = {}
        if images:
            # The last batch is filled up, so that the model sees one shape only.
            padding = np.zeros((batch_size - len(images), *images[0].shape), np.uint8)
            found = classifier(np.concatenate([np.stack(images), padding]))
            best = np.argsort(-found["probabilities"], axis=1, kind="stable")[:, :top_k]
        row = 0
        for path, image in zip(batch, decoded, strict=True):
            if isinstance(image, ImageError):
                yield Unreadable(path, str(image))
                continue
            probabilities = found["probabilities"][row]
            classes = [(classifier.class_names[k], float(probabilities[k])) for k in best[row]]
            yield Prediction(path, classes, float(found["p_real"][row]))
            row += 1

    remaining = iter(paths)
    with contextlib.nullcontext(decoders) if decoders else ThreadPoolExecutor(_cores()) as executor:

        def start() -> tuple[list[str], list[Future]]:
            # A task for each core: a task for each of many small files would cost more than it.
            batch = list(itertools.islice(remaining, batch_size))
            share = -(-len(batch) // _cores()) or 1
            shares = [batch[first : first + share] for first in range(0, len(batch), share)]
            return batch, [executor.submit(decode, part) for part in shares]

        current = start()
        while current[0]:
            following = start()
            yield from classify(*current)
            current = following


def decoding_processes() -> Executor:
    """Processes that decode images: Pillow holds the interpreter's lock too long for threads.

    To be called before TensorFlow is imported, since a process with its threads cannot be forked
    safely. Where it is too late, or not Linux, these are threads.
    """
    if sys.platform != "linux" or "tensorflow" in sys.modules:
        return ThreadPoolExecutor(_cores())
    processes = ProcessPoolExecutor(
        _cores(),
        multiprocessing.get_context("fork"),
        initializer=_start_decoder,
    )
    processes.submit(int).result()  # forks them all, now
    return processes


def _start_decoder() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    os.nice(10)  # the model's threads, which wait for one another, come first


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode(
    paths: Sequence[str], size: int, channels: int, fit: Fit
) -> list[np.ndarray | ImageError]:
    """Images, or why there is none."""

    def decode(path: str) -> np.ndarray | ImageError:
        try:
            return read_image(path, size, channels, fit)
        except ImageError as error:
            return error

    return [decode(path) for path in paths]


def expand(arguments: Sequence[str], standard_input: IO[str]) -> Iterator[str]:
    """Paths of image files: files, folders (all images below), globs, "-" for a list on stdin.

    Args:
        arguments: as given. What names nothing stays, to be reported as unreadable.
        standard_input: one path a line.

    Yields:
        Paths; those of a folder or glob in order.
    """
    for argument in arguments:
        if argument == "-":
            yield from (line.rstrip("\n") for line in standard_input if line.strip())
        elif os.path.isdir(argument):
            for directory, folders, files in os.walk(argument):
                folders.sort()
                yield from (
                    os.path.join(directory, name)
                    for name in sorted(files)
                    if name.lower().endswith(SUFFIXES)
                )
        elif not os.path.exists(argument) and glob.has_magic(argument):
            matches = sorted(glob.glob(argument, recursive=True))
            yield from matches or [argument]
        else:
            yield argument


class Writer:
    """Writes predictions as a table for people, or as CSV or JSON lines for programs."""

    def __init__(self, output: IO[str], form: str, top_k: int) -> None:
        """
        Args:
            output: where to.
            form: one of `FORMATS`.
            top_k: how many classes each prediction has.
        """
        self._output, self._form = output, form
        self._columns = ["path", "class", "probability", "p_real"]
        for rank in range(2, top_k + 1):
            self._columns += [f"class_{rank}", f"probability_{rank}"]
        self._csv = csv.DictWriter(output, self._columns, lineterminator="\n")
        self._started = False

    def write(self, prediction: Prediction) -> None:
        """One line, before the first one the header."""
        if not self._started:
            self._started = True
            if self._form == "csv":
                self._csv.writeheader()
            elif self._form == "table":
                self._output.write(f"{'class':<16} {'probability':>11} {'p_real':>6}  path\n")
        row = self._row(prediction)
        if self._form == "csv":
            self._csv.writerow(row)
        elif self._form == "jsonl":
            self._output.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            for rank, (name, probability) in enumerate(prediction.classes):
                real = f"{prediction.p_real:6.3f}" if rank == 0 else " " * 6
                path = prediction.path if rank == 0 else ""
                self._output.write(f"{name:<16} {probability:11.3f} {real}  {path}".rstrip() + "\n")

    def _row(self, prediction: Prediction) -> dict[str, Any]:
        (name, probability), *others = prediction.classes
        row = {
            "path": prediction.path,
            "class": name,
            "probability": round(probability, 6),
            "p_real": round(prediction.p_real, 6),
        }
        for rank, (other, chance) in enumerate(others, 2):
            row |= {f"class_{rank}": other, f"probability_{rank}": round(chance, 6)}
        return row


FLAGS = (
    Flag("model", None, "The exported model: the saved_model/ of a run."),
    Flag("format", "table", "How to write the predictions.", choices=FORMATS),
    Flag("top_k", 1, "Classes told of each image.", minimum=1),
    Flag("batch_size", 256, "Images per call of the model.", minimum=1, maximum=65_536),
)
PATHS = (
    "PATH",
    "A file, a folder, a glob, or - for a list of files on standard input. Files that cannot be "
    "read are named on standard error; the exit status is then 1.",
)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    logging.set_verbosity(logging.ERROR)
    program, description = "python -m ssgan_tf.predict", __doc__.splitlines()[0]
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # names of files need not be UTF-8
        if isinstance(stream, io.TextIOWrapper):
            reading = stream is sys.stdin
            stream.reconfigure(errors="surrogateescape" if reading else "backslashreplace")
    try:
        values, paths = parse_command(
            sys.argv if argv is None else argv, program, description, FLAGS, PATHS
        )
        if not paths:
            raise UserError("no images: give files, folders, globs, or - for a list on stdin.")
        failed = run(values, paths)
    except BrokenProcessPool:
        sys.exit("error: a process that decodes images was ended, perhaps for want of memory.")
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is not None:
            sys.exit(f"error: {error.filename}: cannot be read ({error.strerror}).")
        _drop_output()
        sys.exit(
            f"error: standard output: cannot be written to ({error.strerror}); give it a place "
            "with room."
        )
    except KeyboardInterrupt:
        sys.exit(130)
    if failed:
        sys.exit(1)


def _drop_output() -> None:
    """Sends what is still to be written nowhere, so that the end of Python does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(values: Any, arguments: Sequence[str]) -> int:
    """Predicts and writes as the flags say; returns the number of unreadable files."""
    decoders = decoding_processes()
    with quiet_start():
        import tensorflow  # noqa: F401

        prepare_device(deterministic=False)
    from tqdm import tqdm

    classifier = Classifier(expand_user(values.model))
    top_k = min(values.top_k, len(classifier.class_names))
    writer = Writer(sys.stdout, values.format, top_k)
    done = failed = 0
    paths = expand(arguments, sys.stdin)
    found = predict(classifier, paths, top_k, values.batch_size, decoders)
    bar = tqdm(found, unit=" images", file=sys.stderr, disable=not sys.stderr.isatty())
    for item in bar:
        done += 1
        if isinstance(item, Unreadable):
            failed += 1
            tqdm.write(f"{item.path}: {item.reason}", file=sys.stderr)
        else:
            writer.write(item)
    sys.stdout.flush()
    if not done:
        raise UserError(f"{', '.join(arguments)}: no images found ({', '.join(SUFFIXES)}).")
    if failed:
        print(f"{failed:,} of {done:,} files could not be read", file=sys.stderr)
    return failed


if __name__ == "__main__":
    main()
