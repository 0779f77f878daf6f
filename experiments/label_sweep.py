"""How many labels: the control, the article and the tuned preset from 100 labels to all.

What it shows: what unlabelled images are worth, and how that shrinks as labels are added. Each
method has one row of flags (`METHODS`). Two of them are controls, classifiers of the same networks
trained on the labels alone: that of `article`, with dropout 0.5 and the linear schedule, the
stronger of two, and `--preset=tuned --method=supervised`, which has all of `tuned` that works
without unlabelled images. `tuned_without_gan` has pseudo-labels alone, `tuned_large` a wider
discriminator; the row with consistency weight 1 is the first version of `tuned`.

    TFDS_DATA_DIR=... python -m experiments.label_sweep --workers=2    # everything that is missing
    TFDS_DATA_DIR=... python -m experiments.label_sweep --labels 250   # only these
    TFDS_DATA_DIR=... python -m experiments.label_sweep --house_numbers --workers=2
    python -m experiments.label_sweep --table                          # only table, plot, summary

Cost: on one core a run of the controls takes 2 to 6 minutes, of the article 5 to 9, of `tuned` 10
to 24 and of `tuned_large` 32 to 34, as the machine is (the controls and `article` with all labels
up to 20); the whole sweep six hours on two cores.
Expected, test accuracy in %: with 1,000 labels `article` 69, `tuned` 90 and its control 82; with
250 labels 32, 87 and 68; the tables in experiments/README.md, which this program writes.
"""

import json
import statistics
from pathlib import Path

from experiments import reproduce_article
from experiments.common import (
    FIGURES,
    HERE,
    RESULTS,
    Run,
    argument_parser,
    execute,
    finished,
    mean_and_deviation,
    replace_between_markers,
)

LABELS = ("100", "250", "500", "1000", "2500", "all")
SEEDS = {"250": (0, 1, 2), "1000": (0, 1, 2)}  # one seed elsewhere
METHODS = {
    "supervised": "--steps=2000 --schedule=linear --method=supervised --drop_rate=0.5",
    "article": "",
    "tuned_supervised": "--preset=tuned --method=supervised",
    "tuned": "--preset=tuned",
    "tuned_weight1": "--preset=tuned --consistency_weight=1",
    "tuned_without_gan": "--preset=tuned --unsupervised_weight=0",
    "tuned_large": "--preset=tuned_large",
}
# What `tuned` was to reach, written down before it was there: test accuracy of a method, or of its
# difference from its control.
GOALS = (
    ("tuned_supervised", "1000", "", 0.79),
    ("tuned_supervised", "250", "", 0.46),
    ("tuned", "1000", "", 0.85),
    ("tuned", "1000", "tuned_supervised", 0.06),
    ("tuned", "250", "", 0.70),
    ("tuned", "250", "tuned_supervised", 0.18),
    ("tuned_large", "1000", "", 0.87),
)
HOUSE_NUMBERS = "--dataset=house_numbers"
HOUSE_LABELS, HOUSE_METHODS = ("250", "1000"), ("tuned_supervised", "tuned")
SUPERVISED_1000 = f"--labeled=1000 {METHODS['supervised']}"
COMPARISONS = (
    ("article", "supervised"),
    ("tuned", "tuned_supervised"),
    ("tuned_weight1", "tuned_supervised"),
    ("tuned", "tuned_weight1"),
    ("tuned_without_gan", "tuned_supervised"),
    ("tuned", "tuned_without_gan"),
    ("tuned_large", "tuned"),
)
ONLY = {  # these methods are not run with all numbers of labels
    "tuned_without_gan": ("250", "1000"),
    "tuned_large": ("1000",),
}
COLORS = {
    "supervised": "tab:blue",
    "article": "tab:blue",
    "tuned_supervised": "tab:red",
    "tuned": "tab:red",
    "tuned_weight1": "tab:green",
    "tuned_without_gan": "tab:orange",
    "tuned_large": "tab:purple",
}
NAMES = {
    "supervised": "labels alone, dropout 0.5, linear schedule",
    "article": "`article`",
    "tuned_supervised": "labels alone, `tuned`",
    "tuned": "`tuned`",
    "tuned_weight1": "`tuned`, consistency weight 1",
    "tuned_without_gan": "`tuned` without the GAN's terms",
    "tuned_large": "`tuned_large`",
}


def runs_of(method: str, labels: str, dataset: str = "") -> list[Run]:
    """One run per seed."""
    flags = " ".join(f"{dataset} --labeled={labels} {METHODS[method]}".split())
    if dataset:
        return [Run(f"house-{method}-{labels}", flags, 0)]
    # reproduce_article.py has made this one.
    name = "supervised-drop0.5" if flags == SUPERVISED_1000 else f"{method}-{labels}"
    return [Run(name, flags, seed) for seed in SEEDS.get(labels, (0,))]


