import dataclasses
import json

import pytest
from hypothesis import given, settings, strategies

from ssgan_tf.config import LARGEST, Config, UserError
from ssgan_tf.flags import parse_config
from ssgan_tf.presets import PRESETS
from ssgan_tf.runs import config_file


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


def test_a_whole_number_for_a_rate_is_a_float_as_on_the_command_line() -> None:
    config = Config(learning_rate=1, unsupervised_weight=0)
    assert type(config.learning_rate) is type(config.unsupervised_weight) is float
    assert config == Config(learning_rate=1.0, unsupervised_weight=0.0)
    with pytest.raises(UserError, match="--learning_rate=true"):
        Config(learning_rate=True)


def test_a_preset_by_its_name_is_that_preset() -> None:
    assert Config(preset="tuned") == Config.from_preset("tuned")
    assert Config(preset="tuned").consistency_weight == 3
    assert Config(preset="tuned", seed=1) == dataclasses.replace(Config(preset="tuned"), seed=1)


def test_pooled_and_folders_choose_the_number_format_but_not_where_runs_must_be_repeatable() -> (
    None
):
    assert Config().precision == Config(preset="tuned").precision == "float32"
    for flags in ({"dataset": "folder:a"}, {"preset": "pooled"}, {"preset": "vgg"}):
        assert Config(**flags).precision == "auto"
        repeatable = Config(**flags, deterministic=True)
        assert repeatable.precision == "float32"
        assert "precision" not in repeatable.changes()
        assert repeatable.control().precision == "float32"


def test_a_folder_has_the_recipe_that_gains_most_and_sizes_by_its_images() -> None:
    plain = Config(dataset="folder:a/")
    assert (plain.preset, plain.labeled) == ("vgg", "all")
    assert plain.augment_flip and plain.dataset == "folder:a"
    sizes = ("batch_size", "labeled_batch_size", "steps")

    def fitted(images: int, replicas: int = 1, labels: int = 2000, **changes: object) -> list[int]:
        config = Config(dataset="folder:a", **changes).fit_to(images, replicas, labels)
        return [getattr(config, name) for name in sizes]

    assert fitted(100) == [32, 16, 3200]
    assert fitted(1000) == [128, 64, 3200]
    assert fitted(70_000) == [128, 64, 40 * 546]
    assert fitted(70_000, labels=2001) == [128, 128, 40 * 546]
    assert fitted(70_000, replicas=3, labels=2001)[:2] == [126, 126]
    assert fitted(70_000, labels=2001, batch_size=20)[:2] == [20, 20]
    assert fitted(70_000, labels=2001, labeled_batch_size=64)[:2] == [128, 64]
    assert fitted(3) == [1, 1, 3200]
    assert fitted(100, replicas=3) == [30, 15, 3200]
    assert fitted(3, replicas=4) == [4, 4, 3200]
    assert fitted(1000, batch_size=20, labeled_batch_size=3, steps=7) == [20, 3, 7]
    assert fitted(1000, epochs=2) == [128, 64, 0]
    assert fitted(1000, method="supervised") == [128, 0, 3200]
    # Another preset keeps its own epochs.
    assert fitted(1000, preset="article") == [128, 0, 0]


def test_the_length_of_a_run_is_in_epochs_or_in_steps() -> None:
    assert Config().length(1000) == (7, 175)
    assert Config(steps=9).length(1000) == (7, 9)
    assert Config().length(100) == (1, 25)


def test_what_was_chosen_once_is_chosen_again_when_a_run_goes_on() -> None:
    plain = Config(dataset="folder:a")
    run = plain.fit_to(100)
    chosen = plain.automatic()
    assert chosen == ["batch_size", "labeled_batch_size", "steps"]
    assert plain.chosen_as(run, chosen) == run
    assert Config(dataset="folder:a", batch_size=8).chosen_as(run, chosen).batch_size == 8
    assert Config(dataset="folder:a", epochs=3).chosen_as(run, chosen).steps == 0
    assert Config().automatic() == []
    # What was given to the run is another matter: `claim` compares it.
    assert plain.chosen_as(run, ["steps"]).batch_size == 0
    # Runs of earlier versions had epochs in any case.
    older = dataclasses.replace(run, epochs=40, steps=2)
    assert plain.chosen_as(older, [*chosen, "epochs"]) == older


def test_the_command_is_that_of_the_configuration() -> None:
    assert Config().command() == ["python", "-m", "ssgan_tf.train"]
    assert Config(preset="article", labeled=1000).command()[3:] == []
    config = Config(preset="tuned", dataset="cifar10", deterministic=True, learning_rate=1e-3)
    assert config.command()[3:] == [
        "--preset=tuned",
        "--dataset=cifar10",
        "--learning_rate=0.001",
        "--deterministic=true",
    ]
    assert Config(dataset="folder:my images").command()[3:] == ["--dataset=folder:my images"]
    assert Config(dataset="folder:a", preset="article").command()[3:5] == [
        "--preset=article",
        "--dataset=folder:a",
    ]


@pytest.mark.parametrize(
    "config",
    [
        Config(preset="notebook", drop_rate=0.1, augment_flip=True),
        Config(dataset="folder:a", augment_flip=False).fit_to(100),
        Config(dataset="folder:a", method="supervised", labeled=3),
        Config(preset="tuned", unsupervised_weight=0.0, run_dir="r/exp[v2] $x"),
    ],
)
def test_the_command_gives_the_same_configuration(config: Config) -> None:
    argv = ["train", *config.command()[3:]]
    assert parse_config(argv, "train", "") == config


