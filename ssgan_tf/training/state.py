"""What a run trains: networks, optimizers, counters, and the checkpoint of it all."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers import LossScaleOptimizer

from ssgan_tf.config import Config, UserError
from ssgan_tf.data.images.resize import scale
from ssgan_tf.data.storage import Rows, rows
from ssgan_tf.models import whitening
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.generator import Generator
from ssgan_tf.system.device import PRECISIONS, resolve_precision, worker
from ssgan_tf.system.replicas import gather
from ssgan_tf.training import optimizer, schedule


class State:
    """Networks, optimizers, step counter, and what else a checkpoint holds.

    The order of the data and all noise follow from the step.

    Attributes:
        config: of the run.
        num_classes: K.
        channels: of the images.
        strategy: on how many devices; `system.replicas` says what they exchange.
        precision: of the convolutions, "float32", "bfloat16" or "float16".
        discriminator: the classifier.
        generator: None where the run has none (`Config.has_generator`).
        averaged: the discriminator with the moving average of the weights (`--ema_decay`), or None.
        discriminator_optimizer: Adam, with a scale of the loss at float16.
        generator_optimizer: the same for the generator; None where there is none.
        class_prior: (K,) float32, the classes' shares of the labels.
        class_mean: (K,) float32 variable, what the averaged classifier says of unlabeled images on
            average (`--distribution_alignment`), or None.
        step: int64 variable, the number of steps taken.
        wall_seconds: float64 variable, the time that the run took up to its last checkpoint.
        history: string variable, JSON: what was measured up to the last checkpoint.
        checkpoint: of networks, optimizers and variables.
    """

    def __init__(
        self,
        config: Config,
        num_classes: int,
        channels: int = 3,
        strategy: tf.distribute.Strategy | None = None,
        class_prior: Sequence[float] = (),
    ) -> None:
        """
        Args:
            config: of the run.
            num_classes: K.
            channels: of the images.
            strategy: from `device.make_strategy`; None: one device.
            class_prior: K shares of the labels; empty: all equal.
        """
        self.config, self.num_classes, self.channels = config, num_classes, channels
        self.strategy = strategy or tf.distribute.get_strategy()
        self.precision = resolve_precision(config.precision)
        # The step is read by compiled code, which reaches the variables of its own device alone.
        self.step = tf.Variable(tf.zeros([], tf.int64), trainable=False, name="step")
        with tf.device("CPU:0"):  # strings live nowhere else; no step reads these two
            zero = tf.zeros([], tf.float64)
            self.wall_seconds = tf.Variable(zero, trainable=False, name="wall_seconds")
            self.history = tf.Variable(tf.constant("{}"), trainable=False, name="history")
        self.generator: Generator | None = None
        self.generator_optimizer: keras.optimizers.Optimizer | None = None
        self.averaged: Discriminator | None = None
        self.class_prior = tf.constant(class_prior or [1 / num_classes] * num_classes)
        self.class_mean: tf.Variable | None = None
        with self.strategy.scope():
            self._make_networks()
        self.checkpoint = self._checkpoint(self.generator, self.generator_optimizer)

    def _make_networks(self) -> None:
        """Networks and optimizers, in the scope of the strategy."""
        # The discriminator comes first, so that the control starts from the same weights.
        keras.utils.set_random_seed(self.config.seed)
        self.discriminator = self._new_discriminator(self.precision)
        self.discriminator_optimizer = self._new_optimizer(self.discriminator)
        if self.config.has_generator:
            self.generator = self._new_generator(self.precision)
            self.generator_optimizer = self._new_optimizer(self.generator)
        if self.config.ema_decay:
            self.averaged = self._new_discriminator(self.precision)
            self.averaged.trainable = False
            self.averaged.set_weights(self.discriminator.get_weights())
        if self.config.distribution_alignment:
            self.class_mean = tf.Variable(
                self.class_prior,
                trainable=False,
                name="class_mean",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def _new_optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
        adam = optimizer.adam(self.config, model)
        return optimizer.with_loss_scale(adam, model) if self.precision == "float16" else adam

    def _new_generator(self, precision: str) -> Generator:
        config = self.config
        return Generator(
            config.generator_width,
            config.latent_dim,
            self.channels,
            config.image_size,
            precision,
        )

    def _new_discriminator(self, precision: str) -> Discriminator:
        config = self.config
        return Discriminator(
            config.discriminator_width,
            self.num_classes,
            config.drop_rate,
            config.conv7_input,
            self.channels,
            config.image_size,
            precision,
            config.discriminator,
        )

    def _checkpoint(
        self, generator: Generator | None, generator_optimizer: keras.optimizers.Optimizer | None
    ) -> tf.train.Checkpoint:
        checkpoint = tf.train.Checkpoint(
            step=self.step,
            wall_seconds=self.wall_seconds,
            history=self.history,
            discriminator=self.discriminator,
            discriminator_optimizer=_adam_of(self.discriminator_optimizer),
            discriminator_loss_scale=_loss_scale_of(self.discriminator_optimizer),
        )
        if generator_optimizer is not None:
            checkpoint.generator = generator
            checkpoint.generator_optimizer = _adam_of(generator_optimizer)
            checkpoint.generator_loss_scale = _loss_scale_of(generator_optimizer)
        if self.averaged is not None:
            checkpoint.averaged = self.averaged
        if self.class_mean is not None:
            checkpoint.class_mean = self.class_mean
        return checkpoint

    def checkpoint_for(self, names: Iterable[str]) -> tf.train.Checkpoint:
        """What to restore a file into: `checkpoint`, or the same with a generator besides.

        Earlier versions trained a generator at `--unsupervised_weight=0`, which nothing used. It is
        read into one that is dropped.

        Args:
            names: of the variables in the file.
        """
        unused = self.config.method == "semi_supervised" and self.generator is None
        if not unused or not any(name.startswith("generator/") for name in names):
            return self.checkpoint
        with self.strategy.scope():
            generator = self._new_generator(self.precision)
            return self._checkpoint(generator, self._new_optimizer(generator))

    @property
    def classifier(self) -> Discriminator:
        """What is evaluated and exported: the average of the weights, if there is one."""
        return self.averaged or self.discriminator

    def optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """The discriminator's and the generator's, of a run that has one."""
        assert self.generator_optimizer is not None
        return self.discriminator_optimizer, self.generator_optimizer

    def update_average(self) -> None:
        """averaged += (1 - decay) * (weights - averaged), after a step."""
        if self.averaged is None:
            return
        decay = schedule.average_decay(self.config.ema_decay, self.step)

        def update(mean: tf.Variable, weight: tf.Variable) -> None:
            mean.assign_sub((1.0 - decay) * (mean - weight))

        for mean, weight in zip(self.averaged.weights, self.discriminator.weights, strict=True):
            self.strategy.extended.update(mean.value, update, args=(weight.value,), group=False)

    def whiten(self, images: np.ndarray | Rows, indices: np.ndarray) -> None:
        """Gives conv1 its weights where it whitens (`models.whitening`).

        Args:
            images: (N, S, S, channels) uint8, of training.
            indices: of those that are labeled, so that the control starts from the same filters.
        """
        if not self.discriminator.whitens:
            return
        some = rows(images, indices[:: -(-len(indices) // whitening.IMAGES)])
        scaled = (scale(tf.constant(image)).numpy() for image in some)
        kernel = whitening.whitening_kernel(scaled, self.config.augment_color)
        # Where eigenvalues are equal, other machines may find other eigenvectors.
        first = self._of_all_replicas(tf.constant(kernel))[0]
        for network in filter(None, (self.discriminator, self.averaged)):
            network.conv1.set_weights([first])

    def _of_all_replicas(self, mine: tf.Tensor) -> np.ndarray:
        """What each replica's machine has: (...) each -> (replicas, ...)."""

        @tf.function
        def gathered() -> tf.Tensor:
            found = self.strategy.run(lambda: gather([mine[tf.newaxis]])[0])
            return self.strategy.experimental_local_results(found)[0]

        return gathered().numpy()

    def check_same_start(self, data: int) -> None:
        """Makes sure that all machines have the same data and go on from the same checkpoint.

        Args:
            data: a number that differs where the data does.

        Raises:
            UserError: if they do not.
        """
        if worker()[1] == 1:
            return

        numbers = [int(self.step), data, PRECISIONS.index(self.precision)]
        found = self._of_all_replicas(tf.constant(numbers, tf.int64))
        steps, datas, precisions = found.T
        if len(set(precisions.tolist())) > 1:
            raise UserError(
                "--precision: the machines are fast at other number formats; give all of them the "
                "same, such as --precision=float32."
            )
        if len(set(datas.tolist())) > 1:
            raise UserError(
                "--dataset: the machines have other images, labels or steps to go; give all of "
                "them the same data and flags."
            )
        if len(set(steps.tolist())) > 1:
            raise UserError(
                f"--run_dir: the machines have checkpoints of other steps there "
                f"({', '.join(map(str, steps))}); give a directory that all of them share."
            )

    def models_to_export(self) -> tuple[Discriminator, Generator | None]:
        """The classifier and the generator in float32 and on one device."""
        if self.precision == "float32" and self.strategy.num_replicas_in_sync == 1:
            return self.classifier, self.generator
        classifier = self._new_discriminator("float32")
        classifier.set_weights(self.classifier.get_weights())
        if self.generator is None:
            return classifier, None
        generator = self._new_generator("float32")
        generator.set_weights(self.generator.get_weights())
        return classifier, generator


def _adam_of(given: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Adam itself, which checkpoints of all precisions hold."""
    return given.inner_optimizer if isinstance(given, LossScaleOptimizer) else given


def _loss_scale_of(given: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The state of float16's loss scaling; at other precisions what it would start with."""
    if not isinstance(given, LossScaleOptimizer):
        given = LossScaleOptimizer(keras.optimizers.SGD())
        given.build([])
    return [given.step_counter, given.dynamic_scale]