def table() -> str:
    """Test accuracy per method and number of labels; below it one method minus another."""
    heads = ("test accuracy, %", "in points, seed by seed")
    rows: tuple[dict[str, list[str]], ...] = (
        {
            NAMES[method]: [_accuracy(finished(runs_of(method, labels))) for labels in LABELS]
            for method in METHODS
        },
        {
            f"{NAMES[method]} minus {NAMES[other]}": [gain(method, other, n) for n in LABELS]
            for method, other in COMPARISONS
        },
    )
    tables = []
    for head, cells_of in zip(heads, rows, strict=True):
        lines = [f"| {head} | " + " | ".join(LABELS) + " |", "|---|" + "---|" * len(LABELS)]
        lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in cells_of.items()]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def gain(method: str, other: str, labels: str, dataset: str = "") -> str:
    """One method minus another, seed by seed, in points; "" where they share no seed."""
    gains = _differences(method, other, labels, dataset)
    return mean_and_deviation(gains) if gains else ""


def _differences(method: str, other: str, labels: str, dataset: str = "") -> list[float]:
    found = [
        {result["seed"]: result["test_accuracy"] for result in finished(runs_of(*row))}
        for row in ((method, labels, dataset), (other, labels, dataset))
    ]
    return [found[0][seed] - found[1][seed] for seed in sorted(found[0].keys() & found[1].keys())]


def goals_table() -> str:
    """What was to be reached, and what was."""
    lines = ["| labels | what | at least | measured | |", "|---|---|---|---|---|"]
    for method, labels, control, goal in GOALS:
        if control:
            values = _differences(method, control, labels)
        else:
            values = [result["test_accuracy"] for result in finished(runs_of(method, labels))]
        if values:
            what = f"{NAMES[method]} minus {NAMES[control]}" if control else NAMES[method]
            met = "reached" if statistics.fmean(values) >= goal else "**missed**"
            measured = f"{mean_and_deviation(values)} ({len(values)})"
            lines.append(f"| {labels} | {what} | {100 * goal:.0f} | {measured} | {met} |")
    return "\n".join(lines)


def house_numbers_table() -> str:
    """The same comparison on the rendered data set, one seed."""
    lines = ["| labels | labels alone, `tuned` | `tuned` | difference |", "|---|---|---|---|"]
    for labels in HOUSE_LABELS:
        rows = [finished(runs_of(method, labels, HOUSE_NUMBERS)) for method in HOUSE_METHODS]
        if all(rows):
            cells = [_accuracy(results) for results in rows]
            difference = gain("tuned", "tuned_supervised", labels, HOUSE_NUMBERS)
            lines.append(f"| {labels} | {' | '.join(cells)} | {difference} |")
    return "\n".join(lines) if len(lines) > 2 else "Not measured yet."


def gains_table() -> str:
    """What unlabelled images, the GAN and a wider discriminator add, for the README."""
    lines = ["| seed by seed, in points | 250 labels | 1,000 labels |", "|---|---|---|"]
    for method, other in COMPARISONS:
        few, many = (gain(method, other, labels) for labels in ("250", "1000"))
        lines.append(f"| {NAMES[method]} minus {NAMES[other]} | {few} | {many} |")
    return "\n".join(lines)


def _accuracy(results: list[dict]) -> str:
    if not results:
        return ""
    cell = mean_and_deviation([result["test_accuracy"] for result in results])
    return f"{cell} ({len(results)})"


