from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.data.augment import cutout, flip, jitter_color, shift
from ssgan_tf.data.dataset import Batch
from ssgan_tf.data.images.resize import scale, unscale
from ssgan_tf.models.whitening import whitening_kernel
from ssgan_tf.training.noise import Noise
from ssgan_tf.training.step import Trainer

B = 8


NARROW = {"generator_width": 8, "discriminator_width": 8, "batch_size": B}
CONSISTENT = {"ema_decay": 0.9, "consistency_weight": 2.0, "consistency_threshold": 0.0}
# For steps that are compiled, which takes longer the larger they are.
TINY = {"generator_width": 2, "discriminator_width": 2, "image_size": 16}


@pytest.fixture(autouse=True)
def eager(request: pytest.FixtureRequest) -> Iterator[None]:
    """`train_step` without its graph, which takes longer than a few steps; marked tests have it."""
    tf.config.run_functions_eagerly(not request.node.get_closest_marker("graph"))
    yield
    tf.config.run_functions_eagerly(False)


def make_trainer(**changes: object) -> Trainer:
    config = Config.from_preset(changes.pop("preset", "article"), **(NARROW | changes))
    return Trainer(config, num_classes=10, steps_per_epoch=10, total_steps=100)


def make_batch(labeled: int = 0, seed: int = 0, size: int = 32) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        tf.constant(rng.integers(0, 256, (B, size, size, 3)), tf.uint8),
        tf.constant(rng.integers(0, 10, B)),
        tf.constant([1.0, 0.0] * (B // 2)),
        tf.constant(rng.integers(0, 256, (labeled, size, size, 3)), tf.uint8),
        tf.constant(rng.integers(0, 10, labeled)),
    )


def update(trainer: Trainer, batch: Batch) -> dict[str, tf.Tensor]:
    """One step without a graph, which one step alone is not worth."""
    if trainer.generator is None:
        metrics = trainer.update_without_generator(batch, trainer.noise(0))
    else:
        metrics = trainer.semi_supervised_update(batch, trainer.noise(B))
    trainer.step.assign_add(1)
    return metrics


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for weight in model.weights}


def changed(model: keras.Model, before: dict[str, np.ndarray]) -> set[str]:
    return {
        path for path, value in values(model).items() if not np.array_equal(value, before[path])
    }


def assert_same_weights(first: Trainer, second: Trainer) -> None:
    for model in ("discriminator", "generator"):
        expected = values(getattr(second, model))
        for path, value in values(getattr(first, model)).items():
            np.testing.assert_array_equal(value, expected[path], err_msg=path)


