"""What is said of an error, by errors that TensorFlow really raised."""

import errno
from pathlib import Path

import pytest
import tensorflow as tf

from ssgan_tf.config import UserError
from ssgan_tf.flags import errors_as_sentences
from ssgan_tf.runs import run_dir
from ssgan_tf.system import errors


def raised(call: object) -> BaseException:
    with pytest.raises(Exception) as found:
        call()
    return found.value


def no_room(_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/data/images.bin")


def cut_short(_: object) -> None:
    raise ValueError("images.bin is cut short")


def of_data(function: object) -> BaseException:
    """What a graph says of an error in Python code that reads data."""
    data = tf.data.Dataset.range(3).map(lambda x: tf.numpy_function(function, [x], tf.int64))
    iterator = iter(data)
    return raised(tf.function(lambda: next(iterator)))


# What a graph really said; to have it again takes TensorFlow ten seconds of trying.
NO_MEMORY = """Graph execution error:

Detected at node random_uniform/RandomUniform defined at (most recent call last):
  File "train.py", line 32, in <module>

  File "train.py", line 31, in big

OOM when allocating tensor with shape[4096,1048576,1024] and type float on device:CPU:0
\t [[{{node random_uniform/RandomUniform}}]]
Hint: If you want to see a list of allocated tensors when OOM happens, add a RunOption.
 [Op:__inference_big_93]"""


def of_memory() -> BaseException:
    return tf.errors.ResourceExhaustedError(None, None, NO_MEMORY)


def of_xla() -> BaseException:
    compiled = tf.function(lambda x: tf.strings.as_string(x), jit_compile=True)
    return raised(lambda: tf.function(lambda x: compiled(x))(tf.constant(1.0)))


def of_numbers() -> BaseException:
    check = tf.function(lambda x: tf.debugging.check_numerics(tf.math.log(x), "losses/generator"))
    return raised(lambda: check(tf.constant(-1.0)))


def of_shapes() -> BaseException:
    return raised(lambda: tf.linalg.matmul(tf.zeros((2, 3)), tf.zeros((2, 3))))


def of_no_directory() -> BaseException:
    return raised(lambda: tf.train.Checkpoint(v=tf.Variable(0)).write("/proc/nowhere/checkpoint"))


def of_full_disk() -> BaseException:
    return raised(lambda: tf.io.write_file("/dev/full", "x" * 100))


@pytest.mark.parametrize(
    ("make", "cause", "kind"),
    [
        (of_memory, "OOM when allocating tensor with shape", "memory"),
        (of_xla, "AsString (No registered 'AsString' OpKernel for XLA_CPU_JIT", "program"),
        (of_numbers, "losses/generator : Tensor had NaN values", "program"),
        (of_shapes, "Matrix size-incompatible: In[0]: [2,3], In[1]: [2,3]", "program"),
        (of_no_directory, "/proc/nowhere; No such file or directory", "disk"),
        (of_full_disk, "/dev/full; No space left on device", "disk"),
        (lambda: of_data(no_room), "OSError: [Errno 28] No space left on device", "disk"),
        (lambda: of_data(cut_short), "ValueError: images.bin is cut short", "program"),
        (
            lambda: tf.errors.UnavailableError(None, None, "Socket closed"),
            "Socket closed",
            "network",
        ),
        (lambda: tf.errors.DataLossError(None, None, "bad block"), "bad block", "disk"),
        (lambda: tf.errors.InternalError(None, None, ""), "InternalError", "program"),
        (lambda: tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: x"), "", "memory"),
        (lambda: MemoryError("Unable to allocate 4 GiB"), "Unable to allocate 4 GiB", "memory"),
        (lambda: ConnectionRefusedError("refused"), "refused", "network"),
        (lambda: PermissionError(13, "Permission denied"), "[Errno 13]", "disk"),
        (lambda: KeyError("step"), "'step'", "program"),
    ],
)
def test_the_cause_is_found_and_whose_it_is(make: object, cause: str, kind: str) -> None:
    error = make()
    assert errors.cause(error).startswith(cause)
    assert "\n" not in errors.cause(error)
    assert errors.kind_of(error) == kind
    assert errors.disk_is_full(error) == ("No space left" in cause)
    assert errors.not_finite(error) == (("losses/generator", "NaN") if "NaN" in cause else None)


# As GPUs and their libraries word it; cannot be had without one.
@pytest.mark.parametrize(
    "words",
    [
        "Dst tensor is not initialized.",
        "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.",
        "could not create cudnn handle: CUDNN_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "Out of memory while trying to allocate 2147483648 bytes.",
        "failed to allocate 2.0G (2147483648 bytes) from device",
        "Failed to allocate request for 2.00GiB (2147483648B) on device ordinal 0",
        "failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED",
        "failed to create cublas handle: CUBLAS_STATUS_NOT_INITIALIZED",
        "cuSolverDN call failed with status CUSOLVER_STATUS_ALLOC_FAILED",
        "gpusolverDnCreate(&handle) == CUSOLVER_STATUS_NOT_INITIALIZED",
        "cuFFT: CUFFT_ALLOC_FAILED",
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "Allocator (GPU_0_bfc) ran out of memory trying to allocate 2.00GiB",
        "RESOURCE_EXHAUSTED: 2.00GiB",
        "std::bad_alloc",
        "MemoryError: Unable to allocate 4.00 GiB for an array",
        "/data/images.bin; Cannot allocate memory",
        "OSError: [Errno 12] Cannot allocate memory",
    ],
)
def test_memory_that_runs_out_is_no_fault_of_the_program(words: str) -> None:
    for kind in (tf.errors.InternalError, tf.errors.UnknownError, tf.errors.InvalidArgumentError):
        assert errors.kind_of(kind(None, None, words)) == "memory"
    assert errors.kind_of(OSError(errno.ENOMEM, "Cannot allocate memory")) == "memory"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("/data/oom/a.png; No such file or directory", "disk"),
        ("/data/a.png; Too many open files", "disk"),
        ("/data/a.png; No space left on device", "disk"),
        ("Failed precondition: table not initialized.", "program"),
        ("CUDNN_STATUS_EXECUTION_FAILED", "program"),
        ("Tensor had a bad allocator name", "program"),
    ],
)
def test_what_only_sounds_like_memory_is_not(words: str, kind: str) -> None:
    assert errors.kind_of(tf.errors.InternalError(None, None, words)) == kind


