"""The presets, the defaults of folders and of the control, and what is chosen by the images."""

from typing import Any

# What the control cannot use: its batches are labeled, all of them.
SEMI_SUPERVISED_ONLY = (
    "labeled_batch_size",
    "consistency_weight",
    "consistency_share_power",
    "distribution_alignment",
    "augment_fakes",
)
# What makes no difference to it.
UNUSED_BY_CONTROL = (*SEMI_SUPERVISED_ONLY, "unsupervised_weight")
# What makes the control of `article` stronger (docs/results.md).
ARTICLE_CONTROL = {"schedule": "linear", "drop_rate": 0.5}

# What each preset changes in the defaults of `Config`. `article` does what the text describes,
# `notebook` what its published code did, with every bug (docs/article.md). `tuned` is another
# recipe for the same networks, `pooled` one for other layers: the best of some candidates on photos
# and digits together (docs/results.md), then changed further without a comparison on record. `vgg`
# has a better network, and no GAN: its terms take time, no clear gain from them was found beside
# pseudo-labels, and with these layers the generator soon loses.
PRESETS: dict[str, dict[str, Any]] = {
    "article": {},
    "notebook": {
        "conv7_input": "conv5",
        "drop_rate": 0.0,
        "bn_inference": "batch",
        "bn_averages": "mixed",
        "bn_start": "tf1",
        "label_selection": "first",
    },
    "tuned": {
        "learning_rate": 2e-3,
        "schedule": "linear",
        "epochs": 40,
        "labeled_batch_size": 64,
        "unsupervised_ramp": 0.3,
        "consistency_weight": 3.0,
        "augment_shift": 0.0625,
        "augment_color": 0.3,
        "ema_decay": 0.995,
    },
}
POOLED: dict[str, Any] = {  # besides what `tuned` has
    "discriminator": "pooled",
    "discriminator_width": 32,
    "generator_width": 16,
    "augment_cutout": 0.375,
    "augment_fakes": True,
    "consistency_share_power": 2.0,
    "distribution_alignment": True,
    "precision": "auto",
}
PRESETS["pooled"] = PRESETS["tuned"] | POOLED
VGG: dict[str, Any] = POOLED | {
    "discriminator": "vgg",
    "discriminator_width": 48,
    "drop_rate": 0.0,
    "unsupervised_weight": 0.0,
}
PRESETS["vgg"] = PRESETS["tuned"] | VGG

# What a folder of images has instead of the defaults. With presets that have a labeled batch its
# sizes, too, are chosen by the number of images (`AUTOMATIC`).
FOLDER_PRESET = "vgg"
FORMER_FOLDER_PRESETS = ("pooled", "tuned")  # of earlier versions, `tuned` with changing flags
FOLDER_DEFAULTS: dict[str, Any] = {
    "labeled": "all",
    "batch_size": 0,
    "precision": "auto",
    "augment_flip": True,
}
# Values that stand for "by the number of images".
AUTOMATIC = {"batch_size": 0, "labeled_batch_size": -1, "epochs": 0}
PASSES, LEAST_STEPS = 40, 3200  # over the training images, where nothing else is asked for
MOST_ROUNDS = 40  # with an evaluation, in a run on a folder whose steps are given or chosen
LARGEST_BATCH = 128
# With more, a step sees a whole batch of labels instead of half of one, as it does with labels
# alone: better in the one draw of CIFAR-10 with 4,000 labels that was trained with both
# (docs/results.md, "Photos"). The limit is a guess.
MANY_LABELS = 2000
