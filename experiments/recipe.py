"""How the preset `tuned` was chosen: what its ingredients are worth on validation images.

What it shows: accuracy with and without an ingredient on a stratified tenth of the training images
that takes no part in training. The test images were not looked at to choose. Where it starts from
(`BASE`) was found in first trials that are not kept.

    TFDS_DATA_DIR=... python -m experiments.recipe --workers=2   # everything that is missing
    python -m experiments.recipe --table                         # only the table

Cost: on one core 11 minutes a run (6,400 steps 34, conv1 with stride 1 40), two without unlabelled
images; three hours in all on two cores.
One seed: differences below 4 points can be noise (1,025 validation images are a standard
error of 1.4 points at 70%, of a difference 2). Expected: with 250 labels from 40 (control) to 80
(colours, consistency, rates), 84 (consistency weight 3) and 85 (weight 1, 6,400 steps); the table
in experiments/README.md, which this program writes.
"""

from typing import NamedTuple

from experiments.common import (
    HERE,
    Run,
    argument_parser,
    execute,
    finished,
    replace_between_markers,
)
from ssgan_tf.config import PRESETS

# Where it starts from. Where a flag is given twice, the later one counts.
BASE = (
    "--drop_rate=0.2 --learning_rate=1e-3 --augment_shift=0.0625 --labeled_batch_size=64 "
    "--unsupervised_ramp=0.3 --schedule=linear --ema_decay=0.995 --validation_fraction=0.1 "
    "--eval_every=5 --steps=2000"
)

SUPERVISED = "--method=supervised --labeled_batch_size=0"
CONTROL = f"{SUPERVISED} --augment_color=0.3"
CONSISTENCY = "--consistency_weight=1"
COLOR = "--consistency_weight=1 --augment_color=0.3"
NO_GAN = "--unsupervised_weight=0"
RATES = "--learning_rate=2e-3 --drop_rate=0.1"
CHOSEN = f"--consistency_weight=3 --augment_color=0.3 {RATES}"


class Row(NamedTuple):
    """One ingredient: what it is, what it is compared with, and the flags on top of `BASE`."""

    meaning: str
    against: str
    labels: str
    flags: str


