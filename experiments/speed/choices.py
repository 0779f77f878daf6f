"""What choices inside the train step bring: a step with and without each, in turn, in one process.

    python -m experiments.speed.choices

Cost: five minutes; nothing else may run meanwhile. Writes experiments/speed/choices.json and the
table in docs/performance.md. bfloat16 is measured where `--precision=auto` would choose it.
"""

import argparse
import contextlib
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from experiments.speed.step import random_batch
from experiments.speed.timing import Result, all_of, alternate, quartiles, ratios, say
from experiments.tables import ROOT, replace_block
from ssgan_tf.config import Config
from ssgan_tf.models import convolutions
from ssgan_tf.runs import config_file
from ssgan_tf.system.device import describe_device, resolve_precision
from ssgan_tf.training.step import Trainer

PATH = Path(__file__).with_suffix(".json")
SECONDS = 25.0  # for each row
# What a processor has for products of this kind, by its names in /proc/cpuinfo.
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512-BF16",
    "amx_bf16": "AMX",
}
# Each choice by what is in its place without it.
CHOICES: dict[str, tuple[str, Any]] = {
    "kernel gradients as convolutions": ("_kernel_gradient_pays", lambda x, stride: False),
    "sub-pixel form of the last transpose convolution": (
        "sub_pixel_transpose_conv",
        convolutions.transpose_conv,
    ),
}
CONFIGS = {
    "`article`, no dropout": Config(drop_rate=0.0),
    "`article`": Config(),
    "`tuned`": Config(preset="tuned"),
}


def instruction_sets() -> str:
    """Those of this processor, where the system names them."""
    with contextlib.suppress(OSError):
        words = set(Path("/proc/cpuinfo").read_text().split())
        return ", ".join(name for word, name in INSTRUCTIONS.items() if word in words)
    return ""


def traced_step(config: Config) -> Callable[[], object]:
    """The train step on one batch, traced now."""
    trainer, batch = Trainer(config, num_classes=10), random_batch(config)

    def step() -> None:
        trainer.train_step(batch)["losses/discriminator"].numpy()

    step()
    return step


def compare(choice: str, config: Config, seconds: float) -> Result:
    """One row: the time with the choice as a part of that without it."""
    name, instead = CHOICES[choice]
    with_it = traced_step(config)
    with mock.patch.object(convolutions, name, instead):
        without = traced_step(config)
    blocks = alternate({"with": with_it, "without": without}, seconds)
    found = ratios(blocks["with"], blocks["without"])
    return {
        "ms_with": round(1000 * statistics.median(all_of(blocks["with"])), 1),
        "ms_without": round(1000 * statistics.median(all_of(blocks["without"])), 1),
        "ratio": round(statistics.median(found), 3),
        "ratio_quartiles": quartiles(found, 3),
        "rounds": len(found),
    }


def measure(seconds: float, configs: dict[str, Config] = CONFIGS) -> Result:
    """Everything, in the form of the JSON file."""
    precisions = ["float32"]
    if (fast := resolve_precision("auto")) == "bfloat16":
        precisions.append(fast)
    rows = []
    for choice in CHOICES:
        for recipe, config in configs.items():
            for precision in precisions:
                this = dataclasses.replace(config, precision=precision)
                row = {"choice": choice, "recipe": recipe, "precision": precision}
                rows.append(row | compare(choice, this, seconds))
                say(f"{choice}, {recipe}, {precision}: {rows[-1]['ratio']} of the time")
    return {
        "command": "python -m experiments.speed.choices",
        "hardware": describe_device(),
        "instruction_sets": instruction_sets(),
        "versions": config_file.versions(),
        "rows": rows,
    }


def table(result: Result) -> str:
    """The rows in Markdown, and where they were measured."""
    lines = [
        "| choice | recipe | precision | step without it, ms | with it, ms | ratio (quartiles) |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low, high = row["ratio_quartiles"]
        lines.append(
            f"| {row['choice']} | {row['recipe']} | {row['precision']} | {row['ms_without']} | "
            f"{row['ms_with']} | {row['ratio']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    where = f"{result['hardware']}; {result['instruction_sets']}"
    versions = result["versions"]
    return "\n".join([*lines, "", f"On {where}; TensorFlow {versions['tensorflow']}."])


def main() -> None:
    """Measures, keeps the result, writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="only write the table from the JSON")
    if not parser.parse_args().table:
        PATH.write_text(json.dumps(measure(SECONDS), indent=1) + "\n")
    text = table(json.loads(PATH.read_text()))
    print(text)
    replace_block(ROOT / "docs" / "performance.md", "choices", text)


if __name__ == "__main__":
    main()