def gradients_of(
    trainer: Trainer, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> dict[str, np.ndarray]:
    """What a step would apply, by the variables' paths; nothing is applied."""
    found: dict[str, np.ndarray] = {}

    def collect(optimizer: object, gradients: dict) -> None:
        found.update({path: gradient.numpy() for path, (gradient, _) in gradients.items()})

    monkeypatch.setattr(trainer, "_apply", collect)
    noise = trainer.noise(B)
    trainer.semi_supervised_update(batch, noise)
    return found


def test_scale_maps_bytes_to_minus_one_and_one_and_unscale_maps_them_back() -> None:
    everything = tf.range(256, dtype=tf.int32)
    scaled = scale(tf.cast(everything, tf.uint8))
    assert float(scaled[0]) == -1
    assert float(scaled[255]) == pytest.approx(1)
    np.testing.assert_array_equal(unscale(scaled), everything)


def test_labels_under_a_zero_mask_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch()
    other = batch._replace(labels=tf.where(batch.label_mask > 0, batch.labels, -1))
    expected = gradients_of(make_trainer(), batch, monkeypatch)
    for path, gradient in gradients_of(make_trainer(), other, monkeypatch).items():
        np.testing.assert_array_equal(gradient, expected[path], err_msg=path)


def test_labels_under_a_mask_of_one_do(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch()
    other = batch._replace(labels=(batch.labels + 1) % 10)
    expected = gradients_of(make_trainer(), batch, monkeypatch)
    found = gradients_of(make_trainer(), other, monkeypatch)
    assert np.abs(
        found["discriminator/conv1/kernel"] - expected["discriminator/conv1/kernel"]
    ).max()


def test_the_generators_gradient_comes_from_feature_matching_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = make_batch()
    expected = gradients_of(make_trainer(), batch, monkeypatch)
    # Neither the other losses nor the classifier behind the features have a say in it.
    for trainer in (
        make_trainer(unsupervised_weight=7.0, label_smoothing=0.4),
        make_trainer(unsupervised_weight=0.1),
    ):
        trainer.discriminator.classifier.kernel.assign(
            3 * tf.ones_like(trainer.discriminator.classifier.kernel)
        )
        found = gradients_of(trainer, batch._replace(label_mask=tf.zeros(B)), monkeypatch)
        for path in found:
            if path.startswith("generator"):
                np.testing.assert_array_equal(found[path], expected[path], err_msg=path)


def test_the_adversarial_loss_is_a_different_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = gradients_of(make_trainer(), make_batch(), monkeypatch)
    found = gradients_of(make_trainer(generator_loss="adversarial"), make_batch(), monkeypatch)
    path = "generator/deconv3/kernel"
    assert np.abs(found[path] - expected[path]).max() > 1e-3 * np.abs(expected[path]).max()
    path = "discriminator/conv1/kernel"
    np.testing.assert_array_equal(found[path], expected[path])


@pytest.mark.parametrize(
    ("updated", "kept"), [("discriminator", "generator"), ("generator", "discriminator")]
)
def test_an_update_of_one_network_leaves_the_weights_of_the_other_untouched(
    updated: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    apply = trainer._apply
    only = getattr(trainer.state, f"{updated}_optimizer")
    monkeypatch.setattr(
        trainer,
        "_apply",
        lambda optimizer, gradients: optimizer is only and apply(optimizer, gradients),
    )
    trainable = {weight.path for weight in getattr(trainer, kept).trainable_variables}
    before = {name: values(getattr(trainer, name)) for name in (updated, kept)}
    trainer.semi_supervised_update(make_batch(), trainer.noise(B))
    assert not changed(getattr(trainer, kept), before[kept]) & trainable
    assert changed(getattr(trainer, updated), before[updated])


def test_both_updates_come_from_the_forward_pass_before_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were the discriminator updated first, the generator's gradient would change."""
    expected = gradients_of(make_trainer(), make_batch(), monkeypatch)
    trainer = make_trainer()
    found: dict[str, np.ndarray] = {}
    apply = trainer._apply

    def collect_and_apply(optimizer: object, gradients: dict) -> None:
        found.update({path: gradient.numpy() for path, (gradient, _) in gradients.items()})
        apply(optimizer, gradients)

    monkeypatch.setattr(trainer, "_apply", collect_and_apply)
    trainer.semi_supervised_update(make_batch(), trainer.noise(B))
    for path, gradient in found.items():
        np.testing.assert_array_equal(gradient, expected[path], err_msg=path)


@pytest.mark.parametrize(("averages", "same"), [("real", True), ("mixed", False)])
def test_fakes_move_the_moving_averages_only_if_asked_to(averages: str, same: bool) -> None:
    trainers = [make_trainer(bn_averages=averages) for _ in range(2)]
    for trainer, size in zip(trainers, (1.0, 5.0), strict=True):  # two very different sets of fakes
        noise = Noise(size * trainer.noise(B).z, None, None)
        trainer.semi_supervised_update(make_batch(), noise)
    first, second = (trainer.discriminator.bn3.moving_mean.numpy() for trainer in trainers)
    assert np.array_equal(first, second) is same
    # ... and those of the real images are what they follow.
    control = make_trainer(method="supervised")
    control.update_without_generator(make_batch(), Noise(control.noise(0).z, None, None))
    assert np.allclose(first, control.discriminator.bn3.moving_mean, atol=1e-7) is same


def test_dropout_differs_between_steps() -> None:
    trainer = make_trainer(drop_rate=0.5)
    first = trainer.noise(B)
    trainer.step.assign_add(1)
    second = trainer.noise(B)
    for before, after in zip(first, second, strict=True):
        assert not np.array_equal(before, after)
    assert not np.array_equal(first.real_dropout_seed, first.fake_dropout_seed)


def test_training_drops_in_every_pass_and_not_at_rate_zero() -> None:
    def losses(drop_rate: float, **changes: object) -> dict[str, float]:
        trainer = make_trainer(drop_rate=drop_rate, **changes)
        return {tag: float(value) for tag, value in trainer.train_step(make_batch()).items()}

    without, with_dropout = losses(0.0), losses(0.5)
    for tag in ("losses/supervised", "losses/unsupervised_real", "losses/unsupervised_fake"):
        assert abs(without[tag] - with_dropout[tag]) > 1e-6, tag
    control, dropped = (losses(rate, method="supervised") for rate in (0.0, 0.5))
    assert abs(control["losses/supervised"] - dropped["losses/supervised"]) > 1e-6


def test_noise_is_a_function_of_run_seed_and_step() -> None:
    first, second = (tf.nest.flatten(make_trainer().noise(B)) for _ in range(2))
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(make_trainer().noise(B).z, make_trainer(seed=1).noise(B).z)


def test_the_seeds_of_a_step_stay_what_they_were() -> None:
    """Golden: mirror images have seeds of their own, drawn apart from those of earlier versions."""
    trainer = make_trainer(seed=5)
    trainer.step.assign(7)
    noise = trainer.noise(0)
    assert noise.real_dropout_seed.numpy().tolist() == [1553547188838190551, 8385251718335224886]
    assert noise.fake_dropout_seed.numpy().tolist() == [-1769481540494901488, 7543293295742363912]
    assert noise.real.shift.numpy().tolist() == [1516240930, -1163947772]
    assert noise.teacher.shift.numpy().tolist() == [-152850553, -995899053]
    assert noise.real.color.numpy().tolist() == [-1787436941, -407525571]


def test_control_starts_from_the_same_discriminator_and_has_no_generator() -> None:
    control, full = make_trainer(method="supervised"), make_trainer()
    assert control.generator is None
    expected = values(full.discriminator)
    for path, value in values(control.discriminator).items():
        np.testing.assert_array_equal(value, expected[path])


def test_without_a_weight_of_the_gans_terms_there_is_no_generator_and_the_rest_is_the_same() -> (
    None
):
    none, hardly = (
        make_trainer(preset="tuned", labeled_batch_size=4, unsupervised_weight=weight, **TINY)
        for weight in (0.0, 1e-30)
    )
    assert none.generator is None and none.state.generator_optimizer is None
    for trainer in (none, hardly):
        trainer.state.averaged.classifier.bias.assign(np.linspace(0, 50, 10))  # a sure teacher
    for step in range(2):
        batch = make_batch(4, seed=step, size=16)
        found, expected = update(none, batch), update(hardly, batch)
        assert float(found["losses/consistency"]) > 1
        for tag, value in found.items():
            assert float(value) == pytest.approx(float(expected[tag]), rel=1e-4), tag
        assert not {tag for tag in found if "unsupervised" in tag or "generator" in tag}
    for path, value in values(none.discriminator).items():
        expected_value = values(hardly.discriminator)[path]
        np.testing.assert_allclose(value, expected_value, rtol=1e-3, atol=1e-5, err_msg=path)


def test_notebook_leaves_the_dead_conv6_out_of_the_update() -> None:
    trainer = make_trainer(preset="notebook")
    before = values(trainer.discriminator)
    trainer.train_step(make_batch())
    moved = changed(trainer.discriminator, before)
    assert "discriminator/conv7/kernel" in moved
    assert not {path for path in moved if "conv6" in path or "bn6" in path}


def test_a_labeled_batch_carries_the_whole_supervised_loss_and_nothing_else() -> None:
    trainer = make_trainer(labeled_batch_size=4, drop_rate=0.0)
    batch, noise = make_batch(labeled=4), trainer.noise(B)
    images = scale(tf.concat([batch.images, batch.labeled_images], axis=0))
    output = trainer.discriminator(images, statistics="batch")
    expected_supervised = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(
            batch.labeled_labels, output.class_logits[B:]
        )
    )
    real_gan_logit = tf.reduce_logsumexp(output.class_logits[:B], axis=1)
    expected_p_real = tf.reduce_mean(tf.sigmoid(real_gan_logit))
    metrics = trainer.semi_supervised_update(batch, noise)
    assert float(metrics["losses/supervised"]) == pytest.approx(
        float(expected_supervised), rel=1e-5
    )
    assert float(metrics["monitors/p_real_on_data"]) == pytest.approx(
        float(expected_p_real), rel=1e-5
    )
    assert float(metrics["labeled_count"]) == 4


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("exponential", {0: 1, 9: 1, 10: 0.9, 25: 0.81, 99: 0.9**9}),
        ("linear", {0: 1, 50: 1, 75: 0.5, 99: 0.02}),
    ],
)
def test_learning_rate_follows_its_schedule(schedule: str, expected: dict[int, float]) -> None:
    trainer = make_trainer(schedule=schedule, learning_rate=3e-4)
    for step, factor in expected.items():
        trainer.step.assign(step)
        assert float(trainer.learning_rate()) == pytest.approx(3e-4 * factor, rel=1e-4), step


