"""What a GPU would run, on a device that is not CPU:0: a second logical CPU device.

Logical devices have to be made before TensorFlow starts, so all cases run in one process of their
own: this file, run as a program, prints one line of JSON for each. That no GPU is there to try is
made up for by TensorFlow's own list of kernels: each operation has one for GPUs, and for XLA there.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest


class Case(NamedTuple):
    """One short run.

    Attributes:
        preset: of the run.
        method: of the run.
        precision: of the run.
        jit_compile: "true" or "false".
        strategy: the devices of a `MirroredStrategy`; (): none, in the scope of CPU:1.
        image_size: of the run.
        discriminator: its layers.
    """

    preset: str
    method: str
    precision: str
    jit_compile: str = "true"
    strategy: tuple[str, ...] = ()
    image_size: int = 16
    discriminator: str = "article"

    def __str__(self) -> str:
        return "-".join(str(part) for part in self if part)


GAN, CONTROL = "semi_supervised", "supervised"
CASES = [Case("article", GAN, "float32", discriminator="vgg")]
ALL_CASES = [
    Case("tuned", CONTROL, "float32", "false", ("CPU:0", "CPU:1")),
    Case("tuned", GAN, "bfloat16", "false"),
    Case("tuned", GAN, "float16"),
    Case("notebook", CONTROL, "bfloat16", image_size=64),
    Case("article", CONTROL, "float32", strategy=("CPU:1",)),
    Case("article", GAN, "float32"),
    Case("pooled", GAN, "float32", image_size=32, discriminator="pooled"),
    Case("pooled", CONTROL, "bfloat16", "false", discriminator="pooled"),
    Case("pooled", GAN, "float16", "false", discriminator="pooled"),
    Case("pooled", GAN, "float32", "false", ("CPU:0", "CPU:1"), discriminator="pooled"),
    Case("article", GAN, "float32", discriminator="pooled"),
    Case("vgg", GAN, "float32", image_size=32, discriminator="vgg"),  # which has no generator
    Case("tuned", GAN, "float32", "false", ("CPU:0", "CPU:1"), discriminator="vgg"),
    Case("tuned", GAN, "float16", discriminator="vgg"),
    Case("vgg", CONTROL, "bfloat16", "false", discriminator="vgg"),
    Case("vgg", GAN, "float16", "false", image_size=64, discriminator="vgg"),
    Case("vgg", GAN, "float32", "false", ("CPU:0", "CPU:1"), discriminator="vgg"),
] + [
    Case(preset, method, precision, image_size=size)
    for preset in ("article", "notebook", "tuned")
    for method in (GAN, CONTROL)
    for precision in ("float32", "bfloat16", "float16")
    for size in (32, 64)
]


def run_program(cases: list[Case]) -> dict[str, dict]:
    """Runs this file; returns what each case found, by its name."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(cases)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "AutoGraph" not in done.stderr  # it would warn a user of what it cannot convert
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row.pop("name"): row for row in rows}


def check(row: dict, case: Case) -> None:
    """What has to hold for every case."""
    assert "error" not in row, row["error"]
    if "CPU:0" not in case.strategy:
        assert row["devices"] == ["CPU:1"]
    assert row["steps"] == [3, 3]  # in the run, and restored
    assert row["not_finite"] == []
    assert row["evaluated"] == 10
    assert row["differs_after_restore"] == []
    assert row["export_differs_by"] < 1e-4
    assert row["without_gpu_kernel"] == []
    assert row["without_xla_kernel"] == []
    sentence, step = row["diverged"]
    # In float16, `vgg` has NaN in gradients alone, where it may be an overflow, until the scale of
    # the loss has fallen below 1.
    hidden = case.discriminator == "vgg" and case.image_size > 16  # pooling follows conv2
    first = 20 if case.precision == "float16" and hidden else 4
    assert f"at step {first}: training has diverged" in sentence  # compiled or not
    assert step == first - 1


def test_every_kind_of_run_trains_evaluates_exports_and_resumes_there() -> None:
    rows = run_program(CASES)
    for case in CASES:
        check(rows[str(case)], case)


@pytest.mark.slow
def test_all_presets_methods_precisions_and_sizes_do() -> None:
    rows = run_program(ALL_CASES)
    for case in ALL_CASES:
        check(rows[str(case)], case)


# The program


def small_data(size: int) -> "object":
    """40 training and 10 test images of random pixels."""
    import numpy as np

    from ssgan_tf.data.dataset import Dataset, Split

    rng = np.random.default_rng(0)

    def split(name: str, count: int) -> Split:
        images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        ids = np.array([f"{name}_{index:06d}" for index in range(count)])
        return Split(images, np.arange(count) % 10, ids)

    names = [str(label) for label in range(10)]
    return Dataset("toy/1.0.0", names, split("train", 40), split("test", 10))


def make(case: Case) -> tuple:
    """Trainer, batches and data of a case; to be called in the scope of its device."""
    import numpy as np
    import tensorflow as tf

    from ssgan_tf.config import Config
    from ssgan_tf.data import label_split, pipeline
    from ssgan_tf.training.step import Trainer

    narrow = {"generator_width": 2, "discriminator_width": 2, "batch_size": 4, "labeled": 20}
    if case.preset in ("tuned", "pooled", "vgg") and case.method == GAN:
        narrow["labeled_batch_size"] = 4
    config = Config.from_preset(
        case.preset,
        method=case.method,
        precision=case.precision,
        jit_compile=case.jit_compile,
        augment_flip=case.preset in ("tuned", "pooled", "vgg"),  # as for folders
        image_size=case.image_size,
        discriminator=case.discriminator,
        **narrow,
    )
    data = small_data(case.image_size)
    strategy = tf.distribute.MirroredStrategy(case.strategy) if case.strategy else None
    trainer = Trainer(config, 10, 3, 10, 20, strategy)
    trainer.state.whiten(data.train.images, np.arange(40))
    split = label_split.split_labels(config, data)
    batches = iter(pipeline.training_batches(config, data, split, 0, 20))
    return trainer, batches, data, strategy


