import dataclasses
import json
from pathlib import Path

import pytest

from ssgan_tf.config import PRESETS, Config, UserError


def test_defaults_are_the_articles_numbers() -> None:
    config = Config()
    assert (config.learning_rate, config.beta_1, config.batch_size) == (3e-4, 0.5, 128)
    assert (config.epochs, config.latent_dim) == (25, 100)
    assert (config.generator_width, config.discriminator_width) == (32, 64)
    assert (config.label_smoothing, config.labeled, config.schedule) == (0.1, 1000, "exponential")
    assert (config.conv7_input, config.bn_inference, config.bn_averages) == (
        "conv6",
        "moving",
        "real",
    )


def test_notebook_preset_has_every_quirk_of_the_published_code() -> None:
    config = Config.from_preset("notebook")
    assert config.preset == "notebook"
    assert (config.conv7_input, config.bn_inference, config.bn_averages) == (
        "conv5",
        "batch",
        "mixed",
    )
    assert (config.drop_rate, config.label_selection) == (0, "first")


def test_tuned_keeps_the_articles_networks_and_losses() -> None:
    tuned, article = Config.from_preset("tuned"), Config()
    for name in ("generator_width", "discriminator_width", "latent_dim", "conv7_input"):
        assert getattr(tuned, name) == getattr(article, name)
    for name in ("generator_loss", "label_smoothing", "unsupervised_weight", "batch_size"):
        assert getattr(tuned, name) == getattr(article, name)
    large = Config.from_preset("tuned_large").to_dict()
    different = {name for name, value in tuned.to_dict().items() if value != large[name]}
    assert different == {"preset", "discriminator_width"}


def test_the_control_of_tuned_has_labelled_batches_alone() -> None:
    control, tuned = Config.from_preset("tuned", method="supervised"), Config.from_preset("tuned")
    assert (tuned.labeled_batch_size, control.labeled_batch_size) == (64, 0)
    different = {n for n, value in tuned.to_dict().items() if value != control.to_dict()[n]}
    unused = {"labeled_batch_size", "consistency_weight"}
    assert different == {"method"} | unused
    assert not any(getattr(control, name) for name in unused)
    assert Config.from_preset("tuned", method="supervised", ema_decay=0.0).ema_decay == 0


def test_a_given_value_beats_the_preset() -> None:
    assert Config.from_preset("notebook", drop_rate=0.3).drop_rate == 0.3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drop_rate": 1.0}, ["--drop_rate=1.0", "from 0 to 0.9"]),
        ({"drop_rate": float("nan")}, ["--drop_rate=nan", "from 0 to 0.9"]),
        ({"conv7_input": "conv4"}, ["--conv7_input=conv4", "conv6, conv5"]),
        ({"method": "magic"}, ["--method=magic", "semi_supervised, supervised"]),
        ({"preset": "blog"}, ["--preset=blog", *PRESETS]),
        ({"labeled": "many"}, ["--labeled=many", "'all'"]),
        ({"labeled": 0}, ["--labeled=0"]),
        ({"labeled": True}, ["--labeled=True"]),
        ({"epochs": 0}, ["--epochs=0", "at least 1"]),
        ({"epochs": 2.5}, ["--epochs=2.5", "int"]),
        ({"learning_rate": 0.0}, ["--learning_rate=0"]),
        ({"learning_rate": float("inf")}, ["--learning_rate=inf"]),
        ({"validation_fraction": 0.6}, ["--validation_fraction=0.6", "from 0 to 0.5"]),
        ({"method": "supervised", "labeled_batch_size": 8}, ["--labeled_batch_size=8"]),
        ({"method": "supervised", "entropy_weight": 1.0}, ["--entropy_weight=1.0", "supervised"]),
        ({"consistency_weight": 1.0}, ["--consistency_weight=1.0", "--ema_decay"]),
        ({"augment_shift": 9}, ["--augment_shift=9", "from 0 to 8"]),
    ],
)
def test_a_bad_value_is_named_with_what_would_be_right(changes: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        Config.from_preset(**changes)
    for word in words:
        assert word in str(error.value)


def test_json_brings_back_the_same_config(tmp_path: Path) -> None:
    config = Config.from_preset("notebook", labeled="all", seed=7)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": config.to_dict(), "versions": {}}))
    assert Config.from_json(path) == config


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": {"no_such_flag": 1}}'])
def test_a_broken_config_json_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        Config.from_json(path)


def test_run_directory_is_a_slug_with_the_method_in_it() -> None:
    assert str(Config().resolved_run_dir()) == "runs/svhn_cropped-1000-article-semi_supervised-0"
    config = Config(dataset="mnist:3", labeled="all", method="supervised", seed=3)
    assert str(config.resolved_run_dir()) == "runs/mnist_3-all-article-supervised-3"
    assert Config(run_dir="here").resolved_run_dir() == Path("here")


def test_every_field_has_a_group_and_a_meaning() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["group"] and field.metadata["meaning"].endswith((".", "SEED."))
