"""Kills a run again and again, and compares it in the end with one that was left alone.

What it shows: that a run which is killed with SIGKILL at random moments - while it starts, between
two steps, while it writes a checkpoint - and started again each time ends in the same bits: all
weights and optimizer states, metrics.csv, results.json, TensorBoard's steps and samples; wall times
aside.

    python -m experiments.stress.kill_test --kills=25

Cost: a quarter of an hour on two cores. Expected: no difference; docs/reliability.md has the
figures, which this program writes.
"""

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from experiments.records import HERE
from experiments.tables import ROOT, replace_block
from ssgan_tf.runs import run_dir

FLAGS = (
    "--dataset=house_numbers --labeled=1000 --preset=tuned --deterministic --epochs=60 "
    "--generator_width=8 --discriminator_width=8 --validation_fraction=0.1 --eval_every=2"
)
OFTEN = "--checkpoint_every_minutes=0.02"  # so that kills meet checkpoints in the midst of epochs
PATH = Path(__file__).with_suffix(".json")


def start(directory: Path, flags: str) -> subprocess.Popen:
    """The run's command, as one would type it."""
    command = [sys.executable, "-m", "ssgan_tf.train", *FLAGS.split(), *flags.split()]
    with directory.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [*command, f"--run_dir={directory}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )


def newest(directory: Path) -> int:
    """Step of the newest checkpoint."""
    return max(run_dir.finished_steps(directory / "checkpoints"), default=0)


def kill_once(directory: Path, moment: str, rng: random.Random) -> dict:
    """Starts the run and kills it: while it starts, at work, or while it writes a checkpoint."""
    before = newest(directory)
    process = start(directory, OFTEN)
    began = time.monotonic()
    if moment == "starting":
        time.sleep(rng.uniform(0, 12))
    else:
        while newest(directory) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 3))
        if moment == "writing a checkpoint":
            while not any(directory.glob("checkpoints/*_temp*")) and process.poll() is None:
                pass  # it is there for milliseconds
    ended_before = process.poll() is not None
    process.kill()
    process.wait()
    return {
        "moment": moment,
        "seconds": round(time.monotonic() - began, 1),
        "from_step": before,
        "to_step": newest(directory),
        "unfinished_checkpoint": any(directory.glob("checkpoints/*_temp*")),
        "ended_before": ended_before,
    }


def contents(directory: Path) -> dict[str, object]:
    """All that must be the same, by name."""
    import tensorflow as tf

    with (directory / "metrics.csv").open(newline="") as file:
        rows = [{**row, "wall_seconds": ""} for row in csv.DictReader(file)]
    results = json.loads((directory / "results.json").read_text())
    found: dict[str, object] = {
        "metrics.csv": rows,
        "results.json": {k: v for k, v in results.items() if k not in ("wall_seconds", "command")},
        "labels.json": (directory / "labels.json").read_bytes(),
    }
    for picture in sorted((directory / "samples").iterdir()):
        found[picture.name] = picture.read_bytes()
    events = []
    for file in sorted((directory / "tensorboard").glob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            events += [(event.step, value.tag) for value in event.summary.value]
    found["TensorBoard's steps"] = events
    reader = tf.train.load_checkpoint(str(directory / "checkpoints"))
    for name in reader.get_variable_to_shape_map():
        if not any(part in name for part in ("OBJECT_GRAPH", "wall", "save_counter", "history")):
            found[name] = reader.get_tensor(name).tobytes()
    return found


def table(result: dict) -> str:
    """What was done and what came out."""
    kills = result["kills"]
    unfinished = sum(k["unfinished_checkpoint"] and k["moment"] != "starting" for k in kills)
    moments = sorted({kill["moment"] for kill in kills})
    counts = ", ".join(f"{sum(k['moment'] == m for k in kills)} {m}" for m in moments)
    verdict = "none" if not result["different"] else ", ".join(result["different"])
    return "\n".join(
        [
            "| SIGKILLs | left a half-written checkpoint | steps | compared | different |",
            "|---|---|---|---|---|",
            f"| {len(kills)}: {counts} | {unfinished} | {result['steps']:,} "
            f"| {result['compared']} files and tensors | {verdict} |",
        ]
    )


def measure(run_root: Path, number_of_kills: int, seed: int) -> dict:
    """Runs both, the one alone and the one that is killed, and compares them.

    Raises:
        SystemExit: if a run fails, or ends before all kills.
    """
    alone, killed = (run_root / f"kill_test-{name}" for name in ("alone", "killed"))
    run_root.mkdir(parents=True, exist_ok=True)
    for directory in (alone, killed):  # of another version, perhaps
        shutil.rmtree(directory, ignore_errors=True)
    if start(alone, "").wait():
        sys.exit(f"the run failed; see {alone}.log")
    rng = random.Random(seed)
    moments = ("at work", "writing a checkpoint", "at work", "writing a checkpoint", "starting")
    kills = []
    for number in range(number_of_kills):
        kill = kill_once(killed, moments[number % len(moments)], rng)
        print(json.dumps(kill), flush=True)
        if kill["ended_before"]:
            sys.exit("the run ended before all kills; give it more --epochs")
        kills.append(kill)
    if start(killed, "").wait():
        sys.exit(f"the killed run did not go on; see {killed}.log")
    expected, found = contents(alone), contents(killed)
    different = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    return {
        "kills": kills,
        "steps": newest(alone),
        "compared": len(expected),
        "different": different,
    }


def main() -> None:
    """Measures, keeps the result, writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--run_root", type=Path, default=HERE / "runs", help="run directories")
    parser.add_argument("--kills", type=int, default=25, help="how often")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    if not arguments.table:
        result = measure(arguments.run_root, arguments.kills, arguments.seed)
        PATH.write_text(json.dumps(result, indent=1) + "\n")
    text = table(json.loads(PATH.read_text()))
    replace_block(ROOT / "docs" / "reliability.md", "kill test", text)


if __name__ == "__main__":
    main()
