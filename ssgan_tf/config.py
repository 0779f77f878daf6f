"""Every hyper-parameter of a run, once: name, default, meaning, allowed values.

The command line (`flags.py`), `config.json` and TensorBoard's table are all made from `Config`, so
no default is written twice. What presets change in the defaults is in `presets.py`. This
module imports neither TensorFlow nor absl, which takes seconds: a bad value is reported at once.
"""

import dataclasses
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Self, get_args

from ssgan_tf.presets import (
    ARTICLE_CONTROL,
    AUTOMATIC,
    FOLDER_DEFAULTS,
    FOLDER_PRESET,
    LARGEST_BATCH,
    LEAST_STEPS,
    MANY_LABELS,
    MOST_ROUNDS,
    PASSES,
    PRESETS,
    SEMI_SUPERVISED_ONLY,
    UNUSED_BY_CONTROL,
)


class UserError(Exception):
    """Something the user can correct; its message is one sentence that says what and how."""


def _field(
    default: Any,
    group: str,
    meaning: str,
    *,
    choices: tuple[Any, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field that knows its group, its meaning and its allowed values."""
    metadata = {"group": group, "meaning": meaning, "choices": choices}
    return dataclasses.field(
        default=default, metadata=metadata | {"minimum": minimum, "maximum": maximum}
    )


LARGEST = 2**31 - 1  # of the integers
TYPES = {  # in words
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number, as in 0.5",
    "str": "text",
}
Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
FOLDER = "folder:"  # what stands before the path of one's own images


@dataclasses.dataclass(frozen=True, init=False)
class Config:
    """The hyper-parameters of one run: `Config(preset="tuned", labeled=250)`.

    What is not given has the preset's value; the defaults are the article's, for folders of images
    those of `FOLDER_DEFAULTS`.

    Raises:
        UserError: on construction, if a value is not allowed; the message names the flag.
    """

    preset: str = _field(
        "article",
        "Method",
        "Starting values. article: its text; notebook: its code with every quirk. With "
        "pseudo-labels: tuned (the same networks), pooled (other layers), vgg (others again, no "
        "GAN; the default for folders).",
        choices=tuple(PRESETS),
    )
    method: str = _field(
        "semi_supervised",
        "Method",
        "With unlabeled images, or the control: the same classifier trained on the labels alone.",
        choices=("semi_supervised", "supervised"),
    )

    dataset: str = _field(
        "svhn_cropped",
        "Data",
        "An image classification data set of TensorFlow Datasets, the rendered house_numbers, or "
        "folder:PATH, your own images.",
    )
    data_dir: str = _field(
        "",
        "Data",
        "Where TensorFlow Datasets keeps its data; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets.",
    )
    image_size: int = _field(
        32,
        "Data",
        "Side of the images in pixels; others are brought to it, and the networks grow with it.",
        choices=(16, 32, 64, 128),
    )
    fit: Literal["crop", "pad", "stretch"] = _field(
        "crop",
        "Data",
        "How images that are not square become square: cut off, add black, or stretch.",
        choices=FITS,
    )
    channels: int = _field(
        0,
        "Data",
        "3 for color, 1 for gray, 0 for what the data set has; folders have color.",
        choices=(0, 1, 3),
    )
    test_fraction: float = _field(
        0.2,
        "Data",
        "Part of the labeled images of a folder that are set aside as test images, by the path of "
        "each, where it has no test/.",
        minimum=0.01,
        maximum=0.9,
    )
    cache_dir: str = _field(
        "",
        "Data",
        "Where the decoded images of folders are kept between runs; empty: ~/.cache/ssgan_tf.",
    )
    memory_budget_gb: float = _field(
        0.0,
        "Data",
        "GB of memory that the images may take, beyond which they are read from disk; 0: a safe "
        "share of what is free.",
        minimum=0,
    )
    labeled: int | str = _field(
        1000,
        "Data",
        "How many training images keep their label, in total: a number, or 'all', which is the "
        "default for folders.",
    )
    label_selection: str = _field(
        "balanced",
        "Data",
        "Which ones: the same number of each class, drawn by seed, or the first by id.",
        choices=("balanced", "first"),
    )
    labels_from: str = _field(
        "", "Data", "A labels.json of an earlier run, to use the very same labels again."
    )
    unlabeled_splits: str = _field(
        "train",
        "Data",
        "Parts of a TensorFlow Datasets set whose images join without labels, as in train+extra.",
    )
    validation_fraction: float = _field(
        0.0,
        "Data",
        "Part of the training images set aside, per class, before labels are drawn; of a folder, "
        "part of the labeled images.",
        minimum=0,
        maximum=0.5,
    )

    latent_dim: int = _field(100, "Networks", "Length of the generator's input z.", minimum=1)
    generator_width: int = _field(
        32, "Networks", "Width multiplier m_g of the generator.", minimum=1
    )
    discriminator_width: int = _field(
        64, "Networks", "Width multiplier m_d of the discriminator.", minimum=1
    )
    discriminator: Literal["article", "pooled", "vgg"] = _field(
        "article",
        "Networks",
        "The article's layers, or as many whose maps are halved later, by max pooling: pooled, or "
        "vgg, which also sees the image at its full size and takes more time.",
        choices=("article", "pooled", "vgg"),
    )
    conv7_input: Literal["conv6", "conv5"] = _field(
        "conv6",
        "Networks",
        "What conv7 reads; conv5 (with valid padding) leaves conv6 unused, as the notebook does.",
        choices=("conv6", "conv5"),
    )
    drop_rate: float = _field(
        0.1,
        "Networks",
        "Dropout rate of the discriminator; the rate on its input is this / 2.5.",
        minimum=0,
        maximum=0.9,
    )
    bn_inference: Literal["moving", "batch"] = _field(
        "moving",
        "Networks",
        "How evaluation normalizes: moving averages, or the statistics of the test batch.",
        choices=("moving", "batch"),
    )
    bn_averages: str = _field(
        "real",
        "Networks",
        "Which images the discriminator's moving averages follow: real ones, or fakes as well.",
        choices=("real", "mixed"),
    )
    bn_start: str = _field(
        "corrected",
        "Networks",
        "What the moving averages start from: the first batches, or 0 and 1 as in TF1, of "
        "which half is left after 69 updates.",
        choices=("corrected", "tf1"),
    )

    label_smoothing: float = _field(
        0.1, "Losses", "Real images have the target 1 - this.", minimum=0, maximum=0.5
    )
    generator_loss: str = _field(
        "feature_matching",
        "Losses",
        "What the generator minimizes; adversarial is the original, non-saturating GAN loss.",
        choices=("feature_matching", "adversarial"),
    )
    unsupervised_weight: float = _field(
        1.0,
        "Losses",
        "Weight of the discriminator's unsupervised terms; 0: no generator.",
        minimum=0,
    )
    unsupervised_ramp: float = _field(
        0.0,
        "Losses",
        "Raise the weight of the discriminator's unsupervised terms from 0 over this fraction of "
        "the steps.",
        minimum=0,
        maximum=1,
    )

    consistency_weight: float = _field(
        0.0,
        "Losses",
        "Weight of the consistency term on unlabeled images; needs --ema_decay.",
        minimum=0,
    )
    consistency_threshold: float = _field(
        0.95,
        "Losses",
        "How sure the averaged classifier must be of an image to teach its class.",
        minimum=0,
        maximum=1,
    )
    consistency_share_power: float = _field(
        0.0,
        "Losses",
        "Weaken the consistency term while few images reach --consistency_threshold: multiply it "
        "by their share to this power; 0: off.",
        minimum=0,
    )
    distribution_alignment: bool = _field(
        False,
        "Losses",
        "Correct what the averaged classifier says of unlabeled images, so that on average it "
        "gives each class its share of the labels.",
    )

    epochs: int = _field(
        25,
        "Training",
        f"Passes over the training images; 0: {PASSES}, but at least {LEAST_STEPS:,} steps.",
        minimum=0,
    )
    steps: int = _field(
        0,
        "Training",
        "Number of train steps, over which the schedule spans; 0: as --epochs says.",
        minimum=0,
    )
    batch_size: int = _field(
        128,
        "Training",
        f"Images per step, and fakes as well; 0: what fits the images, at most {LARGEST_BATCH}.",
        minimum=0,
    )
    labeled_batch_size: int = _field(
        0,
        "Training",
        "Labeled images in a second batch of each step, which then carries the supervised loss; "
        f"-1: half of --batch_size, or with more than {MANY_LABELS:,} labels as many.",
        minimum=-1,
    )
    balance_classes: str = _field(
        "auto",
        "Training",
        "Draw labeled batches class by class; auto: for folders whose largest class has more than "
        "twice the labels of the smallest.",
        choices=("auto", "true", "false"),
    )
    learning_rate: float = _field(
        3e-4, "Training", "Adam's learning rate, of both networks.", minimum=0
    )
    beta_1: float = _field(0.5, "Training", "Adam's beta_1.", minimum=0, maximum=0.999)
    schedule: str = _field(
        "exponential",
        "Training",
        "x 0.9 after each epoch (with --steps: 1/25 of the run); constant for the first half, then "
        "down to 0.",
        choices=("exponential", "linear"),
    )
    augment_flip: bool = _field(
        False,
        "Training",
        "Mirror half of the training images left to right: for photos, not for digits or letters.",
    )
    augment_shift: float = _field(
        0.0,
        "Training",
        "Shift each training image by up to this fraction of its side, both ways (2 of 32 pixels: "
        "0.0625).",
        minimum=0,
        maximum=0.25,
    )
    augment_color: float = _field(
        0.0,
        "Training",
        "Change each channel's contrast, and its brightness in [-1, 1], by up to this much.",
        minimum=0,
        maximum=1,
    )
    augment_cutout: float = _field(
        0.0,
        "Training",
        "Make a square of each training image gray, whose side is this fraction of the image's.",
        minimum=0,
        maximum=1,
    )
    augment_fakes: bool = _field(
        False,
        "Training",
        "Change fakes, too, as --augment_* says, so that the discriminator cannot tell them by it.",
    )
    ema_decay: float = _field(
        0.0,
        "Training",
        "Evaluate and export the average of the weights, with this decay; 0: the weights.",
        minimum=0,
        maximum=0.9999,
    )
    seed: int = _field(
        0,
        "Training",
        "Of labels, validation part, initial weights, order of images, z, dropout.",
        minimum=0,
        maximum=LARGEST,
    )
    deterministic: bool = _field(
        False, "Training", "Bit-identical repetition, at some cost in speed."
    )

    precision: str = _field(
        "float32",
        "Speed",
        "Number format of convolutions and products; weights, losses and statistics stay float32. "
        "auto: what the device is fast at.",
        choices=("float32", "bfloat16", "float16", "auto"),
    )
    jit_compile: str = _field(
        "auto",
        "Speed",
        "Compile the train step with XLA; auto: on a single GPU, since on CPUs it is slower.",
        choices=("auto", "true", "false"),
    )
    steps_per_call: int = _field(
        1,
        "Speed",
        "Train steps that TensorFlow takes before Python is asked again; more for fast devices.",
        minimum=1,
        maximum=20,  # as often as curves are written
    )
    strategy: str = _field(
        "auto",
        "Speed",
        "On how many devices: one, all GPUs of this machine, or all machines of $TF_CONFIG. "
        "auto: all GPUs that are visible.",
        choices=("auto", "none", "mirrored", "multi_worker"),
    )

    run_dir: str = _field(
        "",
        "Run",
        "Where the run is written, and resumed if it is there already; "
        "empty: runs/DATASET-LABELED-PRESET-METHOD-SEED.",
    )
    eval_every: int = _field(
        1,
        "Run",
        "Epochs between two evaluations; for folders rounds, each of one or more epochs (at least "
        f"10 steps; without --epochs, at most {MOST_ROUNDS} rounds in a run).",
        minimum=1,
    )
    keep_checkpoints: int = _field(3, "Run", "Checkpoints kept, the newest ones.", minimum=1)
    checkpoint_every_minutes: float = _field(
        10.0,
        "Run",
        "Time after which a long epoch gets a checkpoint before its end; 0: only at its end.",
        minimum=0,
    )

    def __init__(self, **given: Any) -> None:
        """
        Args:
            given: values by the names of the fields.
        """
        names = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(given.keys() - names):
            raise TypeError(f"Config has no field {unknown[0]!r}")
        floats = {field.name: field.type is float for field in dataclasses.fields(self)}
        for name, value in (starting_values(given) | given).items():
            if name == "dataset" and is_folder(value):
                value = value.rstrip("/") or value  # as the shell completes it
            if floats.get(name) and type(value) is int and abs(value) <= LARGEST:
                value = float(value)  # as the command line does; TensorFlow tells them apart
            object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        self._check_together()

    def _check_together(self) -> None:
        """Raises `UserError` where a value does not go with another."""
        if self.labeled != "all" and (type(self.labeled) is not int or self.labeled < 1):
            raise UserError(
                f"--labeled={self.labeled}: give the number of labeled images, or 'all'."
            )
        if self.dataset == FOLDER:
            raise UserError("--dataset=folder: needs a path, as in --dataset=folder:my_images.")
        parts = self.unlabeled_splits.split("+")
        if "train" not in parts or not all(parts) or len(set(parts)) < len(parts):
            raise UserError(
                f"--unlabeled_splits={self.unlabeled_splits}: give train, or train and other parts "
                "with + between them, as in train+extra."
            )
        if len(parts) > 1 and is_folder(self.dataset):
            raise UserError(
                f"--unlabeled_splits={self.unlabeled_splits}: a folder has its images without "
                "labels in unlabeled/; leave the flag out."
            )
        if self.conv7_input == "conv5" and self.discriminator != "article":
            raise UserError(
                "--conv7_input=conv5: goes with the article's layers alone; give "
                "--discriminator=article as well, or --conv7_input=conv6."
            )
        if self.learning_rate == 0:
            raise UserError("--learning_rate=0: nothing would be learned; the article has 0.0003.")
        if self.method == "supervised":
            for name in SEMI_SUPERVISED_ONLY:
                if value := getattr(self, name):
                    raise UserError(
                        f"--{name}={written(value)}: --method=supervised trains on labeled images "
                        "alone and has no use for it; leave it out."
                    )
        elif self.balance_classes == "true" and not self.labeled_batch_size:
            raise UserError(
                "--balance_classes=true: needs batches of labeled images; give "
                "--labeled_batch_size as well, such as 64."
            )
        if self.consistency_weight and not self.ema_decay:
            raise UserError(
                f"--consistency_weight={self.consistency_weight}: the averaged weights teach, so "
                "give --ema_decay as well, such as 0.995."
            )
        if self.augment_fakes and not self.has_generator:
            raise UserError(
                "--augment_fakes: there are no fakes at --unsupervised_weight=0; give "
                "--augment_fakes=false, or --unsupervised_weight=1."
            )
        if self.distribution_alignment and not self.consistency_weight:
            raise UserError(
                "--distribution_alignment: corrects what the consistency term teaches, so give "
                "--consistency_weight as well, such as 3."
            )
        if self.consistency_share_power and not self.consistency_weight:
            raise UserError(
                f"--consistency_share_power={self.consistency_share_power}: weakens the "
                "consistency term, so give --consistency_weight as well, such as 3."
            )

    @classmethod
    def from_preset(cls, preset: str = "article", **changes: Any) -> Self:
        """The preset's values with `changes` on top: `Config(preset=preset, **changes)`.

        Raises:
            UserError: if there is no such preset, or a value is not allowed.
        """
        return cls(preset=preset, **changes)

    def changes(self) -> dict[str, Any]:
        """The values that differ from those of the preset, by name, in the order of the fields."""
        known = ("dataset", "method", "preset", "deterministic")
        known += ("unsupervised_weight", "consistency_weight")
        start = starting_values({name: getattr(self, name) for name in known}) | {
            "dataset": _default("dataset"),
            "method": _default("method"),
            "preset": _preset(self.dataset),
        }
        return {name: value for name, value in self.to_dict().items() if value != start[name]}

    def command(self) -> list[str]:
        """The words of the command that gives this configuration."""
        flags = [f"--{name}={written(value)}" for name, value in self.changes().items()]
        return ["python", "-m", "ssgan_tf.train", *flags]

    def control(self) -> Self:
        """The control of a semi-supervised run: the labels alone, all else as it is.

        `article` has a stronger control with other values in the flags of `ARTICLE_CONTROL`; those
        of them that are given stay as they are.
        """
        given = {k: v for k, v in self.changes().items() if k not in UNUSED_BY_CONTROL}
        if self.preset == "article":
            given = ARTICLE_CONTROL | given
        if self.run_dir:
            given["run_dir"] = f"{self.run_dir.rstrip('/')}-supervised"
        return type(self)(**(given | {"preset": self.preset, "method": "supervised"}))

    def fit_to(self, images: int, replicas: int = 1, labels: int = 0) -> Self:
        """Puts numbers in the place of what is to be chosen by the images and labels there are.

        Args:
            images: training images, labeled or not.
            replicas: devices, among which a batch is divided.
            labels: training images with a label.
        """
        batch_size = self.batch_size
        if not batch_size:  # a power of two, at most half of the images
            power = 1 << max(0, (images // 2).bit_length() - 1)
            batch_size = max(replicas, min(LARGEST_BATCH, power) // replicas * replicas)
        labeled_batch_size = self.labeled_batch_size
        if labeled_batch_size < 0:
            size = batch_size if labels > MANY_LABELS else batch_size // 2
            labeled_batch_size = max(replicas, size // replicas * replicas)
        steps = self.steps
        if not steps and not self.epochs:
            steps = max(PASSES * (images // batch_size), LEAST_STEPS)
        return dataclasses.replace(
            self, batch_size=batch_size, labeled_batch_size=labeled_batch_size, steps=steps
        )

    def length(self, images: int) -> tuple[int, int]:
        """Steps of an epoch, and of the whole run, on so many training images."""
        steps_per_epoch = max(1, images // self.batch_size)
        return steps_per_epoch, self.steps or self.epochs * steps_per_epoch

    def automatic(self) -> list[str]:
        """Names of the numbers that are still to be chosen (`fit_to`)."""
        names = [name for name, value in AUTOMATIC.items() if getattr(self, name) == value]
        if "epochs" in names:
            names[names.index("epochs")] = "steps"
        return names if not self.steps else [name for name in names if name != "steps"]

    def chosen_as(self, other: Self, chosen: Collection[str]) -> Self:
        """This configuration with `other`'s numbers where they are to be chosen, and were there.

        Args:
            other: of the same run, with numbers.
            chosen: those that were chosen in it; all other numbers were given.
        """
        names = [name for name in self.automatic() if name in chosen]
        if self.epochs == AUTOMATIC["epochs"] and "epochs" in chosen:
            names.append("epochs")
        return dataclasses.replace(self, **{name: getattr(other, name) for name in names})

    @property
    def has_generator(self) -> bool:
        """Whether one is trained: not for the control, nor where the GAN's terms have no weight."""
        return self.method == "semi_supervised" and self.unsupervised_weight > 0

    def to_dict(self) -> dict[str, Any]:
        """All values by name."""
        return dataclasses.asdict(self)


def is_folder(dataset: Any) -> bool:
    """Whether `--dataset` names a folder of the user's own images."""
    return str(dataset).startswith(FOLDER)


def _default(name: str) -> Any:
    return Config.__dataclass_fields__[name].default


def _preset(dataset: Any) -> str:
    return FOLDER_PRESET if is_folder(dataset) else _default("preset")


def starting_values(given: dict[str, Any]) -> dict[str, Any]:
    """What a configuration starts from, by what is given of it: data set, preset, method ..."""
    dataset = given.get("dataset", _default("dataset"))
    preset = given.get("preset", _preset(dataset))
    values = {name: field.default for name, field in Config.__dataclass_fields__.items()}
    values |= PRESETS.get(str(preset), {}) | {"preset": preset}
    if is_folder(dataset):
        values |= FOLDER_DEFAULTS
        if values["labeled_batch_size"]:
            values |= AUTOMATIC
    if given.get("unsupervised_weight", values["unsupervised_weight"]) == 0:
        values["augment_fakes"] = False  # there are none
    if given.get("consistency_weight") == 0:
        values |= {"distribution_alignment": False, "consistency_share_power": 0.0}
    if given.get("deterministic"):  # the same numbers on a machine that is fast at others
        values["precision"] = "float32"
    if given.get("method") == "supervised":  # the control has the rest of the preset
        values |= {name: _default(name) for name in SEMI_SUPERVISED_ONLY}
    return values


def written(value: Any) -> str:
    """A value as it stands on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def expand_user(path: str) -> Path:
    """A path with `~` in it resolved.

    Raises:
        UserError: if it names the home of nobody.
    """
    resolved = os.path.expanduser(path)
    if resolved.startswith("~"):
        raise UserError(f"{path}: there is no such user; give ./{path} if it is a name.")
    return Path(resolved)


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raises `UserError` where `value` is not of the field's type, choices or range."""
    flag = f"--{field.name}={written(value)}"
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"{flag}: is beyond what is of use; give at most {LARGEST:,}.")
    choices, low, high = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if choices and (type(value), value) not in [(type(choice), choice) for choice in choices]:
        raise UserError(f"{flag}: must be one of {', '.join(map(str, choices))}.")
    if isinstance(field.type, type) and type(value) is not field.type:
        raise UserError(f"{flag}: must be {TYPES[field.type.__name__]}.")
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"--{field.name}: must not have a NUL character in it.")
    if isinstance(value, float) and not math.isfinite(value):
        words = allowed_values(field)
        raise UserError(f"{flag}: must be a finite number{words and ', '}{words}.")
    if (low is not None and value < low) or (high is not None and value > high):
        raise UserError(f"{flag}: must be {allowed_values(field)}.")


def allowed_values(field: dataclasses.Field) -> str:
    """What the field may hold, in words; empty where its type says it all."""
    choices, low, high = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if choices:
        return "one of " + ", ".join(map(str, choices))
    if low is not None and high is not None:
        return f"from {low} to {high}"
    if low is not None:
        return f"at least {low}"
    return ""