def test_optimizers_use_the_scheduled_learning_rate() -> None:
    trainer = make_trainer(schedule="linear")
    trainer.step.assign(75)
    metrics = trainer.train_step(make_batch())
    assert float(metrics["monitors/learning_rate"]) == pytest.approx(1.5e-4)
    assert float(trainer.state.discriminator_optimizer.learning_rate) == pytest.approx(1.5e-4)
    assert float(trainer.state.generator_optimizer.learning_rate) == pytest.approx(1.5e-4)


def test_the_unsupervised_terms_have_no_weight_where_the_ramp_starts() -> None:
    trainer = make_trainer(unsupervised_weight=2.0, unsupervised_ramp=0.4)
    metrics = update(trainer, make_batch())
    assert metrics["losses/discriminator"] == metrics["losses/supervised"]


def moving(trainer: Trainer) -> dict[str, np.ndarray]:
    """The moving averages of both networks."""
    found = values(trainer.discriminator)
    if trainer.generator is not None:
        found |= values(trainer.generator)
    return {path: value for path, value in found.items() if "moving" in path}


def start_of(path: str) -> int:
    """Of a moving average: 0 of a mean, 1 of a variance."""
    return int(path.endswith("variance"))


@pytest.mark.parametrize("method", ["semi_supervised", "supervised"])
def test_moving_averages_are_the_first_batchs_after_the_first_step(method: str) -> None:
    corrected, tf1 = (make_trainer(method=method, bn_start=name) for name in ("corrected", "tf1"))
    for trainer in (corrected, tf1):
        update(trainer, make_batch())
    before = moving(corrected)
    for path, value in moving(tf1).items():  # 0.99 start + 0.01 batch
        batch = (value - 0.99 * start_of(path)) / 0.01
        np.testing.assert_allclose(before[path], batch, rtol=1e-3, atol=1e-4, err_msg=path)
    old = moving(tf1)
    for trainer in (corrected, tf1):  # the second: a tenth of the first batch is left
        update(trainer, make_batch(seed=1))
    for path, value in moving(tf1).items():
        batch = (value - 0.99 * old[path]) / 0.01
        expected = 0.1 * before[path] + 0.9 * batch
        found = moving(corrected)[path]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=path)


