import http.server
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from ssgan_tf.config import Config, UserError
from ssgan_tf.data import house_numbers, load
from ssgan_tf.data import tfds as tfds_data
from ssgan_tf.data.folder.walk import natural_key
from ssgan_tf.data.label_split import split_labels
from ssgan_tf.data.load import load_named

SHARED = Path(os.environ.get("TFDS_DATA_DIR", "")) / "svhn_cropped" / "3.1.0"


class GreyToy(tfds.core.GeneratorBasedBuilder):
    """28 x 28 x 1 images in parts named by the test, without an `id` feature."""

    VERSION = tfds.core.Version("1.0.0")
    parts: ClassVar[dict[str, int]] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "picture": tfds.features.Image(shape=(28, 28, 1)),
            "kind": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("picture", "kind"),
        )

    def _split_generators(self, dl_manager: object) -> dict:
        return {part: self._generate_examples(count) for part, count in self.parts.items()}

    def _generate_examples(self, count: int) -> Iterator[tuple[int, dict]]:
        for index in range(count):
            yield index, {"picture": np.full((28, 28, 1), index, np.uint8), "kind": index % 2}


@pytest.fixture
def with_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GreyToy with 20 training, 5 test and 30 extra images, in place of any TFDS name."""
    monkeypatch.setattr(GreyToy, "parts", {"train": 20, "test": 5, "extra": 30})
    builder = GreyToy(data_dir=str(tmp_path))
    builder.download_and_prepare()
    monkeypatch.setattr(load, "_builder", lambda name, data_dir: builder)


@pytest.mark.parametrize("budget", [1.0, 1e-9])
@pytest.mark.usefixtures("with_extra")
def test_extra_images_join_after_the_training_images_without_their_labels(budget: float) -> None:
    plain = load_named("toy", memory_budget_gb=budget)
    more = load_named("toy", memory_budget_gb=budget, unlabeled_splits="train+extra[:50%]")
    assert (len(more.train), len(more.test)) == (35, 5)
    assert more.source_shape == plain.source_shape == (28, 28)
    np.testing.assert_array_equal(more.train.images[:20], plain.train.images)
    np.testing.assert_array_equal(more.train.labels, [*plain.train.labels, *[-1] * 15])
    assert all("extra" in identity for identity in more.train.ids[20:])
    assert more.train.ids[20:].tolist() == sorted(more.train.ids[20:], key=natural_key)
    assert more.report == ("15 images of extra[:50%] join without labels",)


@pytest.mark.usefixtures("with_extra")
def test_extra_images_change_neither_the_labels_drawn_nor_the_validation_part() -> None:
    config = Config(labeled=6, validation_fraction=0.2)
    plain = load_named("toy")
    more = load_named("toy", unlabeled_splits="train+extra")
    splits = [split_labels(config, dataset) for dataset in (plain, more)]
    np.testing.assert_array_equal(splits[0].labeled, splits[1].labeled)
    np.testing.assert_array_equal(splits[0].validation, splits[1].validation)
    assert len(splits[1].unlabeled) == len(splits[0].unlabeled) + 30


@pytest.mark.parametrize("part", ["extras", "train[:10%]", "extra[:x]"])
@pytest.mark.usefixtures("with_extra")
def test_unknown_unlabeled_splits_are_named_beside_those_there_are(part: str) -> None:
    with pytest.raises(UserError, match=r"--unlabeled_splits=train\+.*there are: test, extra"):
        load_named("toy", unlabeled_splits=f"train+{part}")


@pytest.mark.parametrize("splits", ["", "extra", "train+", "train+extra+extra"])
def test_unlabeled_splits_must_begin_with_train_and_name_each_part_once(splits: str) -> None:
    with pytest.raises(UserError, match="--unlabeled_splits="):
        Config(unlabeled_splits=splits)


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        ({"train": 20, "test": 5, "validation": 3}, (20, 5)),
        ({"train": 20, "validation": 3}, (20, 3)),
        ({"train": 20}, (16, 4)),
    ],
)
def test_any_tfds_images_are_enlarged_get_ids_and_a_test_part(
    parts: dict[str, int], sizes: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GreyToy, "parts", parts)
    dataset = load_named("grey_toy", str(tmp_path))
    assert (len(dataset.train), len(dataset.test)) == sizes
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.channels == 1
    assert dataset.train.images.shape[1:] == (32, 32, 1)
    # Each image is of one gray, up to its edges, and says what its label must be.
    greys = dataset.train.images[:, 0, 0, 0]
    expected = np.broadcast_to(greys[:, None, None, None], dataset.train.images.shape)
    np.testing.assert_array_equal(dataset.train.images, expected)
    np.testing.assert_array_equal(dataset.train.labels, greys % 2)
    assert len(set(dataset.train.ids.tolist())) == sizes[0]
    reported = " ".join(dataset.report)
    assert ("test" in parts) == (reported == "")
    assert "test" in parts or "no test part" in reported


def test_images_are_brought_to_the_size_and_channels_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GreyToy, "parts", {"train": 6, "test": 2})
    dataset = load_named("grey_toy", str(tmp_path), image_size=64, channels=3)
    images = dataset.train.images
    assert images.shape == (6, 64, 64, 3)
    np.testing.assert_array_equal(images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3)))
    grey = load_named("grey_toy", str(tmp_path), image_size=16)
    assert grey.train.images.shape == (6, 16, 16, 1)


def test_images_that_are_ready_keep_their_pixels_whoever_decodes_them(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFDS decodes those of house_numbers; where it could not, they go the way of files."""
    expected = load_named("house_numbers", data_dir).train
    monkeypatch.setattr(tfds.features.Image, "encoding_format", "jpeg")
    found = load_named("house_numbers", data_dir).train
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    gray = load_named("house_numbers", data_dir, channels=1).train
    monkeypatch.undo()
    np.testing.assert_array_equal(
        gray.images, load_named("house_numbers", data_dir, channels=1).train.images
    )


