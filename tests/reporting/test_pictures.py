from pathlib import Path

import numpy as np
from PIL import Image

from ssgan_tf.inference.evaluation import Evaluation
from ssgan_tf.reporting.pictures import confusion_matrix, image_grid, save_png


def test_image_grid_puts_images_row_by_row_and_fills_up_with_white() -> None:
    images = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30)])
    grid = image_grid(images, columns=2, zoom=1, gap=0)
    np.testing.assert_array_equal(grid[:, :, 0], [[10, 10, 20, 20]] * 2 + [[30, 30, 255, 255]] * 2)


def test_image_grid_leaves_gaps_and_enlarges() -> None:
    images = np.zeros((4, 32, 32, 1), np.uint8)
    grid = image_grid(images, columns=2, zoom=3, gap=1)
    assert grid.shape == (2 * 34 * 3, 2 * 34 * 3, 1)
    assert (grid[:3] == 255).all()


def test_save_png_writes_gray_and_color(tmp_path: Path) -> None:
    for channels in (1, 3):
        image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
        save_png(tmp_path / "a.png", image)
        found = np.asarray(Image.open(tmp_path / "a.png")).reshape(image.shape)
        np.testing.assert_array_equal(found, image)


def test_confusion_picture_is_drawn_for_few_and_for_many_classes() -> None:
    for count in (3, 100):
        labels = np.arange(count)
        picture = confusion_matrix(
            Evaluation(labels, np.eye(count)[labels]), [str(i) for i in labels]
        )
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert picture.std() > 0


def test_class_names_that_look_like_formulas_are_drawn_as_they_are() -> None:
    labels = np.arange(2)
    evaluation = Evaluation(labels, np.eye(2)[labels])
    picture = confusion_matrix(evaluation, ["$\\no$", "50$ _{"])
    assert picture.shape[2] == 3
