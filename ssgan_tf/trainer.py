"""The train step: both networks, both optimizers, one forward pass, two updates."""

import contextlib
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from ssgan_tf import losses
from ssgan_tf.augment import jitter_color, shift
from ssgan_tf.config import Config
from ssgan_tf.discriminator import Discriminator
from ssgan_tf.generator import Generator

Metrics = dict[str, tf.Tensor]


class Batch(NamedTuple):
    """What one train step is given; images are uint8, scaled here.

    Attributes:
        images: (B, S, S, channels) uint8, labelled or not.
        labels: (B,) int64; whatever stands where the mask is 0 has no effect.
        label_mask: (B,) float32, 1 where the label may be used.
        labeled_images: (L, S, S, channels) uint8, a second batch, all labelled; L = 0: none.
            If there is one it carries the whole supervised loss, and nothing else.
        labeled_labels: (L,) int64.
    """

    images: tf.Tensor
    labels: tf.Tensor
    label_mask: tf.Tensor
    labeled_images: tf.Tensor
    labeled_labels: tf.Tensor


class Noise(NamedTuple):
    """The random inputs of one step: a pure function of (run seed, step).

    Attributes:
        z: (B, latent_dim) float32, N(0, 1).
        real_dropout_seed: (2,) int32, for the discriminator's pass over real images.
        fake_dropout_seed: (2,) int32, for its pass over fakes. None, in tests: no dropout.
        shift_seed: (2,) int32, for the shifts of the real images; None: no shifts.
        teacher_shift_seed: (2,) int32, for those of what the averaged classifier sees.
        color_seed: (2,) int32, for the changes of colour of the real images; None: no changes.
    """

    z: tf.Tensor
    real_dropout_seed: tf.Tensor | None
    fake_dropout_seed: tf.Tensor | None
    shift_seed: tf.Tensor | None = None
    teacher_shift_seed: tf.Tensor | None = None
    color_seed: tf.Tensor | None = None


def scale(images: tf.Tensor) -> tf.Tensor:
    """uint8 0 .. 255 -> float32 in [-1, 1], the range of the generator's tanh."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def unscale(images: tf.Tensor) -> tf.Tensor:
    """The reverse of `scale`: float32 in [-1, 1] -> uint8."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0, 255), tf.uint8)


