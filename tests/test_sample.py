from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssgan_tf import sample


def test_a_grid_and_a_folder_hold_the_same_images(run: Path, tmp_path: Path) -> None:
    sample.main(["sample", f"--run_dir={run}", "--n=12", f"--output={tmp_path}/grid.png"])
    sample.main(["sample", f"--run_dir={run}", "--n=12", f"--output={tmp_path}/folder/"])
    files = sorted((tmp_path / "folder").iterdir())
    assert [path.name for path in files] == [f"{index:02d}.png" for index in range(12)]
    images = sample.sample_run(run, n=12)
    assert images.shape == (12, 32, 32, 3)
    for path, image in zip(files, images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    grid = Image.open(tmp_path / "grid.png")
    assert grid.width > grid.height  # 8 and 4


@pytest.mark.slow
def test_the_seed_says_which_images_and_more_of_them_begin_alike(run: Path) -> None:
    four, six, other = (sample.sample_run(run, n=n, seed=s) for n, s in ((4, 1), (6, 1), (4, 2)))
    np.testing.assert_array_equal(four, six[:4])
    assert not np.array_equal(four, other)


def test_interpolated_rows_lead_from_point_to_point_at_the_length_of_such_points() -> None:
    points = sample.latent_points(24, 100, seed=0, interpolate=True)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() < 3  # two independent points are about 14 apart
    assert np.linalg.norm(points, axis=1).min() > 7  # of 10; on a straight line some would have 7.1
    straight = np.linalg.norm((points[0] + points[8]) / 2)
    assert np.linalg.norm(points[4]) > 1.2 * straight


def test_points_on_a_line_are_interpolated_straight() -> None:
    points = sample.latent_points(16, 1, seed=0, interpolate=True)
    assert np.abs(np.diff(points[:9], 2, axis=0)).max() < 1e-6
    assert abs(points).max() < 5


def test_points_are_normal(run: Path) -> None:
    points = sample.latent_points(500, 100, seed=3, interpolate=False)
    assert abs(points.mean()) < 0.02 and abs(points.std() - 1) < 0.02


def test_the_control_has_no_generator(run: Path, tmp_path: Path) -> None:
    text = (run / "config.json").read_text().replace("semi_supervised", "supervised")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SystemExit) as error:
        sample.main(["sample", f"--run_dir={tmp_path}", f"--output={tmp_path}/grid.png"])
    assert "no generator" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output=x.png"], ["--run_dir", "missing"]),
        (["--run_dir={run}"], ["--output", "missing"]),
        (["--run_dir={run}", "--output=grid.jpg"], ["--output=grid.jpg", ".png"]),
        (["--run_dir={run}", "--output={run}/"], ["--output={run}", "already"]),
        (["--run_dir={run}", "--output={run}/samples/step_000006.png"], ["step_000006", "already"]),
        (["--run_dir={run}", "--output={run}/.lock/x.png"], ["--output={run}/.lock/x", "a file"]),
        (["--run_dir={run}", "--output={run}/.lock/x/"], ["--output={run}/.lock/x:", "a file"]),
        (["--run_dir={run}", "--output={run}/.lock"], ["--output={run}/.lock: is a file"]),
        (["--run_dir={run}", "--output=/proc/x/"], ["--output=/proc/x: cannot be written"]),
        (["--run_dir={run}", f"--output={'x' * 300}.png"], ["--output=x", "cannot be written"]),
        (["--run_dir={run}", "--output=x.png", "--n=0"], ["--n=0", "at least 1"]),
        (["--run_dir={run}", "--output=x.png", "--n=100001"], ["--n=100001", "at most 100,000"]),
    ],
)
def test_a_mistake_is_named(arguments: list[str], words: list[str], run: Path) -> None:
    with pytest.raises(SystemExit) as error:
        sample.main(["sample", *[text.format(run=run) for text in arguments]])
    for word in words:
        assert word.format(run=run) in str(error.value)