@pytest.mark.slow
def test_averages_that_follow_fakes_as_well_are_of_both_from_the_first_step() -> None:
    def after_a_step(**changes: str) -> dict[str, np.ndarray]:
        trainer = make_trainer(**changes)
        update(trainer, make_batch())
        return moving(trainer)

    real = after_a_step(bn_averages="real")
    both, tf1 = (after_a_step(bn_averages="mixed", bn_start=n) for n in ("corrected", "tf1"))
    for path in real:
        if path.startswith("discriminator"):
            seen = 0.99 * (0.99 * start_of(path) + 0.01 * real[path])
            fakes = (tf1[path] - seen) / 0.01
            expected = 0.1 * real[path] + 0.9 * fakes
            np.testing.assert_allclose(both[path], expected, rtol=2e-3, atol=2e-4, err_msg=path)


def test_notebook_has_tf1s_moving_averages() -> None:
    trainer = make_trainer(preset="notebook")
    update(trainer, make_batch())
    for path, value in moving(trainer).items():
        if path.startswith("generator") and start_of(path) == 1:
            assert (value > 0.98).all(), path  # 0.99 of the 1 that it started from


@pytest.mark.parametrize("method", ["semi_supervised", "supervised"])
def test_the_rates_of_a_run_of_steps_do_not_depend_on_the_number_of_images(method: str) -> None:
    config = Config(steps=100, learning_rate=1e-3, method=method, **NARROW)
    trainer = Trainer(config, num_classes=10, steps_per_epoch=2, total_steps=100)
    for step, stairs in {0: 0, 3: 0, 4: 1, 50: 12, 99: 24}.items():
        trainer.step.assign(step)
        assert float(trainer.learning_rate()) == pytest.approx(1e-3 * 0.9**stairs), step


def test_two_trainers_of_one_seed_stay_bit_identical() -> None:
    trainers = [make_trainer(drop_rate=0.3) for _ in range(2)]
    for trainer in trainers:
        for step in range(3):
            trainer.train_step(make_batch(seed=step))
    assert_same_weights(*trainers)


