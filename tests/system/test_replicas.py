"""One update is one update, on however many devices and machines it is computed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssgan_tf.config import Config, UserError
from ssgan_tf.runs import run_dir
from ssgan_tf.system.device import make_strategy, worker

# Begins programs that compare weights after many steps.
COMPARABLE = """
import re
import sys
import ssgan_tf
import tensorflow as tf
from ssgan_tf.models import discriminator, generator
from ssgan_tf.data.dataset import Batch
from ssgan_tf.training.step import Trainer

# Without a kink: an activation within rounding of 0 would take the other slope on some devices,
# which is a difference of 1e-3 in a gradient and none of the mathematics.
discriminator.leaky_relu = generator.leaky_relu = tf.nn.silu

# The true gradient of a bias in front of a batch norm is zero, and Adam makes steps of rounding
# errors: such biases are left where they are.
apply = Trainer._apply
def apply_true_gradients(trainer, optimizer, gradients):
    zero = re.compile(r"discriminator/conv[2-6]/bias|generator/deconv[12]/bias")
    true = {path: value for path, value in gradients.items() if not zero.fullmatch(path)}
    apply(trainer, optimizer, true)
Trainer._apply = apply_true_gradients
"""

# Logical devices have to be made before TensorFlow starts, so this is a process of its own.
ON_LOGICAL_DEVICES = """
import numpy as np
from ssgan_tf.config import Config

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
B, L, STEPS = 16, 8, 20
preset, method = sys.argv[1].split()
ALL = {
    "labeled_batch_size": L,
    "augment_cutout": 0.25,
    "augment_fakes": True,
    "distribution_alignment": True,
    "consistency_share_power": 2.0,
}
config = Config.from_preset(
    preset,
    method=method,
    precision="float32",  # rounding must not grow into a difference
    ema_decay=0.9,
    generator_width=8,
    discriminator_width=8,
    batch_size=B,
    drop_rate=0.0,
    consistency_threshold=0.2,
    augment_flip=True,
    **(ALL if "tuned semi_supervised" in sys.argv else {}),
)
rng = np.random.default_rng(0)
batches = [
    Batch(
        tf.constant(rng.integers(0, 256, (B, 32, 32, 3)), tf.uint8),
        tf.constant(rng.integers(0, 10, B)),
        tf.constant(rng.integers(0, 2, B), tf.float32),
        tf.constant(rng.integers(0, 256, (L, 32, 32, 3)), tf.uint8),
        tf.constant(rng.integers(0, 10, L)),
    )
    for _ in range(STEPS)
]
if not config.labeled_batch_size:
    nothing = {"labeled_images": batches[0].images[:0], "labeled_labels": batches[0].labels[:0]}
    batches = [batch._replace(**nothing) for batch in batches]

def tensors(replicas):
    strategy = None
    if replicas > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    trainer = Trainer(config, 10, 3, 10, STEPS, strategy)
    for batch in batches:
        metrics = trainer.train_step(batch)
    found = {tag: value.numpy() for tag, value in metrics.items()}
    for model in (trainer.discriminator, trainer.generator, trainer.averaged):
        weights = model.weights if model is not None else []
        of = "averaged/" if model is trainer.averaged else ""
        found.update({of + weight.path: weight.numpy() for weight in weights})
    trainer.state.checkpoint.write(sys.argv[2])
    plain = Trainer(config, 10, 3, 10, STEPS)  # a checkpoint from N replicas goes on with one
    plain.state.checkpoint.read(sys.argv[2]).assert_consumed()
    for ours, theirs in zip(plain.discriminator.weights, trainer.discriminator.weights):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    exported, _ = trainer.state.models_to_export()
    images = tf.zeros((2, 32, 32, 3))
    np.testing.assert_allclose(
        exported(images).class_logits, plain.state.classifier(images).class_logits, atol=1e-5
    )
    return found

for replicas in (1, int(sys.argv[3])):  # two groups of devices cannot be in one process
    np.savez(f"{sys.argv[2]}-{replicas}.npz", **tensors(replicas))
"""


def assert_same_tensors(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The norm of each difference is at most 2e-4 of the norm.

    That is rounding: on some CPUs the same program has always differed by 1.08e-4 after 20 steps.
    """
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        difference = np.linalg.norm(found[path] - value)
        assert difference <= 2e-4 * np.linalg.norm(value), path


