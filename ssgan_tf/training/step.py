"""The train step: one forward pass of both networks, their losses, two updates."""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple, cast

import keras
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.data.augment import Places, augment
from ssgan_tf.data.dataset import Batch
from ssgan_tf.data.images.resize import scale
from ssgan_tf.models.discriminator import DiscriminatorOutput
from ssgan_tf.models.layers import BN_MOMENTUM
from ssgan_tf.system.device import resolve_jit_compile, worker
from ssgan_tf.system.replicas import gather, my_part, replica
from ssgan_tf.training import losses, optimizer, schedule
from ssgan_tf.training.noise import Noise, draw_noise
from ssgan_tf.training.state import State

Metrics = dict[str, tf.Tensor]
MEAN_DECAY = 0.99  # of the average of what the teacher says, a step


class Labeled(NamedTuple):
    """What the supervised loss is about, for the global batch.

    Attributes:
        logits: (N, K) float32, class logits.
        labels: (N,) int64.
        mask: (N,) float32, 1 where the label may be used.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    mask: tf.Tensor


class Trainer:
    """The train step over a `State`.

    Attributes:
        config: of the run.
        state: what the step changes.
        discriminator: of the state; so are `generator` and `averaged`, which may be None.
        step: of the state, int64 variable, the number of steps taken.
        jit_compile: whether the step is compiled with XLA.
    """

    def __init__(
        self,
        config: Config,
        num_classes: int,
        channels: int = 3,
        steps_per_epoch: int = 1,
        total_steps: int = 1,
        strategy: tf.distribute.Strategy | None = None,
        class_prior: Sequence[float] = (),
    ) -> None:
        """
        Args:
            config: of the run.
            num_classes: K.
            channels: of the images.
            steps_per_epoch: for the exponential schedule of runs that are counted in epochs.
            total_steps: for all other schedules, and the ramp.
            strategy: from `device.make_strategy`; None: one device.
            class_prior: K shares of the labels, for `--distribution_alignment`; empty: all equal.
        """
        self.config = config
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.state = State(config, num_classes, channels, strategy, class_prior)
        self.discriminator, self.generator = self.state.discriminator, self.state.generator
        self.averaged, self.step = self.state.averaged, self.state.step
        replicas = self.state.strategy.num_replicas_in_sync
        self._replicas_here = replicas // worker()[1] if replicas > 1 else 1
        self.jit_compile = resolve_jit_compile(config.jit_compile, replicas)

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
                any trained weight has changed (with XLA after that); moving averages may have. The
                message begins with its tag.
        """
        strategy = self.state.strategy
        if self.jit_compile:
            compiled = tf.function(self._replica_step, jit_compile=True, autograph=False)
            metrics = compiled(batch)
            with self._only_if_finite(metrics):  # compiled code does not raise
                metrics = tf.nest.map_structure(tf.identity, metrics)
        else:
            # A strategy of several devices would convert it, for nothing.
            step = tf.autograph.experimental.do_not_convert(self._replica_step)
            metrics = strategy.run(step, args=(batch,))
            metrics = {  # all replicas have the same
                tag: strategy.experimental_local_results(value)[0] for tag, value in metrics.items()
            }
        with tf.control_dependencies(list(metrics.values())):
            self.state.update_average()
            self.step.assign_add(1)
        return metrics

    def _replica_step(self, batch: Batch) -> Metrics:
        """What one replica does: its part of the batch and of the noise, all of the update."""
        batch = Batch(*(my_part(part, sharers=self._replicas_here) for part in batch))
        if self.generator is None:
            return self.update_without_generator(batch, self.noise(0))
        return self.semi_supervised_update(
            batch, self.noise(tf.shape(batch.images)[0] * replica()[1])
        )

    def semi_supervised_update(self, batch: Batch, noise: Noise) -> Metrics:
        """The article's step: D(x), G(z), D(G(z)) once; both gradients from that; both updates.

        Batch and metrics are those of `train_step`, the noise is that of the step.
        """
        config, (d_optimizer, g_optimizer) = self.config, self.state.optimizers()
        with tf.GradientTape(persistent=True) as tape:
            real, labeled = self._real_output(batch, noise)  # D(x), and y
            fake = self._fake_output(batch, noise)  # D(G(z))

            # supervised = sum(m * softmax_xent) / max(1, sum(m))
            supervised = losses.supervised_loss(*labeled)

            # unsupervised = mean(sigmoid_xent(gan_logit(x), 1 - smooth))
            #              + mean(sigmoid_xent(gan_logit(G(z)), 0))
            real_gan_logit = losses.gan_logit(real.class_logits)
            fake_gan_logit = losses.gan_logit(fake.class_logits)
            real_loss = losses.unsupervised_real_loss(real_gan_logit, config.label_smoothing)
            fake_loss = losses.unsupervised_fake_loss(fake_gan_logit)
            discriminator_loss = supervised + self._weight("unsupervised") * (real_loss + fake_loss)

            extra: Metrics = {}  # what is not in the article, and off by default
            if config.consistency_weight:
                extra = self._consistency(real, batch, noise)
                discriminator_loss += self._weight("consistency") * extra["losses/consistency"]

            # generator = mean_j | mean_batch features_j(x) - mean_batch features_j(G(z)) |
            if config.generator_loss == "feature_matching":
                generator_loss = losses.feature_matching_loss(real.features, fake.features)
            else:
                generator_loss = losses.adversarial_loss(fake_gan_logit)
            d_share = optimizer.share_of_loss(d_optimizer, discriminator_loss)
            g_share = optimizer.share_of_loss(g_optimizer, generator_loss)

        # Both gradients are taken before either network changes.
        d_gradients = optimizer.gradients(tape, d_share, self.discriminator)
        g_gradients = optimizer.gradients(tape, g_share, self.generator)
        del tape
        measured = extra | {
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
        measured |= self._monitors(labeled)
        return measured | _gan_monitors(real_gan_logit, fake_gan_logit, real, fake)

    def update_without_generator(self, batch: Batch, noise: Noise) -> Metrics:
        """The step of the control, and of `--unsupervised_weight=0`: D(x), one update."""
        config, d_optimizer = self.config, self.state.discriminator_optimizer
        with tf.GradientTape() as tape:
            real, labeled = self._real_output(batch, noise)  # D(x), and y

            # supervised = sum(m * softmax_xent) / max(1, sum(m))
            discriminator_loss = supervised = losses.supervised_loss(*labeled)

            extra: Metrics = {}
            if config.consistency_weight:
                extra = self._consistency(real, batch, noise)
                discriminator_loss += self._weight("consistency") * extra["losses/consistency"]
            share = optimizer.share_of_loss(d_optimizer, discriminator_loss)
        gradients = optimizer.gradients(tape, share, self.discriminator)
        measured = extra | {
            "losses/supervised": supervised,
            "losses/discriminator": discriminator_loss,
            "monitors/grad_norm_discriminator": optimizer.global_norm(d_optimizer, gradients),
        }
        with self._only_if_finite(measured):
            self._apply(d_optimizer, gradients)
        return measured | self._monitors(labeled)

    def _real_output(self, batch: Batch, noise: Noise) -> tuple[DiscriminatorOutput, Labeled]:
        """D(x), and what the supervised loss is about, both for the global batch.

        With a labeled batch its L images go through D together with the B of the batch.
        """
        config, size = self.config, tf.shape(batch.images)[0]  # B
        images = tf.concat([batch.images, batch.labeled_images], axis=0)  # (B + L, ...)
        # Scaled first: no GPU has a kernel that gathers uint8, so the CPU would move the images.
        output = self.discriminator(
            augment(scale(images), config, noise.real, places(batch)),
            statistics="batch_and_update",
            dropout_seed=noise.real_dropout_seed,
            momentum=self._momentum(self.step * self._passes),
        )
        logits, features = gather([output.class_logits[:size], output.features[:size]])
        if config.labeled_batch_size == 0:
            labeled = Labeled(logits, gather([batch.labels])[0], gather([batch.label_mask])[0])
        else:
            labeled_logits = gather([output.class_logits[size:]])[0]  # (L, K)
            labels = gather([batch.labeled_labels])[0]
            labeled = Labeled(labeled_logits, labels, tf.ones_like(labels, tf.float32))
        return DiscriminatorOutput(logits, features), labeled

    def _fake_output(self, batch: Batch, noise: Noise) -> DiscriminatorOutput:
        """D(G(z)) for the global batch."""
        assert self.generator is not None
        fakes = self.generator(
            noise.z, statistics="batch_and_update", momentum=self._momentum(self.step)
        )
        if self.config.augment_fakes:
            # Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training"
            fakes = augment(fakes, self.config, noise.fake, places(batch, labeled=False))
        output = self.discriminator(
            fakes,
            statistics="batch" if self._passes == 1 else "batch_and_update",
            dropout_seed=noise.fake_dropout_seed,
            momentum=self._momentum(self.step * self._passes + 1),
        )
        return DiscriminatorOutput(*gather([output.class_logits, output.features]))

    @property
    def _passes(self) -> int:
        """How many passes of a step move the averages of D: that of the fakes may do so, too."""
        return 2 if self.generator is not None and self.config.bn_averages == "mixed" else 1

    def _consistency(self, real: DiscriminatorOutput, batch: Batch, noise: Noise) -> Metrics:
        """share^p mean([max softmax(t) >= threshold] * softmax_xent(l, argmax t)), and the share.

        t is from the averaged weights, without dropout, of the same images moved otherwise.
        """
        assert self.averaged is not None  # a consistency weight needs averaged weights
        images = augment(
            scale(batch.images), self.config, noise.teacher, places(batch, labeled=False)
        )
        t = gather([self.averaged(images, statistics="moving").class_logits])[0]  # (B, K)
        if (mean := self.state.class_mean) is not None:
            found = tf.reduce_mean(tf.nn.softmax(t), axis=0)  # (K,)
            mean.assign_sub((1.0 - MEAN_DECAY) * (mean - found))
            t = losses.aligned_logits(t, self.state.class_prior, mean)
        threshold, power = self.config.consistency_threshold, self.config.consistency_share_power
        return {
            "losses/consistency": losses.consistency_loss(real.class_logits, t, threshold, power),
            "monitors/pseudo_label_share": tf.reduce_mean(losses.confident(t, threshold)),
        }

    def noise(self, batch_size: int | tf.Tensor) -> Noise:
        """Random inputs of the current step; see `draw_noise`."""
        return draw_noise(self.config, self.step, batch_size)

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

    def _apply(
        self, used: keras.optimizers.Optimizer, gradients: dict[str, optimizer.Gradient]
    ) -> None:
        cast(keras.Variable, used.learning_rate).assign(self.learning_rate())
        used.apply(
            [gradient for gradient, _ in gradients.values()],
            [variable for _, variable in gradients.values()],
        )

    def _only_if_finite(self, measured: Metrics) -> contextlib.AbstractContextManager:
        """What is done within happens only if all of these are finite; else the step fails.

        Gradients in float16 may be infinite: then the optimizer leaves the update out and halves
        the scale. They have diverged if halving did not help down to a scale of 1.
        """
        if self.state.precision == "float16":
            scales = {"monitors/grad_norm_discriminator": self.state.discriminator_optimizer}
            if self.generator is not None:
                scales["monitors/grad_norm_generator"] = self.state.generator_optimizer
            measured = measured | {
                tag: tf.where(used.dynamic_scale >= 1.0, 0.0, measured[tag])
                for tag, used in scales.items()
            }
        return tf.control_dependencies(
            [tf.debugging.check_numerics(value, tag) for tag, value in measured.items()]
        )

    def _monitors(self, labeled: Labeled) -> Metrics:
        correct = tf.cast(tf.argmax(labeled.logits, axis=-1) == labeled.labels, tf.float32)
        return {
            "labeled_correct": tf.reduce_sum(labeled.mask * correct),
            "labeled_count": tf.reduce_sum(labeled.mask),
            "monitors/learning_rate": self.learning_rate(),
        }


def places(batch: Batch, labeled: bool = True) -> Places | None:
    """Where a replica's images stand in the global batch: all images first, then the labeled."""
    index, replicas = replica()
    if replicas == 1:
        return None
    size = tf.shape(batch.images)[0]
    extra = tf.shape(batch.labeled_images)[0] if labeled else 0
    indices = [index * size + tf.range(size), replicas * size + index * extra + tf.range(extra)]
    return Places(tf.concat(indices, axis=0), replicas * (size + extra))


def _gan_monitors(
    real_gan_logit: tf.Tensor,
    fake_gan_logit: tf.Tensor,
    real: DiscriminatorOutput,
    fake: DiscriminatorOutput,
) -> Metrics:
    """How sure the discriminator is, and || mean f(x) - mean f(G(z)) || / || mean f(x) ||."""
    real_mean = tf.reduce_mean(real.features, axis=0)
    fake_mean = tf.reduce_mean(fake.features, axis=0)
    gap = tf.math.divide_no_nan(tf.norm(real_mean - fake_mean), tf.norm(real_mean))
    return {
        "monitors/p_real_on_data": tf.reduce_mean(tf.sigmoid(real_gan_logit)),
        "monitors/p_real_on_samples": tf.reduce_mean(tf.sigmoid(fake_gan_logit)),
        "monitors/feature_gap": gap,
    }
