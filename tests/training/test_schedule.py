import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import Config
from ssgan_tf.training import schedule

BATCH = 50
IMAGES = (100, 1_000, 70_000)
SMALL = {"batch_size": BATCH, "learning_rate": 3e-4}


def rates(config: Config, steps_per_epoch: int, total_steps: int) -> np.ndarray:
    """Of all steps of a run."""
    steps = tf.range(total_steps, dtype=tf.int64)
    return schedule.learning_rate(config, steps, steps_per_epoch, total_steps).numpy()


@pytest.mark.parametrize("images", IMAGES)
def test_with_steps_the_exponential_schedule_has_25_stairs_over_the_run(images: int) -> None:
    found = rates(Config(steps=2000, **SMALL), images // BATCH, 2000)
    expected = 3e-4 * 0.9 ** np.repeat(np.arange(25), 80)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    start, middle, end = found[[0, 1000, 1999]] / 3e-4
    assert (start, middle, end) == pytest.approx((1, 0.28243, 0.07977), rel=1e-4)  # 0.9^0, ^12, ^24


@pytest.mark.parametrize("images", IMAGES)
def test_with_epochs_it_falls_after_each_epoch_as_in_the_article(images: int) -> None:
    steps_per_epoch = images // BATCH
    total = 25 * steps_per_epoch
    found = rates(Config(epochs=25, **SMALL), steps_per_epoch, total)
    expected = 3e-4 * 0.9 ** np.repeat(np.arange(25), steps_per_epoch)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    start, middle, end = found[[0, total // 2, total - 1]] / 3e-4
    assert (start, middle, end) == pytest.approx((1, 0.28243, 0.07977), rel=1e-4)
    # As many steps asked for as such have the same rates.
    np.testing.assert_array_equal(
        found, rates(Config(steps=total, **SMALL), steps_per_epoch, total)
    )


def test_more_epochs_leave_the_rates_of_the_first_ones_as_they_are() -> None:
    short, long = rates(Config(epochs=5), 7, 35), rates(Config(epochs=9), 7, 63)
    np.testing.assert_array_equal(long[:35], short)


@pytest.mark.parametrize("name", ["exponential", "linear"])
def test_a_run_of_steps_and_its_control_have_the_same_rates_whatever_their_epochs(
    name: str,
) -> None:
    """Were the control's epochs those of the labeled images, its steps would be the same still."""
    run = Config(steps=300, schedule=name)
    control = Config(steps=300, schedule=name, method="supervised")
    np.testing.assert_array_equal(rates(run, 1400, 300), rates(control, 2, 300))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 25}, "x 0.9 after each epoch"),
        ({"steps": 2000}, "x 0.9 after each 1/25 of the run"),
        ({"schedule": "linear"}, "constant for the first half of the run, then down to 0"),
    ],
)
def test_the_schedule_is_described_in_words(changes: dict, words: str) -> None:
    assert schedule.in_words(Config(**changes)) == words


@pytest.mark.parametrize("term", ["unsupervised", "consistency"])
def test_the_ramp_raises_one_term_linearly_and_leaves_the_others(term: str) -> None:
    config = Config(
        unsupervised_ramp=0.4,
        unsupervised_weight=2.0,
        consistency_weight=2.0,
        ema_decay=0.9,
    )
    found = [float(schedule.weight(term, config, tf.constant(s), 100)) for s in (0, 10, 40, 99)]
    assert found == pytest.approx([0, 0.5, 2, 2] if term == schedule.RAMPED else [2] * 4)
    without = Config(unsupervised_weight=2.0)
    assert float(schedule.weight("unsupervised", without, tf.constant(0), 100)) == 2


def test_the_decay_of_the_averaged_weights_rises_to_its_limit() -> None:
    steps = tf.constant([0, 1, 8, 90, 100, 10_000], tf.int64)
    found = schedule.average_decay(0.9, steps)
    np.testing.assert_allclose(found, [0.1, 2 / 11, 0.5, 0.9, 0.9, 0.9], rtol=1e-6)


def test_the_momentum_of_statistics_starts_at_0_and_rises_to_its_limit() -> None:
    updates = tf.constant([0, 1, 9, 75, 891, 10_000], tf.int64)
    found = schedule.statistics_momentum(0.99, updates)
    np.testing.assert_allclose(found, [0, 0.1, 0.5, 75 / 84, 0.99, 0.99], rtol=1e-6)
