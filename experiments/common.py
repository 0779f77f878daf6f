"""What the experiments share: run what is not yet finished, keep its result, tabulate."""

import argparse
import concurrent.futures
import csv
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from ssgan_tf.config import PRESETS

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
FIGURES = HERE / "figures"
SUBSET_TEST_IMAGES = 2600  # of the SVHN subset that all SVHN results here are of


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: of the row in the table, e.g. "article-drop0".
        flags: as one would type them, without seed and run directory.
        seed: of the run.
    """

    name: str
    flags: str
    seed: int

    @property
    def result_file(self) -> Path:
        """Where the result is kept, and committed."""
        return RESULTS / f"{self.directory_name}.json"

    @property
    def directory_name(self) -> str:
        """Of the run directory."""
        return f"{self.name}-{self.seed}"

    def is_finished(self) -> bool:
        """Whether there is a result, and of this very command, with the preset as it is now."""
        if not self.result_file.exists():
            return False
        result = json.loads(self.result_file.read_text())
        preset = PRESETS.get(result.get("preset"))  # results of old do not have its values
        return result["command"] == self.command and result.get("preset_values", preset) == preset

    @property
    def command(self) -> str:
        """The exact command, data directory and run directory aside."""
        return f"python -m ssgan_tf.train {self.flags} --seed={self.seed}"


def argument_parser(docstring: str) -> argparse.ArgumentParser:
    """The flags that the programs share; `--help` shows the whole docstring."""
    parser = argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write what follows from results")
    parser.add_argument("--run_root", type=Path, default=HERE / "runs", help="run directories")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    return parser


def execute(
    runs: Sequence[Run], run_root: Path, workers: int = 1, again: Collection[Run] = ()
) -> None:
    """Trains what has no result yet, one after the other; interrupted runs go on where they were.

    Args:
        runs: in the order in which they are wanted.
        run_root: the run directories are made below it; they may be deleted afterwards.
        workers: runs at a time, each on its share of the cores. With more than one the wall times
            are not those of the whole machine.
        again: of `runs`, those to train although there is a result, which stays until then.

    Raises:
        SystemExit: before anything runs, if there are more workers than cores, or if TFDS_DATA_DIR
            holds another SVHN than that of the results here, so that a table would mix the two. If
            a run fails, or a finished one is of another SVHN: those that are under way go on to
            their end, no other one is begun.
    """
    todo = [run for run in runs if run in again or not run.is_finished()]
    if not todo:
        print(f"Nothing to train: all {len(runs)} results are in {RESULTS}.")
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= workers <= len(cores):
        raise SystemExit(f"--workers={workers}: give 1 to {len(cores)}, the number of cores.")
    if any("--dataset=" not in run.flags for run in todo):
        check_svhn_is_the_subset()
    free = [set(cores[index::workers]) for index in range(workers)]

    def execute_one(run: Run) -> None:
        mine = free.pop()
        print(f"{run.name} seed {run.seed}: {run.command}", flush=True)
        directory = run_root / run.directory_name
        log = directory.parent / f"{directory.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *run.command.split()[1:]]
        try:
            with log.open("a") as output:
                subprocess.run(
                    [*command, "--keep_checkpoints=1", f"--run_dir={directory}"],
                    cwd=HERE.parent,
                    check=True,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    preexec_fn=lambda: os.sched_setaffinity(0, mine),
                )
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{log}: the run failed; the last lines there say why.") from error
        finally:
            free.append(mine)
        result = json.loads((directory / "results.json").read_text())
        if result["dataset"].startswith("svhn_cropped"):  # what ran long ago may be of other data
            check_test_images(f"{directory}: its run", result["test_images"])
        with (directory / "metrics.csv").open(newline="") as file:
            curve = [
                [int(row["step"]), float(row["test_accuracy"]), float(row["wall_seconds"])]
                for row in csv.DictReader(file)
            ]
        result |= {
            "command": run.command,
            "preset_values": PRESETS.get(result.get("preset")),
            "cores": len(mine),
            "test_accuracy_curve": curve,
        }
        RESULTS.mkdir(exist_ok=True)
        run.result_file.write_text(json.dumps(result, indent=1) + "\n")
        # Where hyper-parameters are chosen, the test images are better not looked at.
        part = "test" if result.get("validation_accuracy") is None else "validation"
        accuracy = result[f"{part}_accuracy"]
        print(f"{run.name} seed {run.seed}: {accuracy:.1%} of the {part} images", flush=True)

    def execute_or_end(run: Run) -> None:
        try:
            execute_one(run)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)  # hours of what fails as well
            raise

    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        for future in [executor.submit(execute_or_end, run) for run in todo]:
            future.result()


def check_svhn_is_the_subset() -> None:
    """Makes sure, in a moment and before hours of training, that SVHN is that of the results here.

    Raises:
        SystemExit: if TFDS_DATA_DIR holds no prepared svhn_cropped, or another one.
    """
    home = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    found = sorted((home / "svhn_cropped").glob("[0-9]*/dataset_info.json"))
    if not found:
        raise SystemExit(
            f"TFDS_DATA_DIR={home}: no svhn_cropped is there; set it to the directory of "
            "the subset that experiments/README.md tells of, or prepare SVHN with "
            "`python -m ssgan_tf.train`."
        )
    splits = {split["name"]: split for split in json.loads(found[-1].read_text())["splits"]}
    images = sum(map(int, splits["test"]["shardLengths"]))
    check_test_images(f"TFDS_DATA_DIR={home}: its svhn_cropped", images)


def check_test_images(whose: str, count: int) -> None:
    """Makes sure that an SVHN has as many test images as that of the results here.

    Raises:
        SystemExit: if it has not.
    """
    if count != SUBSET_TEST_IMAGES:
        raise SystemExit(
            f"{whose} has {count:,} test images, and the results here are of a subset with "
            f"{SUBSET_TEST_IMAGES:,}. To measure other data, move {RESULTS} and the run "
            "directories away and set SUBSET_TEST_IMAGES in experiments/common.py."
        )


def finished(runs: Sequence[Run]) -> list[dict]:
    """The results there are."""
    return [json.loads(run.result_file.read_text()) for run in runs if run.is_finished()]


def mean_and_deviation(values: Sequence[float], unit: float = 100.0) -> str:
    """For example "75.2 ± 0.4"; the sample standard deviation, none for a single value."""
    mean = unit * statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {unit * statistics.stdev(values):.1f}"


def replace_between_markers(path: Path, marker: str, text: str) -> None:
    """Puts generated text between `<!-- marker -->` and `<!-- end marker -->` of a file."""
    start, end = f"<!-- {marker} -->", f"<!-- end {marker} -->"
    before, rest = path.read_text().split(start)
    indent = before[before.rfind("\n") + 1 :]  # a marker in a list stands in its column
    path.write_text(f"{before}{start}\n{indent}{text.strip()}\n{indent}{end}{rest.split(end)[1]}")
