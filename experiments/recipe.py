"""How the presets `tuned` and `tuned_large` were chosen: each ingredient with and without.

What it shows: what each ingredient is worth on validation images, a stratified tenth of the
training images that takes no part in training. The test images were not looked at to choose.

    TFDS_DATA_DIR=... python experiments/recipe.py --workers=2   # everything that is missing
    python experiments/recipe.py --table                         # only the table

Cost: on one core six minutes a run, two without unlabelled images; two and a half hours in all on
two cores. One seed: differences below 2 points are noise (1,025 validation images: a standard error
of 1.4 points at 70%). Expected: the table in experiments/README.md, which this program writes.
"""

# Where it starts from. Where a flag is given twice, the later one counts.
BASE = (
    "--drop_rate=0.2 --learning_rate=1e-3 --augment_shift=2 --labeled_batch_size=64 "
    "--unsupervised_ramp=0.3 --schedule=linear --ema_decay=0.995 --validation_fraction=0.1 "
    "--eval_every=5 --steps=2000"
)

# name: (what it is, labels, flags on top of BASE). Semi-supervised where not said otherwise.
SUPERVISED = "--method=supervised --labeled_batch_size=0"
CONSISTENCY = "--consistency_weight=1"
COLOR = f"{CONSISTENCY} --augment_color=0.3"
ROWS = {
    "base": ("start: the article's losses", "250", ""),
    "cons": ("+ consistency", "250", CONSISTENCY),
    "cons80": ("+ consistency, threshold 0.8", "250", f"{CONSISTENCY} --consistency_threshold=0.8"),
    "nogan-cons": ("the same without the GAN", "250", f"{CONSISTENCY} --unsupervised_weight=0"),
}
