"""Trains every run of experiments/runs.py that has no result yet, and writes the tables.

    TFDS_DATA_DIR=... python -m experiments.run --list           # what is missing, and how long
    TFDS_DATA_DIR=... python -m experiments.run --workers=2      # all of it
    TFDS_DATA_DIR=... python -m experiments.run --only='svhn-250-*'

It can be stopped at any time (Ctrl-C): the runs write a checkpoint, and the same command goes on
from there. A finished run is repeated only if its recipe has changed. A run that fails is reported
in one sentence, and the rest goes on. Results are in experiments/results.csv, the tables in
docs/results.md.

Cost: `--list` estimates it from the runs that are there. Nothing else should run meanwhile.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import functools
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments import records, tables
from experiments.records import HERE, Row
from experiments.runs import DATA, FOLDERS, RUNS, Run
from ssgan_tf.runs import config_file

Job = tuple[Run, int]  # a run and its seed


class RunError(Exception):
    """A run that left no result; the message is one sentence."""


def missing(results: Sequence[Row], only: str = "*") -> list[Job]:
    """What has no result, seed after seed, so that a first look at all tables comes early.

    Args:
        results: the rows that are there.
        only: pattern of names, or of names with seed, as in "svhn-*" or "svhn-250-tuned-2".
    """
    jobs = [(run, seed) for run in RUNS.values() for seed in range(run.seeds)]
    wanted = [
        (run, seed)
        for run, seed in jobs
        if fnmatch.fnmatch(run.name, only) or fnmatch.fnmatch(f"{run.name}-{seed}", only)
    ]
    todo = [job for job in wanted if not records.finished(*job, results)]
    return sorted(todo, key=lambda job: job[1])


def estimates(jobs: Iterable[Job], results: Iterable[Row]) -> list[float]:
    """Seconds of each job on one worker: its steps, at the median pace of its method so far.

    NaN where no run of the method is there.
    """
    paces = collections.defaultdict(list)
    for row in results:
        supervised = "--method=supervised" in row["command"]
        paces[supervised].append(float(row["seconds"]) / int(row["steps"]))
    return [
        run.steps() * statistics.median(paces[supervised]) if paces[supervised] else float("nan")
        for run, _ in jobs
        for supervised in [run.config().method == "supervised"]
    ]


def listing(jobs: Sequence[Job], results: Sequence[Row], workers: int) -> str:
    """A line for each missing run, with the minutes that it takes; and the sum."""
    seconds = estimates(jobs, results)
    lines = [
        f"{value / 60:6.0f} min  {run.name}-{seed}: {run.command} --seed={seed}"
        for (run, seed), value in zip(jobs, seconds, strict=True)
    ]
    hours = sum(seconds) / 3600 / workers
    total = sum(run.seeds for run in RUNS.values())
    lines.append(
        f"{len(jobs)} runs are missing, of {total} declared: about {hours:.1f} hours with "
        f"--workers={workers}, one core each."
    )
    return "\n".join(lines)


def check_svhn(jobs: Iterable[Job]) -> None:
    """Makes sure, before hours of training, that SVHN is that of the results.

    Raises:
        SystemExit: if it is wanted, and TFDS_DATA_DIR holds none or another one.
    """
    if not any(run.data == "svhn" for run, _ in jobs):
        return
    home = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    found = sorted((home / "svhn_cropped").glob("[0-9]*/dataset_info.json"))
    if not found:
        sys.exit(
            f"TFDS_DATA_DIR={home}: no svhn_cropped is there; set it to the directory of the "
            "subset that docs/results.md describes, or leave out its runs with --only."
        )
    splits = {split["name"]: split for split in json.loads(found[-1].read_text())["splits"]}
    images, expected = sum(map(int, splits["test"]["shardLengths"])), DATA["svhn"].test_images
    if images != expected:
        sys.exit(
            f"TFDS_DATA_DIR={home}: its svhn_cropped has {images:,} test images, and the results "
            f"here are of a subset with {expected:,}. To measure other data, change DATA in "
            "experiments/runs.py and begin a new results.csv."
        )


def available_cores() -> int:
    """That this program may use."""
    return len(os.sched_getaffinity(0))


class Workers:
    """Trains runs, several at a time, each on its own share of the cores."""

    def __init__(self, run_root: Path, workers: int, folder: Path) -> None:
        """
        Args:
            run_root: the run directories are made below it; they may be deleted afterwards.
            workers: runs at a time.
            folder: of results.csv.
        """
        cores = sorted(os.sched_getaffinity(0))
        self.run_root, self.folder = run_root, folder
        self.free = [set(cores[index::workers]) for index in range(workers)]
        self.processes: set[subprocess.Popen] = set()
        self.stopped = False

    def train(self, job: Job) -> None:
        """Trains one run, or goes on with it, and records its result.

        Raises:
            RunError: if it ends without a result that can be recorded.
        """
        run, seed = job
        name = f"{run.name}-{seed}"
        directory, log = self.run_root / name, self.run_root / f"{name}.log"
        cores = self.free.pop()
        try:
            if run.data in FOLDERS:
                self.call(["experiments.folders", run.data], log, cores)
            print(f"{name}: {run.command} --seed={seed}", flush=True)
            check_recipe(run, seed, directory)
            words = [*run.command.split()[2:], f"--seed={seed}", "--keep_checkpoints=1"]
            self.call([*words, f"--run_dir={directory}"], log, cores)
            results, curve = records.read_run(directory)
            row = records.row_of(run, seed, results, len(cores))
        except (RunError, OSError, ValueError) as error:
            raise RunError(f"{name} failed: {error} ({log})") from error
        finally:
            self.free.append(cores)
        records.record(row, curve, self.folder)
        # Where hyper-parameters are chosen, the test images are better not looked at.
        part = "validation" if row["validation_accuracy"] else "test"
        accuracy = float(row[f"{part}_accuracy"])
        print(f"{name}: {accuracy:.1%} of the {part} images", flush=True)

    def call(self, words: list[str], log: Path, cores: set[int]) -> None:
        """Runs a module in a process of its own; what it prints goes to the log.

        Raises:
            RunError: with the last line that it printed, if it fails or was stopped.
        """
        if self.stopped:
            raise RunError("it was stopped")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=HERE.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(os.sched_setaffinity, 0, cores),
                start_new_session=True,  # Ctrl-C reaches this program alone, which passes it on
            )
        self.processes.add(process)
        if self.stopped:  # meanwhile
            process.terminate()
        if process.wait():
            lines = log.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            raise RunError(last.strip() or f"exit status {process.returncode}")
        self.processes.discard(process)

    def stop(self) -> None:
        """Lets all runs write a checkpoint and end."""
        self.stopped = True
        for process in list(self.processes):
            process.terminate()


def check_recipe(run: Run, seed: int, directory: Path) -> None:
    """Refuses a directory of a former recipe, with which `ssgan_tf.train` would go on.

    Raises:
        RunError: if a run is there that differs from what is declared.
    """
    if not (directory / "config.json").exists():
        return
    expected = run.fitted(seed)
    if changed := config_file.changed_flags(config_file.read_config(directory), expected):
        flags = ", ".join(f"--{name}" for name in changed)
        raise RunError(f"{directory} has a run with another {flags}; delete it")


def execute(jobs: Sequence[Job], run_root: Path, workers: int, folder: Path = HERE) -> list[str]:
    """Trains all jobs.

    Returns:
        A sentence for each one that failed.

    Raises:
        KeyboardInterrupt: when interrupted, after the runs have written their checkpoints.
    """
    pool = Workers(run_root, workers, folder)
    failures = []
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        futures = [executor.submit(pool.train, job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                try:
                    future.result()
                except RunError as error:
                    failures.append(str(error))
                    print(error, file=sys.stderr, flush=True)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            pool.stop()
            raise
    return failures


def main(argv: Sequence[str] | None = None) -> None:
    """Lists or trains what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="only say what is missing")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only runs of such names")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--run_root", type=Path, default=HERE / "runs", help="run directories")
    arguments = parser.parse_args(argv)
    cores = available_cores()
    if not 1 <= arguments.workers <= cores:
        sys.exit(f"--workers={arguments.workers}: give 1 to {cores}, the number of cores.")
    results = records.read_results()
    jobs = missing(results, arguments.only)
    if not jobs and not missing([], arguments.only):
        sys.exit(f"--only={arguments.only}: no run has such a name; see experiments/runs.py.")
    if arguments.list or not jobs:
        print(listing(jobs, results, arguments.workers))
        return
    check_svhn(jobs)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        failures = execute(jobs, arguments.run_root, arguments.workers)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    finally:
        tables.write()
    if failures:
        sys.exit(f"{len(failures)} of {len(jobs)} runs failed.")


if __name__ == "__main__":
    main()
