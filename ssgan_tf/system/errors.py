"""The cause of an error in one line, and whether it lies outside of this program."""

import errno
import os
import re
import sys
from typing import Literal

Kind = Literal["disk", "memory", "network", "program"]

# What TensorFlow writes around the cause: places in the code and in the graph.
_NOISE = re.compile(
    r"(Graph execution error:|Detected at node |<stack traces? |\d+ root error\(s\) found"
    r"|\d+ successful operations|\d+ derived errors|Traceback \(most recent|in user code:|File \""
    r"|The op is created at|Stack trace for op|\[\[)"
)
_PREFIXES = re.compile(
    r"\(\d+\) [A-Z_]+: +|[A-Z_]{6,}: |\{\{function_node [^}]*\}\} ?"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+: "
    r"|Detected unsupported operations when trying to compile graph \S+ on \w+: "
)
_SUFFIXES = re.compile(r"(\s*\{\{node [^}]*\}\}|\s*\[Op:\S*\]|\s+name: ?)+\s*$")
_PYTHON_ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception|Warning)\b.*: ")
_DISK_FULL = {os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)}
_OF_THE_SYSTEM = {os.strerror(code) for code in errno.errorcode}
# Messages of CPUs, of GPUs and of the libraries of GPUs; "oom" may be a part of a file's name.
_MEMORY = re.compile(
    r"\bOOM\b|(?i:out[ _]of[ _]memory|(failed|unable|cannot|could not) (to )?allocate"
    r"|bad_alloc|bad allocation|RESOURCE[ _]EXHAUSTED|Dst tensor is not initialized"
    r"|CU[A-Z]+_(STATUS_)?(\w+_)?ALLOC(ATION)?_FAILED|CU(BLAS|SOLVER)_STATUS_NOT_INITIALIZED)"
)
_NOT_FINITE = re.compile(r"(\w+/\w+) : Tensor had (\w+)")


def cause(error: BaseException) -> str:
    """The line of an error's message that says what went wrong, or the error's name.

    TensorFlow writes other lines before it: "Graph execution error:", where the operation was made,
    and its place in the graph.
    """
    first = ""
    for line in str(error).splitlines():
        text = line.strip()
        while prefix := _PREFIXES.match(text):
            text = text[prefix.end() :]
        text = _SUFFIXES.sub("", text)
        quoted = line.startswith(("   ", "\t")) and not _PYTHON_ERROR.match(text)  # code
        if text and not quoted and not _NOISE.match(text):
            first = first or text
    return first.rstrip(".") or type(error).__name__


def not_finite(error: BaseException) -> tuple[str, str] | None:
    """Tag of the loss or gradient norm that is no longer a number, and what it is; else None."""
    found = _NOT_FINITE.search(str(error))
    return (found[1], found[2]) if found else None


def disk_is_full(error: BaseException) -> bool:
    """Whether a write failed because the disk is full, in Python or in TensorFlow."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in _DISK_FULL)


def kind_of(error: BaseException) -> Kind:
    """What has failed: the disk, the memory, the network, or this program."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return "memory"
    if isinstance(error, OSError):
        return "network" if isinstance(error, ConnectionError | TimeoutError) else "disk"
    if "tensorflow" not in sys.modules:
        return "program"
    import tensorflow as tf

    if not isinstance(error, tf.errors.OpError):
        return "program"
    words = cause(error)
    if disk_is_full(error):
        return "disk"
    if _MEMORY.search(str(error)):
        return "memory"
    if (  # "PATH; No such file or directory", or what Python said when it read images
        isinstance(error, tf.errors.DataLossError)
        or words.rpartition("; ")[2] in _OF_THE_SYSTEM
        or "[Errno " in words
    ):
        return "disk"
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return "memory"
    if isinstance(error, tf.errors.UnavailableError | tf.errors.DeadlineExceededError):
        return "network"
    return "program"


def machine_is_gone(error: BaseException) -> bool:
    """Whether it is an error of collective operations when one of several machines is gone."""
    if "tensorflow" not in sys.modules:
        return False
    import tensorflow as tf

    return isinstance(
        error,
        tf.errors.UnavailableError
        | tf.errors.AbortedError
        | tf.errors.CancelledError
        | tf.errors.InternalError
        | tf.errors.DeadlineExceededError,
    )