@pytest.mark.parametrize(
    ("kind", "replicas"),
    [
        ("article semi_supervised", "2"),
        pytest.param("tuned semi_supervised", "2", marks=pytest.mark.slow),
        pytest.param("tuned semi_supervised", "4", marks=pytest.mark.slow),
        pytest.param("tuned supervised", "2", marks=pytest.mark.slow),
    ],
)
def test_several_devices_do_what_one_does(kind: str, replicas: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    program = [sys.executable, "-c", COMPARABLE + ON_LOGICAL_DEVICES, kind, str(path), replicas]
    done = subprocess.run(program, check=True, stderr=subprocess.PIPE, text=True)
    assert "AutoGraph" not in done.stderr  # it warns of what it cannot convert
    one, several = (dict(np.load(f"{path}-{number}.npz")) for number in ("1", replicas))
    assert_same_tensors(several, one)


ON_MACHINES = "from ssgan_tf.train import main; main(['train', *sys.argv[1:]])"


def start(data_dir: str, directory: Path, tf_config: str = "") -> subprocess.Popen:
    """20 steps of everything that `tuned` has, a checkpoint every sixth."""
    flags = (
        "--dataset=house_numbers --preset=tuned --labeled=40 --batch_size=16 --steps=20 "
        "--labeled_batch_size=8 --drop_rate=0 --generator_width=8 --discriminator_width=8 "
        "--precision=float32"
    )
    command = [sys.executable, "-c", COMPARABLE + ON_MACHINES, *flags.split()]
    command += [f"--data_dir={data_dir}", f"--run_dir={directory}"]
    environment = dict(os.environ)
    if tf_config:
        command.append("--strategy=multi_worker")
        environment["TF_CONFIG"] = tf_config
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def two_machines() -> list[str]:
    """A `TF_CONFIG` for each, both of them this one."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(f"localhost:{free.getsockname()[1]}")
    return [
        json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]


def start_two(data_dir: str, directory: Path) -> list[subprocess.Popen]:
    """The same on both."""
    return [start(data_dir, directory, tf_config) for tf_config in two_machines()]


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tensors_of(directory: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(directory / "checkpoints" / "ckpt-20"))
    names = [
        name
        for name in reader.get_variable_to_shape_map()
        if "VARIABLE_VALUE" in name and not name.startswith(("history", "wall", "_CHECKPOINT"))
    ]
    return {name: reader.get_tensor(name) for name in names}


# Each machine finds other filters, as it may for gray images.
WHITEN = """
import numpy as np
from ssgan_tf.config import Config
from ssgan_tf.models import whitening
from ssgan_tf.system.device import make_strategy, worker

config = Config(preset="vgg", strategy="multi_worker", discriminator_width=8)
strategy = make_strategy(config)
from ssgan_tf.training.state import State

whitening.whitening_kernel = lambda *_: np.full((2, 2, 3, 24), 5 + worker()[0], np.float32)
state = State(config, 10, 3, strategy)
state.whiten(np.zeros((4, 32, 32, 3), np.uint8), np.arange(4))
print({float(value) for value in np.unique(state.averaged.conv1.kernel.numpy())})
"""


@pytest.mark.slow
def test_two_machines_have_the_filters_of_the_first() -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", WHITEN],
            env=os.environ | {"TF_CONFIG": tf_config},
            stdout=subprocess.PIPE,
            text=True,
        )
        for tf_config in two_machines()
    ]
    assert [program.communicate(timeout=300)[0].split()[-1] for program in programs] == [
        "{5.0}"
    ] * 2


@pytest.mark.slow
def test_two_machines_do_what_one_does_though_one_of_them_dies(
    data_dir: str, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert start(data_dir, alone).wait() == 0

    chief, other = start_two(data_dir, together)
    wait_until(
        lambda: bool(run_dir.finished_steps(together / "checkpoints")) or chief.poll() is not None
    )
    assert chief.poll() is None
    other.kill()
    _, reported = chief.communicate(timeout=120)  # it does not hang
    assert chief.returncode == 1
    assert "another machine is gone" in reported.splitlines()[-1]
    assert not (together / "results.json").exists()

    again = start_two(data_dir, together)  # the same command on both
    assert [process.wait() for process in again] == [0, 0]
    assert_same_tensors(tensors_of(together), tensors_of(alone))
    steps = [line.split(",")[0] for line in (together / "metrics.csv").read_text().splitlines()]
    assert steps == ["step", "6", "12", "18", "20"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 1)),
        ("{}", (0, 1)),
        ('{"cluster": {}}', (0, 1)),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', (1, 2)),
        (
            '{"cluster": {"worker": ["a:1"], "chief": ["b:1"]}, '
            '"task": {"type": "worker", "index": 0}}',
            (1, 2),
        ),
        (
            '{"cluster": {"worker": ["a:1"], "chief": ["b:1"]}, '
            '"task": {"type": "chief", "index": 0}}',
            (0, 2),
        ),
    ],
)
def test_worker_counts_the_machines_from_the_chief_on(
    text: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert worker() == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG"):
        worker()


def test_multi_worker_without_tf_config_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=r"--strategy=multi_worker: needs .*TF_CONFIG"):
        make_strategy(Config(strategy="multi_worker"))


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    from ssgan_tf.system.device import check_divisible

    check_divisible(Config(batch_size=128, labeled_batch_size=64), 4)
    with pytest.raises(UserError, match=r"--batch_size=130: .* 4 devices.* 128 or 132"):
        check_divisible(Config(batch_size=130), 4)
    with pytest.raises(UserError, match=r"--labeled_batch_size=2: .* such as 4"):
        check_divisible(Config(labeled_batch_size=2), 4)


def test_auto_is_one_device_where_there_is_no_gpu() -> None:
    assert make_strategy(Config()).num_replicas_in_sync == 1
