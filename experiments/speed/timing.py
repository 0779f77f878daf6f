"""Timing: repeated and alternating calls, quartiles, peak memory.

Whatever is compared alternates in time, since machines have slow minutes.
"""

import concurrent.futures
import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 3  # at least, whatever the time
START = time.monotonic()

Result = dict[str, Any]
Blocks = list[list[float]]  # seconds of each call, by round


def say(text: str) -> None:
    """A line of progress, with the time since the start."""
    print(f"[{time.monotonic() - START:5.0f} s] {text}", flush=True)


def repeat(function: Callable[[], object], seconds: float, at_least: int = 1) -> list[float]:
    """Seconds of each call, of as many calls as fit into `seconds`."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def alternate(jobs: dict[str, Callable[[], object]], seconds: float) -> dict[str, Blocks]:
    """Blocks of half a second of each job in turn, until `seconds` are used."""
    for job in jobs.values():
        repeat(job, 0.0, 2)  # tracing and warm-up
    blocks: dict[str, Blocks] = {name: [] for name in jobs}

    def one_round() -> None:
        for name, job in jobs.items():
            blocks[name].append(repeat(job, 0.5))

    repeat(one_round, seconds, ROUNDS)
    return blocks


def all_of(blocks: Blocks) -> list[float]:
    """The seconds of all rounds."""
    return list(itertools.chain.from_iterable(blocks))


def ratios(numerator: Blocks, denominator: Blocks) -> list[float]:
    """Median time of the one over median time of the other, round by round."""
    return [
        statistics.median(a) / statistics.median(b)
        for a, b in zip(numerator, denominator, strict=True)
    ]


def quartiles(values: list[float], digits: int) -> list[float]:
    """The first and the third."""
    return [round(float(q), digits) for q in np.percentile(values, (25, 75))]


def peak_memory_mb() -> float:
    """Of this process so far.

    Not `ru_maxrss` where there is another way: on Linux that of a new process starts with what the
    one that started it had.
    """
    status = Path("/proc/self/status")
    if status.exists() and "VmHWM:" in (text := status.read_text()):
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Its result there, where memory is its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        return executor.submit(function, *arguments).result()