# As a GPU words it; cannot be had without one.
ON_GPU = """2 root error(s) found.
  (0) INVALID_ARGUMENT:  Trying to access resource step/0 located in device CPU:0
\t [[{{node StatefulPartitionedCall}}]]
  (1) CANCELLED:  Function was cancelled before it was started
0 successful operations.
0 derived errors ignored. [Op:__inference_train_steps_99]"""


def test_of_several_errors_the_first_is_named() -> None:
    error = tf.errors.InvalidArgumentError(None, None, ON_GPU)
    assert errors.cause(error) == "Trying to access resource step/0 located in device CPU:0"


@pytest.mark.parametrize("make", [of_xla, of_shapes, lambda: KeyError("step")])
def test_a_fault_of_the_program_passes_as_it_is(make: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    error = make()
    for context in (run_dir.errors_explained(tmp_path), errors_as_sentences()):
        with pytest.raises(type(error)) as found, context:
            raise error
        assert found.value is error


def test_what_the_program_cannot_help_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for error, words in (
        (of_memory(), "--batch_size: memory does not suffice (OOM when allocating"),
        (of_full_disk(), "the disk is full"),
        (of_no_directory(), "cannot go on (/proc/nowhere; No such file or directory); what was"),
    ):
        with pytest.raises(UserError) as found, run_dir.errors_explained(tmp_path):
            raise error
        assert words in str(found.value)
    with pytest.raises(SystemExit, match=r"^error: OOM when allocating"), errors_as_sentences():
        raise of_memory()