def test_a_data_set_without_training_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GreyToy, "parts", {"test": 5})
    with pytest.raises(UserError, match="no training part"):
        load_named("grey_toy", str(tmp_path))


def test_a_data_set_that_is_not_of_classified_images_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tfds_data, "_prepare", lambda builder, manual_dir: None)
    with pytest.raises(UserError, match="imdb_reviews: not an image classification data set"):
        load_named("imdb_reviews")


def test_images_of_16_bits_are_refused_and_not_wrapped_into_8() -> None:
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(32, 32, 3), dtype=np.uint16),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
    )
    builder = SimpleNamespace(
        name="deep", info=SimpleNamespace(features=features, supervised_keys=("image", "label"))
    )
    with pytest.raises(UserError, match=r"deep: not an image .* of 8 bits"):
        tfds_data._source(builder)


def no_network(*arguments: object, **keywords: object) -> None:
    raise requests.ConnectionError


def hanging_network(*arguments: object, **keywords: object) -> None:
    time.sleep(3)


@pytest.mark.parametrize("network", [no_network, hanging_network])
def test_missing_data_without_a_network_lists_the_ways_out_at_once(
    network: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "head", network)
    monkeypatch.setattr(tfds_data, "PROBE_SECONDS", 0.5)
    with pytest.raises(UserError) as error:
        load_named("svhn_cropped", str(tmp_path))
    message = str(error.value)
    assert "--dataset=svhn_cropped" in message
    assert str(tmp_path / "svhn_cropped" / "3.1.0") in message  # what was tried
    for way_out in ("--data_dir", "TFDS_DATA_DIR", "train_32x32.mat", "--dataset=house_numbers"):
        assert way_out in message
    assert str(tmp_path / "downloads" / "manual") in message
    assert list(tmp_path.iterdir()) == []


