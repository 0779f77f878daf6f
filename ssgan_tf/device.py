"""What the run computes on, in words."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps the native start-up messages of TensorFlow off the screen.

    It prints a dozen lines about libraries before any Python setting can stop it. Whoever wants to
    read them, to find out why a GPU is not seen, sets TF_CPP_MIN_LOG_LEVEL=0.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def prepare_device(deterministic: bool) -> str:
    """Makes GPU memory grow on demand and sets determinism; returns `describe_device()`.

    Determinism holds for the rest of the process.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # In a notebook TensorFlow may be in use already; then its memory stays as it is.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return describe_device()


def describe_device() -> str:
    """For example "GPU: NVIDIA A100" or "CPU: AMD EPYC, 2 cores"."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return f"GPU: {details.get('device_name', gpus[0].name)}"
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU: {name}, {cores} core{'s' if cores != 1 else ''}"
