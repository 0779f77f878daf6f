"""A narrow network learns: nothing is compared here but what it says of images it has not seen."""

from pathlib import Path

import pytest

from ssgan_tf.config import Config
from ssgan_tf.data import house_numbers
from ssgan_tf.runs.story import train_and_evaluate

pytestmark = pytest.mark.usefixtures("brief_end")


def test_a_narrow_network_is_far_above_chance_on_images_it_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 2000, "test": 500})
    results = train_and_evaluate(
        Config.from_preset(
            "tuned",
            dataset="house_numbers",
            data_dir=str(tmp_path / "data"),
            run_dir=str(tmp_path / "run"),
            labeled=500,
            batch_size=32,
            labeled_batch_size=32,
            generator_width=4,
            discriminator_width=16,
            learning_rate=1e-3,
            drop_rate=0.0,
            image_size=16,
            steps=400,
            eval_every=100,  # at the end alone
        )
    )
    # Measured with seeds 0 to 3: 60%, 58%, 67% and 54%. By chance 10%, and 17% for an answer that
    # is always the most frequent digit.
    assert results["test_accuracy"] > 0.4
