import math

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.training import losses

LOG2, LOG3 = math.log(2), math.log(3)


def test_gan_logit_is_logsumexp_worked_out_by_hand() -> None:
    # log(1 + 2 + 3) = log 6; log(3 e^0) = log 3
    logits = tf.math.log([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(losses.gan_logit(logits), [math.log(6), LOG3], rtol=1e-6)


def test_gan_logit_stays_finite_at_extreme_logits() -> None:
    logits = tf.constant([[1000.0, -1000.0], [-1000.0, -1000.0]])
    np.testing.assert_allclose(losses.gan_logit(logits), [1000.0, -1000.0 + LOG2], rtol=1e-6)


def test_sigmoid_of_gan_logit_is_the_eleven_class_softmax_with_the_last_logit_zero() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (64, 10)).astype(np.float32)
    eleven = tf.nn.softmax(np.concatenate([logits, np.zeros((64, 1), np.float32)], axis=1))
    p_real = tf.sigmoid(losses.gan_logit(logits))
    np.testing.assert_allclose(1 - eleven[:, 10], p_real, atol=1e-6)
    np.testing.assert_allclose(
        eleven[:, :10], tf.nn.softmax(logits) * p_real[:, tf.newaxis], atol=1e-6
    )


def test_supervised_loss_is_the_masked_mean_worked_out_by_hand() -> None:
    # softmax of (log 1, log 3) is (1/4, 3/4): -log of it is log 4 for label 0, log(4/3) for 1.
    logits = tf.math.log([[1.0, 3.0], [1.0, 3.0], [1.0, 3.0]])
    labels = tf.constant([0, 1, 1])
    both = losses.supervised_loss(logits, labels, tf.constant([1.0, 1.0, 0.0]))
    assert both.numpy() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-6)
    one = losses.supervised_loss(logits, labels, tf.constant([0.0, 0.0, 1.0]))
    assert one.numpy() == pytest.approx(math.log(4 / 3), rel=1e-6)


