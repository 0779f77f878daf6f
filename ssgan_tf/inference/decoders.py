"""Image files decoded in parallel: in processes where they can be forked, else in threads."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

from ssgan_tf.data.images.decoding import Fit, ImageError, read_image
from ssgan_tf.inference.image_paths import Unreadable
from ssgan_tf.system.device import cores


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


@contextlib.contextmanager
def ended(decoders: Executor) -> Iterator[Executor]:
    """Ends them, however the block ends: left to Python's own end they sometimes print errors."""
    try:
        yield decoders
    finally:
        decoders.shutdown(cancel_futures=True)


def _start_decoder() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(10)  # the model's threads, which wait for one another, come first
    # If the parent is killed nobody ends this process: it would wait for work forever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def decode(
    items: Sequence[str | Unreadable], size: int, channels: int, fit: Fit
) -> list[np.ndarray | Unreadable]:
    """Reads image files, to be run by a decoder.

    Args:
        items: paths; what is known to be unreadable stays as it is.
        size: S, the side of the images.
        channels: 3 for color, 1 for gray.
        fit: how images that are not square are made square.

    Returns:
        For each item a uint8 image (S, S, channels), or why there is none.
    """
    return [_decode_one(item, size, channels, fit) for item in items]


def _decode_one(
    item: str | Unreadable, size: int, channels: int, fit: Fit
) -> np.ndarray | Unreadable:
    if isinstance(item, Unreadable):
        return item
    try:
        return read_image(item, size, channels, fit)
    except ImageError as error:
        return Unreadable(item, str(error))