def try_case(case: Case) -> dict:
    """Three steps, an evaluation, an export, a checkpoint and its restore."""
    import tempfile

    import numpy as np
    import tensorflow as tf

    from ssgan_tf.inference import saved_model
    from ssgan_tf.inference.evaluation import Evaluator
    from ssgan_tf.runs import checkpoints
    from ssgan_tf.training.loop import Loop
    from ssgan_tf.training.step import Trainer

    trainer, batches, data, strategy = make(case)
    config, state = trainer.config, trainer.state
    loop = Loop(trainer, batches, Path("run"))
    sums = loop.zeros()
    start = time.process_time()
    _, sums = loop.take(1, sums)
    metrics, _ = loop.take(2, sums)
    graph = loop.steps.get_concrete_function(batches, tf.constant(2), sums).graph
    evaluation = Evaluator(state.classifier, "moving", 8)(data.test)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        saved_model.save(directory / "saved_model", *state.models_to_export(), data.class_names)
        serve = tf.saved_model.load(str(directory / "saved_model")).signatures["serving_default"]
        logits = serve(images=tf.constant(data.test.images))["logits"].numpy()
        checkpoints.Checkpoints(state.checkpoint, directory / "checkpoints", 2).save(3)
        other = Trainer(config, 10, 3, 10, 20, strategy)
        other.step.assign(7)
        checkpoints.Checkpoints(
            other.state.checkpoint, directory / "checkpoints", 2
        ).restore_newest()
    pairs = zip(variables_of(trainer), variables_of(other), strict=True)
    plain = case.precision == "float32"  # an export computes in float32
    return {
        "devices": sorted({value.device[-5:] for value in (trainer.step, *metrics.values())}),
        "steps": [int(trainer.step), int(other.step)],
        "not_finite": [
            tag
            for tag, value in metrics.items()
            if not np.isfinite(value) and not (case.precision == "float16" and "grad_norm" in tag)
        ],
        "evaluated": len(evaluation.logits),
        "differs_after_restore": [a.path for a, b in pairs if (a.numpy() != b.numpy()).any()],
        "export_differs_by": float(np.abs(logits - evaluation.logits).max()) if plain else 0.0,
        "without_gpu_kernel": without_kernel(graph, "GPU", "") if not case.strategy else [],
        "without_xla_kernel": without_kernel(graph, "XLA_GPU_JIT", "replica_step"),
        "diverged": diverge(loop, sums),
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def variables_of(trainer: "object") -> list:
    """Weights and optimizer state."""
    models = (trainer.discriminator, trainer.generator, trainer.averaged)
    weights = [weight for model in models if model is not None for weight in model.weights]
    return weights + list(trainer.state.discriminator_optimizer.variables)


def without_kernel(graph: "object", device: str, part_of: str) -> list[str]:
    """Operations of the functions whose name has `part_of` in it that `device` has no kernel for.

    With XLA those of the compiled step, else all of them; names of kernels for XLA are listed once
    XLA has compiled something.
    """
    from tensorflow.python.framework import kernels

    functions = graph.as_graph_def().library.function
    compiled = any("_XlaMustCompile" in function.attr for function in functions)
    if device.startswith("XLA") and not compiled:
        return []
    missing = set()
    for function in functions:
        if part_of not in function.signature.name:
            continue
        for node in function.node_def:
            if node.op in ("NoOp", "StatefulPartitionedCall", "PartitionedCall"):
                continue
            found = kernels.get_registered_kernels_for_op(node.op).kernel
            if not any(serves(kernel, node, device) for kernel in found):
                types = [value.type for value in node.attr.values() if value.HasField("type")]
                missing.add(f"{node.op} {types}")
    return sorted(missing)


def serves(kernel: "object", node: "object", device: str) -> bool:
    """Whether the kernel is one for the node's types on such a device."""
    if kernel.device_type not in (device, "DEFAULT"):
        return False
    for constraint in kernel.constraint:
        value = node.attr[constraint.name]
        types = [value.type] if value.HasField("type") else value.list.type
        if not set(types) <= set(constraint.allowed_values.list.type):
            return False
    return True


def diverge(loop: "object", sums: dict) -> list:
    """More steps, in one call, from weights that are not finite: what is said, and the step."""
    import numpy as np

    from ssgan_tf.config import UserError

    trainer = loop.trainer
    kernel = trainer.discriminator.conv1.kernel
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    try:
        loop.take(20, sums)
        return ["", int(trainer.step)]
    except UserError as error:
        return [str(error), int(trainer.step)]


def program(cases: list[Case]) -> None:
    """Prints a line of JSON for each case."""
    import tensorflow as tf

    from ssgan_tf.models import convolutions

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    convolutions._kernel_gradient_pays = lambda x, stride: False  # as where there is a GPU
    for case in cases:
        try:
            with tf.device("CPU:1"):
                row = try_case(case)
        except Exception as error:
            row = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"name": str(case)} | row), flush=True)


if __name__ == "__main__":
    cases = (Case(*parts) for parts in json.loads(sys.argv[1]))
    program([case._replace(strategy=tuple(case.strategy)) for case in cases])
