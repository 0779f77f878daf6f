"""Test accuracy with labels that `suggest` chose, in rounds, beside labels drawn at random.

    TFDS_DATA_DIR=... python -m experiments.suggested --workers=2

Each chain begins with a few labels, trains, chooses more, trains again. It can be stopped at any
time, and the same command goes on. Results are in experiments/suggested.csv; `python -m
experiments.tables` writes the table.

Cost: two minutes a run on one core of an AMD EPYC, 108 runs. To be affordable the networks are
narrow and without the GAN's terms, the same for every choice.
"""

import argparse
import concurrent.futures
import csv
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from experiments.records import HERE

ROOT = HERE.parent
PATH = HERE / "suggested.csv"
PLACE = HERE / "runs" / "suggested"
BUDGETS = (10, 40, 100, 250)  # labels in all, after each round
CHOICES = {
    "suggested": "auto",
    "random": "random",
    "balanced": "",  # as many of each class, which nobody can draw who has no labels
}
SEEDS = 3
DATA = {"house_numbers": "house_numbers", "svhn_cropped": "svhn", "cifar10": "cifar10"}  # runs.DATA
RECIPE = (
    "--preset=tuned --unsupervised_weight=0 --discriminator_width=32 --steps=1600 --precision=auto"
)
Accuracies = dict[tuple[str, int, str], dict[int, float]]  # data, labels, choice; then the seed
_HEAD = ("data", "seed", "choice", "labels", "test_accuracy", "classes", "seconds", "commit")
_writing = threading.Lock()


class Chain(NamedTuple):
    """The rounds that build on each other.

    Attributes:
        data: a data set of TensorFlow Datasets.
        seed: of the run, and of what is drawn or clustered.
        choice: a key of `CHOICES`.
    """

    data: str
    seed: int
    choice: str

    def directory(self, labels: int) -> Path:
        """Of the run with so many labels."""
        recipe = hashlib.sha256(RECIPE.encode()).hexdigest()[:6]  # another one is another run
        return PLACE / f"{self.data}-{self.choice}-{self.seed}-{labels}-{recipe}"


def chains() -> list[Chain]:
    """All of them, seed after seed, so that a first look comes early."""
    return [
        Chain(data, seed, choice)
        for seed, data, choice in itertools.product(range(SEEDS), DATA, CHOICES)
    ]


def commands(chain: Chain) -> list[list[str]]:
    """What a chain runs, in order: choose, train, choose, train ..."""
    found, before = [], 0
    photos = " --augment_flip" if chain.data == "cifar10" else ""
    for labels in BUDGETS:
        flags = [f"--labeled={labels}"]
        if strategy := CHOICES[chain.choice]:
            source = [f"--run_dir={chain.directory(before)}"]
            place = chain.directory(before)
            if not before:
                place = chain.directory(0)
                source = [f"--dataset={chain.data}", f"--output_dir={place}"]
            suggest = [*source, f"--n={labels - before}", f"--strategy={strategy}"]
            found.append(["ssgan_tf.suggest", *suggest, f"--seed={chain.seed}"])
            flags.append(f"--labels_from={place / 'suggested_labels.json'}")
        train = [f"--dataset={chain.data}", *flags, *(RECIPE + photos).split()]
        train += [
            f"--seed={chain.seed}",
            "--eval_every=100",
            f"--run_dir={chain.directory(labels)}",
        ]
        found.append(["ssgan_tf.train", *train])
        before = labels
    return found


def run(chain: Chain, threads: int) -> None:
    """Runs what a chain lacks; a train command that is finished says so at once."""
    for words in commands(chain):
        directory = Path(words[-1].removeprefix("--run_dir="))
        if words[0] == "ssgan_tf.train" and (directory / "results.json").exists():
            continue
        if words[0] == "ssgan_tf.suggest" and _is_done(words):
            continue
        subprocess.run(
            [sys.executable, "-m", *words],
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": str(threads)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        write()


def _is_done(words: list[str]) -> bool:
    places = [word.partition("=")[2] for word in words if word.startswith(("--run_d", "--output"))]
    return (Path(places[0]) / "suggested_labels.json").exists()


def write(path: Path = PATH) -> None:
    """Puts what is finished into the table, in a fixed order."""
    with _writing:
        rows = list(csv.reader(path.open(newline=""))) if path.exists() else [list(_HEAD)]
        kept = {tuple(row[:4]): row for row in rows[1:]}
        for chain, labels in itertools.product(chains(), BUDGETS):
            file = chain.directory(labels) / "results.json"
            if file.exists():
                row = _row(chain, labels, json.loads(file.read_text()))
                kept[tuple(row[:4])] = row
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([list(_HEAD), *(kept[key] for key in sorted(kept))])
        partial = path.with_suffix(".partial")
        partial.write_text(text.getvalue())
        partial.replace(path)


def accuracies(folder: Path = HERE) -> Accuracies:
    """Test accuracies that are measured; {} for a choice that is not."""
    found: Accuracies = {key: {} for key in itertools.product(DATA, BUDGETS, CHOICES)}
    path = folder / PATH.name
    with path.open(newline="") if path.exists() else io.StringIO() as file:
        for row in csv.DictReader(file):
            key = row["data"], int(row["labels"]), row["choice"]
            found[key][int(row["seed"])] = float(row["test_accuracy"])
    return found


def _row(chain: Chain, labels: int, results: dict) -> list[str]:
    recall = results["recall"].values()
    return [
        chain.data,
        str(chain.seed),
        chain.choice,
        str(labels),
        f"{results['test_accuracy']:.4f}",
        str(sum((value or 0) > 0 for value in recall)),  # that the classifier knows at all
        f"{results['wall_seconds']:.0f}",
        results["versions"].get("git_commit", ""),
    ]


def main() -> None:
    """Runs all chains that are not finished."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=1, help="chains at a time, a core each")
    parser.add_argument("--only", default="", help="a data set")
    asked = parser.parse_args()
    wanted = [chain for chain in chains() if asked.only in ("", chain.data)]
    threads = max(1, len(os.sched_getaffinity(0)) // asked.workers)
    with concurrent.futures.ThreadPoolExecutor(asked.workers) as pool:
        for done in [pool.submit(run, chain, threads) for chain in wanted]:
            done.result()


if __name__ == "__main__":
    main()
