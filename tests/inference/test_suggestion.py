"""Which images are chosen, on points in the plane whose clusters are known."""

import numpy as np
import pytest

from ssgan_tf.inference.suggestion import FEW_LABELS, _typical, cluster, resolve, suggest

SIZES = (60, 40, 20)
CENTERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


@pytest.fixture
def points() -> np.ndarray:
    """Three clouds of 60, 40 and 20 points; the first point of each is in its very middle."""
    rng = np.random.default_rng(0)
    clouds = []
    for size, center in zip(SIZES, CENTERS, strict=True):
        around = rng.uniform(-1, 1, (size, 2))
        around[:8] *= 0.05  # the middle is the densest part
        around[0] = 0
        clouds.append(center + around)
    return np.concatenate(clouds).astype(np.float32)


def cloud_of(index: int) -> int:
    return int(np.searchsorted(np.cumsum(SIZES), index, side="right"))


def none(points: np.ndarray) -> np.ndarray:
    return np.zeros(len(points), bool)


def chosen(*arguments: object, **named: object) -> list[int]:
    return [item.image for item in suggest(*arguments, **named)]


def test_typical_images_are_in_the_middle_of_the_clusters_largest_first(
    points: np.ndarray,
) -> None:
    found = suggest(points, none(points), 3, "typical")
    assert [cloud_of(item.image) for item in found] == [0, 1, 2]
    for item in found:
        distance = np.linalg.norm(points[item.image] - CENTERS[cloud_of(item.image)])
        assert distance < 0.1
    assert found[0].reason == "typical of 60 similar images"


def test_clusters_with_a_label_come_last(points: np.ndarray) -> None:
    labeled = none(points)
    labeled[5] = True  # of the largest cloud
    found = chosen(points, labeled, 2, "typical")
    assert [cloud_of(index) for index in found] == [1, 2]


def test_a_second_image_of_a_cluster_is_none_of_the_neighbors_of_the_first(
    monkeypatch: pytest.MonkeyPatch, points: np.ndarray
) -> None:
    monkeypatch.setattr("ssgan_tf.inference.suggestion.MOST_CLUSTERS", 1)
    first, second = chosen(points[:60], none(points[:60]), 2, "typical")
    distances = np.linalg.norm(points[:60] - points[first], axis=1)
    assert np.sum(distances < distances[second]) > 20


def test_no_image_comes_twice_and_none_that_has_a_label(points: np.ndarray) -> None:
    labeled = none(points)
    labeled[::3] = True
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), len(points))
    for strategy in ("typical", "uncertain", "random"):
        found = chosen(points, labeled, 1000, strategy, probabilities, list("abcd"))
        assert sorted(found) == np.flatnonzero(~labeled).tolist(), strategy


def test_identical_images_are_no_problem() -> None:
    same = np.ones((30, 4), np.float32)
    assert len(set(chosen(same, np.zeros(30, bool), 7, "typical"))) == 7


def test_a_large_cluster_is_compared_with_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, points: np.ndarray
) -> None:
    monkeypatch.setattr("ssgan_tf.inference.suggestion._COMPARED_WITH", 30)
    (index,) = chosen(points[:60], none(points[:60]), 1, "typical")
    assert np.linalg.norm(points[index]) < 0.5


def test_uncertain_images_have_the_smallest_margin_one_of_each_cluster_first(
    points: np.ndarray,
) -> None:
    margin = np.full(len(points), 0.9)
    margin[[3, 4, 70, 110]] = 0.01, 0.02, 0.03, 0.04  # 3 and 4 are in the same cloud
    probabilities = np.stack([(1 + margin) / 2, (1 - margin) / 2], axis=1)
    found = suggest(points, none(points), 3, "uncertain", probabilities, ["cat", "dog"])
    assert [item.image for item in found] == [3, 70, 110]
    assert found[1].reason == "cat 52% or dog 48%"


def test_random_images_are_a_function_of_the_seed(points: np.ndarray) -> None:
    first = chosen(points, none(points), 9, "random", seed=1)
    assert first == chosen(points, none(points), 9, "random", seed=1)
    assert first != chosen(points, none(points), 9, "random", seed=2)


def test_the_same_seed_suggests_the_same(points: np.ndarray) -> None:
    assert suggest(points, none(points), 5, "typical") == suggest(
        points, none(points), 5, "typical"
    )


def test_there_are_never_more_clusters_than_images() -> None:
    assert cluster(np.eye(3, dtype=np.float32), 10, 0).max() <= 2


@pytest.mark.parametrize(
    ("strategy", "labels", "classes", "expected"),
    [
        ("auto", 0, 0, "typical"),
        ("auto", 1000, 0, "typical"),  # nobody can be uncertain yet
        ("auto", 10 * FEW_LABELS - 1, 10, "typical"),
        ("auto", 10 * FEW_LABELS, 10, "uncertain"),
        ("random", 0, 10, "random"),
    ],
)
def test_auto_is_typical_with_few_labels_and_uncertain_with_many(
    strategy: str, labels: int, classes: int, expected: str
) -> None:
    assert resolve(strategy, labels, classes) == expected


def test_in_a_small_pool_each_cluster_comes_before_a_second_image_of_one() -> None:
    # Clusters of 6, 4, 4 and 2 images: 4 on average, so that only the last one is an outlier.
    clusters = np.repeat([0, 1, 2, 3], [6, 4, 4, 2])
    features = np.eye(4, dtype=np.float32)[clusters]
    found = _typical(features, np.zeros(16, bool), clusters, 16, seed=0)
    order = [int(clusters[one.image]) for one in found]
    assert order[:3] == [0, 1, 2] and order[-2:] == [3, 3]