@pytest.mark.graph
@pytest.mark.parametrize("preset", [pytest.param("article", marks=pytest.mark.slow), "tuned"])
def test_a_trainer_restored_from_a_checkpoint_goes_on_as_if_never_interrupted(
    preset: str, tmp_path: Path
) -> None:
    straight, resumed = (make_trainer(preset=preset, drop_rate=0.3, **TINY) for _ in range(2))
    extra = straight.config.labeled_batch_size and 4
    batches = [make_batch(extra, seed=step, size=16) for step in range(4)]
    for batch in batches[:2]:
        straight.train_step(batch)
    path = straight.state.checkpoint.save(str(tmp_path / "checkpoint"))
    for batch in batches[2:]:
        straight.train_step(batch)
    resumed.state.checkpoint.restore(path).assert_consumed()
    assert int(resumed.step) == 2
    for batch in batches[2:]:
        resumed.train_step(batch)
    assert_same_weights(resumed, straight)
    if preset == "tuned":
        expected = values(straight.averaged)
        for path, value in values(resumed.averaged).items():
            np.testing.assert_array_equal(value, expected[path], err_msg=path)


@pytest.mark.graph
def test_one_graph_serves_all_steps() -> None:
    trainer = make_trainer()
    for step in range(3):
        trainer.train_step(make_batch(seed=step))
    assert trainer.train_step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("method", ["semi_supervised", "supervised"])
def test_both_methods_train_on_shifted_recolored_and_mirrored_images(method: str) -> None:
    def supervised_loss(**changes: object) -> float:
        trainer = make_trainer(method=method, drop_rate=0.0, **changes)
        return float(update(trainer, make_batch())["losses/supervised"])

    losses = [
        supervised_loss(),
        supervised_loss(augment_shift=0.0625),
        supervised_loss(augment_color=0.3),
        supervised_loss(augment_flip=True),
        supervised_loss(augment_cutout=0.5),
    ]
    assert len(set(losses)) == 5


def test_the_discriminator_sees_fakes_that_are_changed_as_real_images_are() -> None:
    changes = {"augment_shift": 0.0625, "augment_cutout": 0.5}
    trainer = make_trainer(drop_rate=0.0, augment_fakes=True, **changes)
    noise = trainer.noise(B)
    fakes = trainer.generator(noise.z, statistics="batch")
    shown = cutout(shift(fakes, 2, noise.fake.shift), 16, noise.fake.cutout)
    logits = trainer.discriminator(shown, statistics="batch").class_logits
    p_real = tf.reduce_mean(tf.sigmoid(tf.reduce_logsumexp(logits, axis=1)))
    metrics = update(trainer, make_batch())
    found = float(metrics["monitors/p_real_on_samples"])
    assert found == pytest.approx(float(p_real), rel=1e-5)
    without = update(make_trainer(drop_rate=0.0, **changes), make_batch())
    assert float(without["monitors/p_real_on_samples"]) != found


def test_aligned_classes_follow_the_average_of_what_the_teacher_says() -> None:
    config = Config(**NARROW, **CONSISTENT, distribution_alignment=True, drop_rate=0.0)
    prior = [0.4] + [0.6 / 9] * 9
    trainer = Trainer(config, num_classes=10, total_steps=100, class_prior=prior)
    rng = np.random.default_rng(0)
    for weight in trainer.averaged.weights:  # a teacher whose answer depends on the image
        if "kernel" in weight.path:
            weight.assign(rng.normal(size=weight.shape, scale=0.2))
    batch = make_batch()
    said = trainer.averaged(scale(batch.images), statistics="moving").class_logits
    logits = trainer.discriminator(scale(batch.images), statistics="batch").class_logits
    metrics = update(trainer, batch)
    mean = 0.99 * np.array(prior) + 0.01 * tf.nn.softmax(said).numpy().mean(axis=0)
    np.testing.assert_allclose(trainer.state.class_mean, mean, rtol=1e-5)
    taught = np.argmax(tf.nn.softmax(said).numpy() * prior / mean, axis=1)
    expected = -np.mean(tf.nn.log_softmax(logits).numpy()[np.arange(B), taught])
    assert float(metrics["losses/consistency"]) == pytest.approx(expected, rel=1e-5)


def test_the_average_of_aligned_classes_is_in_the_checkpoint(tmp_path: Path) -> None:
    def aligned() -> Trainer:
        return make_trainer(**CONSISTENT, distribution_alignment=True)

    first, second = aligned(), aligned()
    first.state.class_mean.assign(np.arange(10) / 45)
    path = first.state.checkpoint.save(str(tmp_path / "ckpt"))
    second.state.checkpoint.restore(path).assert_consumed()
    np.testing.assert_array_equal(second.state.class_mean, first.state.class_mean)


