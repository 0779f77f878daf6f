"""Does everything that needs a GPU work on this machine? One table, pass or fail for each row.

    python -m ssgan_tf.verify_gpu
    python -m ssgan_tf.verify_gpu --cpu_devices=2 --quick    # tries the program, without a GPU

What it shows: the device is used and its memory grows on demand; all devices together do what one
does; a GPU computes what the CPU does; every precision trains; XLA and `--steps_per_call` change
nothing; one device resumes from a checkpoint of several; an exported model gives what its
classifier gives; a run on images in files trains, resumes and exports. Then how fast it is.
Images are synthetic, nothing is downloaded.

Cost: on a GPU ten minutes at most, by estimate. Expected: no row says FAIL, the exit status is 0.
"""

import itertools
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssgan_tf.config import UserError
from ssgan_tf.flags import Flag, errors_as_sentences, parse_command
from ssgan_tf.system import errors, streams
from ssgan_tf.system.device import gpus, quiet_start

if TYPE_CHECKING:
    from ssgan_tf.verification.gpu_checks import Setup

# TensorFlow is imported inside the functions: --help and wrong flags are answered without it.

FLAGS = (
    Flag(
        "cpu_devices",
        0,
        "Use so many logical CPU devices, not GPUs; 0: use GPUs.",
        minimum=0,
    ),
    Flag("quick", False, "Use narrow networks, small batches and one precision: shows less."),
)


def run_checks(setup: "Setup") -> int:
    """Prints a row for each check; returns how many failed."""
    from ssgan_tf.verification.gpu_checks import CHECKS, Skipped

    failed = 0
    print("| check | result | seen | s |\n|---|---|---|---|")
    for name, check in CHECKS.items():
        start = time.monotonic()
        try:
            result, seen = "pass", check(setup)
        except Skipped as reason:
            result, seen = "-", f"skipped: {reason}"
        except Exception as error:  # the other rows are needed in any case
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            result, seen = "FAIL", kind + errors.cause(error)
            failed += 1
        print(f"| {name} | {result} | {seen} | {time.monotonic() - start:.0f} |", flush=True)
    return failed


def print_speed(setup: "Setup") -> None:
    """A row for each precision with and without XLA, and for all devices together."""
    from ssgan_tf.verification.gpu_checks import images_per_second

    batch_size, labeled = setup.config.batch_size, setup.config.labeled_batch_size
    rows = [(jit, None) for jit in ("false", "true")]
    if setup.strategy:
        rows.append(("false", setup.strategy))
    print(f"\nImages/s, batch {batch_size} for each device:\n")
    print("| precision | XLA | devices | 1 step a call | 20 steps a call |\n|---|---|---|---|---|")
    for precision, (jit, strategy) in itertools.product(setup.precisions, rows):
        number = len(setup.devices) if strategy else 1
        cells = []
        try:
            trainer = setup.trainer(
                strategy,
                precision=precision,
                jit_compile=jit,
                batch_size=number * batch_size,
                labeled_batch_size=number * labeled,
            )
            for steps in (1, 20):
                cells.append(f"{images_per_second(trainer, steps, setup.seconds):,.0f}")
        except Exception as error:  # such as memory; the check above has failed then
            cells += [type(error).__name__] * (2 - len(cells))
        xla = "yes" if jit == "true" else "no"
        print(f"| {precision} | {xla} | {number} | {' | '.join(cells)} |", flush=True)


def verify(cpu_devices: int = 0, quick: bool = False) -> tuple[int, int]:
    """Prints both tables. To be called before TensorFlow has started.

    Args:
        cpu_devices: how many logical CPU devices are used in place of GPUs; 0: use GPUs.
        quick: narrow networks and small batches.

    Returns:
        How many checks failed, and how many there are.

    Raises:
        UserError: if there is no GPU.
    """
    os.environ.pop("TF_CONFIG", None)  # this machine alone
    with quiet_start():
        import tensorflow as tf

        if not cpu_devices and not gpus():
            raise UserError(
                "TensorFlow sees no GPU here; install `ssgan-tf[gpu]` and NVIDIA's driver, and see "
                "what TF_CPP_MIN_LOG_LEVEL=0 says, or try the program with --cpu_devices=2 --quick."
            )
        from ssgan_tf.verification.gpu_checks import CHECKS, make_setup

        setup = make_setup(cpu_devices, quick)
    if not gpus():
        print("There is no GPU here: this tries the program, and proves nothing about GPUs.\n")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    failed = run_checks(setup)
    tf.config.experimental.enable_tensor_float_32_execution(True)  # as in training
    print_speed(setup)
    return failed, len(CHECKS)


@streams.used()
def main(argv: Sequence[str] | None = None) -> None:
    """The command line; exit status 1 if a check fails, or there is no GPU."""
    program = "python -m ssgan_tf.verify_gpu"
    description = "Does everything that needs a GPU work on this machine? A table, pass or fail."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        if not __debug__:  # without assertions no check can fail
            raise UserError("PYTHONOPTIMIZE: switches the checks off; unset it, and leave out -O.")
        failed, checks = verify(values.cpu_devices, values.quick)
    if failed:
        sys.exit(f"\n{failed} of {checks} checks failed.")


if __name__ == "__main__":
    main()
