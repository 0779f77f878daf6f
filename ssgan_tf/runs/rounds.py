"""A round of a run: its steps, its evaluation, its checkpoint, its line on the screen."""

import json
import time
from typing import Any

import tensorflow as tf

from ssgan_tf.data.images.resize import unscale
from ssgan_tf.reporting import pictures
from ssgan_tf.runs.interruption import Interrupted, Interruption
from ssgan_tf.runs.preparation import Run
from ssgan_tf.runs.results import write_metrics

LOG_EVERY = 20  # steps between two points of TensorBoard's curves
SAMPLES = 64  # generated images in a grid


def train(run: Run, interruption: Interruption) -> None:
    """Takes the steps of the round, with a checkpoint now and then where they take long.

    Raises:
        UserError: if a loss or a gradient is not a finite number.
        Interrupted: if a signal came, when the checkpoint is written.
    """
    last_step = min((run.done // run.round_steps + 1) * run.round_steps, run.total_steps)
    run.progress.start_epoch(run.done, last_step)
    last_save = time.monotonic()
    while run.done < last_step:
        count = min(
            run.config.steps_per_call, last_step - run.done, LOG_EVERY - run.done % LOG_EVERY
        )
        if run.done == run.first_step:  # compiled, and not timed: the sooner there is an estimate
            count = 1
        metrics, run.sums = run.loop.take(count, run.sums)
        run.done += count
        run.progress.advance(count)
        run.progress.estimate(metrics)
        if run.done % LOG_EVERY == 0 or run.done == last_step:
            values = _to_floats(metrics)
            values["monitors/images_per_second"] = run.progress.images_per_second()
            run.writer.scalars(values, run.done)
            run.progress.show(values)
        if run.done == last_step:  # its checkpoint comes with its evaluation
            return
        minutes = (time.monotonic() - last_save) / 60
        asked = interruption.signum
        if asked or 0 < run.config.checkpoint_every_minutes < minutes:
            save_checkpoint(run)
            last_save = time.monotonic()
            run.progress.restart_clock()
        if asked:
            raise Interrupted(asked, run.done)


def evaluate(run: Run) -> None:
    """Ends the round: means of its metrics, accuracies, pictures, a checkpoint, a line."""
    number = -(-run.done // run.round_steps)
    epoch = -(-run.done // run.steps_per_epoch)
    # The means of the round; its running accuracy in training mode is the article's.
    means = _to_floats(run.sums, divide_by=run.done - (number - 1) * run.round_steps)
    running = float(run.sums["labeled_correct"]) / max(1.0, float(run.sums["labeled_count"]))
    accuracies = {"train_labeled_running": running}
    run.sums = {tag: tf.zeros_like(value) for tag, value in run.sums.items()}
    if number % run.config.eval_every == 0 or run.done == run.total_steps:
        run.evaluations = {name: run.evaluator(part) for name, part in run.parts.items()}
        accuracies |= {name: found.accuracy for name, found in run.evaluations.items()}
        run.rows.append(_row(run, epoch, accuracies, means))
        _draw(run)
    run.writer.scalars({f"accuracy/{name}": value for name, value in accuracies.items()}, run.done)
    save_checkpoint(run)
    run.progress.end_epoch(epoch, run.done, means, accuracies)


def save_checkpoint(run: Run) -> None:
    """Writes curves, metrics.csv and all of the state."""
    run.writer.flush()  # a checkpoint that is there has its curves
    write_metrics(run.directory, run.rows)
    history = {"rows": run.rows, "sums": {tag: float(value) for tag, value in run.sums.items()}}
    run.trainer.state.history.assign(json.dumps(history))
    run.trainer.state.wall_seconds.assign(run.seconds)
    run.checkpoints.save(run.done)


def _row(
    run: Run, epoch: int, accuracies: dict[str, float], means: dict[str, float]
) -> dict[str, Any]:
    """Of metrics.csv."""
    row = {"step": run.done, "epoch": epoch, "wall_seconds": round(run.seconds, 1)}
    row |= {f"{name}_accuracy": round(value, 6) for name, value in accuracies.items()}
    losses = {tag: value for tag, value in means.items() if tag.startswith("losses/")}
    return row | {tag.replace("losses/", "loss_"): round(v, 6) for tag, v in losses.items()}


def _draw(run: Run) -> None:
    """The confusion matrix, and generated images, always from the same z."""
    picture = pictures.confusion_matrix(run.evaluations["test"], run.dataset.class_names)
    run.writer.image("confusion_matrix/test", picture, run.done)
    generator = run.trainer.generator
    if generator is not None:
        shape = (SAMPLES, run.config.latent_dim)
        z = tf.random.stateless_normal(shape, (run.config.seed, 0))
        samples = unscale(generator(z, statistics="moving")).numpy()
        grid = pictures.image_grid(samples)
        run.writer.image("samples", grid, run.done)
        directory = run.directory / "samples"
        directory.mkdir(exist_ok=True)
        pictures.save_png(directory / f"step_{run.done:06d}.png", grid)


def _to_floats(metrics: dict[str, Any], divide_by: int = 1) -> dict[str, float]:
    """Tagged metrics as Python floats; sums over the batch, without a tag, are left out."""
    return {tag: float(value) / divide_by for tag, value in metrics.items() if "/" in tag}
