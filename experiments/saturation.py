"""Where it saturates: the tuned preset and its control over 20,000 steps, 1,000 labels.

What it shows: how many steps each of the two wants, and that the control was not cut short. The
schedule (constant for the first half, then down to 0) and the ramp stretch with the steps.

    TFDS_DATA_DIR=... python -m experiments.saturation --workers=2
    python -m experiments.saturation --table

Cost: on one core an hour and three quarters for `tuned`, half an hour for its control; one seed.
Expected: the control at 82 to 83% from 2,000 steps on, `tuned` (consistency weight 1) at 91%
after 8,000 and 92% at the end; table and curves in experiments/README.md, which this program
writes.
"""

from pathlib import Path

from experiments.common import (
    FIGURES,
    HERE,
    Run,
    argument_parser,
    execute,
    finished,
    replace_between_markers,
)

# The consistency weight is that which the preset had when these hours were spent.
FLAGS = "--preset=tuned --labeled=1000 --steps=20000 --eval_every=5"
RUNS = {
    "labels alone, `tuned`": Run("saturation-supervised", f"{FLAGS} --method=supervised", 0),
    "`tuned`, consistency weight 1": Run("saturation-tuned", f"{FLAGS} --consistency_weight=1", 0),
}
STEPS = (400, 1200, 2000, 4000, 8000, 12000, 16000, 20000)


def table() -> str:
    """Test accuracy after so many steps of the one long run."""
    lines = [
        "| steps | " + " | ".join(f"{step:,}" for step in STEPS) + " |",
        "|---|" + "---|" * len(STEPS),
    ]
    for name, run in RUNS.items():
        for result in finished([run]):
            curve = {step: accuracy for step, accuracy, _ in result["test_accuracy_curve"]}
            cells = [f"{100 * curve[step]:.1f}" if step in curve else "" for step in STEPS]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sentence() -> str:
    """Where the two ended, for the README."""
    ends = [
        f"{100 * result['test_accuracy']:.1f}% ({name}: `{run.command.removesuffix(' --seed=0')}`)"
        for name, run in RUNS.items()
        for result in finished([run])
    ]
    return f"After {STEPS[-1]:,} steps, one seed: {' and '.join(ends)}."


def plot(path: Path) -> None:
    """Test accuracy over steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for (name, run), color in zip(RUNS.items(), ("tab:grey", "tab:red"), strict=True):
        for result in finished([run]):
            steps, accuracies, _ = zip(*result["test_accuracy_curve"], strict=True)
            axes.plot(
                steps,
                [100 * accuracy for accuracy in accuracies],
                color=color,
                linewidth=1.2,
                label=name.replace("`", ""),
            )
    axes.set_xlabel("steps")
    axes.set_ylabel("test accuracy, %")
    axes.set_title("SVHN subset, 1,000 labels, one seed")
    axes.set_ylim(bottom=50)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)


def main() -> None:
    """Runs what is missing, then writes table and curves."""
    parser = argument_parser(__doc__)
    arguments = parser.parse_args()
    if not arguments.table:
        execute(list(RUNS.values()), arguments.run_root, arguments.workers)
    if not finished(list(RUNS.values())):
        for readme in (HERE / "README.md", HERE.parent / "README.md"):
            replace_between_markers(readme, "saturation", "Not measured yet.")
        return
    image = "![Test accuracy over steps](figures/saturation.png)"
    replace_between_markers(HERE / "README.md", "saturation", f"{table()}\n\n{image}")
    replace_between_markers(HERE.parent / "README.md", "saturation", sentence())
    plot(FIGURES / "saturation.png")


if __name__ == "__main__":
    main()
