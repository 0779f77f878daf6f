"""The progress of a run on the screen: a bar per epoch and a line per evaluation."""

import sys
import time
from typing import Any

from tqdm import tqdm

from ssgan_tf.system.text import clock

TIMED_STEPS = 8  # that the estimate is made from; the shortest rounds have a few more


class Progress:
    """A bar where the output is a terminal; one line per epoch, and nothing else, where it is not.

    Attributes:
        step: the number of steps taken.
        epoch_start: the step after which the current epoch (or what is left of it) began.
    """

    def __init__(
        self, first_step: int, total_steps: int, steps_per_epoch: int, batch_size: int
    ) -> None:
        self._total_steps, self._batch_size = total_steps, batch_size
        self._epochs = -(-total_steps // steps_per_epoch)
        self._steps_per_epoch = steps_per_epoch
        self._first_step = self.step = self.epoch_start = first_step
        self._start = self._epoch_start_time = time.monotonic()
        self._compiled = self._estimated = False
        self._timed_from, self._timed_steps, self._timed_seconds = (first_step, 0.0), 0, 0.0

    def start_epoch(self, step: int, last_step: int) -> None:
        """Opens the bar of the steps `step` + 1 to `last_step`."""
        self.step = self.epoch_start = step
        self._last_step = last_step
        self.restart_clock()
        self._epoch_start_time = time.monotonic()
        self._bar = tqdm(
            total=last_step - step,
            desc=f"epoch {step // self._steps_per_epoch + 1}/{self._epochs}",
            unit="step",
            bar_format="{desc} {percentage:3.0f}%|{bar:10}| {remaining} left{postfix}",
            disable=not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def advance(self, steps: int = 1) -> None:
        """Counts steps."""
        self.step += steps
        self._bar.update(steps)

    def restart_clock(self) -> None:
        """Leaves what comes between two steps, such as a checkpoint, out of the estimate."""
        self._timed_from = self.step, time.monotonic()

    def estimate(self, metrics: dict[str, Any]) -> None:
        """Says once how long the run will take, from the first steps after the compiled one.

        The first call must come when everything has been compiled. Only time between the first
        and the last step of a round counts, of several rounds if they are short.

        Args:
            metrics: of the last step; to read one is to wait until it is done.
        """
        steps = self.step - self._timed_from[0]
        enough = self._timed_steps + steps >= TIMED_STEPS
        if self._estimated or not (enough or self.step == self._last_step or not self._compiled):
            return
        float(next(iter(metrics.values())))
        if self._compiled:
            self._timed_steps += steps
            self._timed_seconds += time.monotonic() - self._timed_from[1]
        self._compiled = True
        self.restart_clock()
        if self._timed_steps >= TIMED_STEPS and self.step < self._total_steps:
            seconds = self._timed_seconds / self._timed_steps
            left = clock(seconds * (self._total_steps - self.step))
            tqdm.write(
                f"Time:     about {left} from here ({1000 * seconds:,.0f} ms a step; evaluations "
                "come on top)"
            )
            self._estimated = True

    def show(self, values: dict[str, float]) -> None:
        """Shows the losses, the speed and the time left of the whole run."""
        left = clock(self._seconds_left())
        self._bar.set_postfix_str(
            f"step {self.step}/{self._total_steps}, {_losses(values)}, "
            f"{self.images_per_second():,.0f} images/s, run {left} left"
        )

    def images_per_second(self) -> float:
        """Real images per second in the current epoch."""
        seconds = time.monotonic() - self._epoch_start_time
        return (self.step - self.epoch_start) * self._batch_size / max(seconds, 1e-9)

    def end_epoch(
        self, epoch: int, step: int, means: dict[str, float], accuracies: dict[str, float]
    ) -> None:
        """Closes the bar and prints the line of the epoch."""
        self._bar.close()
        shown = {"test": "test", "validation": "validation", "train_labeled": "labeled"}
        found = "  ".join(
            f"{label} {accuracies[name]:.1%}" for name, label in shown.items() if name in accuracies
        )
        print(
            f"epoch {epoch:>3}/{self._epochs}  step {step:>6}  {_losses(means)}  {found}  "
            f"{clock(self._seconds_left())} left",
            flush=True,
        )

    def _seconds_left(self) -> float:
        taken = time.monotonic() - self._start
        return taken / max(1, self.step - self._first_step) * (self._total_steps - self.step)


def _losses(values: dict[str, float]) -> str:
    text = f"D {values['losses/discriminator']:.3f}"
    if "losses/generator" in values:
        text += f" G {values['losses/generator']:.4f}"
    return text
