import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import NAMES, probabilities_of
from PIL import Image

from ssgan_tf.config import UserError
from ssgan_tf.data.images.decoding import read_image
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.classifier import Classifier, Prediction, load_classifier, predict
from ssgan_tf.inference.image_paths import Unreadable


def test_a_run_is_loaded_and_classifies_arrays_and_files(model: tuple, folder: tuple) -> None:
    directory, images = folder
    classifier = load_classifier(str(model[0].parent))
    assert classifier.class_names == NAMES
    assert (classifier.size, classifier.channels) == (32, 3)
    expected = probabilities_of(model[1], images)
    found = classifier(images)
    assert all(isinstance(value, np.ndarray) for value in found.values())
    np.testing.assert_allclose(found["probabilities"], expected, atol=2e-6)
    np.testing.assert_array_equal(found["class_id"], expected.argmax(axis=1))
    paths = [directory / "0.png", directory / "broken.png", directory / "nothing.png"]
    first, *others = classifier.predict(paths, top_k=3)
    assert isinstance(first, Prediction) and first.path == str(paths[0])
    assert [name for name, _ in first.classes] == [NAMES[k] for k in np.argsort(-expected[0])]
    assert first.p_real == pytest.approx(float(found["p_real"][0]), abs=1e-6)
    assert [item.path for item in others] == list(map(str, paths[1:]))
    assert all(isinstance(item, Unreadable) for item in others)


def test_a_path_that_does_not_exist_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_classifier(tmp_path / "nothing")
    expected = f"{tmp_path}/nothing: is not there; give the saved_model/ of a run."
    assert str(error.value) == expected
    with pytest.raises(UserError, match="xx: is not there; give the saved_model/ of a run"):
        load_classifier("x" * 300)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 28, 28, 1), np.uint8)]
)
def test_images_of_another_type_or_shape_are_refused(images: np.ndarray, model: tuple) -> None:
    with pytest.raises(UserError, match=r"images: must be uint8 \(N, 32, 32, 3\), not "):
        load_classifier(model[0])(images)


def test_batches_change_nothing_and_files_are_taken_as_they_are_needed(
    model: tuple, folder: tuple
) -> None:
    directory, _ = folder
    classifier = Classifier(model[0])
    paths = [str(directory / f"{index}.png") for index in range(5)]
    whole = list(predict(classifier, paths, top_k=3))
    parts = list(predict(classifier, paths, top_k=3, batch_size=2))
    assert [item.path for item in parts] == paths
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(
            [chance for _, chance in one.classes], [chance for _, chance in other.classes], 1e-5
        )
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield paths[0]

    next(predict(classifier, endless(), batch_size=4))
    assert len(taken) <= 13  # one batch at work, one being decoded, one waiting and one in hand


@pytest.mark.slow
def test_files_are_made_square_as_in_training(model: tuple, tmp_path: Path) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    path, discriminator = model  # it crops
    seen = []
    for fit in ("crop", "pad", "stretch"):
        if fit != "crop":
            path = tmp_path / fit
            saved_model.save(path, discriminator, None, NAMES, fit=fit)
        classifier = Classifier(path)
        assert classifier.fit == fit
        found = next(predict(classifier, [str(tmp_path / "wide.png")], batch_size=1))
        image = read_image(tmp_path / "wide.png", 32, 3, fit)
        expected = probabilities_of(discriminator, image[None])[0].max()
        assert found.classes[0][1] == pytest.approx(expected, rel=1e-4)
        seen.append(found.p_real)
    assert len(set(seen)) == 3


def test_each_file_is_classified_as_soon_as_it_is_there(model: tuple, folder: tuple) -> None:
    classifier = Classifier(model[0])
    sizes: list[int] = []
    original = classifier._classify
    classifier._classify = lambda images: (sizes.append(len(images)), original(images=images))[1]
    files = [str(folder[0] / f"{index}.png") for index in range(4)]
    second = threading.Event()

    def slow() -> Iterator[str]:
        yield files[0]
        assert second.wait(60)
        yield files[1]

    found = predict(classifier, slow())
    assert next(found).path == files[0]  # though the second one is not there yet
    second.set()
    assert [item.path for item in found] == [files[1]]
    assert sizes == [1, 1]  # and nothing else went through the model
    sizes.clear()
    assert len(list(predict(classifier, files * 100, batch_size=64))) == 400
    assert max(sizes) == 64 and sum(sizes) == 400 and sizes[0] <= 4
    # A model that compiles for each size of a batch meets few of them.
    assert all(size & (size - 1) == 0 for size in sizes[:-1])


def test_an_error_of_the_list_comes_after_what_was_before_it(model: tuple, folder: tuple) -> None:
    def broken() -> Iterator[str]:
        yield str(folder[0] / "0.png")
        raise OSError("gone")

    found = predict(Classifier(model[0]), broken())
    assert next(found).path.endswith("0.png")
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_a_directory_that_only_looks_like_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_text("nothing")
    with pytest.raises(UserError, match="cannot be loaded as a model"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "part",
    [
        "assets/class_names.txt",
        pytest.param("variables/*", marks=pytest.mark.slow),
        "saved_model.pb",
    ],
)
def test_a_model_that_lacks_a_part_or_has_half_of_it_is_named(
    part: str, model: tuple, tmp_path: Path
) -> None:
    for file in sorted(model[0].glob(part)):
        for end in (None, 0, file.stat().st_size // 2):
            broken = Path(shutil.copytree(model[0], tmp_path / f"{file.name}-{end}"))
            damaged = broken / file.relative_to(model[0])
            if end is None:
                damaged.unlink()
            else:
                damaged.write_bytes(file.read_bytes()[:end])
            with pytest.raises(UserError, match=f"^{re.escape(str(broken))}: ") as error:
                load_classifier(broken)
            assert "\n" not in str(error.value)


def test_a_run_directory_is_taken_for_its_model_and_other_formats_are_named(
    model: tuple, tmp_path: Path
) -> None:
    assert load_classifier(model[0].parent).class_names == NAMES
    (tmp_path / "model.tflite").write_text("not read here")
    with pytest.raises(UserError, match=r"model\.tflite is not read here"):
        load_classifier(tmp_path)