def test_files_in_the_manual_directory_are_used_instead_of_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are there: nothing is asked of the network; TFDS then objects to what is in them."""
    monkeypatch.setattr(requests, "head", lambda *_, **__: pytest.fail("asked the network"))
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for part in ("train", "test", "extra"):
        (manual / f"{part}_32x32.mat").write_bytes(b"not a mat file")
    with pytest.raises(UserError, match="preparing it failed"):
        load_named("svhn_cropped", str(tmp_path))


def copy_of(data_dir: str, tmp_path: Path) -> tuple[str, list[Path]]:
    """A prepared house_numbers that may be damaged, and its TFRecord files."""
    shutil.copytree(data_dir, tmp_path / "data")
    return str(tmp_path / "data"), sorted((tmp_path / "data").rglob("*.tfrecord*"))


@pytest.mark.parametrize("damage", ["truncated", "emptied", "missing", "bit flipped"])
def test_a_prepared_copy_whose_files_are_damaged_is_named(
    damage: str, data_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, files = copy_of(data_dir, tmp_path)
    path = next(file for file in files if "train" in file.name)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "bit flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(UserError, match=r"--dataset=house_numbers: .*damaged") as error:
        load_named("house_numbers", place)
    assert "delete" in str(error.value)
    shutil.rmtree(Path(place) / "house_numbers")  # what it says helps
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 30, "test": 20})
    assert len(load_named("house_numbers", place).train) == 30


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_prepared_copy_whose_description_is_damaged_is_named(
    name: str, data_dir: str, tmp_path: Path
) -> None:
    place, _ = copy_of(data_dir, tmp_path)
    (path,) = Path(place).rglob(name)
    path.write_text("{ no json")
    try:
        found = load_named("house_numbers", place)
    except UserError as error:
        assert "--dataset=house_numbers" in str(error) and "damaged" in str(error)
    else:  # TFDS did without it
        assert len(found.train) == 96


def test_a_copy_that_is_half_prepared_is_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house_numbers, "NUM_EXAMPLES", {"train": 30, "test": 20})
    original = house_numbers.HouseNumbers._generate_examples

    def dies(self: object, *arguments: object) -> Iterator:
        yield from itertools.islice(original(self, *arguments), 10)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(house_numbers.HouseNumbers, "_generate_examples", dies)
        with pytest.raises(KeyboardInterrupt):
            load_named("house_numbers", str(tmp_path))
    assert len(load_named("house_numbers", str(tmp_path)).train) == 30


class Server(http.server.BaseHTTPRequestHandler):
    """Says that it has 1,000 bytes, and hangs up after 100 as long as it is broken."""

    broken = True

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"x" * (100 if Server.broken else 1000))

    def log_message(self, *arguments: object) -> None:
        pass


class Downloaded(GreyToy):
    """A data set whose images are made after a download."""

    url = ""
    name = "downloaded"

    @property
    def url_infos(self) -> dict:
        return {self.url: None}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        path = Path(dl_manager.download(self.url))
        assert path.stat().st_size == 1000, "it was cut short"
        return super()._split_generators(dl_manager)


def test_a_network_that_fails_in_the_middle_of_a_download_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Downloaded, "url", f"http://127.0.0.1:{server.server_port}/images.bin")
    monkeypatch.setattr(Server, "broken", True)
    monkeypatch.setattr(Downloaded, "parts", {"train": 6, "test": 4})
    monkeypatch.setattr(load, "_builder", lambda name, data_dir: Downloaded(data_dir=data_dir))
    try:
        with pytest.raises(UserError, match="preparing it failed") as error:
            load_named("downloaded", str(tmp_path))
        assert "--data_dir" in str(error.value)
        monkeypatch.setattr(Server, "broken", False)
        assert len(load_named("downloaded", str(tmp_path)).train) > 0
    finally:
        server.shutdown()


@pytest.mark.skipif(not SHARED.exists(), reason="TFDS_DATA_DIR holds no prepared svhn_cropped")
def test_svhn_has_its_ids_and_a_label_zero() -> None:
    dataset = load_named("svhn_cropped")
    assert dataset.train.ids[0] == "train_000000"
    assert set(dataset.train.labels.tolist()) == set(range(10))
    assert dataset.train.images.shape[1:] == (32, 32, 3)
