"""Every training run of the experiments, once: data, flags, seeds, what it is for, its control.

`experiments/run.py` trains what has no result yet, `experiments/tables.py` writes the tables.
Several seeds are declared where a table draws a conclusion from a difference.
"""

import dataclasses
import hashlib
import json
import shlex
from typing import NamedTuple

from ssgan_tf.config import Config
from ssgan_tf.flags import parse_config
from ssgan_tf.runs.config_file import FREE

# What says where a run is, which one of several it is, or how fast; a preset is its values.
NOT_RECIPE = (*FREE, "preset", "seed")
# Flags that are younger than results that count: at these values they change nothing.
OFF = {
    "augment_cutout": 0.0,
    "augment_fakes": False,
    "consistency_share_power": 0.0,
    "distribution_alignment": False,
    "discriminator": "article",
}
FOLDER_ROOT = "experiments/runs/folders"  # seen from the root of the repository


class Data(NamedTuple):
    """A data set; a run on another number of images leaves no result, so that none are mixed."""

    title: str
    flags: str
    train_images: int
    test_images: int


class Folder(NamedTuple):
    """A folder of PNG files that `experiments/folders.py` makes from another data set.

    Attributes:
        source: a data set of TensorFlow Datasets, house_numbers, or a key of `SOURCES`.
        channels: 3 for color, 1 for gray.
        labeled: images with a label, equally many of each class.
        unlabeled: training images without one.
        test: test images.
        classes: of the source; empty: all.
    """

    source: str
    channels: int
    labeled: int
    unlabeled: int
    test: int = 2000
    classes: tuple[str, ...] = ()


class Source(NamedTuple):
    """A repository, and its folder that has a folder of images for each class, or NumPy files."""

    repository: str
    folder: str


# Hands of 218 students, who are in both parts: 100 x 100 pixels, Apache-2.0 (arXiv:2011.08927).
# Clothes in photos of 400 x 533 pixels, unequally many of each class, free for any use.
# The 10,000 test images of KMNIST, handwritten Japanese letters: 28 x 28 pixels, CC BY-SA 4.0
# (arXiv:1812.01718).
SOURCES = {
    "signs": Source("https://github.com/ardamavi/Sign-Language-Digits-Dataset", "Dataset"),
    "clothes": Source("https://github.com/alexeygrigorev/clothing-dataset-small", "train"),
    "kmnist": Source(
        "https://github.com/Vasu-Shrivastava/Kuzushiji-MNIST-Classification", "KMNIST"
    ),
}
_KINDS = {
    "house_numbers": "digits",
    "cifar10": "photos",
    "signs": "photos of hand signs",
    "clothes": "photos of clothes",
    "kmnist": "letters of KMNIST",
}
FOLDERS = {
    "digits-gray-80": Folder("house_numbers", 1, 40, 40),
    "digits-gray-1000": Folder("house_numbers", 1, 100, 900),
    "digits-10000": Folder("house_numbers", 3, 250, 9750),
    "photos-300": Folder("cifar10", 3, 100, 200),
    "photos-gray-2000": Folder("cifar10", 1, 250, 1750),
    "photos-3000": Folder("cifar10", 3, 250, 2750),
    "photos-10000": Folder("cifar10", 3, 1000, 9000),
    "cats-dogs-5000": Folder("cifar10", 3, 250, 4750, classes=("cat", "dog")),
    "signs-1500": Folder("signs", 3, 100, 1400, test=400),
    "letters-7700": Folder("kmnist", 1, 250, 7450, test=1900),
    "clothes-2400": Folder("clothes", 3, 250, 2150, test=630),
}


def _folder_data(name: str, folder: Folder) -> Data:
    images = folder.labeled + folder.unlabeled
    gray = "gray " if folder.channels == 1 else ""
    channels = " --channels=1" if folder.channels == 1 else ""
    flags = f"--dataset=folder:{FOLDER_ROOT}/{name}{channels}"
    classes = f" of {' and '.join(f'{word}s' for word in folder.classes)}" if folder.classes else ""
    title = f"folder of {images:,} {gray}{_KINDS[folder.source]}{classes}"
    return Data(title, flags, images, folder.test)


DATA = {
    "svhn": Data("SVHN subset", "", 10_259, 2600),
    "house_numbers": Data("house_numbers", "--dataset=house_numbers", 10_000, 2000),
    "cifar10": Data("CIFAR-10", "--dataset=cifar10", 50_000, 10_000),
} | {name: _folder_data(name, folder) for name, folder in FOLDERS.items()}