def test_the_control_is_the_same_but_for_what_it_cannot_use() -> None:
    control = Config(preset="tuned", labeled=250, run_dir="a").control()
    assert control == Config(
        preset="tuned", method="supervised", labeled=250, run_dir="a-supervised"
    )
    article = Config(labeled=100, steps=7).control()
    assert article == Config(
        method="supervised", labeled=100, steps=7, schedule="linear", drop_rate=0.5
    )
    assert Config(drop_rate=0.2).control().drop_rate == 0.2
    folder = Config(dataset="folder:a").fit_to(100)
    assert (folder.control().steps, folder.control().batch_size) == (
        folder.steps,
        folder.batch_size,
    )


def test_tuned_keeps_the_articles_networks_and_losses() -> None:
    tuned, article = Config.from_preset("tuned"), Config()
    for name in ("generator_width", "discriminator_width", "latent_dim", "conv7_input"):
        assert getattr(tuned, name) == getattr(article, name)
    for name in ("generator_loss", "label_smoothing", "unsupervised_weight", "batch_size"):
        assert getattr(tuned, name) == getattr(article, name)


def test_the_control_of_tuned_has_labeled_batches_alone() -> None:
    control, tuned = Config.from_preset("tuned", method="supervised"), Config.from_preset("tuned")
    assert (tuned.labeled_batch_size, control.labeled_batch_size) == (64, 0)
    different = {n for n, value in tuned.to_dict().items() if value != control.to_dict()[n]}
    unused = {"labeled_batch_size", "consistency_weight"}  # that `tuned` changes
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
        ({"epochs": -1}, ["--epochs=-1", "at least 0"]),
        ({"epochs": 2.5}, ["--epochs=2.5: must be a whole number."]),
        ({"augment_flip": "yes"}, ["--augment_flip=yes: must be true or false."]),
        ({"data_dir": 3}, ["--data_dir=3: must be text."]),
        ({"balance_classes": True}, ["--balance_classes=true: must be one of auto, true, false."]),
        ({"channels": True}, ["--channels=true: must be one of 0, 1, 3."]),
        ({"learning_rate": 0.0}, ["--learning_rate=0"]),
        ({"learning_rate": float("inf")}, ["--learning_rate=inf", "finite number"]),
        ({"learning_rate": float("nan")}, ["--learning_rate=nan", "finite number, at least 0"]),
        ({"validation_fraction": 0.6}, ["--validation_fraction=0.6", "from 0 to 0.5"]),
        ({"method": "supervised", "labeled_batch_size": 8}, ["--labeled_batch_size=8"]),
        (
            {"method": "supervised", "consistency_weight": 1.0, "ema_decay": 0.9},
            ["--consistency_weight=1.0", "supervised"],
        ),
        ({"consistency_weight": 1.0}, ["--consistency_weight=1.0", "--ema_decay"]),
        (
            {"augment_fakes": True, "unsupervised_weight": 0.0},
            ["--augment_fakes", "--unsupervised_weight=0"],
        ),
        ({"distribution_alignment": True}, ["--distribution_alignment", "--consistency_weight"]),
        ({"consistency_share_power": 2.0}, ["--consistency_share_power=2.0", "--consistency_we"]),
        (
            {"preset": "notebook", "discriminator": "pooled"},
            ["--conv7_input=conv5", "--discriminator=article", "--conv7_input=conv6"],
        ),
        (
            {"preset": "pooled", "conv7_input": "conv5"},
            ["--conv7_input=conv5", "--discriminator=article"],
        ),
        ({"augment_shift": 9}, ["--augment_shift=9", "from 0 to 0.25"]),
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
    assert config_file.from_dict(json.loads(json.dumps(config.to_dict()))) == config


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
    assert config_file.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_every_field_has_a_group_and_a_meaning() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["group"] and field.metadata["meaning"].endswith((".", "SEED."))


def test_a_folder_without_the_gans_terms_has_no_fakes_to_change() -> None:
    assert not Config(dataset="folder:photos").augment_fakes
    folder = {"dataset": "folder:photos", "preset": "pooled"}
    assert Config(**folder).augment_fakes
    without = Config(**folder, unsupervised_weight=0.0)
    assert not without.augment_fakes
    assert without.changes() == folder | {"unsupervised_weight": 0.0}
    assert not without.control().augment_fakes


def test_a_folder_without_pseudo_labels_has_nothing_to_align_or_weaken() -> None:
    folder = {"dataset": "folder:photos"}
    assert Config(**folder).distribution_alignment and Config(**folder).consistency_share_power
    without = Config(**folder, consistency_weight=0.0)
    assert not without.distribution_alignment and not without.consistency_share_power
    assert without.changes() == {"dataset": "folder:photos", "consistency_weight": 0.0}
    alone = dataclasses.replace(without, unsupervised_weight=0.0, augment_fakes=False)
    assert parse_config(alone.command()[2:], "", "") == alone


def test_only_a_folders_own_recipe_has_other_layers() -> None:
    folder = {"dataset": "folder:photos"}
    assert Config(**folder).discriminator == Config(**folder, method="supervised").discriminator
    assert Config(**folder).discriminator == "vgg"
    assert Config(**folder, preset="article").discriminator == "article"
    assert Config(preset="tuned").discriminator == "article"
