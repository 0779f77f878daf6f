"""The article's result on the SVHN subset, beside its honest control.

What it shows: what the article's recipe reaches with 1,000 labels, in the version of its text and
in that of its published code, and what the same classifier reaches without unlabelled images.
It also chooses the dropout rate of the `article` preset, on a validation part.

    TFDS_DATA_DIR=... python -m experiments.reproduce_article          # everything that is missing
    python -m experiments.reproduce_article --table                    # only the tables

Cost: about three minutes a run of 2,000 steps on two cores, two and a half hours in all. Expected,
test accuracy in %: controls 53 (dropout 0) and 67 (0.5), `notebook` 71, `article` 69, without
dropout and with the linear schedule 73; the tables in experiments/README.md, which this program
writes.
"""

import json
import statistics
from collections.abc import Iterator

from experiments.common import (
    HERE,
    RESULTS,
    Run,
    argument_parser,
    execute,
    finished,
    mean_and_deviation,
    replace_between_markers,
)

SEEDS = (0, 1, 2)
LINEAR = "--labeled=1000 --steps=2000 --schedule=linear"
CONTROL = "--method=supervised"
DROP_RATES = ("0", "0.1", "0.2", "0.25")

# The dropout rate of `article`: the largest whose validation accuracy after 2,000 steps is within
# one standard deviation of rate 0.
SELECTION = {
    f"select-drop{rate}": f"--labeled=1000 --steps=2000 --validation_fraction=0.1 "
    f"--drop_rate={rate} --eval_every=7"
    for rate in DROP_RATES
}

TABLE = {
    "supervised-drop0": f"{LINEAR} --method=supervised --drop_rate=0",
    "supervised-drop0.5": f"{LINEAR} --method=supervised --drop_rate=0.5",
    "notebook": f"{LINEAR} --preset=notebook",
    "article-drop0": f"{LINEAR} --drop_rate=0",
    "article-1000": "--labeled=1000",  # also of label_sweep.py
    "plain-drop0.5": "--labeled=1000 --drop_rate=0.5",
    "plain-drop0.5-8000": "--labeled=1000 --drop_rate=0.5 --steps=8000",
}
HOUSE_NUMBERS = {
    "house-semi_supervised": "--dataset=house_numbers --labeled=1000",
    "house-supervised": "--dataset=house_numbers --labeled=1000 --method=supervised",
    "house-supervised-drop0.5": "--dataset=house_numbers --labeled=1000 --method=supervised "
    "--schedule=linear --drop_rate=0.5",
}
# The same images from PNG files, which should make no difference.
FOLDER = HERE / "runs" / "house_numbers"
FROM_FOLDER = {
    f"folder-{name}": flags.replace("house_numbers", f"folder:{FOLDER.relative_to(HERE.parent)}")
    for name, flags in HOUSE_NUMBERS.items()
    if name != "house-supervised-drop0.5"
}


def runs_of(rows: dict[str, str]) -> list[Run]:
    """Seed after seed, so that a first look at all rows comes early."""
    return [Run(name, flags, seed) for seed in SEEDS for name, flags in rows.items()]


def selection_table() -> str:
    """Validation accuracy per dropout rate."""
    lines = ["| `--drop_rate` | validation accuracy, % | seeds |", "|---|---|---|"]
    for name, flags in SELECTION.items():
        results = finished(runs_of({name: flags}))
        if results:
            accuracies = [result["validation_accuracy"] for result in results]
            rate = name.removeprefix("select-drop")
            lines.append(f"| {rate} | {mean_and_deviation(accuracies)} | {len(results)} |")
    return "\n".join(lines)


def accuracy_table(rows: dict[str, str]) -> str:
    """Test and train accuracy per row, with the exact command, and what unlabelled images add."""
    lines = [
        "| command | test accuracy, % | minus the best control, same seeds "
        "| on its labelled images, % | seeds | steps | s (cores) |",
        "|---|---|---|---|---|---|---|",
    ]
    for flags, results in _with_results(rows):
        test = mean_and_deviation([result["test_accuracy"] for result in results])
        train = mean_and_deviation([result["train_labeled_accuracy"] for result in results])
        seconds = min(result["wall_seconds"] for result in results)
        lines.append(
            f"| `python -m ssgan_tf.train {flags}` | {test} | {_gain(flags, rows)} | {train} "
            f"| {len(results)} | {results[0]['steps']:,} | {seconds:.0f} ({results[0]['cores']}) |"
        )
    return "\n".join(lines)