@pytest.mark.parametrize("method", ["semi_supervised", "supervised"])
def test_averages_of_all_weights_and_moving_statistics_follow_with_their_decay(method: str) -> None:
    trainer = make_trainer(method=method, ema_decay=0.6)
    assert trainer.state.classifier is trainer.averaged
    expected = values(trainer.discriminator)
    for path, value in values(trainer.averaged).items():
        np.testing.assert_array_equal(value, expected[path], err_msg=path)
    for step in range(3):
        trainer.train_step(make_batch(seed=step))
        decay = min(0.6, (1 + step) / (10 + step))
        now = values(trainer.discriminator)
        expected = {p: decay * mean + (1 - decay) * now[p] for p, mean in expected.items()}
    assert "discriminator/bn3/moving_mean" in expected
    for path, value in values(trainer.averaged).items():
        np.testing.assert_allclose(value, expected[path], rtol=1e-5, atol=1e-7, err_msg=path)


def test_without_a_decay_the_weights_themselves_are_the_classifier() -> None:
    trainer = make_trainer()
    assert trainer.averaged is None
    assert trainer.state.classifier is trainer.discriminator


def test_the_average_changes_nothing_in_training() -> None:
    plain, averaging = make_trainer(), make_trainer(ema_decay=0.9)
    for trainer in (plain, averaging):
        for step in range(2):
            trainer.train_step(make_batch(seed=step))
    assert_same_weights(plain, averaging)


def test_the_averaged_classifier_teaches_by_what_it_says_of_other_moves_without_colors() -> None:
    trainer = make_trainer(
        ema_decay=0.9,
        consistency_weight=2.0,
        consistency_threshold=0.0,
        drop_rate=0.0,
        augment_shift=0.0625,
        augment_color=0.3,
        augment_flip=True,
    )
    rng = np.random.default_rng(0)
    for weight in trainer.averaged.weights:  # a teacher whose answer depends on the image
        if "kernel" in weight.path:
            weight.assign(rng.normal(size=weight.shape, scale=0.2))
    batch, noise = make_batch(), trainer.noise(B)
    assert not np.array_equal(
        flip(batch.images, noise.real.flip), flip(batch.images, noise.teacher.flip)
    )
    seen = shift(batch.images, 2, noise.real.shift)  # 0.0625 of 32 pixels
    seen = scale(flip(seen, noise.real.flip))
    seen = jitter_color(seen, 0.3, noise.real.color)
    logits = trainer.discriminator(seen, statistics="batch").class_logits
    shown = shift(batch.images, 2, noise.teacher.shift)
    shown = scale(flip(shown, noise.teacher.flip))
    taught = np.argmax(trainer.averaged(shown, statistics="moving").class_logits, axis=1)
    assert len(set(taught.tolist())) > 1
    expected = -np.mean(tf.nn.log_softmax(logits).numpy()[np.arange(B), taught])
    metrics = trainer.train_step(batch)
    assert float(metrics["losses/consistency"]) == pytest.approx(expected, rel=1e-5)
    parts = ("supervised", "unsupervised_real", "unsupervised_fake")
    rest = sum(float(metrics[f"losses/{part}"]) for part in parts)
    assert float(metrics["losses/discriminator"]) == pytest.approx(rest + 2 * expected, rel=1e-5)


def test_the_consistency_term_is_multiplied_by_a_power_of_the_share_of_pseudo_labels() -> None:
    found = []
    for power in (0.0, 2.0):
        changes = CONSISTENT | {"consistency_threshold": 0.19, "consistency_share_power": power}
        trainer = make_trainer(**changes)
        rng = np.random.default_rng(0)
        for weight in trainer.averaged.weights:  # a teacher that is surer of some images
            if "kernel" in weight.path:
                weight.assign(rng.normal(size=weight.shape, scale=0.2))
        logits = trainer.averaged(scale(make_batch().images), statistics="moving").class_logits
        share = np.mean(np.max(tf.nn.softmax(logits), axis=1) >= 0.19)
        metrics = update(trainer, make_batch())
        assert float(metrics["monitors/pseudo_label_share"]) == pytest.approx(share)
        found.append(float(metrics["losses/consistency"]))
    assert 0 < share < 1
    assert found[1] == pytest.approx(found[0] * share**2, rel=1e-5)


