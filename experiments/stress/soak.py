"""A long run of tiny networks: does anything grow?

What it shows: memory, open files and time per step of a run of 50,000 steps with evaluations,
checkpoints and summaries, at its beginning and at its end. (That no function is traced again is a
test: tests/test_faults.py.)

    python -m experiments.stress.soak

Cost: ten to twenty minutes on one core. Expected: docs/reliability.md has the figures, which
this program writes.
"""

import argparse
import csv
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.records import HERE
from experiments.tables import ROOT, replace_block

FLAGS = (
    "--dataset=house_numbers --labeled=1000 --steps=50000 --schedule=linear --batch_size=8 "
    "--generator_width=4 --discriminator_width=4 --ema_decay=0.99 --eval_every=1"
)
PATH = Path(__file__).with_suffix(".json")


def watch(directory: Path) -> list[list[float]]:
    """Runs it; [steps evaluated, seconds of the run, resident MB, open files] twice a second."""
    command = [sys.executable, "-m", "ssgan_tf.train", *FLAGS.split(), f"--run_dir={directory}"]
    with directory.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    samples = []
    while process.poll() is None:
        time.sleep(0.5)
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            with (directory / "metrics.csv").open(newline="") as file:
                last = list(csv.DictReader(file))[-1]
            resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        except (OSError, IndexError):  # not begun, or just ended
            continue
        samples.append([int(last["step"]), float(last["wall_seconds"]), resident, files])
    if process.returncode:
        sys.exit(f"the run failed; see {directory}.log")
    return samples


def table(result: dict) -> str:
    """At 10%, half-way and at the end."""
    lines = ["| | at 10% | at 50% | at 100% |", "|---|---|---|---|"]
    for name, unit in (("resident memory", "MB"), ("open files", ""), ("time of a step", "ms")):
        digits = 2 if unit == "ms" else 0
        cells = [f"{value:.{digits}f} {unit}" for value in result[name]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(line.replace("  |", " |") for line in lines)


def measure(run_root: Path) -> dict:
    """Runs it; memory, open files and pace at its beginning, in the middle and at its end."""
    directory = run_root / "soak"
    run_root.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)  # a finished run would end at once
    samples = watch(directory)
    last = samples[-1][0]
    parts = [
        [s for s in samples if low * last <= s[0] < high * last]
        for low, high in ((0.08, 0.14), (0.48, 0.54), (0.94, 1.0))
    ]

    def middle(part: list[list[float]], column: int) -> float:
        return statistics.median(sample[column] for sample in part)

    with (directory / "metrics.csv").open(newline="") as file:
        rows = [(int(r["step"]), float(r["wall_seconds"])) for r in csv.DictReader(file)]
    paces = [1000 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(rows)]
    fifth = max(2, len(paces) // 5)
    return {
        "steps": rows[-1][0],
        "resident memory": [middle(part, 2) for part in parts],
        "open files": [middle(part, 3) for part in parts],
        "time of a step": [
            statistics.median(paces[:fifth]),
            statistics.median(paces[2 * fifth : 3 * fifth]),
            statistics.median(paces[-fifth:]),
        ],
    }


def main() -> None:
    """Measures, keeps the result, writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--run_root", type=Path, default=HERE / "runs", help="run directories")
    arguments = parser.parse_args()
    if not arguments.table:
        PATH.write_text(json.dumps(measure(arguments.run_root), indent=1) + "\n")
    text = table(json.loads(PATH.read_text()))
    replace_block(ROOT / "docs" / "reliability.md", "soak", text)


if __name__ == "__main__":
    main()