ROWS = {
    "sup-250": Row("control", "", "250", SUPERVISED),
    "sup-color3-250": Row("control, colours", "sup-250", "250", CONTROL),
    "sup-drop50-color3-250": Row(
        "control, colours, dropout 0.5",
        "sup-color3-250",
        "250",
        f"{CONTROL} --drop_rate=0.5",
    ),
    "sup-tuned-250": Row(
        "control, colours, learning rate 2e-3, dropout 0.1",
        "sup-color3-250",
        "250",
        f"{CONTROL} {RATES}",
    ),
    "sup-tuned-1000-steps-250": Row(
        "the same, 1,000 steps", "sup-tuned-250", "250", f"{CONTROL} {RATES} --steps=1000"
    ),
    "sup-tuned-6000-steps-250": Row(
        "the same, 6,000 steps", "sup-tuned-250", "250", f"{CONTROL} {RATES} --steps=6000"
    ),
    "base-250": Row("semi-supervised", "sup-250", "250", ""),
    "cons-250": Row("+ consistency", "base-250", "250", CONSISTENCY),
    "cons80-250": Row(
        "+ consistency from a sureness of 0.8 (instead of 0.95)",
        "cons-250",
        "250",
        f"{CONSISTENCY} --consistency_threshold=0.8",
    ),
    "nogan-cons-250": Row(
        "consistency, but no GAN terms", "cons-250", "250", f"{CONSISTENCY} {NO_GAN}"
    ),
    "color3-cons-250": Row("+ consistency, colours", "cons-250", "250", COLOR),
    "color3-250": Row(
        "colours, but no consistency", "color3-cons-250", "250", "--augment_color=0.3"
    ),
    "nogan-color3-cons-250": Row(
        "consistency, colours, but no GAN terms", "color3-cons-250", "250", f"{COLOR} {NO_GAN}"
    ),
    "color5-cons-250": Row(
        "colours at 0.5", "color3-cons-250", "250", f"{CONSISTENCY} --augment_color=0.5"
    ),
    "drop10-color3-cons-250": Row(
        "dropout 0.1", "color3-cons-250", "250", f"{COLOR} --drop_rate=0.1"
    ),
    "lr2-color3-cons-250": Row(
        "learning rate 2e-3", "color3-cons-250", "250", f"{COLOR} --learning_rate=2e-3"
    ),
    "lr2-drop10-250": Row(
        "learning rate 2e-3, dropout 0.1: as `tuned` was at first",
        "color3-cons-250",
        "250",
        f"{COLOR} {RATES}",
    ),
    "cw3-lr2-drop10-250": Row(
        "consistency weight 3: `tuned` but for its 3,200 steps",
        "lr2-drop10-250",
        "250",
        CHOSEN,
    ),
    "cw10-lr2-drop10-250": Row(
        "consistency weight 10",
        "lr2-drop10-250",
        "250",
        f"--consistency_weight=10 --augment_color=0.3 {RATES}",
    ),
    "entropy-250": Row(
        "entropy term, weight 0.1",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --entropy_weight=0.1",
    ),
    "noise-250": Row(
        "noise of 0.15 instead of dropout at the input",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --input_noise=0.15",
    ),
    "warmup-250": Row(
        "warm-up over 200 steps",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --warmup_steps=200",
    ),
    "labeled0-250": Row(
        "no labelled batch of its own",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --labeled_batch_size=0",
    ),
    "ramp0-250": Row(
        "no ramp",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --unsupervised_ramp=0",
    ),
    "shift0-250": Row(
        "no shifts",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --augment_shift=0",
    ),
    "half-250": Row(
        "the factor 0.5 that Salimans et al. give the real/fake terms",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --unsupervised_weight=0.5",
    ),
    "stride1-250": Row(
        "conv1 with stride 1",
        "cw3-lr2-drop10-250",
        "250",
        f"{CHOSEN} --conv1_stride=1",
    ),
    "steps6400-250": Row(
        "6,400 steps",
        "lr2-drop10-250",
        "250",
        f"{COLOR} {RATES} --steps=6400",
    ),
    "b64-color3-cons-250": Row(
        "batches of 64 + 32, 4,000 steps",
        "color3-cons-250",
        "250",
        f"{COLOR} --batch_size=64 --labeled_batch_size=32 --steps=4000",
    ),
    "sup-1000": Row("control", "", "1000", SUPERVISED),
    "sup-color3-1000": Row("control, colours", "sup-1000", "1000", CONTROL),
    "sup-tuned-1000": Row(
        "control, colours, learning rate 2e-3, dropout 0.1",
        "sup-color3-1000",
        "1000",
        f"{CONTROL} {RATES}",
    ),
    "sup-drop50-color3-1000": Row(
        "control, colours, dropout 0.5",
        "sup-color3-1000",
        "1000",
        f"{CONTROL} --drop_rate=0.5",
    ),
    "base-1000": Row("semi-supervised", "sup-1000", "1000", ""),
    "cons-1000": Row("+ consistency", "base-1000", "1000", CONSISTENCY),
    "color3-cons-1000": Row("+ consistency, colours", "cons-1000", "1000", COLOR),
    "lr2-drop10-1000": Row(
        "learning rate 2e-3, dropout 0.1: as `tuned` was at first",
        "color3-cons-1000",
        "1000",
        f"{COLOR} {RATES}",
    ),
    "cw3-lr2-drop10-1000": Row(
        "consistency weight 3: `tuned` but for its 3,200 steps",
        "lr2-drop10-1000",
        "1000",
        CHOSEN,
    ),
}


def run_of(name: str) -> Run:
    """The one run of a row."""
    row = ROWS[name]
    return Run(f"recipe-{name}", f"{BASE} --labeled={row.labels} {row.flags}".strip(), 0)


def table() -> str:
    """Validation accuracy of each row, beside that of the row it is compared with."""
    lines = [
        "| labels | what | flags on top | accuracy, % | compared with, % | which is | raw, % |",
        "|---|---|---|---|---|---|---|",
    ]
    found = {name: results[0] for name in ROWS if (results := finished([run_of(name)]))}
    accuracy = {name: 100 * result["validation_accuracy"] for name, result in found.items()}
    for name, value in accuracy.items():
        row = ROWS[name]
        flags = f"`{row.flags}`" if row.flags else ""
        against = ROWS[row.against].meaning if row.against in accuracy else ""
        raw = found[name].get("validation_accuracy_raw")
        raw = "" if raw is None else f"{100 * raw:.1f}"
        without = f"{accuracy[row.against]:.1f}" if row.against in accuracy else ""
        lines.append(
            f"| {row.labels} | {row.meaning} | {flags} | {value:.1f} | {without} | {against} "
            f"| {raw} |"
        )
    return "\n".join(lines)


def preset_line() -> str:
    """The preset's flags, from the preset itself."""
    flags = " ".join(f"--{name}={value}" for name, value in PRESETS["tuned"].items())
    width = PRESETS["tuned_large"]["discriminator_width"]
    return f"`tuned` is `{flags}`; `tuned_large` has `--discriminator_width={width}` besides."


def main() -> None:
    """Runs what is missing, then writes table and preset."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=tuple(ROWS), help="only these")
    arguments = parser.parse_args()
    if not arguments.table:
        runs = [run_of(name) for name in arguments.only or ROWS]
        execute(runs, arguments.run_root, arguments.workers)
    replace_between_markers(HERE / "README.md", "recipe", table())
    replace_between_markers(HERE / "README.md", "tuned preset", preset_line())


if __name__ == "__main__":
    main()
