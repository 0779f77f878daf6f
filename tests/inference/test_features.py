from typing import TYPE_CHECKING

import numpy as np
import pytest
from conftest import make_dataset

from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference import features

if TYPE_CHECKING:
    from pathlib import Path

    from ssgan_tf.models.discriminator import Discriminator


def test_features_and_logits_are_those_of_the_classifier_whatever_the_batches(
    model: "tuple[Path, Discriminator]", monkeypatch: pytest.MonkeyPatch
) -> None:
    discriminator, images = model[1], make_dataset(test=10).test.images
    monkeypatch.setattr(features, "_BATCH", 4)
    found = features.see(discriminator, images)
    expected = discriminator(scale(images), statistics="moving")
    np.testing.assert_allclose(found.logits, expected.class_logits, rtol=1e-4, atol=1e-5)
    lengths = np.linalg.norm(expected.features, axis=1, keepdims=True)
    np.testing.assert_allclose(found.features, expected.features / lengths, rtol=1e-4, atol=1e-5)


def test_pooled_layers_have_more_features() -> None:
    from ssgan_tf.models.discriminator import Discriminator

    discriminator = Discriminator(width=2, layers="pooled", num_classes=3, image_size=16)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    found = features.see(discriminator, images)
    expected = discriminator(scale(images), statistics="moving")
    assert found.features.shape == (3, 8)
    np.testing.assert_allclose(found.logits, expected.class_logits, rtol=1e-4, atol=1e-5)
    lengths = np.linalg.norm(expected.features, axis=1, keepdims=True)
    np.testing.assert_allclose(found.features, expected.features / lengths, rtol=1e-4, atol=1e-5)