def readme_table() -> str:
    """The headline: method, labels, accuracy, cost and exact command."""
    rows = [
        ("SVHN subset", NAMES[method], runs_of(method, labels))
        for labels in ("1000", "250")
        for method in METHODS
    ]
    rows += [
        (
            "house_numbers",
            name,
            reproduce_article.runs_of({row: reproduce_article.HOUSE_NUMBERS[row]}),
        )
        for name, row in (
            ("labels alone, `article`'s flags", "house-supervised"),
            (NAMES["supervised"], "house-supervised-drop0.5"),
            (NAMES["article"], "house-semi_supervised"),
        )
    ]
    rows += [
        ("house_numbers", NAMES[method], runs_of(method, "1000", HOUSE_NUMBERS))
        for method in HOUSE_METHODS
    ]
    lines = [
        "| data | method | labels | test accuracy, % | seeds | steps | s, fastest seed | hardware "
        "| command |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for data, name, runs in rows:
        results = finished(runs)
        if not results:
            continue
        accuracy = mean_and_deviation([result["test_accuracy"] for result in results])
        seconds = min(result["wall_seconds"] for result in results)
        command = runs[0].command.removesuffix(" --seed=0")
        lines.append(
            f"| {data} | {name} | {results[0]['labeled']:,} | {accuracy} | {len(results)} "
            f"| {results[0]['steps']:,} | {seconds:.0f} | {_hardware(results)} | `{command}` |"
        )
    return "\n".join(lines)


def _hardware(results: list[dict]) -> str:
    """All there is, if the seeds were not run on the same."""
    devices = {result["device"].removeprefix("CPU: ") for result in results}
    return ", ".join(sorted(device.replace("1 cores", "1 core") for device in devices))


def summary() -> dict:
    """The headline figures: method -> labels -> figures.

    Accuracies are fractions, seconds those of the fastest seed: others were not always alone.
    """
    found: dict = {}
    for method in METHODS:
        for labels in LABELS:
            results = finished(runs_of(method, labels))
            if not results:
                continue
            accuracies = [result["test_accuracy"] for result in results]
            found.setdefault(method, {})[labels] = {
                "mean": round(statistics.fmean(accuracies), 5),
                "std": round(statistics.stdev(accuracies), 5) if len(accuracies) > 1 else None,
                "seeds": len(accuracies),
                "steps": results[0]["steps"],
                "wall_seconds": min(result["wall_seconds"] for result in results),
                "hardware": _hardware(results),
                "command": runs_of(method, labels)[0].command.removesuffix(" --seed=0"),
            }
    return found


def plot(path: Path) -> None:
    """Accuracy over labels, one line per method; error bars and single runs if of several seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for method in METHODS:
        points = []
        for labels in LABELS:
            results = finished(runs_of(method, labels))
            if results:
                accuracies = [100 * result["test_accuracy"] for result in results]
                deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
                labeled = results[0]["labeled"]
                points.append((labeled, statistics.fmean(accuracies), deviation))
                if deviation:  # a bar hides what one run among good ones did
                    x = [labeled] * len(accuracies)
                    axes.plot(x, accuracies, "x", color=COLORS[method], markersize=4, alpha=0.6)
        if points:
            x, y, deviations = zip(*points, strict=True)
            control = "supervised" in method
            axes.errorbar(
                x,
                y,
                deviations,
                label=NAMES[method].replace("`", ""),
                color=COLORS[method],
                linestyle="--" if control else "-",
                marker="o",
                markersize=4,
                capsize=3,
            )
    axes.set_xscale("log")
    shown = sorted({x for line in axes.containers for x in line.lines[0].get_xdata()})
    axes.set_xticks(shown, [f"{x:,.0f}" for x in shown])
    axes.minorticks_off()
    axes.set_xlabel("labelled images")
    axes.set_ylabel("test accuracy, %: mean, deviation, single runs (x)")
    axes.set_title("SVHN subset, 10,259 training and 2,600 test images")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def write() -> None:
    """Table, plot and summary.json from the results there are."""
    image = "![Test accuracy over the number of labels](figures/labels.png)"
    replace_between_markers(HERE / "README.md", "labels", f"{table()}\n\n{image}")
    replace_between_markers(HERE / "README.md", "goals", goals_table())
    replace_between_markers(HERE / "README.md", "tuned house numbers", house_numbers_table())
    replace_between_markers(HERE.parent / "README.md", "results", readme_table())
    replace_between_markers(HERE.parent / "README.md", "gains", gains_table())
    text = json.dumps(summary(), indent=1) + "\n"
    (RESULTS / "summary.json").write_text(text)
    plot(FIGURES / "labels.png")


def main() -> None:
    """Runs what is missing, then writes what follows from it."""
    parser = argument_parser(__doc__)
    parser.add_argument("--labels", nargs="*", choices=LABELS, help="only these")
    parser.add_argument("--methods", nargs="*", choices=tuple(METHODS), help="only these")
    parser.add_argument("--house_numbers", action="store_true", help="on the rendered data set")
    arguments = parser.parse_args()
    if not arguments.table:
        dataset = HOUSE_NUMBERS if arguments.house_numbers else ""
        all_labels, methods = (HOUSE_LABELS, HOUSE_METHODS) if dataset else (LABELS, METHODS)
        for given, possible in ((arguments.labels, all_labels), (arguments.methods, methods)):
            if not set(given or ()) <= set(possible):
                parser.error(f"{' '.join(given)} with --house_numbers: give {', '.join(possible)}.")
        runs = [
            run
            for labels in arguments.labels or all_labels
            for method in arguments.methods or methods
            if labels in ONLY.get(method, LABELS)
            for run in runs_of(method, labels, dataset)
        ]
        if not runs:
            possible = [f"{method} with {', '.join(labels)}" for method, labels in ONLY.items()]
            parser.error(f"not run with these labels; there is {' and '.join(possible)}.")
        runs.sort(key=lambda run: run.seed)  # a first look at all rows comes early
        execute(runs, arguments.run_root, arguments.workers)
    write()


if __name__ == "__main__":
    main()