@dataclasses.dataclass(frozen=True)
class Run:
    """The runs of one row of a table, which differ in their seed alone.

    Attributes:
        name: unique; of the run directories and of the rows in results.csv.
        data: a key of `DATA`.
        labels: as for `--labeled`; for folders, whose labeled images are all used, their number.
        flags: all other flags, as one would type them.
        what: what it is, in words.
        seeds: 0 to `seeds` - 1.
        control: name of the run that it is compared with, seed by seed; "": it is a control.
    """

    name: str
    data: str
    labels: str
    flags: str
    what: str
    seeds: int = 1
    control: str = ""

    @property
    def command(self) -> str:
        """What one would type, without the seed."""
        labeled = "" if self.data in FOLDERS else f"--labeled={self.labels}"
        words = ["python -m ssgan_tf.train", DATA[self.data].flags, labeled, self.flags]
        return " ".join(word for word in words if word)

    def config(self, seed: int = 0) -> Config:
        """The configuration that the command gives."""
        words = shlex.split(self.command)[2:]
        return parse_config([*words, f"--seed={seed}"], self.command, "")

    @property
    def recipe(self) -> str:
        """A digest of the whole configuration, the preset spelled out, but for `NOT_RECIPE`.

        A result of another recipe does not count: of other flags, or of a preset or a default that
        was changed since. `bn_start` counts where it can change the result: without pseudo-labels
        no weight depends on it, and after 1,800 steps less than 1e-4 of the start is left in the
        moving averages.
        """
        config = self.config()
        values = {k: v for k, v in config.to_dict().items() if k not in NOT_RECIPE}
        values = {k: v for k, v in values.items() if k not in OFF or v != OFF[k]}
        if not config.consistency_weight and self.steps() >= 1800:
            del values["bn_start"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def fitted(self, seed: int = 0) -> Config:
        """The configuration with what is chosen by the numbers of training images and labels."""
        labels = self._images() if self.labels == "all" else int(self.labels)
        return self.config(seed).fit_to(self._images(), labels=labels)

    def steps(self) -> int:
        """Train steps, as the number of training images and the flags give them."""
        return self.fitted().length(self._images())[1]

    def _images(self) -> int:
        images = DATA[self.data].train_images
        return images - round(images * self.config().validation_fraction)


# The methods of the tables of accuracy. `article-control` has what suits the labels alone better
# than the preset's own dropout and schedule (the section "The article").
METHODS = {
    "article-control": (
        "labels alone, dropout 0.5, linear schedule",
        "--method=supervised --schedule=linear --drop_rate=0.5",
    ),
    "article": ("`article`", ""),
    "tuned-control": ("labels alone, `tuned`", "--preset=tuned --method=supervised"),
    "tuned": ("`tuned`", "--preset=tuned"),
    "pooled-control": ("labels alone, `pooled`", "--preset=pooled --method=supervised"),
    "pooled": ("`pooled`", "--preset=pooled"),
    "vgg-control": ("labels alone, `vgg`", "--preset=vgg --method=supervised"),
    "vgg": ("`vgg`", "--preset=vgg"),
}
LABELS = ("100", "250", "500", "1000", "2500", "all")


def _method(method: str, data: str, labels: str, seeds: int, extra: str = "") -> Run:
    """A run of one of `METHODS`, compared with the labels alone."""
    what, flags = METHODS[method]
    control = "" if method.endswith("-control") else f"{data}-{labels}-{method}-control"
    flags = f"{flags} {extra}".strip()
    return Run(f"{data}-{labels}-{method}", data, labels, flags, what, seeds, control)


# How many labels, from 100 to all; several seeds where the documents draw conclusions.
_POOLED_SEEDS = {"100": 3, "250": 5, "1000": 3}
_OTHER_SEEDS = {"250": 3, "1000": 3}
SVHN = [
    _method(method, "svhn", labels, seeds.get(labels, 1))
    for labels in LABELS
    for method in METHODS
    for seeds in [_POOLED_SEEDS if method.startswith(("pooled", "vgg")) else _OTHER_SEEDS]
]
HOUSE_NUMBERS = [
    _method(method, "house_numbers", labels, 3) for labels in ("250", "1000") for method in METHODS
] + [
    Run(
        "house_numbers-1000-control-article-flags",
        "house_numbers",
        "1000",
        "--method=supervised",
        "labels alone, the flags of `article`",
        3,
    )
]
_NO_GAN = "--unsupervised_weight=0"
_128_LABELS = "--labeled_batch_size=128"
CIFAR10 = [
    _method(method, "cifar10", "4000", 3, "--augment_flip --steps=6400")
    for method in ("tuned-control", "tuned", "pooled-control", "pooled", "vgg-control")
] + [
    Run(
        f"cifar10-4000-{preset}-{name}",
        "cifar10",
        "4000",
        f"--preset={preset} --augment_flip --steps=6400 {flags}",
        f"`{preset}`, {what}",
        3,
        f"cifar10-4000-{preset}-control",
    )
    for preset, name, flags, what in (
        ("pooled", "no-gan", _NO_GAN, "no GAN terms"),
        ("pooled", "128-labels", _128_LABELS, "as many labels a step as the control"),
        ("vgg", "128-labels", _128_LABELS, "as many labels a step as the control"),
    )
]

ARTICLE = [
    Run(f"svhn-1000-{name}", "svhn", "1000", flags, what, 3, control)
    for name, flags, what, control in (
        (
            "control-drop0",
            "--method=supervised --schedule=linear --drop_rate=0",
            "labels alone, no dropout, linear schedule",
            "",
        ),
        (
            "notebook-linear",
            "--preset=notebook --schedule=linear",
            "`notebook`, linear schedule",
            "svhn-1000-article-control",
        ),
        (
            "article-drop0-linear",
            "--schedule=linear --drop_rate=0",
            "`article`, no dropout, linear schedule",
            "svhn-1000-article-control",
        ),
    )
]

# One change at a time from `article` with 1,000 labels: each switch of the published code, and the
# pieces of the method.
ABLATION = [
    Run(f"ablation-{name}", "svhn", "1000", flags, what, 1, "svhn-1000-article")
    for name, flags, what in (
        ("drop0", "--drop_rate=0", "no dropout"),
        ("drop0.25", "--drop_rate=0.25", "dropout 0.25"),
        ("drop0.5", "--drop_rate=0.5", "dropout 0.5, the nominal value of the published code"),
        ("conv5", "--conv7_input=conv5", "conv7 reads conv5, as in the published code"),
        ("bn-batch", "--bn_inference=batch", "batch statistics at test time, as there"),
        ("bn-mixed", "--bn_averages=mixed", "moving averages of real and fake images, as there"),
        ("first-labels", "--label_selection=first", "the first 1,000 labels, as there"),
        ("no-smoothing", "--label_smoothing=0", "no label smoothing"),
        ("adversarial", "--generator_loss=adversarial", "the original GAN loss for the generator"),
        ("no-gan", "--unsupervised_weight=0", "no unsupervised terms"),
        ("wide-generator", "--generator_width=128", "generator of width 128"),
    )
]


# `tuned` with 2,000 steps, on validation images.
def _validated(flags: str = "", steps: int = 2000) -> str:
    start = f"--preset=tuned --steps={steps} --validation_fraction=0.1 --eval_every=5"
    return f"{start} {flags}".strip()


# Candidates for `pooled`, chosen on three data sets at once, by the mean gain over each one's
# control with no loss on any. The validation part is not larger than the labeled part. The networks
# are narrow, so that many runs are affordable.
_ALONE = "--method=supervised"
_ARTICLE_LAYERS = "--discriminator_width=32"
_POOLED = "--discriminator=pooled --discriminator_width=16"
CANDIDATE_DATA = {
    "svhn": ("250", "--validation_fraction=0.024"),
    "house_numbers": ("250", "--validation_fraction=0.025"),
    "cifar10": ("1000", "--validation_fraction=0.02 --augment_flip"),
}
CANDIDATES = [
    Run(
        f"candidate-{data}-{name}",
        data,
        labels,
        f"--preset=tuned --steps=1600 --augment_cutout=0.375 --generator_width=16 --eval_every=40 "
        f"{extra} {flags}",
        what,
        3,
        control and f"candidate-{data}-{control}",
    )
    for data, (labels, extra) in CANDIDATE_DATA.items()
    for name, flags, what, control in (
        (
            "pooled-control",
            f"{_POOLED} {_ALONE}",
            "labels alone, pooled layers",
            "",
        ),
        ("pooled-no-gan", f"{_POOLED} {_NO_GAN}", "pooled layers, no GAN terms", "pooled-control"),
        (
            "pooled-no-gan-aligned",
            f"{_POOLED} {_NO_GAN} --distribution_alignment",
            "pooled layers, no GAN terms, aligned classes",
            "pooled-control",
        ),
        (
            "article-control",
            f"{_ARTICLE_LAYERS} {_ALONE}",
            "labels alone, the article's layers",
            "",
        ),
        (
            "article-no-gan",
            f"{_ARTICLE_LAYERS} {_NO_GAN}",
            "the article's layers, no GAN terms",
            "article-control",
        ),
        (
            "pooled",
            f"{_POOLED} --augment_fakes",
            "pooled layers, with the GAN terms, fakes changed as well",
            "pooled-control",
        ),
    )
]

# What the labels alone want, and what the GAN's terms add to each: controls must be strong.
_PLAIN = "--learning_rate=1e-3 --drop_rate=0.2 --augment_color=0"
_COLOR = "--learning_rate=1e-3 --drop_rate=0.2"
_GAN = "--consistency_weight=0"
_WITH_GAN = "with the GAN terms, no pseudo-labels"
CONTROLS = [
    Run(
        f"controls-{labels}-{name}",
        "svhn",
        labels,
        flags,
        what,
        1,
        control and f"controls-{labels}-{control}",
    )
    for labels in ("250", "1000")
    for name, flags, what, control in (
        ("plain", _validated(f"{_ALONE} {_PLAIN}"), "shifts", ""),
        ("color", _validated(f"{_ALONE} {_COLOR}"), "shifts, color", "plain"),
        (
            "drop0.5",
            _validated(f"{_ALONE} --learning_rate=1e-3 --drop_rate=0.5"),
            "shifts, color, dropout 0.5",
            "color",
        ),
        ("tuned", _validated(_ALONE), "`tuned`", "color"),
        ("tuned-1000-steps", _validated(_ALONE, 1000), "`tuned`, 1,000 steps", "tuned"),
        ("tuned-6000-steps", _validated(_ALONE, 6000), "`tuned`, 6,000 steps", "tuned"),
        ("gan", _validated(f"{_GAN} {_PLAIN}"), f"shifts, {_WITH_GAN}", "plain"),
        ("color-gan", _validated(f"{_GAN} {_COLOR}"), f"shifts, color, {_WITH_GAN}", "color"),
    )
]

_LONG = "--preset=tuned --steps=20000 --eval_every=5"
LONG = [
    Run(
        "long-control",
        "svhn",
        "1000",
        f"{_LONG} --method=supervised",
        "labels alone, `tuned`, 20,000 steps",
    ),
]

# The plain command for one's own images, and the control that its closing lines name; and the same
# with `pooled`.
_MEASURED_WITH_POOLED = (
    "digits-10000",
    "photos-10000",
    "cats-dogs-5000",
    "signs-1500",
    "letters-7700",
    "clothes-2400",
)


def _folder_runs(name: str, folder: Folder) -> list[Run]:
    labels, found = str(folder.labeled), []
    for preset in ("", "pooled") if name in _MEASURED_WITH_POOLED else ("",):
        flags = f"--preset={preset}" if preset else ""
        run = f"folder-{name}-{preset}".rstrip("-")
        alone = f"labels alone, `{preset}`" if preset else "labels alone"
        what = f"`{flags}`" if preset else "plain command"
        control = f"{flags} --method=supervised".strip()
        found += [
            Run(f"{run}-control", name, labels, control, alone, 3),
            Run(run, name, labels, flags, what, 3, f"{run}-control"),
        ]
    return found


FOLDER_RUNS = [run for name, folder in FOLDERS.items() for run in _folder_runs(name, folder)] + [
    # What docs/own-images.md says to try for equally many labels of unequally frequent classes.
    Run(
        "folder-clothes-2400-pooled-not-aligned",
        "clothes-2400",
        "250",
        "--preset=pooled --distribution_alignment=false",
        "`--preset=pooled --distribution_alignment=false`, compared with `--preset=pooled`",
        3,
        "folder-clothes-2400-pooled",
    ),
    # What patience, or a GPU, brings.
    Run(
        "folder-photos-10000-control-6400",
        "photos-10000",
        "1000",
        "--method=supervised --steps=6400",
        "labels alone, twice the steps",
        3,
    ),
    Run(
        "folder-photos-10000-6400",
        "photos-10000",
        "1000",
        "--steps=6400",
        "plain command, twice the steps",
        3,
        "folder-photos-10000-control-6400",
    ),
]

# What `pooled` reaches without its parts: the same flags, labels and seeds. Without the GAN terms
# a step takes little more than half of the time, so that twice the steps take about as long.
WHOLE = (
    "svhn-250-pooled",
    "folder-digits-10000-pooled",
    "folder-photos-10000-pooled",
    "folder-signs-1500-pooled",
)
PARTS = [
    Run(
        f"{whole.name}-{name}",
        whole.data,
        whole.labels,
        f"{whole.flags} {flags}".strip(),
        f"{whole.what}, {what}",
        whole.seeds,
        whole.name,
    )
    for whole in [run for run in (*SVHN, *FOLDER_RUNS) if run.name in WHOLE]
    for name, flags, what in (
        ("no-gan", _NO_GAN, "no GAN terms"),
        ("no-gan-6400", f"{_NO_GAN} --steps=6400", "no GAN terms, twice the steps"),
    )
]

# What else the classifier knows (`experiments/realness.py`) needs validation images.
REALNESS = [
    Run(
        f"realness-{preset}",
        "svhn",
        "1000",
        f"--preset={preset} --validation_fraction=0.1",
        f"`{preset}`",
    )
    for preset in ("article", "pooled")
]

_ALL = [
    *SVHN,
    *HOUSE_NUMBERS,
    *CIFAR10,
    *FOLDER_RUNS,
    *ARTICLE,
    *CANDIDATES,
    *PARTS,
    *ABLATION,
    *LONG,
    *CONTROLS,
    *REALNESS,
]
RUNS = {run.name: run for run in _ALL}
