"""Trains a classifier from few labeled and many unlabeled images.

    python -m ssgan_tf.train --labeled=1000

`train_and_evaluate` is the whole story, from the flags to the SavedModel; call it from Python, too:

    from ssgan_tf.config import Config
    from ssgan_tf.train import train_and_evaluate

    results = train_and_evaluate(Config.from_preset("article", labeled=1000))
"""

import functools
import json
import shlex
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from ssgan_tf import flags
from ssgan_tf.config import PASSES, Config, UserError, is_folder
from ssgan_tf.data import label_split
from ssgan_tf.runs import announcement, finished_run, run_dir
from ssgan_tf.runs.interruption import Interrupted, Interruption
from ssgan_tf.runs.results import read_results
from ssgan_tf.system import errors, streams
from ssgan_tf.system.device import (
    describe_device,
    make_strategy,
    prepare_device,
    quiet_start,
    resolve_precision,
    worker,
)
from ssgan_tf.system.files import ids_digest, write_json

if TYPE_CHECKING:
    from ssgan_tf.data.datasets import Batch, Dataset
    from ssgan_tf.data.label_split import LabelSplit
    from ssgan_tf.training.trainer import Metrics, Trainer

# TensorFlow is imported inside the functions: --help and wrong flags are answered without it.

SHORT_ROUND = 10  # steps; a small folder has several epochs between evaluations, not to crawl
LOG_EVERY = 20  # steps between two points of TensorBoard's curves
Results = dict[str, Any]


def train_and_evaluate(config: Config) -> Results:
    """Runs what `config` says, or goes on where the run stopped.

    Args:
        config: all that defines the run; `config.resolved_run_dir()` is where it is written.

    Returns:
        What `results.json` holds: final accuracies (fractions), step, wall time, hardware.

    Raises:
        UserError: if the data cannot be had or the directory holds a different run; then nothing
            has been written. Also if a loss is no longer a number, or the disk is full.
        Interrupted: after Ctrl-C or SIGTERM, when the checkpoint is written.
    """
    start = time.monotonic()
    directory = config.resolved_run_dir()
    number, machines = worker()
    if machines > 1 and config.strategy != "multi_worker":
        raise UserError(
            f"--strategy={config.strategy}: TF_CONFIG names {machines} machines; give "
            "--strategy=multi_worker, or unset TF_CONFIG."
        )
    config = run_dir.continued(directory, config)
    if number == 0 or (directory / "config.json").exists():  # the chief may just be making it
        run_dir.claim(directory, config)
    if config.labels_from:
        label_split.read(config.labels_from)  # a wrong file is told before the seconds below
    if (directory / "results.json").exists() and not run_dir.longer(
        run_dir.read_config(directory), config
    ):
        results = read_results(directory)
        if run_dir.moved(run_dir.read_config(directory), config):
            finished_run.load_data(directory, config)  # other images are another run
        images = f"{results['train_images']:,} training images of {results['dataset']}"
        print(f"{directory} is finished already, with {images}.")
        return results
    if number > 0:  # only the chief writes; the others do the same in a place that is thrown away
        with tempfile.TemporaryDirectory() as nowhere:
            return _run(config, directory, Path(nowhere), start)
    with run_dir.locked(directory):
        return _run(config, directory, directory, start)


