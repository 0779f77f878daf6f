import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from ssgan_tf.config import LARGEST, PRESETS, Config, UserError


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
        ({"learning_rate": float("inf")}, ["--learning_rate=inf", "finite number"]),
        ({"learning_rate": float("nan")}, ["--learning_rate=nan", "finite number, at least 0"]),
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


VALUES = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text()
    | strategies.lists(strategies.integers(), max_size=2)
    | strategies.sampled_from(
        sorted(
            {
                choice
                for field in dataclasses.fields(Config)
                for choice in field.metadata["choices"] or ()
            },
            key=str,
        )
    )
)
NAMES = strategies.sampled_from([field.name for field in dataclasses.fields(Config)])


@given(strategies.dictionaries(NAMES, VALUES, max_size=4))
@settings(max_examples=500, deadline=None)
def test_whatever_is_given_there_is_a_config_or_a_user_error(changes: dict) -> None:
    try:
        config = Config.from_preset(**changes)
    except UserError as error:
        assert "\n" not in str(error).strip() or any("\n" in str(v) for v in changes.values())
        return
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(
    strategies.sampled_from(list(PRESETS)),
    strategies.fixed_dictionaries(
        {},
        optional={
            field.name: strategies.sampled_from(field.metadata["choices"])
            if field.metadata["choices"]
            else strategies.integers(int(field.metadata["minimum"] or 0), LARGEST)
            if field.type is int and field.metadata["maximum"] is None
            else strategies.floats(
                field.metadata["minimum"], min(field.metadata["maximum"] or 1e6, 1e6)
            )
            for field in dataclasses.fields(Config)
            if field.metadata["choices"] or field.type is float
        },
    ),
)
@settings(max_examples=300, deadline=None)
def test_json_brings_back_the_same_config(preset: str, changes: dict) -> None:
    changes.pop("preset", None)
    try:
        config = Config.from_preset(preset, **changes)
    except UserError as error:  # a combination that makes no sense
        assert str(error).startswith("--")
        return
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "not a table"),
        ({}, "--preset is missing"),
        (Config().to_dict() | {"from_the_future": 1}, "no flag --from_the_future"),
        (Config().to_dict() | {"epochs": "many"}, "--epochs=many"),
    ],
)
def test_a_dictionary_of_another_shape_is_refused(values: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Config.from_dict(values)


def test_the_home_of_nobody_is_named() -> None:
    with pytest.raises(UserError, match="no such user"):
        Config(run_dir="~nobody_of_that_name/run").resolved_run_dir()


def test_run_directory_is_a_slug_with_the_method_in_it() -> None:
    assert str(Config().resolved_run_dir()) == "runs/svhn_cropped-1000-article-semi_supervised-0"
    config = Config(dataset="mnist:3", labeled="all", method="supervised", seed=3)
    assert str(config.resolved_run_dir()) == "runs/mnist_3-all-article-supervised-3"
    assert Config(run_dir="here").resolved_run_dir() == Path("here")


def test_every_field_has_a_group_and_a_meaning() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["group"] and field.metadata["meaning"].endswith((".", "SEED."))
