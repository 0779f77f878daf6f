"""What the article's pieces do: one change at a time from `--preset=article`, 1,000 labels.

What it shows: which parts of the recipe carry the result, and which of the published code's quirks
matter.

    TFDS_DATA_DIR=... python -m experiments.ablation --workers=2     # everything that is missing
    python -m experiments.ablation --table                           # only the table

Cost: 2,000 steps each, six to nine minutes a run on one core (width 128: half an hour). One seed;
the first row has three, and their deviation tells which differences may be noise. Expected: 69% as
it is, 24% with dropout 0.5, all others from 60 to 71; the table in experiments/README.md, which
this program writes. The paragraph on each row is there, too.
"""

import statistics

from experiments.common import (
    HERE,
    Run,
    argument_parser,
    execute,
    finished,
    mean_and_deviation,
    replace_between_markers,
)

BASE = "--labeled=1000"
CHANGES = {
    "as it is (dropout 0.1)": "",
    "dropout 0": "--drop_rate=0",
    "dropout 0.25": "--drop_rate=0.25",
    "dropout 0.5": "--drop_rate=0.5",
    "conv7 as in the notebook": "--conv7_input=conv5",
    "batch statistics at test": "--bn_inference=batch",
    "moving averages that mix in fakes": "--bn_averages=mixed",
    "no label smoothing": "--label_smoothing=0",
    "original GAN loss for the generator": "--generator_loss=adversarial",
    "no unsupervised term": "--unsupervised_weight=0",
    "'first 1,000' labels": "--label_selection=first",
    "generator of width 128": "--generator_width=128",
}
PLAIN = {"": "article-1000", "--drop_rate=0.5": "plain-drop0.5"}  # runs of reproduce_article.py


def runs_of(change: str) -> list[Run]:
    """One run, three of the unchanged preset."""
    flags = CHANGES[change]
    slug = flags.removeprefix("--").replace("=", "_")
    name = PLAIN.get(flags, f"ablation-{slug}")
    return [
        Run(name, f"{BASE} {flags}".strip(), seed) for seed in ((0, 1, 2) if not flags else (0,))
    ]


def table() -> str:
    """Accuracy per change, and the difference from the unchanged run of the same seed."""
    lines = [
        "| change | flag | test accuracy, % | difference, same seed | on its labelled images, % |",
        "|---|---|---|---|---|",
    ]
    unchanged = {
        result["seed"]: result["test_accuracy"] for result in finished(runs_of(next(iter(CHANGES))))
    }
    for change, flags in CHANGES.items():
        results = finished(runs_of(change))
        if not results:
            continue
        accuracy = mean_and_deviation([result["test_accuracy"] for result in results])
        train = mean_and_deviation([result["train_labeled_accuracy"] for result in results])
        gains = [
            result["test_accuracy"] - unchanged[result["seed"]]
            for result in results
            if result["seed"] in unchanged
        ]
        difference = f"{100 * statistics.fmean(gains):+.1f}" if flags and gains else ""
        flag = f"`{flags}`" if flags else ""
        lines.append(f"| {change} | {flag} | {accuracy} | {difference} | {train} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing, then writes the table."""
    parser = argument_parser(__doc__)
    arguments = parser.parse_args()
    if not arguments.table:
        runs = [run for change in CHANGES for run in runs_of(change)]
        execute(runs, arguments.run_root, arguments.workers)
    replace_between_markers(HERE / "README.md", "ablation", table())


if __name__ == "__main__":
    main()
