"""The devices and machines of a run, their description, and the precision on them."""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssgan_tf.config import Config, UserError
from ssgan_tf.system import errors

if TYPE_CHECKING:
    import tensorflow as tf

# TensorFlow is imported inside the functions: `worker` needs none.


_started: list[bool] = []  # not empty: TensorFlow was started, and its messages are over


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps the native start-up messages of TensorFlow off the screen.

    It prints a dozen lines about libraries before any Python setting can stop it. To read them, and
    find out why a GPU is not found, set TF_CPP_MIN_LOG_LEVEL=0. Other levels would leave
    some of them, so with those all are hidden until it has started.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if level == "0" or _started:
        yield
        return
    _started.append(True)
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def gpus() -> "list[tf.config.PhysicalDevice]":
    """The GPUs that TensorFlow may use, without those that the program has hidden from it."""
    import tensorflow as tf

    return tf.config.get_visible_devices("GPU")


def prepare_device(deterministic: bool) -> None:
    """Makes GPU memory grow on demand and sets determinism.

    Determinism holds for the rest of the process.
    """
    import tensorflow as tf

    for gpu in gpus():
        # In a notebook TensorFlow may already be running; then its memory stays as it is.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def describe_device(replicas: int = 1) -> str:
    """For example "GPU: NVIDIA A100", "CPU: AMD EPYC, 2 cores"; "4 x GPU: ..." for replicas."""
    import tensorflow as tf

    times = f"{replicas} x " if replicas > 1 else ""
    if found := gpus():
        details = tf.config.experimental.get_device_details(found[0])
        return f"{times}GPU: {details.get('device_name', found[0].name)}"
    return f"{times}{_cpu()}"


def _cpu() -> str:
    models = [line for line in _cpuinfo().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else ""
    name = name or platform.processor() or platform.machine()
    return f"CPU: {name}, {cores()} core{'s' if cores() != 1 else ''}"


def _cpuinfo() -> str:
    """What Linux knows about the processors; empty on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def cores() -> int:
    """How many CPU cores this process may use, by its affinity if the system has that."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker() -> tuple[int, int]:
    """This machine's place among those of $TF_CONFIG, and how many there are; 0, 1 without it.

    Number 0 is the chief, the only machine that writes to the run directory.

    Raises:
        UserError: if $TF_CONFIG is not what TensorFlow documents, or lacks what is needed here.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0, 1
    wanted = (
        '{"cluster": {"worker": ["host1:port", "host2:port"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        found = json.loads(text)
        if not found.get("cluster"):  # as some launchers leave it for a single machine
            return 0, 1
        cluster, task = found["cluster"], found["task"]
        tasks = [("chief", i) for i in range(len(cluster.get("chief", [])))]
        tasks += [("worker", i) for i in range(len(cluster.get("worker", [])))]
        return tasks.index((task["type"], int(task["index"]))), len(tasks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={text}: is not of the form {wanted}.") from error


def make_strategy(config: Config) -> "tf.distribute.Strategy":
    """The strategy that `--strategy` names. Call it before TensorFlow computes anything.

    Raises:
        UserError: if it is impossible here, or a batch cannot be divided among its replicas.
    """
    if config.strategy == "multi_worker":  # which has to start before TensorFlow does
        strategy = _multi_worker_strategy()
    else:
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        several_gpus = bool(gpus()) and len(found) > 1
        if config.strategy == "mirrored" or (config.strategy == "auto" and several_gpus):
            strategy = tf.distribute.MirroredStrategy([device.name for device in found])
        else:
            strategy = tf.distribute.get_strategy()  # one device
    replicas = strategy.num_replicas_in_sync
    check_divisible(config, replicas)
    if replicas > 1 and config.jit_compile == "true":
        raise UserError(
            f"--jit_compile=true: is for one device, but there are {replicas}; give "
            "--jit_compile=false, or --strategy=none."
        )
    return strategy


def _multi_worker_strategy() -> "tf.distribute.Strategy":
    import tensorflow as tf

    if not os.environ.get("TF_CONFIG"):
        raise UserError(
            "--strategy=multi_worker: needs the environment variable TF_CONFIG, which says "
            "which machines there are (docs/gpu-and-clusters.md)."
        )
    number, machines = worker()
    print(f"Machine {number + 1} of {machines}, waiting for all of them", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:  # a port that is taken, ...
        raise UserError(
            f"--strategy=multi_worker: cannot start ({errors.cause(error)}); are the "
            "hosts and ports of TF_CONFIG correct, and free?"
        ) from error


def check_divisible(config: Config, replicas: int) -> None:
    """Raises `UserError` if `replicas` devices cannot have equal parts of a batch.

    Sizes that are chosen later (`Config.fit_to`) will fit.
    """
    for name in ("batch_size", "labeled_batch_size"):
        size = getattr(config, name)
        if size > 0 and size % replicas:
            below, above = size - size % replicas, size + -size % replicas
            fitting = f"{below} or {above}" if below else str(above)
            raise UserError(
                f"--{name}={size}: is divided among {replicas} devices; give a multiple of this "
                f"number, such as {fitting}, or --strategy=none."
            )


PRECISIONS = ("float32", "bfloat16", "float16")
FAST_AT_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})  # instruction sets of processors


def resolve_precision(precision: str) -> str:
    """The precision to use; `auto` is the format in which this device, or each of several, is fast.

    Returns:
        "float32", "bfloat16" or "float16".
    """
    if precision != "auto":
        return precision
    import tensorflow as tf

    if found := gpus():
        details = [tf.config.experimental.get_device_details(gpu) for gpu in found]
        capability = min(each.get("compute_capability", (0, 0)) for each in details)
        return (
            "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"
        )
    return "float32" if FAST_AT_BFLOAT16.isdisjoint(_cpuinfo().split()) else "bfloat16"


def resolve_jit_compile(jit_compile: str, replicas: int) -> bool:
    """Whether to use XLA; `auto` uses it on a single GPU, since it is slower on CPUs.

    XLA draws other random numbers, so the results are those of another seed.
    """
    if jit_compile == "auto":
        return replicas == 1 and bool(gpus())
    return jit_compile == "true"