def _run(config: Config, resumed: Path, directory: Path, start: float) -> Results:
    """The whole story.

    Args:
        config: of the run.
        resumed: the run directory, whose newest checkpoint is gone on from.
        directory: where this process writes; but for the machines that are not chief it is the
            run directory, too.
        start: time of the clock when the program began.
    """
    with quiet_start():
        import tensorflow as tf

        prepare_device(config.deterministic)
        strategy = make_strategy(config)
        device = describe_device(strategy.num_replicas_in_sync)
    print(f"Device:   {device}", flush=True)

    from ssgan_tf.data import datasets, pipeline
    from ssgan_tf.data.images.scaling import unscale
    from ssgan_tf.inference import saved_model
    from ssgan_tf.inference.evaluation import Evaluator
    from ssgan_tf.reporting import pictures
    from ssgan_tf.runs import checkpoints, run_report, summaries
    from ssgan_tf.runs.progress import Progress
    from ssgan_tf.training.trainer import Trainer

    # Data: images, labels, ids -> which labels are used -> how long an epoch is.
    dataset = datasets.load_for(config)
    split = label_split.split_labels(config, dataset)
    replicas, precision = strategy.num_replicas_in_sync, resolve_precision(config.precision)
    asked, config = config, config.fit_to(len(split.train), replicas)
    steps_per_epoch, total_steps = config.length(len(split.train))
    print(announcement.header(asked, config, dataset, split, precision), flush=True)
    if config.batch_size > len(split.train):
        fitting = 1 << max(0, (len(split.train) // 2).bit_length() - 1)
        raise UserError(
            f"--batch_size={config.batch_size}: there are {len(split.train):,} images to train on; "
            f"give at most that, such as --batch_size={fitting}."
        )

    # Models and state; whatever a checkpoint holds is taken from there.
    trainer = Trainer(
        config, dataset.num_classes, dataset.channels, steps_per_epoch, total_steps, strategy
    )
    label_split.save(directory / "labels.json", config, dataset, split)
    run_dir.write_config(directory, config, asked.automatic())
    saver = checkpoints.Checkpoints(
        trainer.checkpoint, directory / "checkpoints", config.keep_checkpoints
    )
    for problem in saver.restore_newest(resumed / "checkpoints"):
        print(f"note: {problem} Going on from the one before.")
    first_step = int(trainer.step)
    with run_dir.errors_explained(directory):
        trainer.check_same_start(_fingerprint(dataset, split, total_steps))
    if first_step:
        print(f"Going on from step {first_step} of {resumed}")
    history = json.loads(trainer.history.numpy())
    rows: list[dict[str, Any]] = history.get("rows", [])
    start -= float(trainer.wall_seconds)  # what the run took before it was interrupted

    # Evaluation: by moving averages, or as the article's code did (`--bn_inference=batch`).
    evaluator = Evaluator(trainer.classifier, config.bn_inference, config.batch_size)
    parts = {"test": dataset.test, "train_labeled": dataset.train.take(split.labeled)}
    if len(split.validation):
        parts["validation"] = dataset.train.take(split.validation)
    writer = summaries.Summaries(directory / "tensorboard", config, first_step)
    fixed_z = tf.random.stateless_normal((64, config.latent_dim), (config.seed, 0))
    if trainer.generator is not None:
        (directory / "samples").mkdir(exist_ok=True)

    def save_checkpoint() -> None:
        writer.flush()  # a checkpoint that is there has its curves
        run_dir.write_metrics(directory, rows)
        state = {"rows": rows, "sums": {tag: float(value) for tag, value in sums.items()}}
        trainer.history.assign(json.dumps(state))
        trainer.wall_seconds.assign(time.monotonic() - start)
        saver.save(int(trainer.step))

    # Train: one epoch after the other, each with its evaluation and its checkpoint. Where a folder
    # has epochs of a few steps, several of them go together.
    round_steps = steps_per_epoch
    if is_folder(config.dataset):
        least = max(SHORT_ROUND, -(-config.steps // PASSES))
        round_steps *= -(-least // steps_per_epoch)
    batches = iter(
        pipeline.training_batches(config, dataset, split, first_step, total_steps, worker())
    )
    zeros = trainer.no_metrics(batches.element_spec)
    sums = {tag: tf.constant(history.get("sums", {}).get(tag, 0.0)) for tag in zeros}
    progress = Progress(first_step, total_steps, steps_per_epoch, config.batch_size)
    evaluations = {}
    done = first_step
    with run_dir.errors_explained(directory), Interruption() as interruption:
        while done < total_steps:
            number = done // round_steps + 1  # of the round
            last_step = min(number * round_steps, total_steps)
            progress.start_epoch(done, last_step)
            last_save = time.monotonic()
            while done < last_step:
                count = min(config.steps_per_call, last_step - done, LOG_EVERY - done % LOG_EVERY)
                if done == first_step:  # compiled, and not timed: the sooner there is an estimate
                    count = 1
                metrics, sums = _train_steps(trainer, batches, count, sums, directory)
                done += count
                progress.advance(count)
                progress.estimate(metrics)
                if done % LOG_EVERY == 0 or done == last_step:
                    values = _to_floats(metrics)
                    values["monitors/images_per_second"] = progress.images_per_second()
                    writer.scalars(values, done)
                    progress.show(values)
                if done == last_step:  # its checkpoint comes with its evaluation
                    break
                minutes = (time.monotonic() - last_save) / 60
                if interruption.signum or 0 < config.checkpoint_every_minutes < minutes:
                    save_checkpoint()
                    last_save = time.monotonic()
                    progress.restart_clock()
                if interruption.signum:
                    raise Interrupted(interruption.signum, done)
            # The means of the epoch; its running accuracy in training mode is the article's.
            means = _to_floats(sums, divide_by=last_step - (number - 1) * round_steps)
            running = float(sums["labeled_correct"]) / max(1.0, float(sums["labeled_count"]))
            accuracies = {"train_labeled_running": running}
            sums = zeros
            epoch = -(-done // steps_per_epoch)

            if number % config.eval_every == 0 or done == total_steps:
                evaluations = {name: evaluator(part) for name, part in parts.items()}
                accuracies |= {name: result.accuracy for name, result in evaluations.items()}
                rows.append(
                    {
                        "step": done,
                        "epoch": epoch,
                        "wall_seconds": round(time.monotonic() - start, 1),
                        **{f"{name}_accuracy": round(v, 6) for name, v in accuracies.items()},
                        **{
                            tag.replace("losses/", "loss_"): round(value, 6)
                            for tag, value in means.items()
                            if tag.startswith("losses/")
                        },
                    }
                )
                picture = pictures.confusion_matrix(evaluations["test"], dataset.class_names)
                writer.image("confusion_matrix/test", picture, done)
                if trainer.generator is not None:
                    samples = unscale(trainer.generator(fixed_z, statistics="moving")).numpy()
                    grid = pictures.image_grid(samples)
                    writer.image("samples", grid, done)
                    pictures.save_png(directory / "samples" / f"step_{done:06d}.png", grid)
            writer.scalars({f"accuracy/{name}": value for name, value in accuracies.items()}, done)
            save_checkpoint()
            progress.end_epoch(epoch, done, means, accuracies)
            if interruption.signum:
                raise Interrupted(interruption.signum, done)
        writer.close()

    # What is left behind: the classifier first, results.json last, as the mark of a whole run.
    if not evaluations:  # interrupted between the last checkpoint and here
        evaluations = {name: evaluator(part) for name, part in parts.items()}
    results: Results = {
        "test_accuracy": evaluations["test"].accuracy,
        "test_accuracy_interval": evaluations["test"].interval,
        **evaluations["test"].per_class(dataset.class_names),
        "test_images": len(dataset.test),
        "test_ids_digest": ids_digest(dataset.test.ids.tolist()),
        "train_images": len(dataset.train),
        "train_labeled_accuracy": evaluations["train_labeled"].accuracy,
    }
    if "validation" in evaluations:
        results["validation_accuracy"] = evaluations["validation"].accuracy
    if trainer.averaged is not None:  # the weights themselves, beside their average
        raw = Evaluator(trainer.discriminator, config.bn_inference, config.batch_size)
        for name in ("test", "validation"):
            if name in parts:
                results[f"{name}_accuracy_raw"] = raw(parts[name]).accuracy
    if config.preset == "notebook":
        results["test_accuracy_first_half"] = evaluations["test"].first_half().accuracy
    results |= {
        "dataset": dataset.name,
        "labeled": len(split.labeled),
        "preset": config.preset,
        "method": config.method,
        "seed": config.seed,
        "steps": total_steps,
        "wall_seconds": round(time.monotonic() - start, 1),
        "device": device,
        "precision": trainer.precision,
        "versions": run_dir.versions(),
        "command": shlex.join(config.command()),
    }
    with run_dir.errors_explained(directory):
        saved_model.clean_up(directory / "saved_model")
        saved_model.save(
            directory / "saved_model",
            *trainer.models_to_export(),
            dataset.class_names,
            fit=config.fit,
        )
        run_report.write_report(directory, config, dataset, split, evaluations["test"], results)
        write_json(directory / "results.json", results)
    return results


def _train_steps(
    trainer: "Trainer", batches: Iterator["Batch"], count: int, sums: "Metrics", directory: Path
) -> tuple["Metrics", "Metrics"]:
    """Some steps; see `Trainer.train_steps`.

    Raises:
        UserError: if a loss or a gradient is not a finite number, or XLA was asked for and cannot
            compile the step.
    """
    import tensorflow as tf

    try:
        if trainer.is_uncompiled:  # alone, so that no other batch is lost if it has to be repeated
            metrics, sums = trainer.first_step(next(batches), sums)
            count -= 1
            if count == 0:
                return metrics, sums
        return trainer.train_steps(batches, tf.constant(count), sums)
    except tf.errors.InvalidArgumentError as error:
        found = errors.not_finite(error)
        if not found:
            raise
        tag, value = found
        raise UserError(
            f"{tag} is {value} at step {int(trainer.step) + 1}: training has diverged; try "
            f"a smaller --learning_rate. The checkpoints before it are in {directory}."
        ) from error


def _fingerprint(dataset: "Dataset", split: "LabelSplit", total_steps: int) -> int:
    """A number that differs where images, labels or steps do."""
    ids = "\n".join(dataset.train.ids.tolist()).encode()
    parts = (
        ids,
        dataset.train.labels.tobytes(),
        split.labeled.tobytes(),
        str(total_steps).encode(),
    )
    return functools.reduce(lambda value, part: zlib.crc32(part, value), parts, 0)


def _to_floats(metrics: dict[str, Any], divide_by: int = 1) -> dict[str, float]:
    """Tagged metrics as Python floats; sums over the batch, without a tag, are left out."""
    return {tag: float(value) / divide_by for tag, value in metrics.items() if "/" in tag}


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)  # TFDS' remarks on its own files
    argv = sys.argv if argv is None else argv
    try:
        description = "Trains a classifier from few labeled and many unlabeled images."
        config = flags.parse_config(argv, "python -m ssgan_tf.train", description)
        results = train_and_evaluate(config)
        config = run_dir.continued(config.resolved_run_dir(), config)
        print(announcement.closing_lines(config, results))
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # see `streams.used`
        raise
    except OSError as error:  # a directory that became unreadable
        sys.exit(f"error: {error}. What is finished is kept; the same command goes on from there.")
    except Interrupted as stop:
        print(
            f"Stopped after step {stop.step}. This goes on from there:\n"
            f"  {shlex.join(config.command())}",
            file=sys.stderr,
        )
        sys.exit(stop.status)
    except KeyboardInterrupt:  # before the first step, or after the last
        print(
            "Stopped. The same command goes on from the last checkpoint, if any.", file=sys.stderr
        )
        sys.exit(130)
    except Exception as error:
        if errors.kind_of(error) == "program":  # its traceback is what has to be reported
            raise
        sys.exit(f"error: {errors.cause(error)}.")


if __name__ == "__main__":
    main()
