"""Train steps one after the other, without Python between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import tensorflow as tf

from ssgan_tf.config import UserError
from ssgan_tf.data.dataset import Batch
from ssgan_tf.system import errors
from ssgan_tf.training.step import Metrics, Trainer


class Loop:
    """Takes batches, trains on them, and adds up what was measured.

    Attributes:
        steps: the compiled loop, see `_steps`.
    """

    def __init__(self, trainer: Trainer, batches: Iterator[Batch], directory: Path) -> None:
        """
        Args:
            trainer: of the run.
            batches: an iterator over a `tf.data.Dataset`.
            directory: of the run, for what is said when training has diverged.
        """
        self.trainer, self.batches, self.directory = trainer, batches, directory
        # With XLA: no step has shown yet that it can be compiled.
        self.untried = trainer.jit_compile
        self.steps = tf.function(self._steps)

    def zeros(self) -> Metrics:
        """Sums to start from, by the tags of a step."""
        step: Any = self.trainer.train_step
        specs = step.get_concrete_function(cast(Any, self.batches).element_spec).structured_outputs
        return {tag: tf.zeros(spec.shape, spec.dtype) for tag, spec in specs.items()}

    def take(self, count: int, sums: Metrics) -> tuple[Metrics, Metrics]:
        """Some steps.

        Args:
            count: how many, > 0.
            sums: of metrics so far, by tag; see `zeros`.

        Returns:
            The metrics of the last step, and the sums with all of these steps added.

        Raises:
            UserError: if a loss or a gradient is not a finite number, or XLA was asked for and
                cannot compile the step.
            tf.errors.OpError: if memory runs out.
        """
        try:
            if self.untried:  # alone, so that no other batch is lost if it has to be repeated
                metrics, sums = self._first_step(next(self.batches), sums)
                count -= 1
                if count == 0:
                    return metrics, sums
            return self.steps(self.batches, tf.constant(count), sums)
        except tf.errors.InvalidArgumentError as error:
            found = errors.not_finite(error)
            if not found:
                raise
            tag, value = found
            raise UserError(
                f"{tag} is {value} at step {int(self.trainer.step) + 1}: training has diverged; "
                f"try a smaller --learning_rate. The checkpoints before it are in {self.directory}."
            ) from error

    def _steps(
        self, batches: Iterator[Batch], count: tf.Tensor, sums: Metrics
    ) -> tuple[Metrics, Metrics]:
        metrics = sums
        for _ in tf.range(count):
            metrics = self.trainer.train_step(next(batches))
            sums = {tag: sums[tag] + value for tag, value in metrics.items()}
        return metrics, sums

    def _first_step(self, batch: Batch, sums: Metrics) -> tuple[Metrics, Metrics]:
        """One step, without XLA where `--jit_compile=auto` chose it and it cannot compile.

        It compiles the step and the loop around it: nothing is left to compile after it. Compiled
        code changes the state when it ends, so that a step that fails has changed nothing, and the
        batch can be used again.
        """

        def one_step() -> tuple[Metrics, Metrics]:
            batches = iter(tf.data.Dataset.from_tensors(batch))
            return self.steps(batches, tf.constant(1), sums)

        step = int(self.trainer.step)
        try:
            found = one_step()
            self.untried = False
            return found
        except tf.errors.OpError as error:
            if errors.not_finite(error) or errors.kind_of(error) == "memory":
                raise
            if int(self.trainer.step) != step:  # it was taken: what failed is something else
                raise
            if self.trainer.config.jit_compile == "true":
                raise UserError(
                    f"--jit_compile=true: XLA cannot compile the step ({errors.cause(error)}); "
                    "give --jit_compile=false."
                ) from error
            print(f"note: XLA cannot compile the step ({errors.cause(error)}); going on without it")
        self._stop_compiling()
        return one_step()

    def _stop_compiling(self) -> None:
        """Traces step and loop again, without XLA."""
        self.trainer.jit_compile = self.untried = False
        step = cast(Any, Trainer.train_step).python_function.__get__(self.trainer)
        setattr(self.trainer, "train_step", tf.function(step, autograph=False))  # noqa: B010
        self.steps = tf.function(self._steps)
