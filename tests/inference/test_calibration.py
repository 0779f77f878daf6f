import numpy as np
import pytest

from ssgan_tf.inference.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
)

# Predicted class 0 with confidence 0.6, 0.6, 0.9; right, wrong, right.
PROBABILITIES = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1]])
LABELS = np.array([0, 1, 0])


def test_reliability_sorts_images_by_confidence_and_marks_empty_bins() -> None:
    found = reliability(PROBABILITIES, LABELS, bins=4)  # (0.5, 0.75] and (0.75, 1]
    np.testing.assert_array_equal(found.images, [0, 0, 2, 1])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.6, 0.9])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 0.5, 1.0])


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    assert reliability(np.array([[0.0, 1.0]]), np.array([1]), bins=15).images[-1] == 1


def test_calibration_error_worked_out_by_hand() -> None:
    # (2 |0.5 - 0.6| + 1 |1 - 0.9|) / 3
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=4) == pytest.approx(0.1)


def test_log_loss_worked_out_by_hand() -> None:
    logits = np.log([[3.0, 1.0], [1.0, 1.0]])  # 3/4 and 1/2
    assert log_loss(logits, np.array([0, 1])) == pytest.approx(np.log(8 / 3) / 2)
    # At temperature 1/2: 9/10 and 1/2
    assert log_loss(logits, np.array([0, 1]), 0.5) == pytest.approx(np.log(20 / 9) / 2)
    assert log_loss(np.array([[1e4, -1e4]]), np.array([1])) == 2e4


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_fitted_temperature_is_the_one_that_the_labels_were_drawn_with(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 5))
    noise = rng.gumbel(size=logits.shape)  # argmax(l / T + Gumbel) is distributed as softmax(l / T)
    labels = np.argmax(logits / temperature + noise, axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)
