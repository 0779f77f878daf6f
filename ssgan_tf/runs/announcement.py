"""What a run says before it trains and after: the data, what was chosen and why, how good it is."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssgan_tf.config import Config, UserError, is_folder
from ssgan_tf.presets import (
    FOLDER_PRESET,
    LARGEST_BATCH,
    LEAST_STEPS,
    MANY_LABELS,
    PASSES,
    UNUSED_BY_CONTROL,
    VGG,
)
from ssgan_tf.runs import config_file, run_dir
from ssgan_tf.runs.results import Results, all_labeled, read_results, same_test_images
from ssgan_tf.system.text import clock, counted, display_width, padded

if TYPE_CHECKING:
    from ssgan_tf.data.dataset import Dataset
    from ssgan_tf.data.label_split import LabelSplit

FEW_STEPS = 500  # fewer teach little; reported for few images, where the run is counted in epochs
FEW_TEST_IMAGES = 100
MANY_CLASSES = 20  # more have their recall in the report alone


def header(
    asked: Config,
    config: Config,
    dataset: "Dataset",
    split: "LabelSplit",
    precision: str,
) -> str:
    """What is about to run.

    Args:
        asked: the configuration as it was given.
        config: the same with numbers for what was to be chosen (`Config.fit_to`).
        dataset: its data.
        split: which of its images are labeled.
        precision: that "auto" stands for here.
    """
    from ssgan_tf.data import pipeline
    from ssgan_tf.training import schedule

    steps_per_epoch, total_steps = config.length(len(split.train))
    names = dataset.class_names
    validation = f", {len(split.validation):,} for validation" if len(split.validation) else ""
    lines = [
        f"Data:     {dataset.name}: {len(split.train):,} training images, "
        f"{len(split.labeled):,} of them labeled{validation}, "
        f"{counted(len(dataset.test), 'test image')}",
        *(f"          {line}" for line in dataset.report),
        *(f"          note: {note}" for note in split.notes),
        *_few_test_images(config, len(dataset.test)),
        f"Training: {config.method}, preset {config.preset}, {total_steps:,} steps of batch "
        f"{config.batch_size} ({total_steps / steps_per_epoch:.1f} epochs)",
        f"          learning rate {config.learning_rate}, {schedule.in_words(config)}",
        *(
            f"          {line}"
            for line in reasons(
                asked, config, len(split.train), precision, names, len(split.labeled)
            )
        ),
    ]
    if pipeline.balanced_by_class(config, dataset.train.labels[split.labeled]):
        lines.append("          labeled batches are drawn by class (--balance_classes)")
    if total_steps < FEW_STEPS and not config.steps:
        few = f"note: {total_steps} steps are few; with little data give --steps=2000"
        lines.append(f"          {few}")
    lines.append(f"Run:      {run_dir.directory_of(config)}")
    return "\n".join(lines)


def _few_test_images(config: Config, images: int) -> list[str]:
    """Says of a folder's test images, where they are few, how little an accuracy on them tells."""
    from ssgan_tf.inference.evaluation import wilson_interval

    if not is_folder(config.dataset) or images >= FEW_TEST_IMAGES:
        return []
    low, high = wilson_interval(images // 2, images)
    count = "only one test image" if images == 1 else f"only {images} test images"
    return [
        f"          note: {count}: by chance, an accuracy can be off by about "
        f"{50 * (high - low):.0f} points, a difference by more; more images in test/ tell more",
    ]


def reasons(
    asked: Config,
    config: Config,
    images: int,
    precision: str,
    class_names: Sequence[str] = (),
    labels: int = 0,
) -> list[str]:
    """What was chosen by the images and the device, each with its reason; empty if nothing was."""
    found, automatic = [], asked.automatic()
    if is_folder(asked.dataset) and config.preset == FOLDER_PRESET:
        found.append(f"--preset={config.preset}: the recipe for few labels; --help lists its flags")
        if config.discriminator_width == VGG["discriminator_width"]:
            found.append("--discriminator_width=24 would take about half the time")
    if "batch_size" in automatic:
        why = f"at most half of the {images:,} images"
        if config.batch_size == LARGEST_BATCH:
            why = "there are enough images for the usual size"
        found.append(f"--batch_size={config.batch_size}: {why}")
    if "labeled_batch_size" in automatic:
        size = config.labeled_batch_size
        why = "half of --batch_size"
        if labels > MANY_LABELS:
            why = f"as --batch_size, since there are more than {MANY_LABELS:,} labels"
        found.append(f"--labeled_batch_size={size}: {why}")
    if "steps" in automatic:
        passes = f"{PASSES} passes over the images"
        found.append(f"--steps={config.steps}: {passes}, but at least {LEAST_STEPS:,} steps")
    if asked.precision == "auto" and precision != "float32":
        found.append(f"--precision={precision}: what this device is fast at")
    if is_folder(asked.dataset) and asked.augment_flip:
        why = "for photos; give false for digits, letters, left/right"
        if class_names and all(re.fullmatch(r"\d\d?|\w", name) for name in class_names):
            why = "for photos; the class names look like digits or letters: if so, give false"
        found.append(f"--augment_flip=true: {why}")
    if is_folder(asked.dataset) and asked.distribution_alignment:
        why = "for classes as frequent in all images as in the labels; else try false"
        found.append(f"--distribution_alignment=true: {why}")
    if not found:
        return []
    return [
        "settings for these images and this device; change any with its flag:",
        *(f"  {line}" for line in found),
    ]


def closing_lines(config: Config, results: Results) -> str:
    """How good, how long, where, what next."""
    directory = run_dir.directory_of(config)
    low, high = results["test_accuracy_interval"]
    lines = [
        "",
        f"Test accuracy      {results['test_accuracy']:.1%}  "
        f"(95% interval {low:.1%} to {high:.1%}, {counted(results['test_images'], 'image')})",
    ]
    if "balanced_accuracy" in results:
        lines.append(
            f"Balanced accuracy  {results['balanced_accuracy']:.1%}  (mean recall of the classes)"
        )
        lines += _recall(results["recall"])
    if "test_accuracy_first_half" in results:
        half = results["test_accuracy_first_half"]
        lines.append(f"  first half       {half:.1%}  (the images that the article's code used)")
    if "validation_accuracy" in results:
        lines.append(f"Validation         {results['validation_accuracy']:.1%}")
    contents = ["results.json", "metrics.csv"]
    if config.has_generator:
        contents.append("samples/")
    time = clock(results["wall_seconds"])
    predict = ["python", "-m", "ssgan_tf.predict", f"--model={directory / 'saved_model'}"]
    lines += [
        f"Labeled images     {results['train_labeled_accuracy']:.1%}",
        f"Time               {time} for {results['steps']:,} steps, loading included",
        f"Run                {directory}  ({', '.join(contents)})",
        f"Classifier         {directory / 'saved_model'}",
        f"Report             {directory / 'report.html'}",
        "",
        f"Look at it:        {shlex.join(['tensorboard', f'--logdir={directory.parent}'])}",
        f"Classify images:   {shlex.join(predict)} IMAGE...",
        *_label_more(config, directory, results),
        *_beside_the_other_method(config, results),
    ]
    return "\n".join(lines)


def _label_more(config: Config, directory: Path, results: Results) -> list[str]:
    """For a folder with images without a label: which of them should get one."""
    hidden = config.labeled != "all"  # labels; then a larger --labeled comes first
    if not is_folder(config.dataset) or hidden or all_labeled(results):
        return []
    suggest = ["python", "-m", "ssgan_tf.suggest", f"--run_dir={directory}"]
    return [f"Label more images: {shlex.join(suggest)}"]


def _recall(recall: dict[str, float | None]) -> list[str]:
    """The recall of each class, a few to the line."""
    if len(recall) > MANY_CLASSES:
        return []
    cells = [f"{name} {'-' if r is None else format(r, '.0%')}" for name, r in recall.items()]
    width = max(map(display_width, cells)) + 2
    in_line = max(1, 80 // width)
    rows = [cells[start : start + in_line] for start in range(0, len(cells), in_line)]
    lines = ["".join(padded(cell, width) for cell in row).rstrip() for row in rows]
    return [f"{'' if index else '  recall':<19}{line}" for index, line in enumerate(lines)]


def _beside_the_other_method(config: Config, results: Results) -> list[str]:
    """What the unlabeled images add to the labels alone, or the command that measures it."""
    from ssgan_tf.inference.evaluation import gain_and_chance

    semi = config.method == "semi_supervised"
    other = config.control() if semi else _counterpart(config)
    directory = run_dir.directory_of(other)
    recorded = _read(directory)
    found, there = recorded or ({}, other)
    trained = config if semi else there
    no_unlabeled = all_labeled(results)
    if no_unlabeled and not trained.has_generator and not trained.consistency_weight:
        return []  # the two methods are the same
    if recorded is None or not _same_task(results, found):
        if not semi:
            if recorded is None or directory == run_dir.directory_of(config):
                return ["Not compared: there is no semi-supervised run beside this one."]
            return [f"Not compared: {directory} has other labels, steps or test images."]
        command = shlex.join(other.command())
        added = "What the unlabeled images add:"
        if no_unlabeled:
            added = "There are no unlabeled images. What the semi-supervised method adds:"
        return [added, f"  {command}"]
    with_unlabeled, alone = (results, found) if semi else (found, results)
    gain, chance = gain_and_chance(with_unlabeled, alone)
    words = f"{100 * gain:+.1f} points, where chance alone makes up to {100 * chance:.1f}"
    helps, what = "the unlabeled images help", "the unlabeled images"
    if no_unlabeled:
        helps, what = "the semi-supervised method helps", "the semi-supervised method"
    if gain > chance:
        verdict = f"{helps}: {words}"
    elif gain < -chance:
        verdict = f"{what} {'does' if no_unlabeled else 'do'} harm: {words}; use the labels alone"
    else:
        verdict = f"no clear gain from {what}: {words}"
    name = "Labels alone" if semi else "Semi-supervised" if no_unlabeled else "With unlabeled"
    lines = [f"{name:<18} {found['test_accuracy']:.1%}  ({directory})", f"  {verdict}"]
    if differ := _differences(*((config, there) if semi else (there, config))):
        lines.append(f"  (the runs also differ in {', '.join(differ)})")
    return lines


def _read(directory: Path) -> tuple[Results, Config] | None:
    """Results and configuration of the run in `directory`, if a whole one is there."""
    try:
        return read_results(directory), config_file.read_config(directory)
    except (UserError, OSError):
        return None


def _differences(semi: Config, alone: Config) -> list[str]:
    """Flags in which the run `alone` is not the control of the run `semi`."""
    free = {*config_file.FREE, "dataset", *UNUSED_BY_CONTROL}
    return [
        f"--{name}"
        for name, value in semi.control().to_dict().items()
        if name not in free and value != getattr(alone, name)
    ]


def _counterpart(config: Config) -> Config:
    """The semi-supervised run of which `config` is the control, as far as its name goes."""
    given = {k: v for k, v in config.changes().items() if k != "method"}
    if config.run_dir:
        given["run_dir"] = config.run_dir.rstrip("/").removesuffix("-supervised")
    return Config(**(given | {"preset": config.preset}))


def _same_task(results: Results, found: Results) -> bool:
    """Whether two runs have the same test images, number of labels and steps."""
    same = same_test_images(results, found)
    return (
        same
        and results["method"] != found["method"]
        and all(results[key] == found[key] for key in ("labeled", "steps"))
    )
