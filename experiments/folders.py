"""Folders of images: does the plain command beat its own control?

What it shows: test accuracy of `python -m ssgan_tf.train --dataset=folder:PATH` and of the control
that its closing lines name, on folders of 80 to 12,000 PNG files, gray and in color. No flag is
chosen here: mirrored digits, which the report of the folder advises against, stay mirrored.

    TFDS_DATA_DIR=... python -m experiments.folders --workers=2   # everything that is missing
    python -m experiments.folders --table                         # only the table

Needs cifar10 and house_numbers, prepared. Cost: on one core some 15 minutes a run, 4 a control.
Expected: the table in experiments/README.md, which this program writes.
"""

import os
from pathlib import Path
from typing import NamedTuple

from experiments.common import (
    HERE,
    Run,
    argument_parser,
    execute,
    finished,
    mean_and_deviation,
    replace_between_markers,
)


class Folder(NamedTuple):
    """One folder: where its images come from, and how many of each kind."""

    dataset: str
    channels: int
    labeled: int
    unlabeled: int


TEST_IMAGES = 2000
FOLDERS = {
    "digits-gray-80": Folder("house_numbers", 1, 40, 40),
    "digits-gray-1000": Folder("house_numbers", 1, 100, 900),
    "digits-10000": Folder("house_numbers", 3, 250, 9750),
    "photos-300": Folder("cifar10", 3, 100, 200),
    "photos-gray-2000": Folder("cifar10", 1, 250, 1750),
    "photos-3000": Folder("cifar10", 3, 250, 2750),
    "photos-10000": Folder("cifar10", 3, 1000, 9000),
}
METHODS = ("semi_supervised", "supervised")


def make(path: Path, folder: Folder) -> None:
    """Writes the PNG files of one folder; the classes have equally many labels."""
    import numpy as np
    from PIL import Image

    from ssgan_tf.data.dataset import Split
    from ssgan_tf.data.load import load_named
    from ssgan_tf.data.sampling import balanced

    found = load_named(folder.dataset, channels=folder.channels)
    labels = found.train.labels
    everything = np.arange(len(labels))
    labeled, _ = balanced(labels, everything, folder.labeled, found.class_names, seed=0)
    rest = np.random.default_rng(0).permutation(np.setdiff1d(everything, labeled))

    def write(part: Split, indices: np.ndarray, parent: str, by_class: bool) -> None:
        for index in indices:
            name = found.class_names[part.labels[index]] if by_class else ""
            file = path / parent / name / f"{part.ids[index].replace('/', '_')}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = part.images[index]
            Image.fromarray(image[..., 0] if folder.channels == 1 else image).save(file)

    write(found.train, labeled, "train", by_class=True)
    write(found.train, rest[: folder.unlabeled], "unlabeled", by_class=False)
    write(found.test, np.arange(TEST_IMAGES), "test", by_class=True)


def runs_of(name: str, seeds: int) -> list[Run]:
    """The runs of one folder, method by method."""
    path = f"experiments/runs/folders/{name}"
    channels = " --channels=1" if FOLDERS[name].channels == 1 else ""
    return [
        Run(f"folders-{name}-{method}", f"--dataset=folder:{path}{channels} --method={method}", s)
        for s in range(seeds)
        for method in METHODS
    ]


def table(seeds: int) -> str:
    """One row per folder whose runs are there."""
    lines = [
        "| folder | labeled | unlabeled | labels alone, % | plain command, % | gain | seeds "
        "| steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, folder in FOLDERS.items():
        runs = runs_of(name, seeds)
        pairs = [finished(runs[i : i + 2]) for i in range(0, len(runs), 2)]
        pairs = [pair for pair in pairs if len(pair) == 2]
        if not pairs:
            continue
        semi, alone = ([pair[k]["test_accuracy"] for pair in pairs] for k in (0, 1))
        gain = [a - b for a, b in zip(semi, alone, strict=True)]
        lines.append(
            f"| {name} | {folder.labeled:,} | {folder.unlabeled:,} | {mean_and_deviation(alone)} | "
            f"{mean_and_deviation(semi)} | {mean_and_deviation(gain)} | {len(pairs)} | "
            f"{pairs[0][0]['steps']:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Makes the folders, runs what is missing, writes the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each row")
    arguments = parser.parse_args()
    if not arguments.table:
        os.chdir(HERE.parent)
        for name, folder in FOLDERS.items():
            path = HERE / "runs" / "folders" / name
            if not path.exists():
                partial = path.with_name(f"{name}.partial")
                make(partial, folder)
                partial.rename(path)
        runs = [run for name in FOLDERS for run in runs_of(name, arguments.seeds)]
        execute(runs, arguments.run_root, arguments.workers)
    replace_between_markers(HERE / "README.md", "folders", table(arguments.seeds))


if __name__ == "__main__":
    main()