def test_supervised_loss_of_an_all_zero_mask_is_zero_with_zero_gradient() -> None:
    logits = tf.constant([[1000.0, -1000.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.supervised_loss(logits, tf.constant([1, 0]), tf.zeros(2))
    assert loss.numpy() == 0
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros((2, 2)))


@pytest.mark.parametrize("hidden", [-1, 0, 7, 10_000])
def test_labels_under_a_zero_mask_change_neither_the_loss_nor_its_gradient(hidden: int) -> None:
    logits = tf.constant(np.random.default_rng(1).normal(size=(4, 10)), tf.float32)
    mask = tf.constant([1.0, 0.0, 1.0, 0.0])

    def loss_and_gradient(labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses.supervised_loss(logits, tf.constant(labels), mask)
        return loss.numpy(), tape.gradient(loss, logits).numpy()

    expected = loss_and_gradient([3, 5, 9, 5])
    found = loss_and_gradient([3, hidden, 9, hidden])
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_supervised_loss_at_extreme_logits_is_their_difference() -> None:
    logits = tf.constant([[1000.0, -1000.0]])
    assert losses.supervised_loss(logits, tf.constant([1]), tf.ones(1)).numpy() == 2000
    assert losses.supervised_loss(logits, tf.constant([0]), tf.ones(1)).numpy() == 0


def test_unsupervised_real_loss_worked_out_by_hand() -> None:
    # p = sigmoid(log 3) = 3/4, target 0.9: -(0.9 log(3/4) + 0.1 log(1/4)); at logit 0: log 2
    expected = -(0.9 * math.log(0.75) + 0.1 * math.log(0.25))
    loss = losses.unsupervised_real_loss(tf.constant([LOG3, 0.0]), label_smoothing=0.1)
    assert loss.numpy() == pytest.approx((expected + LOG2) / 2, rel=1e-6)


def test_unsupervised_fake_loss_worked_out_by_hand() -> None:
    # p = 3/4, target 0: log 4; at logit 0: log 2
    loss = losses.unsupervised_fake_loss(tf.constant([LOG3, 0.0]))
    assert loss.numpy() == pytest.approx((math.log(4) + LOG2) / 2, rel=1e-6)


def test_unsupervised_losses_at_extreme_logits_grow_linearly_and_stay_finite() -> None:
    # -log sigmoid(-1000) = 1000; with target 0.9 and logit 1000: 0.1 * 1000
    assert losses.unsupervised_fake_loss(tf.constant([1000.0])).numpy() == pytest.approx(1000)
    assert losses.unsupervised_fake_loss(tf.constant([-1000.0])).numpy() == 0
    assert losses.unsupervised_real_loss(tf.constant([1000.0]), 0.1).numpy() == pytest.approx(100)
    assert losses.unsupervised_real_loss(tf.constant([-1000.0]), 0).numpy() == pytest.approx(1000)


def test_feature_matching_loss_worked_out_by_hand() -> None:
    # means (2, 3) and (1, 7): (|1| + |-4|) / 2
    real = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    fake = tf.constant([[1.0, 7.0], [0.0, 6.0], [2.0, 8.0]])
    assert losses.feature_matching_loss(real, fake).numpy() == pytest.approx(2.5)


def test_adversarial_loss_is_minus_log_p_real_of_the_fakes() -> None:
    loss = losses.adversarial_loss(tf.constant([LOG3, 0.0]))
    assert loss.numpy() == pytest.approx((-math.log(0.75) + LOG2) / 2, rel=1e-6)


def test_consistency_loss_counts_the_images_of_which_the_teacher_is_sure() -> None:
    # The teacher gives the first image 3/4 for class 1, the second 1/2 for each.
    teacher = tf.constant([[0.0, LOG3], [0.0, 0.0]])
    # The student gives class 1 of the first image 1/4: log 4, halved by the mean over two images.
    logits = tf.constant([[LOG3, 0.0], [5.0, 7.0]])
    loss = losses.consistency_loss(logits, teacher, threshold=0.7)
    assert loss.numpy() == pytest.approx(math.log(4) / 2, rel=1e-6)
    assert losses.consistency_loss(logits, teacher, threshold=0.8).numpy() == 0


def test_consistency_loss_is_multiplied_by_a_power_of_the_share_of_confident_images() -> None:
    # The teacher gives one image of four 3/4 for a class: share 1/4, so 1/16 with power 2.
    teacher = tf.constant([[0.0, LOG3], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    logits = tf.random.stateless_normal((4, 2), (0, 1))
    plain = losses.consistency_loss(logits, teacher, 0.7).numpy()
    assert plain > 0
    found = losses.consistency_loss(logits, teacher, 0.7, share_power=2.0).numpy()
    assert found == pytest.approx(plain / 16, rel=1e-6)
    assert losses.consistency_loss(logits, teacher, 0.8, share_power=0.5).numpy() == 0


def test_an_image_gets_a_pseudo_label_from_the_threshold_on() -> None:
    # softmax: 3/4 and 1/4, then 1/2 and 1/2.
    teacher = tf.constant([[0.0, LOG3], [0.0, 0.0]])
    np.testing.assert_array_equal(losses.confident(teacher, 0.74), [1.0, 0.0])
    np.testing.assert_array_equal(losses.confident(teacher, 0.76), [0.0, 0.0])
    np.testing.assert_array_equal(losses.confident(teacher, 0.5), [1.0, 1.0])


def test_aligned_logits_bring_the_average_back_to_the_prior() -> None:
    # softmax(t) = (3/4, 1/4); times prior / mean = (1/2) / (3/4), (1/2) / (1/4): 1/2 each.
    teacher = tf.constant([[LOG3, 0.0]])
    found = losses.aligned_logits(teacher, tf.constant([0.5, 0.5]), tf.constant([0.75, 0.25]))
    np.testing.assert_allclose(tf.nn.softmax(found), [[0.5, 0.5]], rtol=1e-6)
    same = losses.aligned_logits(teacher, tf.constant([0.2, 0.8]), tf.constant([0.2, 0.8]))
    np.testing.assert_allclose(tf.nn.softmax(same), [[0.75, 0.25]], rtol=1e-6)
    lost = losses.aligned_logits(teacher, tf.constant([0.5, 0.5]), tf.constant([1.0, 0.0]))
    assert np.isfinite(lost).all()