def test_no_gradient_moves_the_teacher() -> None:
    trainer = make_trainer(ema_decay=0.9, consistency_weight=2.0, consistency_threshold=0.0)
    before = values(trainer.averaged)
    batch = make_batch()
    trainer.semi_supervised_update(batch, trainer.noise(B))
    assert not changed(trainer.averaged, before)


def test_the_ramp_scales_the_gans_terms_and_leaves_the_others() -> None:
    trainer = make_trainer(
        ema_decay=0.9,
        consistency_weight=2.0,
        consistency_threshold=0.0,
        unsupervised_ramp=0.4,
    )
    trainer.step.assign(10)  # of 100: a quarter of the way
    metrics = {tag: float(value) for tag, value in trainer.train_step(make_batch()).items()}
    unsupervised = metrics["losses/unsupervised_real"] + metrics["losses/unsupervised_fake"]
    consistency = 2 * metrics["losses/consistency"]
    expected = metrics["losses/supervised"] + 0.25 * unsupervised + consistency
    assert metrics["losses/discriminator"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.graph
def test_compiled_updates_are_those_updates() -> None:
    """With z given, since XLA draws other random numbers."""
    plain, compiled = (
        make_trainer(
            preset="tuned", distribution_alignment=True, consistency_share_power=2.0, **TINY
        )
        for _ in range(2)
    )
    update = tf.function(compiled.semi_supervised_update, jit_compile=True)
    for step in range(2):
        batch = make_batch(4, seed=step, size=16)
        noise = Noise(plain.noise(B).z, None, None)
        expected, found = plain.semi_supervised_update(batch, noise), update(batch, noise)
        for tag, value in found.items():
            assert float(value) == pytest.approx(float(expected[tag]), rel=1e-3, abs=1e-5), tag
    np.testing.assert_allclose(compiled.state.class_mean, plain.state.class_mean, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.graph
def test_compiled_steps_count_and_average_as_others_do() -> None:
    trainer = make_trainer(method="supervised", ema_decay=0.9, jit_compile="true", **TINY)
    before = values(trainer.averaged)
    metrics = trainer.train_step(make_batch(size=16))
    assert int(trainer.step) == 1
    assert changed(trainer.averaged, before)
    assert np.isfinite(float(metrics["losses/discriminator"]))


@pytest.mark.slow
@pytest.mark.graph
def test_compiled_steps_stop_at_what_is_not_a_number() -> None:
    trainer = make_trainer(method="supervised", jit_compile="true", **TINY)
    trainer.discriminator.conv1.bias.assign(np.full(2, np.nan, np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"losses/|monitors/grad"):
        trainer.train_step(make_batch(size=16))
    assert int(trainer.step) == 0


@pytest.mark.parametrize(
    ("layers", "layer"),
    [("pooled", f"conv{k}") for k in (1, 3, 5, 7)] + [("vgg", f"conv{k}") for k in range(2, 8)],
)
def test_max_pooling_does_not_hide_what_is_not_a_number(layers: str, layer: str) -> None:
    trainer = make_trainer(method="supervised", discriminator=layers, **TINY)
    bias = getattr(trainer.discriminator, layer).bias  # which TensorFlow's max pooling would drop
    bias.assign(np.full(bias.shape, np.nan, np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"losses/|monitors/grad"):
        update(trainer, make_batch(size=16))


@pytest.mark.parametrize("layers", ["pooled", "vgg"])
def test_a_step_with_pooling_moves_every_weight_of_both_networks(layers: str) -> None:
    trainer = make_trainer(preset="tuned", labeled_batch_size=4, discriminator=layers, **TINY)
    before = [values(model) for model in (trainer.discriminator, trainer.generator)]
    trainer.step.assign(50)  # the GAN's terms have their weight
    metrics = update(trainer, make_batch(labeled=4, size=16))
    assert all(np.isfinite(value) for value in metrics.values())
    for model, old in zip((trainer.discriminator, trainer.generator), before, strict=True):
        trained = {weight.path for weight in model.trainable_weights}
        assert trained <= changed(model, old)


def test_whitening_sets_conv1_of_both_discriminators_and_training_leaves_it() -> None:
    trainer = make_trainer(preset="vgg", labeled_batch_size=4, **TINY)
    state, batch = trainer.state, make_batch(labeled=4, size=16)
    before = values(trainer.discriminator)
    state.whiten(batch.images.numpy(), np.array([0, 2, 3]))
    labeled = scale(tf.gather(batch.images, [0, 2, 3])).numpy()
    expected = whitening_kernel(labeled, trainer.config.augment_color)
    assert changed(trainer.discriminator, before) == {"discriminator/conv1/kernel"}
    update(trainer, batch)
    for network in (trainer.discriminator, trainer.averaged):
        np.testing.assert_allclose(network.conv1.kernel, expected, rtol=1e-4, atol=1e-4)


def test_whitening_leaves_other_layers_alone() -> None:
    trainer = make_trainer(**TINY)
    before = values(trainer.discriminator)
    trainer.state.whiten(make_batch(size=16).images.numpy(), np.arange(B))
    assert changed(trainer.discriminator, before) == set()


@pytest.mark.parametrize(
    "precision",
    [
        "bfloat16",
        pytest.param("float32", marks=pytest.mark.slow),
        pytest.param("float16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.graph
def test_a_hundred_steps_of_each_precision_bring_the_loss_down(precision: str) -> None:
    flags = {"precision": precision, "schedule": "exponential", "image_size": 16}
    trainer = make_trainer(preset="tuned", **flags)
    batch = make_batch(4, size=16)  # eight images, to be learned by heart
    losses = [float(trainer.train_step(batch)["losses/supervised"]) for _ in range(100)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    for model in (trainer.discriminator, trainer.generator, trainer.averaged):
        for path, value in values(model).items():
            assert value.dtype == np.float32 and np.isfinite(value).all(), path


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_losses_logits_features_and_statistics_are_float32_at_any_precision(precision: str) -> None:
    trainer = make_trainer(precision=precision)
    seen = []
    call = trainer.discriminator.conv2.call
    trainer.discriminator.conv2.call = lambda x: seen.append(x.dtype) or call(x)
    images = trainer.generator(tf.ones((4, 100)), statistics="batch")
    output = trainer.discriminator(images, statistics="batch_and_update")
    assert seen == [precision]  # it is not all float32
    assert images.dtype == output.class_logits.dtype == output.features.dtype == tf.float32
    assert {weight.dtype for weight in trainer.discriminator.weights} == {"float32"}
    assert {value.dtype for value in trainer.train_step(make_batch()).values()} == {tf.float32}


@pytest.mark.parametrize(
    ("first", "second"), [("float32", "float16"), ("float16", "bfloat16"), ("bfloat16", "float32")]
)
def test_checkpoints_move_between_precisions(first: str, second: str, tmp_path: Path) -> None:
    saved, restored = (make_trainer(preset="tuned", precision=name) for name in (first, second))
    saved.train_step(make_batch(4))
    path = saved.state.checkpoint.save(str(tmp_path / "checkpoint"))
    restored.state.checkpoint.restore(path).assert_consumed()
    assert_same_weights(restored, saved)
    assert np.isfinite(float(restored.train_step(make_batch(4))["losses/discriminator"]))


@pytest.mark.graph
def test_infinite_gradients_in_float16_leave_the_update_out_and_halve_the_scale() -> None:
    trainer = make_trainer(method="supervised", precision="float16")
    scale_before = float(trainer.state.discriminator_optimizer.dynamic_scale)
    trainer.state.discriminator_optimizer.dynamic_scale.assign(1e30)
    before = values(trainer.discriminator)
    trainer.train_step(make_batch())
    moved = {path for path in changed(trainer.discriminator, before) if "moving" not in path}
    assert not moved
    assert scale_before == 2.0**15
    assert float(trainer.state.discriminator_optimizer.dynamic_scale) == pytest.approx(5e29)


def test_float16_stops_when_a_smaller_scale_is_of_no_use() -> None:
    trainer = make_trainer(method="supervised", precision="float16")
    trainer.state.discriminator_optimizer.dynamic_scale.assign(0.5)
    trainer.discriminator.conv1.bias.assign(np.full(8, 1e38, np.float32))  # infinite in float16
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"losses/|monitors/grad"):
        trainer.train_step(make_batch())


@pytest.mark.slow
def test_models_to_export_are_float32_and_say_the_same() -> None:
    trainer = make_trainer(preset="tuned", precision="bfloat16")
    trainer.train_step(make_batch(4))
    discriminator, generator = trainer.state.models_to_export()
    assert discriminator.conv1.compute_dtype == generator.dense.compute_dtype == "float32"
    for path, value in values(discriminator).items():
        np.testing.assert_array_equal(value, values(trainer.averaged)[path], err_msg=path)
    plain = make_trainer(preset="tuned")
    assert plain.state.models_to_export() == (plain.averaged, plain.generator)
