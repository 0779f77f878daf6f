"""Classifies image files with an exported model.

    python -m ssgan_tf.predict --model=runs/NAME/saved_model photo.png folder/ 'more/*.jpg'

Needs the exported directory alone, neither the run nor its data. Files that cannot be read are
named on standard error and counted; all others are still classified, and the exit status is 1.
Hidden files and those that systems make, such as Thumbs.db, are left out.
"""

import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from ssgan_tf.config import FITS, UserError, expand_user
from ssgan_tf.data.images.decoding import SUFFIXES, Fit, ImageError, read_image
from ssgan_tf.data.images.resize import RULES
from ssgan_tf.flags import Flag, parse_command
from ssgan_tf.inference.ahead import Ahead
from ssgan_tf.inference.image_paths import Unreadable, expand
from ssgan_tf.inference.prediction_writer import FORMATS, PredictionWriter
from ssgan_tf.system import errors, keras_settings, streams
from ssgan_tf.system.device import cores, prepare_device, quiet_start
from ssgan_tf.system.paths import literal
from ssgan_tf.system.streams import in_one_line

_FIRST_BATCH = 4


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


class Classifier:
    """An exported model, loaded.

    Attributes:
        class_names: of the K classes.
        size: S, the side of the images that it takes, in pixels.
        channels: of the images: 3 for color, 1 for gray.
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
            with literal(directory) as place:
                self._model = tf.saved_model.load(str(place))
                names = Path(os.fsdecode(self._model.class_names.asset_path.numpy()))
                self.class_names = names.read_text(encoding="utf-8").splitlines()
            self._classify = self._model.signatures["serving_default"]
            shape = self._classify.structured_input_signature[1]["images"].shape
            self.fit = FITS[int(self._model.fit)]
            # Models without a number are of before there were any; files were read the same way.
            rule = int(getattr(self._model, "rule", 0))
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
    paths: Iterable[str | Unreadable],
    top_k: int = 1,
    batch_size: int = 256,
    decoders: Executor | None = None,
) -> Iterator[Prediction | Unreadable]:
    """Classifies image files, in their order, in constant memory, each as soon as it is there.

    The next batch is decoded, in parallel, while the model works on this one. Batches are what has
    come so far: the first ones are small, those of a slow list stay so.

    Args:
        classifier: the model.
        paths: of the files, taken as they are needed, in a thread; what is known to be unreadable
            comes out as it is.
        top_k: how many classes are told of each.
        batch_size: files per call of the model, at most.
        decoders: what decodes the files, such as `decoding_processes()`; None: threads.

    Yields:
        One item per path.
    """
    decode = functools.partial(
        _decode, size=classifier.size, channels=classifier.channels, fit=classifier.fit
    )
    # Batches that are being decoded: one ahead of the one that the model works on.
    pending: collections.deque[tuple[list[str | Unreadable], list[Future]]] = collections.deque()
    limit = min(_FIRST_BATCH, batch_size)
    with (
        contextlib.nullcontext(decoders) if decoders else ThreadPoolExecutor(cores()) as executor,
        Ahead(paths, batch_size) as waiting,
    ):
        while True:
            batch = waiting.take(limit, wait=not pending)
            if batch:
                limit = min(4 * limit, batch_size)
                # A task for each core: a task for each of many small files would cost more.
                share = -(-len(batch) // cores())
                shares = [batch[first : first + share] for first in range(0, len(batch), share)]
                pending.append((batch, [executor.submit(decode, part) for part in shares]))
            if not pending:
                return
            if len(pending) == 2 or not batch:
                items, futures = pending.popleft()
                decoded = [image for future in futures for image in future.result()]
                yield from _classify(classifier, items, decoded, top_k)


def _classify(
    classifier: Classifier,
    items: Sequence[str | Unreadable],
    decoded: Sequence[np.ndarray | Unreadable],
    top_k: int,
) -> Iterator[Prediction | Unreadable]:
    """What the model says of one batch, in its order."""
    images = [image for image in decoded if not isinstance(image, Unreadable)]
    found = classifier(np.stack(images)) if images else {}
    row = 0
    for path, image in zip(items, decoded, strict=True):
        if isinstance(image, Unreadable):
            yield image
            continue
        probabilities = found["probabilities"][row]
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        classes = [(classifier.class_names[k], float(probabilities[k])) for k in best]
        yield Prediction(path, classes, float(found["p_real"][row]))
        row += 1


def decoding_processes() -> Executor:
    """Processes that decode images: Pillow holds the interpreter's lock too long for threads.

    To be called before TensorFlow is imported, since a process with its threads cannot be forked
    safely. Where it is too late, or not Linux, these are threads.
    """
    if sys.platform != "linux" or "tensorflow" in sys.modules:
        return ThreadPoolExecutor(cores())
    processes = ProcessPoolExecutor(
        cores(),
        multiprocessing.get_context("fork"),
        initializer=_start_decoder,
    )
    processes.submit(int).result()  # forks them all, now
    return processes


def _start_decoder() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(10)  # the model's threads, which wait for one another, come first
    # If the parent is killed nobody ends it: it would wait for work for ever.
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def _ended(decoders: Executor) -> Iterator[Executor]:
    """Ends them, whatever happens, before Python itself does, which would complain at times."""
    try:
        yield decoders
    finally:
        decoders.shutdown(cancel_futures=True)


def _decode(
    items: Sequence[str | Unreadable], size: int, channels: int, fit: Fit
) -> list[np.ndarray | Unreadable]:
    """Images, or why there is none."""

    def decode(item: str | Unreadable) -> np.ndarray | Unreadable:
        if isinstance(item, Unreadable):
            return item
        try:
            return read_image(item, size, channels, fit)
        except ImageError as error:
            return Unreadable(item, str(error))

    return [decode(item) for item in items]


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


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line."""
    logging.set_verbosity(logging.ERROR)
    program, description = "python -m ssgan_tf.predict", "Classifies image files."
    try:
        values, paths = parse_command(
            sys.argv if argv is None else argv, program, description, FLAGS, PATHS
        )
        if not paths:
            raise UserError("no images: give files, folders, globs, or - for a list on stdin.")
        failed = run(values, paths)
    except BrokenProcessPool:
        sys.exit("error: a process that decodes images was ended, perhaps because memory ran out.")
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        streams.drop_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is not None:
            sys.exit(f"error: {error.filename}: cannot be read ({error.strerror}).")
        streams.drop_output()
        sys.exit(
            f"error: standard output: cannot be written to ({error.strerror}); give it a place "
            "with room."
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if errors.kind_of(error) == "program":  # its traceback is what has to be reported
            raise
        sys.exit(f"error: {errors.cause(error)}.")
    if failed:
        sys.exit(1)


def run(values: Any, arguments: Sequence[str]) -> int:
    """Predicts and writes as the flags say; returns the number of unreadable files."""
    if streams.is_closed("stdout"):
        raise UserError("standard output: is closed, there is no place for the predictions.")
    if "-" in arguments and streams.is_closed("stdin"):
        raise UserError("-: standard input is closed, there is no list on it.")
    with _ended(decoding_processes()) as decoders:
        with quiet_start(), keras_settings.left_out():  # an exported model needs none
            import tensorflow  # noqa: F401

            prepare_device(deterministic=False)
        classifier = Classifier(expand_user(values.model))
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
        print(f"{failed:,} of {done:,} files could not be read", file=sys.stderr)
    return failed


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
            writer.write(item)
    return done, failed


if __name__ == "__main__":
    main()
