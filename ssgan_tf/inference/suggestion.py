"""Which images should get a label next, by their features and what the classifier says.

typical: the images are divided into as many clusters as there will be labels. Of each cluster
without a label, the largest first, comes the image with the highest typicality, which is 1 / the
mean distance to its nearest neighbors in the cluster (TypiClust: Hacohen et al. 2022, "Active
Learning on a Budget", https://arxiv.org/abs/2202.02794).

uncertain: images whose two most probable classes are almost equally probable (the margin), one of
each cluster before a second one, so that near-duplicates are not all asked for.
"""

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

STRATEGIES = ("auto", "typical", "uncertain", "random")
FEW_LABELS = 25  # per class; with fewer, typical images help more than uncertain ones
MOST_CLUSTERS = 500
NEIGHBORS = 20
# Images; smaller clusters are outliers, which come last. Where the clusters are small on average,
# those of at least the average size are none.
SMALL_CLUSTER = 5
_COMPARED_WITH = 5000  # images of a larger cluster, among which neighbors are looked for


class Choice(NamedTuple):
    """An image that should get a label.

    Attributes:
        image: its index.
        reason: why, in a few words.
    """

    image: int
    reason: str


def resolve(strategy: str, labels: int, num_classes: int) -> str:
    """What "auto" stands for with so many labels in all; the other strategies stay.

    Args:
        strategy: one of `STRATEGIES`.
        labels: how many images have one.
        num_classes: K; 0: there is no classifier yet, which "uncertain" needs.
    """
    if strategy != "auto":
        return strategy
    is_few = not num_classes or labels < FEW_LABELS * num_classes
    return "typical" if is_few else "uncertain"


def suggest(
    features: np.ndarray,
    labeled: np.ndarray,
    n: int,
    strategy: str,
    probabilities: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    seed: int = 0,
) -> list[Choice]:
    """Chooses images without a label.

    Args:
        features: (N, F) float32, of length 1 each.
        labeled: (N,) bool, which images have a label; these are not chosen.
        n: how many are wanted; if fewer have no label, all of them come.
        strategy: "typical", "uncertain" or "random".
        probabilities: (N, K) of the classes; "uncertain" needs them.
        class_names: of the K classes.
        seed: another one, other random choices.

    Returns:
        The images, the most helpful one first.
    """
    n = min(n, int(np.sum(~labeled)))
    if strategy == "random":
        order = np.random.default_rng(seed).permutation(np.flatnonzero(~labeled))
        return [Choice(int(index), "drawn at random") for index in order[:n]]
    clusters = cluster(features, int(labeled.sum()) + n, seed)
    if strategy == "typical":
        return _typical(features, labeled, clusters, n, seed)
    assert probabilities is not None
    return _uncertain(probabilities, labeled, clusters, n, class_names)


def cluster(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N,) the cluster of each image, by k-means.

    Args:
        features: (N, F) float32.
        count: of the clusters; at most `MOST_CLUSTERS` are made, and one for each image.
        seed: another one, other clusters.
    """
    from sklearn.cluster import MiniBatchKMeans

    count = min(count, MOST_CLUSTERS, len(features))
    # scikit-learn's own annotation of n_init allows "auto" alone.
    starts: Any = 3
    means = MiniBatchKMeans(count, batch_size=4096, n_init=starts, random_state=seed)
    return means.fit_predict(features)


class _Cluster:
    """The images of a cluster, to be chosen one after the other."""

    def __init__(
        self, features: np.ndarray, members: np.ndarray, labeled: np.ndarray, seed: int
    ) -> None:
        """
        Args:
            features: (N, F) of all images.
            members: (M,) indices of its images.
            labeled: (N,) bool.
            seed: of the images that those of a large cluster are compared with.
        """
        from sklearn.neighbors import NearestNeighbors

        others = members
        if len(members) > _COMPARED_WITH:
            rng = np.random.default_rng(seed)
            others = np.sort(rng.choice(members, _COMPARED_WITH, replace=False))
        count = min(NEIGHBORS + 1, len(others))  # an image is its own nearest neighbor
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features[others])
        distances, places = search.kneighbors(features[members])
        mean = distances.sum(axis=1) / max(1, count - 1)
        self._neighbors = dict(zip(members.tolist(), others[places].tolist(), strict=True))
        order = members[np.argsort(mean, kind="stable")]
        self._left = order[~labeled[order]].tolist()  # the most typical one first
        self._near: set[int] = set()  # neighbors of images with a label, which come last
        for index in members[labeled[members]].tolist():
            self._near.update(self._neighbors[index])

    def take(self) -> int:
        """The index of the most typical image that is left, far from those before if possible."""
        index = next((i for i in self._left if i not in self._near), self._left[0])
        self._left.remove(index)
        self._near.update(self._neighbors[index])
        return index


def _typical(
    features: np.ndarray, labeled: np.ndarray, clusters: np.ndarray, n: int, seed: int
) -> list[Choice]:
    sizes, labels = np.bincount(clusters), np.bincount(clusters[labeled])
    labels = np.pad(labels, (0, len(sizes) - len(labels)))
    left = sizes - labels
    outlier = sizes < min(SMALL_CLUSTER, sizes.sum() / np.count_nonzero(sizes))
    # Few labels first, then many images.
    queue = [
        (bool(outlier[k]), int(labels[k]), -int(sizes[k]), int(k)) for k in np.flatnonzero(left)
    ]
    heapq.heapify(queue)
    opened: dict[int, _Cluster] = {}
    found = []
    while len(found) < n:
        small, count, size, k = heapq.heappop(queue)
        if k not in opened:
            opened[k] = _Cluster(features, np.flatnonzero(clusters == k), labeled, seed)
        found.append(Choice(opened[k].take(), _stands_for(-size, count)))
        left[k] -= 1
        if left[k]:
            heapq.heappush(queue, (small, count + 1, size, k))
    return found


def _stands_for(size: int, labels: int) -> str:
    """The reason for a typical image of a cluster."""
    if size == 1:
        return "like no other image"
    before = f"; {labels:,} of them labeled or higher in this list" if labels else ""
    return f"typical of {size:,} similar images{before}"


def _uncertain(
    probabilities: np.ndarray,
    labeled: np.ndarray,
    clusters: np.ndarray,
    n: int,
    class_names: Sequence[str],
) -> list[Choice]:
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(probabilities, best, axis=1).T
    candidates = np.flatnonzero(~labeled)
    candidates = candidates[np.argsort((first - second)[candidates], kind="stable")]
    # The place of each among those of its cluster: 0 for the one with the smallest margin.
    places = np.zeros(len(candidates), np.int64)
    by_cluster = np.argsort(clusters[candidates], kind="stable")
    sizes = np.bincount(clusters[candidates])
    places[by_cluster] = np.concatenate([np.arange(size) for size in sizes])
    chosen = candidates[np.argsort(places, kind="stable")][:n]
    found = []
    for i in chosen:
        one, two = (class_names[k] for k in best[i])
        found.append(Choice(int(i), f"{one} {first[i]:.0%} or {two} {second[i]:.0%}"))
    return found
