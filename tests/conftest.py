"""Small data and small networks, shared by all tests: TensorFlow once in each process."""

import contextlib
import dataclasses
import importlib.metadata
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if importlib.metadata.version("tensorflow").startswith("2.21."):  # others may not know these
    os.environ.setdefault(  # XLA compiles in half of the time; the code is slow
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 "
        "--xla_cpu_use_fusion_emitters=false",
    )

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from ssgan_tf.config import Config
from ssgan_tf.data.dataset import Dataset, Split

if TYPE_CHECKING:
    from ssgan_tf.models.discriminator import Discriminator
    from ssgan_tf.models.generator import Generator

NARROW = {"generator_width": 8, "discriminator_width": 8}
NASTY = "-a[1] *?{b}\\c$d%20#é'\"@x:y\nz, w."
NAMES = ["zero", "one", "two"]  # of the classes of `exported`


@pytest.fixture(scope="session", autouse=True)
def same_numbers_on_all_processors() -> Iterator[None]:
    """`--precision=auto`, the default for folders, stands for float32 on CPUs."""
    from ssgan_tf.system import device

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "FAST_AT_BFLOAT16", frozenset())
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a directory of the tests; matplotlib keeps its list of fonts."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        if "MPLCONFIGDIR" not in os.environ:
            patch.setenv("MPLCONFIGDIR", str(usual / "matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A directory that one process of the tests fills, for all of them; not to be changed.

    Args:
        factory: of the process.
        name: of the directory.
        make: is called with it in the first process that asks; the others wait.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has its own below it
    directory, made = base / f"shared-{name}", base / f"shared-{name}.made"
    with FileLock(f"{directory}.lock"):
        if not made.exists():
            shutil.rmtree(directory, ignore_errors=True)  # of an attempt that failed
            directory.mkdir()
            make(directory)
            made.touch()
    return directory


@contextlib.contextmanager
def runs_end_briefly() -> Iterator[None]:
    """Runs end without a SavedModel and a report, which take longer than their training.

    The commands for finished runs still write theirs.
    """
    from ssgan_tf.inference import saved_model
    from ssgan_tf.runs import closing

    def save(directory: Path, *_: object, **__: object) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "not_written_in_this_test").touch()

    model = SimpleNamespace(clean_up=saved_model.clean_up, save=save)
    report = SimpleNamespace(report_of=lambda *_: "", write_report=lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "saved_model", model)
        patch.setattr(closing, "run_report", report)
        yield


@pytest.fixture
def brief_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """`runs_end_briefly`, for modules whose tests are about something else.

    Not in their tests that are marked `writes_everything`.
    """
    if request.node.get_closest_marker("writes_everything"):
        yield
    else:
        with runs_end_briefly():
            yield


@pytest.fixture
def narrow_config() -> Config:
    """The article's recipe with narrow networks and small batches."""
    return Config.from_preset("article", **NARROW, batch_size=16, labeled=40)


def make_dataset(train: int = 100, test: int = 30, num_classes: int = 10) -> Dataset:
    """Random images whose labels go round the classes, ids as SVHN has them."""
    rng = np.random.default_rng(0)

    def split(name: str, count: int) -> Split:
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        ids = np.array([f"{name}_{index:06d}" for index in range(count)])
        return Split(images, np.arange(count) % num_classes, ids)

    names = [str(label) for label in range(num_classes)]
    return Dataset("toy/1.0.0", names, split("train", train), split("test", test))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A TFDS directory with a tiny `house_numbers`: 96 training and 40 test images."""
    from ssgan_tf.data import house_numbers

    def make(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 96, "test": 40})
            house_numbers.HouseNumbers(data_dir=str(directory)).download_and_prepare()

    return str(shared(tmp_path_factory, "tensorflow_datasets", make))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """A short run's directory, with validation images and averaged weights; not to be changed."""
    from ssgan_tf.runs.story import train_and_evaluate

    config = Config.from_preset(
        "article",
        **NARROW,
        dataset="house_numbers",
        data_dir=data_dir,
        labeled=20,
        batch_size=16,
        steps=6,
        validation_fraction=0.5,
        ema_decay=0.9,
    )

    def make(directory: Path) -> None:
        train_and_evaluate(dataclasses.replace(config, run_dir=str(directory)))

    return shared(tmp_path_factory, "run", make)


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> "tuple[Path, Discriminator, Generator]":
    """A SavedModel of the classes `NAMES`, and the networks in it; not to be changed."""
    import keras

    from ssgan_tf.inference import saved_model
    from ssgan_tf.models.discriminator import Discriminator
    from ssgan_tf.models.generator import Generator

    keras.utils.set_random_seed(0)  # the same weights in each process
    discriminator = Discriminator(width=8, num_classes=3, drop_rate=0.5)
    generator = Generator(width=8, latent_dim=5)
    rng = np.random.default_rng(0)
    for variable in discriminator.variables + generator.variables:
        if "bn" in variable.path or "bias" in variable.path:  # as after training
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    directory = shared(
        tmp_path_factory,
        "exported",
        lambda place: saved_model.save(place / "saved_model", discriminator, generator, NAMES),
    )
    return directory / "saved_model", discriminator, generator


@pytest.fixture(scope="session")
def model(
    exported: "tuple[Path, Discriminator, Generator]",
) -> "tuple[Path, Discriminator]":
    """The same without its generator."""
    return exported[:2]


def probabilities_of(discriminator: "Discriminator", images: np.ndarray) -> np.ndarray:
    """The probabilities of the classes, (N, K), by moving averages."""
    from ssgan_tf.data.images.resize import scale

    logits = discriminator(scale(images), statistics="moving").class_logits.numpy()
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Seven images in two folders, a text file that says it is an image, and one that does not."""
    images = make_dataset(test=7).test.images
    directory = tmp_path / "pictures ä"
    (directory / "more").mkdir(parents=True)
    for index, image in enumerate(images):
        place = directory / "more" if index > 4 else directory
        Image.fromarray(image).save(place / f"{index}.png")
    (directory / "broken.png").write_text("no image")
    (directory / "notes.txt").write_text("not looked at")
    return directory, images
