"""The train step: both networks, both optimizers, one forward pass, two updates."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from ssgan_tf.config import Config, UserError
from ssgan_tf.data.augment import Places, flip, jitter_color, shift
from ssgan_tf.data.dataset import Batch
from ssgan_tf.data.images.resize import scale
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.generator import Generator
from ssgan_tf.models.layers import BN_MOMENTUM
from ssgan_tf.system import errors
from ssgan_tf.system.device import resolve_jit_compile, resolve_precision, worker
from ssgan_tf.system.replicas import gather, my_part, replica
from ssgan_tf.training import losses, optimizer, schedule

Metrics = dict[str, tf.Tensor]


class Noise(NamedTuple):
    """The random inputs of one step: a pure function of (run seed, step).

    Attributes:
        z: (B, latent_dim) float32, N(0, 1).
        real_dropout_seed: (2,) int32, for the discriminator's pass over real images.
        fake_dropout_seed: (2,) int32, for its pass over fakes. None, in tests: no dropout.
        shift_seed: (2,) int32, for the shifts of the real images; None: no shifts.
        teacher_shift_seed: (2,) int32, for those of what the averaged classifier sees.
        color_seed: (2,) int32, for the changes of color of the real images; None: no changes.
        flip_seed: (2,) int32, for which real images are mirrored; None: none.
        teacher_flip_seed: (2,) int32, for which of those that the averaged classifier sees.
    """

    z: tf.Tensor
    real_dropout_seed: tf.Tensor | None
    fake_dropout_seed: tf.Tensor | None
    shift_seed: tf.Tensor | None = None
    teacher_shift_seed: tf.Tensor | None = None
    color_seed: tf.Tensor | None = None
    flip_seed: tf.Tensor | None = None
    teacher_flip_seed: tf.Tensor | None = None


class Trainer:
    """Models, optimizers, step counter, and the train step over them.

    Attributes:
        discriminator: the classifier; its control (`supervised`) has nothing else.
        generator: None for `--method=supervised`.
        averaged: the discriminator with the moving average of the weights (`--ema_decay`), or None.
        strategy: on how many devices; `distribution` says what they exchange.
        precision: of the convolutions, "float32", "bfloat16" or "float16".
        step: int64 variable, the number of steps taken.
        wall_seconds: float64 variable, the time that the run took up to its last checkpoint.
        history: string variable, JSON: what was measured up to the last checkpoint.
        checkpoint: all of the state; the order of the data and all noise follow from the step.
    """

    def __init__(
        self,
        config: Config,
        num_classes: int,
        channels: int = 3,
        steps_per_epoch: int = 1,
        total_steps: int = 1,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        """
        Args:
            config: of the run.
            num_classes: K.
            channels: of the images.
            steps_per_epoch: for the exponential schedule of runs that are counted in epochs.
            total_steps: for all other schedules, and the ramp.
            strategy: from `device.make_strategy`; None: one device.
        """
        self.config, self.num_classes, self.channels = config, num_classes, channels
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.strategy = strategy or tf.distribute.get_strategy()
        self.precision = resolve_precision(config.precision)
        replicas = self.strategy.num_replicas_in_sync
        self._replicas_here = replicas // worker()[1] if replicas > 1 else 1
        self._jit_compile = resolve_jit_compile(config.jit_compile, replicas)
        self._compiled_once = False
        # The step is read by compiled code, which reaches the variables of its own device alone.
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        with tf.device("CPU:0"):  # strings live nowhere else; no step reads these two
            self.wall_seconds = tf.Variable(
                0.0, dtype=tf.float64, trainable=False, name="wall_seconds"
            )
            self.history = tf.Variable("{}", dtype=tf.string, trainable=False, name="history")
        with self.strategy.scope():
            self._make_models()
        self.checkpoint = tf.train.Checkpoint(
            step=self.step,
            wall_seconds=self.wall_seconds,
            history=self.history,
            discriminator=self.discriminator,
            discriminator_optimizer=_adam_of(self.discriminator_optimizer),
            discriminator_loss_scale=_loss_scale_of(self.discriminator_optimizer),
        )
        if self.generator is not None:
            self.checkpoint.generator = self.generator
            self.checkpoint.generator_optimizer = _adam_of(self.generator_optimizer)
            self.checkpoint.generator_loss_scale = _loss_scale_of(self.generator_optimizer)
        if self.averaged is not None:
            self.checkpoint.averaged = self.averaged

    def _make_models(self) -> None:
        """Models and optimizers, in the scope of the strategy."""
        config = self.config
        # The discriminator comes first, so that the control starts from the same weights.
        keras.utils.set_random_seed(config.seed)
        self.discriminator = self._new_discriminator(self.precision)
        self.generator = self.averaged = None
        self.discriminator_optimizer = self._optimizer(self.discriminator)
        if config.method == "semi_supervised":
            self.generator = self._new_generator(self.precision)
            self.generator_optimizer = self._optimizer(self.generator)
        if config.ema_decay:
            self.averaged = self._new_discriminator(self.precision)
            self.averaged.trainable = False
            self.averaged.set_weights(self.discriminator.get_weights())

    def _optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
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
            config.input_noise,
            config.conv1_stride,
            config.image_size,
            precision,
        )

    @property
    def classifier(self) -> Discriminator:
        """What is evaluated and exported: the average of the weights, if there is one."""
        return self.averaged or self.discriminator

    def check_same_start(self, data: int) -> None:
        """Makes sure that all machines have the same data and go on from the same checkpoint.

        Args:
            data: a number that differs where the data does.

        Raises:
            UserError: if they do not.
        """
        if worker()[1] == 1:
            return

        def of_one() -> tf.Tensor:
            mine = tf.stack([self.step, tf.constant(data, tf.int64)])[tf.newaxis]  # (1, 2)
            return gather([mine])[0]

        @tf.function
        def of_all() -> tf.Tensor:
            return self.strategy.experimental_local_results(self.strategy.run(of_one))[0]

        steps, datas = of_all().numpy().T
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
        copies = [self._new_discriminator("float32")]
        copies[0].set_weights(self.classifier.get_weights())
        if self.generator is None:
            return copies[0], None
        copies.append(self._new_generator("float32"))
        copies[1].set_weights(self.generator.get_weights())
        return copies[0], copies[1]

    @tf.function
    def train_steps(
        self, batches: Iterator[Batch], count: tf.Tensor, sums: Metrics
    ) -> tuple[Metrics, Metrics]:
        """Several steps without Python between them.

        Args:
            batches: where the batches come from, an iterator over a `tf.data.Dataset`.
            count: how many steps, scalar int32, > 0.
            sums: of metrics so far, by tag; see `no_metrics`.

        Returns:
            The metrics of the last step, and the sums with all of these steps added.

        Raises:
            tf.errors.InvalidArgumentError: see `train_step`; `step` tells how many were taken.
        """
        metrics = sums
        for _ in tf.range(count):
            metrics = self.train_step(next(batches))
            sums = {tag: sums[tag] + value for tag, value in metrics.items()}
        return metrics, sums

    def first_step(self, batch: Batch, sums: Metrics) -> tuple[Metrics, Metrics]:
        """`train_steps` of one batch, without XLA where `--jit_compile=auto` chose it in vain.

        It compiles the step and the loop around it: nothing is left to compile after it. Compiled
        code changes the state when it ends, so that a step that fails has changed nothing, and the
        batch is at hand to be taken again.

        Args:
            batch: as `train_steps` will have them, of the same shapes.
            sums: of metrics so far, by tag.

        Returns:
            See `train_steps`.

        Raises:
            UserError: with `--jit_compile=true`, if XLA cannot compile the step.
            tf.errors.OpError: see `train_step`; also if memory runs out.
        """

        def one_step() -> tuple[Metrics, Metrics]:
            batches = iter(tf.data.Dataset.from_tensors(batch))
            return self.train_steps(batches, tf.constant(1), sums)

        step = int(self.step)
        try:
            found = one_step()
            self._compiled_once = True
            return found
        except tf.errors.OpError as error:
            if errors.not_finite(error) or errors.kind_of(error) == "memory":
                raise
            if int(self.step) != step:  # it was taken: what failed is something else
                raise
            if self.config.jit_compile == "true":
                raise UserError(
                    f"--jit_compile=true: XLA cannot compile the step ({errors.cause(error)}); "
                    "give --jit_compile=false."
                ) from error
            print(f"note: XLA cannot compile the step ({errors.cause(error)}); going on without it")
        self._stop_compiling()
        return one_step()

    @property
    def is_uncompiled(self) -> bool:
        """Whether XLA is wanted and no step has shown yet that it can be had."""
        return self._jit_compile and not self._compiled_once

    def _stop_compiling(self) -> None:
        self._jit_compile = False
        # Traced anew: in place of the functions of the class, whose traces have XLA in them.
        step, steps = Trainer.train_step, Trainer.train_steps
        self.train_step = tf.function(step.python_function.__get__(self), autograph=False)
        self.train_steps = tf.function(steps.python_function.__get__(self))

    def no_metrics(self, batch: Batch) -> Metrics:
        """Zeros by the tags of a step on batches such as this one (or their `tf.TensorSpec`s)."""
        specs = self.train_step.get_concrete_function(batch).structured_outputs
        return {tag: tf.zeros(spec.shape, spec.dtype) for tag, spec in specs.items()}

    @tf.function(autograph=False)  # there is nothing to convert, and looking costs seconds
    def train_step(self, batch: Batch) -> Metrics:
        """One step: forward pass, losses, both updates.

        Args:
            batch: see `Batch`; for `--method=supervised` all of its labels are used. With several
                machines it is this one's part of the global batch.

        Returns:
            Scalars by the names under which TensorBoard shows them, and `labeled_correct` and
            `labeled_count`: how many labeled images of the batch were classified correctly, in
            training mode, and how many there were. All are of the global batch.

        Raises:
            tf.errors.InvalidArgumentError: if a loss or a gradient is not a finite number, before
                any weight has changed (with XLA after that); the message begins with its tag.
        """
        if self._jit_compile:
            metrics = tf.function(self._replica_step, jit_compile=True)(batch)
            with self._only_if_finite(metrics):  # compiled code does not raise
                metrics = tf.nest.map_structure(tf.identity, metrics)
        else:
            metrics = self.strategy.run(self._replica_step, args=(batch,))
            metrics = {  # all replicas have the same
                tag: self.strategy.experimental_local_results(value)[0]
                for tag, value in metrics.items()
            }
        with tf.control_dependencies(list(metrics.values())):
            if self.averaged is not None:
                self._update_average()
            self.step.assign_add(1)
        return metrics

    def _replica_step(self, batch: Batch) -> Metrics:
        """What one replica does: its part of the batch and of the noise, all of the update."""
        batch = Batch(*(my_part(part, sharers=self._replicas_here) for part in batch))
        if self.generator is None:
            return self.supervised_update(batch, self.noise(0))
        return self.semi_supervised_update(
            batch, self.noise(tf.shape(batch.images)[0] * replica()[1])
        )

    def semi_supervised_update(self, batch: Batch, noise: Noise) -> Metrics:
        """The article's step: D(x), G(z), D(G(z)) once; both gradients from that; both updates."""
        config, generator, discriminator = self.config, self.generator, self.discriminator
        batch_size = tf.shape(batch.images)[0]  # B; with a labeled batch, L more go through D
        d_optimizer, g_optimizer = self.discriminator_optimizer, self.generator_optimizer
        fake_statistics = "batch" if config.bn_averages == "real" else "batch_and_update"
        passes = 1 if config.bn_averages == "real" else 2  # that the averages of D follow

        with tf.GradientTape(persistent=True) as tape:
            images = tf.concat([batch.images, batch.labeled_images], axis=0)  # (B + L, ...)
            real = discriminator(
                self._augment(images, noise, _places(batch)),
                statistics="batch_and_update",
                dropout_seed=noise.real_dropout_seed,
                momentum=self._momentum(self.step * passes),
            )
            fakes = generator(
                noise.z, statistics="batch_and_update", momentum=self._momentum(self.step)
            )
            fake = discriminator(
                fakes,
                statistics=fake_statistics,
                dropout_seed=noise.fake_dropout_seed,
                momentum=self._momentum(self.step * passes + 1),
            )

            # With several replicas: from here on the outputs for the global batch.
            real_logits, real_features, fake_logits, fake_features = gather(
                [
                    real.class_logits[:batch_size],
                    real.features[:batch_size],
                    fake.class_logits,
                    fake.features,
                ]
            )

            # supervised = sum(m * softmax_xent) / max(1, sum(m))
            logits, labels, mask = self._labeled_part(
                batch, real_logits, real.class_logits[batch_size:]
            )
            supervised = losses.supervised_loss(logits, labels, mask)

            # unsupervised = mean(sigmoid_xent(gan_logit(x), 1 - smooth))
            #              + mean(sigmoid_xent(gan_logit(G(z)), 0))
            real_gan_logit = losses.gan_logit(real_logits)
            fake_gan_logit = losses.gan_logit(fake_logits)
            real_loss = losses.unsupervised_real_loss(real_gan_logit, config.label_smoothing)
            fake_loss = losses.unsupervised_fake_loss(fake_gan_logit)
            discriminator_loss = supervised + self._weight("unsupervised") * (real_loss + fake_loss)
            extra = self._extra_terms(batch, real_logits, noise)
            discriminator_loss += sum(weight * loss for weight, loss in extra.values())

            # generator = mean_j | mean_batch features_j(x) - mean_batch features_j(G(z)) |
            if config.generator_loss == "feature_matching":
                generator_loss = losses.feature_matching_loss(real_features, fake_features)
            else:
                generator_loss = losses.adversarial_loss(fake_gan_logit)
            discriminator_share = optimizer.share_of_loss(d_optimizer, discriminator_loss)
            generator_share = optimizer.share_of_loss(g_optimizer, generator_loss)

        # Both gradients are taken before either network changes.
        d_gradients = optimizer.gradients(tape, discriminator_share, discriminator)
        g_gradients = optimizer.gradients(tape, generator_share, generator)
        del tape
        measured = {tag: loss for tag, (_, loss) in extra.items()} | {
            "losses/supervised": supervised,
            "losses/unsupervised_real": real_loss,
            "losses/unsupervised_fake": fake_loss,
            "losses/generator": generator_loss,
            "losses/discriminator": discriminator_loss,
            "monitors/grad_norm_discriminator": optimizer.global_norm(d_optimizer, d_gradients),
            "monitors/grad_norm_generator": optimizer.global_norm(g_optimizer, g_gradients),
        }
        with self._only_if_finite(measured):
            self._apply(d_optimizer, d_gradients)
            self._apply(g_optimizer, g_gradients)

        metrics = measured | self._shared_metrics(logits, labels, mask)
        return metrics | {
            "monitors/p_real_on_data": tf.reduce_mean(tf.sigmoid(real_gan_logit)),
            "monitors/p_real_on_samples": tf.reduce_mean(tf.sigmoid(fake_gan_logit)),
            "monitors/feature_gap": _relative_gap(real_features, fake_features),
        }

    def _extra_terms(
        self, batch: Batch, class_logits: tf.Tensor, noise: Noise
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """What the article does not have, by tag: weight and loss of each term in use.

        Args:
            batch: this replica's.
            class_logits: (B, K), the discriminator's in this step, for the global batch.
            noise: of the step.
        """
        config, terms = self.config, {}
        if config.consistency_weight:
            # consistency = mean([max softmax(t) >= threshold] * softmax_xent(l, argmax t)),
            # t from the averaged weights, without dropout, for the same images moved differently
            places = _places(batch, labeled=False)
            images = self._moved(
                batch.images, noise.teacher_shift_seed, noise.teacher_flip_seed, places
            )
            teacher = self.averaged(images, statistics="moving")
            (teacher_logits,) = gather([teacher.class_logits])
            consistency = losses.consistency_loss(
                class_logits, teacher_logits, config.consistency_threshold
            )
            terms["losses/consistency"] = self._weight("consistency"), consistency
        if config.entropy_weight:
            entropy = losses.entropy_loss(class_logits)
            terms["losses/entropy"] = self._weight("entropy"), entropy
        return terms

    def supervised_update(self, batch: Batch, noise: Noise) -> Metrics:
        """The control's step: the same discriminator and optimizer, the supervised loss alone."""
        with tf.GradientTape() as tape:
            output = self.discriminator(
                self._augment(batch.images, noise, _places(batch, labeled=False)),
                statistics="batch_and_update",
                dropout_seed=noise.real_dropout_seed,
                momentum=self._momentum(self.step),
            )
            (logits,) = gather([output.class_logits])
            labels, mask = gather([batch.labels])[0], gather([batch.label_mask])[0]
            supervised = losses.supervised_loss(logits, labels, mask)
            share = optimizer.share_of_loss(self.discriminator_optimizer, supervised)
        gradients = optimizer.gradients(tape, share, self.discriminator)
        measured = {
            "losses/supervised": supervised,
            "losses/discriminator": supervised,
            "monitors/grad_norm_discriminator": optimizer.global_norm(
                self.discriminator_optimizer, gradients
            ),
        }
        with self._only_if_finite(measured):
            self._apply(self.discriminator_optimizer, gradients)
        return measured | self._shared_metrics(logits, labels, mask)

    def noise(self, batch_size: int | tf.Tensor) -> Noise:
        """Random inputs of the current step, from stateless seeds of (run seed, step).

        Args:
            batch_size: B of the global batch, of which every replica takes its part of z; each has
                dropout masks of its own.
        """
        step_seed = tf.random.fold_in(tf.constant([self.config.seed, 0]), self.step)
        z_seed, real_seed, fake_seed = tf.unstack(tf.random.split(step_seed, 3))
        z = my_part(tf.random.stateless_normal((batch_size, self.config.latent_dim), z_seed))
        index, replicas = replica()
        if replicas > 1:
            real_seed = tf.random.fold_in(real_seed, index)
            fake_seed = tf.random.fold_in(fake_seed, index)
        # Drawn apart, so that what the article has does not depend on what it has not.
        other_seeds = tf.unstack(tf.random.split(tf.random.fold_in(step_seed, 1), 3))
        flip_seeds = tf.unstack(tf.random.split(tf.random.fold_in(step_seed, 2), 2))
        return Noise(z, real_seed, fake_seed, *other_seeds, *flip_seeds)

    def _augment(self, images: tf.Tensor, noise: Noise, places: Places | None) -> tf.Tensor:
        """What the discriminator is shown of real images: uint8 -> float32 in [-1, 1]."""
        moved = self._moved(images, noise.shift_seed, noise.flip_seed, places)
        return jitter_color(moved, self.config.augment_color, noise.color_seed, places)

    def _moved(
        self,
        images: tf.Tensor,
        shift_seed: tf.Tensor | None,
        flip_seed: tf.Tensor | None,
        places: Places | None,
    ) -> tf.Tensor:
        """Shifted and mirrored as the flags say; uint8 -> float32 in [-1, 1]."""
        pixels = round(self.config.augment_shift * self.config.image_size)
        # Scaled first: no GPU has a kernel that gathers uint8, so the CPU would move the images.
        images = shift(scale(images), pixels, shift_seed, places)
        return flip(images, flip_seed, places) if self.config.augment_flip else images

    def _update_average(self) -> None:
        """averaged += (1 - decay) * (weights - averaged)."""
        decay = schedule.average_decay(self.config.ema_decay, self.step)

        def update(mean: tf.Variable, weight: tf.Variable) -> None:
            mean.assign_sub((1.0 - decay) * (mean - weight))

        for mean, weight in zip(self.averaged.weights, self.discriminator.weights, strict=True):
            self.strategy.extended.update(mean.value, update, args=(weight.value,), group=False)

    def learning_rate(self) -> tf.Tensor:
        """Adam's learning rate at the current step, scalar float32."""
        return schedule.learning_rate(
            self.config, self.step, self.steps_per_epoch, self.total_steps
        )

    def _weight(self, term: str) -> tf.Tensor:
        return schedule.weight(term, self.config, self.step, self.total_steps)

    def _momentum(self, updates: tf.Tensor) -> float | tf.Tensor:
        """Of batch norm's moving averages, after so many updates of them."""
        if self.config.bn_start == "tf1":
            return BN_MOMENTUM
        return schedule.statistics_momentum(BN_MOMENTUM, updates)

    def _labeled_part(
        self, batch: Batch, real_logits: tf.Tensor, labeled_logits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Class logits, labels and mask that the supervised loss is about, of the global batch.

        Args:
            batch: this replica's.
            real_logits: (B, K), of the images of the global batch.
            labeled_logits: (L / N, K), of this replica's labeled images.
        """
        if self.config.labeled_batch_size == 0:
            return real_logits, gather([batch.labels])[0], gather([batch.label_mask])[0]
        logits, labels = gather([labeled_logits])[0], gather([batch.labeled_labels])[0]
        return logits, labels, tf.ones_like(labels, tf.float32)

    def _apply(
        self, used: keras.optimizers.Optimizer, gradients: dict[str, optimizer.Gradient]
    ) -> None:
        used.learning_rate.assign(self.learning_rate())
        used.apply(
            [gradient for gradient, _ in gradients.values()],
            [variable for _, variable in gradients.values()],
        )

    def _only_if_finite(self, measured: Metrics) -> contextlib.AbstractContextManager:
        """What is done within happens only if all of these are finite; else the step fails.

        Gradients in float16 may be infinite: then the optimizer leaves the update out and halves
        the scale. They have diverged if that has been of no use down to a scale of 1.
        """
        if self.precision == "float16":
            scales = {"monitors/grad_norm_discriminator": self.discriminator_optimizer}
            if self.generator is not None:
                scales["monitors/grad_norm_generator"] = self.generator_optimizer
            measured = measured | {
                tag: tf.where(used.dynamic_scale >= 1.0, 0.0, measured[tag])
                for tag, used in scales.items()
            }
        return tf.control_dependencies(
            [tf.debugging.check_numerics(value, tag) for tag, value in measured.items()]
        )

    def _shared_metrics(self, logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> Metrics:
        correct = tf.cast(tf.argmax(logits, axis=-1) == labels, tf.float32)
        return {
            "labeled_correct": tf.reduce_sum(mask * correct),
            "labeled_count": tf.reduce_sum(mask),
            "monitors/learning_rate": self.learning_rate(),
        }


def _adam_of(given: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Adam itself, which checkpoints of all precisions hold."""
    return getattr(given, "inner_optimizer", given)


def _loss_scale_of(given: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The state of float16's loss scaling; at other precisions what it would start with."""
    if not hasattr(given, "inner_optimizer"):
        start = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
        start.build([])
        given = start
    return [given.step_counter, given.dynamic_scale]


def _places(batch: Batch, labeled: bool = True) -> Places | None:
    """Where a replica's images stand in the global batch: all images first, then the labeled."""
    index, replicas = replica()
    if replicas == 1:
        return None
    size = tf.shape(batch.images)[0]
    extra = tf.shape(batch.labeled_images)[0] if labeled else 0
    places = [index * size + tf.range(size), replicas * size + index * extra + tf.range(extra)]
    return Places(tf.concat(places, axis=0), replicas * (size + extra))


def _relative_gap(real_features: tf.Tensor, fake_features: tf.Tensor) -> tf.Tensor:
    """|| mean f(x) - mean f(G(z)) ||_2 / || mean f(x) ||_2, free of the features' scale."""
    real_mean = tf.reduce_mean(real_features, axis=0)
    fake_mean = tf.reduce_mean(fake_features, axis=0)
    return tf.math.divide_no_nan(tf.norm(real_mean - fake_mean), tf.norm(real_mean))