def _gain(flags: str, rows: dict[str, str]) -> str:
    """What a semi-supervised row has more than the best control, seed by seed; "" for a control.

    The best one is chosen by its test accuracy, which can only make the gain smaller.
    """
    accuracy = {
        row: {result["seed"]: result["test_accuracy"] for result in results}
        for row, results in _with_results(rows)
    }
    controls = [row for row in accuracy if CONTROL in row]
    if flags in controls or not controls:
        return ""
    best = accuracy[max(controls, key=lambda row: statistics.fmean(accuracy[row].values()))]
    seeds = sorted(accuracy[flags].keys() & best.keys())
    gains = [accuracy[flags][seed] - best[seed] for seed in seeds]
    return mean_and_deviation(gains) if gains else ""


def dropout_sentence() -> str:
    """What the nominal dropout rate costs, for the README's list of differences."""
    accuracy = {
        name: mean_and_deviation([result["test_accuracy"] for result in finished(runs)])
        for name in ("article-1000", "plain-drop0.5", "plain-drop0.5-8000")
        if finished(runs := runs_of({name: TABLE[name]}))
    }
    if len(accuracy) < 3:
        return ""
    return (
        "On the SVHN subset with 1,000 labels the default reaches "
        f"{accuracy['article-1000']}% after 2,000 steps, `--drop_rate=0.5` "
        f"{accuracy['plain-drop0.5']}%, and {accuracy['plain-drop0.5-8000']}% after 8,000."
    )


def first_command_sentence() -> str:
    """Time and accuracy of the README's first command, from the `results.json` that it left.

    It is run by hand, in a fresh clone, and its file copied to `results/`: on two idle machines
    with AVX-512, and on one without, where other programs ran in the first minutes.
    """
    names = ("first_command", "first_command_again", "first_command_avx2")
    fast, again, slow = (json.loads((RESULTS / f"{name}.json").read_text()) for name in names)
    return (
        f"Measured from start to end, rendering included and the installation aside, on "
        f"{fast['device'].removeprefix('CPU: ')}: {fast['wall_seconds'] / 60:.1f} minutes and "
        f"{100 * fast['test_accuracy']:.1f}% of the test images on a machine with AVX-512, "
        f"{again['wall_seconds'] / 60:.1f} and {100 * again['test_accuracy']:.1f}% on another, "
        f"{slow['wall_seconds'] / 60:.1f} (not quite alone) and "
        f"{100 * slow['test_accuracy']:.1f}% on one without. The same classifier without the "
        'unlabelled images: experiments/README.md, "house_numbers".'
    )


def _with_results(rows: dict[str, str]) -> Iterator[tuple[str, list[dict]]]:
    """Flags and results of the rows that have any."""
    for name, flags in rows.items():
        if results := finished(runs_of({name: flags})):
            yield flags, results


def write_folder() -> None:
    """Saves house_numbers as `FOLDER`, one folder per part and class, if it is not there."""
    from PIL import Image

    from ssgan_tf.data.load import load_named

    dataset = load_named("house_numbers")
    for part, split in (("train", dataset.train), ("test", dataset.test)):
        for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            path = FOLDER / part / dataset.class_names[label] / f"{index:05d}.png"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)


def write_tables() -> None:
    """Puts the tables between their markers in experiments/README.md and README.md."""
    readme = HERE / "README.md"
    replace_between_markers(readme, "drop rate", selection_table())
    replace_between_markers(readme, "article", accuracy_table(TABLE))
    replace_between_markers(readme, "house numbers", accuracy_table(HOUSE_NUMBERS))
    replace_between_markers(readme, "folder", accuracy_table(FROM_FOLDER))
    replace_between_markers(HERE.parent / "README.md", "first command", first_command_sentence())
    replace_between_markers(HERE.parent / "README.md", "dropout", dropout_sentence())


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argument_parser(__doc__)
    rows = SELECTION | TABLE | HOUSE_NUMBERS | FROM_FOLDER
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=tuple(rows), help="only these")
    arguments = parser.parse_args()
    if not arguments.table:
        wanted = {name: rows[name] for name in arguments.only or rows}
        if wanted.keys() & FROM_FOLDER.keys():
            write_folder()
        execute(runs_of(wanted), arguments.run_root, arguments.workers)
    write_tables()


if __name__ == "__main__":
    main()