class Trainer:
    """Models, optimizers, step counter, and the train step over them.

    Attributes:
        discriminator: the classifier; its control (`supervised`) has nothing else.
        generator: None for `--method=supervised`.
        averaged: the discriminator with the moving average of the weights (`--ema_decay`), or None.
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
    ) -> None:
        self.config = config
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        # The discriminator comes first, so that the control starts from the same weights.
        keras.utils.set_random_seed(config.seed)
        self.discriminator = self._discriminator(num_classes, channels)
        self.discriminator_optimizer = _adam(config, self.discriminator)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.wall_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False, name="wall_seconds")
        self.history = tf.Variable("{}", dtype=tf.string, trainable=False, name="history")
        self.checkpoint = tf.train.Checkpoint(
            step=self.step,
            wall_seconds=self.wall_seconds,
            history=self.history,
            discriminator=self.discriminator,
            discriminator_optimizer=self.discriminator_optimizer,
        )
        self.generator = None
        if config.method == "semi_supervised":
            self.generator = Generator(
                config.generator_width, config.latent_dim, channels, config.image_size
            )
            self.generator_optimizer = _adam(config, self.generator)
            self.checkpoint.generator = self.generator
            self.checkpoint.generator_optimizer = self.generator_optimizer
        self.averaged = None
        if config.ema_decay:
            self.averaged = self._discriminator(num_classes, channels)
            self.averaged.trainable = False
            self.averaged.set_weights(self.discriminator.get_weights())
            self.checkpoint.averaged = self.averaged

    def _discriminator(self, num_classes: int, channels: int) -> Discriminator:
        config = self.config
        return Discriminator(
            config.discriminator_width,
            num_classes,
            config.drop_rate,
            config.conv7_input,
            channels,
            config.input_noise,
            config.conv1_stride,
            config.image_size,
        )

    @property
    def classifier(self) -> Discriminator:
        """What is evaluated and exported: the average of the weights, if there is one."""
        return self.averaged or self.discriminator

    @tf.function
    def train_step(self, batch: Batch) -> Metrics:
        """One step: forward pass, losses, both updates.

        Args:
            batch: see `Batch`; for `--method=supervised` all of its labels are used.

        Returns:
            Scalars by the names under which TensorBoard shows them, and `labeled_correct` and
            `labeled_count`: how many labelled images of the batch were classified rightly, in
            training mode, and how many there were.

        Raises:
            tf.errors.InvalidArgumentError: if a loss or a gradient is not a finite number, before
                any weight has changed; the message begins with its tag.
        """
        if self.generator is None:
            metrics = self.supervised_update(batch, self.noise(0))
        else:
            metrics = self.semi_supervised_update(batch, self.noise(tf.shape(batch.images)[0]))
        if self.averaged is not None:
            self._update_average()
        self.step.assign_add(1)
        return metrics

    def semi_supervised_update(self, batch: Batch, noise: Noise) -> Metrics:
        """The article's step: D(x), G(z), D(G(z)) once; both gradients from that; both updates."""
        config, generator, discriminator = self.config, self.generator, self.discriminator
        batch_size = tf.shape(batch.images)[0]  # B; with a labelled batch, L more go through D
        fake_statistics = "batch" if config.bn_averages == "real" else "batch_and_update"

        with tf.GradientTape(persistent=True) as tape:
            images = tf.concat([batch.images, batch.labeled_images], axis=0)  # (B + L, ...)
            real = discriminator(
                self._augment(images, noise),
                statistics="batch_and_update",
                dropout_seed=noise.real_dropout_seed,
            )
            fakes = generator(noise.z, statistics="batch_and_update")
            fake = discriminator(
                fakes, statistics=fake_statistics, dropout_seed=noise.fake_dropout_seed
            )

            # supervised = sum(m * softmax_xent) / max(1, sum(m))
            logits, labels, mask = self._labeled_part(batch, real.class_logits)
            supervised = losses.supervised_loss(logits, labels, mask)

            # unsupervised = mean(sigmoid_xent(gan_logit(x), 1 - smooth))
            #              + mean(sigmoid_xent(gan_logit(G(z)), 0))
            real_gan_logit = losses.gan_logit(real.class_logits[:batch_size])
            fake_gan_logit = losses.gan_logit(fake.class_logits)
            real_loss = losses.unsupervised_real_loss(real_gan_logit, config.label_smoothing)
            fake_loss = losses.unsupervised_fake_loss(fake_gan_logit)
            discriminator_loss = supervised + self.unsupervised_weight() * (real_loss + fake_loss)
            extra = self._extra_terms(batch.images, real.class_logits[:batch_size], noise)
            discriminator_loss += sum(weight * loss for weight, loss in extra.values())

            # generator = mean_j | mean_batch features_j(x) - mean_batch features_j(G(z)) |
            real_features = real.features[:batch_size]
            if config.generator_loss == "feature_matching":
                generator_loss = losses.feature_matching_loss(real_features, fake.features)
            else:
                generator_loss = losses.adversarial_loss(fake_gan_logit)

        # Both gradients are taken before either network changes.
        discriminator_gradients = _gradients(tape, discriminator_loss, discriminator)
        generator_gradients = _gradients(tape, generator_loss, generator)
        del tape
        measured = {tag: loss for tag, (_, loss) in extra.items()} | {
            "losses/supervised": supervised,
            "losses/unsupervised_real": real_loss,
            "losses/unsupervised_fake": fake_loss,
            "losses/generator": generator_loss,
            "losses/discriminator": discriminator_loss,
            "monitors/grad_norm_discriminator": _global_norm(discriminator_gradients),
            "monitors/grad_norm_generator": _global_norm(generator_gradients),
        }
        with _only_if_finite(measured):
            self._apply(self.discriminator_optimizer, discriminator_gradients)
            self._apply(self.generator_optimizer, generator_gradients)

        metrics = measured | self._shared_metrics(logits, labels, mask)
        return metrics | {
            "monitors/p_real_on_data": tf.reduce_mean(tf.sigmoid(real_gan_logit)),
            "monitors/p_real_on_samples": tf.reduce_mean(tf.sigmoid(fake_gan_logit)),
            "monitors/feature_gap": _relative_gap(real_features, fake.features),
        }

    def _extra_terms(
        self, images: tf.Tensor, class_logits: tf.Tensor, noise: Noise
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """What the article does not have, by tag: weight and loss of each term in use.

        Args:
            images: (B, S, S, channels) uint8, before any shift.
            class_logits: (B, K), the discriminator's in this step.
            noise: of the step.
        """
        config, terms = self.config, {}
        if config.consistency_weight:
            # consistency = mean([max softmax(t) >= threshold] * softmax_xent(l, argmax t)),
            # t from the averaged weights, without dropout, for the same images shifted differently
            images = scale(shift(images, config.augment_shift, noise.teacher_shift_seed))
            teacher = self.averaged(images, statistics="moving")
            consistency = losses.consistency_loss(
                class_logits, teacher.class_logits, config.consistency_threshold
            )
            terms["losses/consistency"] = config.consistency_weight * self._ramp(), consistency
        if config.entropy_weight:
            entropy = losses.entropy_loss(class_logits)
            terms["losses/entropy"] = config.entropy_weight * self._ramp(), entropy
        return terms

    def supervised_update(self, batch: Batch, noise: Noise) -> Metrics:
        """The control's step: the same discriminator and optimizer, the supervised loss alone."""
        with tf.GradientTape() as tape:
            output = self.discriminator(
                self._augment(batch.images, noise),
                statistics="batch_and_update",
                dropout_seed=noise.real_dropout_seed,
            )
            supervised = losses.supervised_loss(output.class_logits, batch.labels, batch.label_mask)
        gradients = _gradients(tape, supervised, self.discriminator)
        measured = {
            "losses/supervised": supervised,
            "losses/discriminator": supervised,
            "monitors/grad_norm_discriminator": _global_norm(gradients),
        }
        with _only_if_finite(measured):
            self._apply(self.discriminator_optimizer, gradients)
        return measured | self._shared_metrics(output.class_logits, batch.labels, batch.label_mask)

    def noise(self, batch_size: int | tf.Tensor) -> Noise:
        """z and dropout seeds of the current step, from stateless seeds of (run seed, step)."""
        step_seed = tf.random.fold_in(tf.constant([self.config.seed, 0]), self.step)
        z_seed, real_seed, fake_seed = tf.unstack(tf.random.split(step_seed, 3))
        z = tf.random.stateless_normal((batch_size, self.config.latent_dim), z_seed)
        # Drawn apart, so that what the article has does not depend on what it has not.
        other_seeds = tf.unstack(tf.random.split(tf.random.fold_in(step_seed, 1), 3))
        return Noise(z, real_seed, fake_seed, *other_seeds)

    def _augment(self, images: tf.Tensor, noise: Noise) -> tf.Tensor:
        """What the discriminator is shown of real images: uint8 -> float32 in [-1, 1]."""
        shifted = scale(shift(images, self.config.augment_shift, noise.shift_seed))
        return jitter_color(shifted, self.config.augment_color, noise.color_seed)

    def _update_average(self) -> None:
        """averaged += (1 - decay) * (weights - averaged), decay at most (1 + t) / (10 + t)."""
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        for mean, weight in zip(self.averaged.weights, self.discriminator.weights, strict=True):
            mean.assign_sub((1.0 - decay) * (mean - weight))

    def learning_rate(self) -> tf.Tensor:
        """Adam's learning rate at the current step, scalar float32."""
        config = self.config
        progress = self._progress()
        rate = tf.constant(config.learning_rate)
        if config.warmup_steps:
            rate *= tf.minimum(1.0, tf.cast(self.step + 1, tf.float32) / config.warmup_steps)
        if config.schedule == "exponential":
            epoch = tf.cast(self.step // self.steps_per_epoch, tf.float32)
            return rate * 0.9**epoch
        if config.schedule == "linear":
            return rate * tf.minimum(1.0, 2.0 * (1.0 - progress))
        return rate * 0.5 * (1.0 + tf.cos(math.pi * progress))

    def unsupervised_weight(self) -> tf.Tensor:
        """Weight of the discriminator's unsupervised terms at the current step, scalar float32."""
        return self.config.unsupervised_weight * self._ramp()

    def _ramp(self) -> tf.Tensor:
        """From 0 to 1 over the first `unsupervised_ramp` of all steps, scalar float32."""
        if self.config.unsupervised_ramp == 0:
            return tf.constant(1.0)
        return tf.minimum(1.0, self._progress() / self.config.unsupervised_ramp)

    def _progress(self) -> tf.Tensor:
        """Steps taken / steps in all, scalar float32 in [0, 1)."""
        return tf.cast(self.step, tf.float32) / self.total_steps

    def _labeled_part(
        self, batch: Batch, real_logits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Class logits, labels and mask that the supervised loss is about."""
        if self.config.labeled_batch_size == 0:
            return real_logits, batch.labels, batch.label_mask
        labels = batch.labeled_labels
        logits = real_logits[tf.shape(batch.images)[0] :]  # (B + L, K) -> (L, K)
        return logits, labels, tf.ones_like(labels, tf.float32)

    def _apply(
        self, optimizer: keras.optimizers.Optimizer, gradients: dict[str, "Gradient"]
    ) -> None:
        optimizer.learning_rate.assign(self.learning_rate())
        optimizer.apply(
            [gradient for gradient, _ in gradients.values()],
            [variable for _, variable in gradients.values()],
        )

    def _shared_metrics(self, logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> Metrics:
        correct = tf.cast(tf.argmax(logits, axis=-1) == labels, tf.float32)
        return {
            "labeled_correct": tf.reduce_sum(mask * correct),
            "labeled_count": tf.reduce_sum(mask),
            "monitors/learning_rate": self.learning_rate(),
        }


Gradient = tuple[tf.Tensor, keras.Variable]


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam on TensorFlow's one-kernel update, the one that TF1's optimizer ran.

    The same numbers in one operation a variable instead of ten.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """One variable's update: lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def _adam(config: Config, model: keras.Model) -> FusedAdam:
    """Adam with TF1's epsilon, its slot variables made, so that a checkpoint can fill them."""
    optimizer = FusedAdam(config.learning_rate, beta_1=config.beta_1, epsilon=1e-8)
    optimizer.build(model.trainable_variables)
    return optimizer


def _gradients(tape: tf.GradientTape, loss: tf.Tensor, model: keras.Model) -> dict[str, Gradient]:
    """Gradient and variable by the variable's path, e.g. `discriminator/conv1/kernel`.

    The notebook's dead conv6 has no gradient and is left out.
    """
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    return {
        variable.path: (gradient, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None
    }


def _only_if_finite(measured: Metrics) -> contextlib.AbstractContextManager:
    """What is done within happens only if all of these are finite numbers; else the step fails."""
    return tf.control_dependencies(
        [tf.debugging.check_numerics(value, tag) for tag, value in measured.items()]
    )


def _global_norm(gradients: dict[str, Gradient]) -> tf.Tensor:
    return tf.linalg.global_norm([gradient for gradient, _ in gradients.values()])


def _relative_gap(real_features: tf.Tensor, fake_features: tf.Tensor) -> tf.Tensor:
    """|| mean f(x) - mean f(G(z)) ||_2 / || mean f(x) ||_2, free of the features' scale."""
    real_mean = tf.reduce_mean(real_features, axis=0)
    fake_mean = tf.reduce_mean(fake_features, axis=0)
    return tf.math.divide_no_nan(tf.norm(real_mean - fake_mean), tf.norm(real_mean))
