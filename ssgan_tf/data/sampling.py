"""Drawing images by class: a share of each class, or equally many of each."""

import numpy as np

from ssgan_tf.system.text import counted


def imbalanced(counts: np.ndarray) -> bool:
    """Whether the largest class has more than twice the images of the smallest.

    Args:
        counts: of the images of each class, at least one.
    """
    return int(counts.max()) > 2 * int(counts.min())


def stratified(
    labels: np.ndarray, candidates: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """A random `fraction` of each class (rounded), ascending indices out of `candidates`."""
    rng = np.random.default_rng([seed, 1])
    parts = [np.array([], np.int64)]
    for label in np.unique(labels[candidates]):
        members = candidates[labels[candidates] == label]
        parts.append(rng.permutation(members)[: round(fraction * len(members))])
    return np.sort(np.concatenate(parts))


def balanced(
    labels: np.ndarray, candidates: np.ndarray, count: int, class_names: list[str], seed: int
) -> tuple[np.ndarray, list[str]]:
    """`count` indices out of `candidates`, of each class equally many if possible.

    A remainder goes to the first classes, one each. A class smaller than its share gives all it
    has, and the rest is drawn from the other classes. The second value reports such classes, or
    else a remainder.
    """
    rng = np.random.default_rng([seed, 2])
    members = [
        rng.permutation(candidates[labels[candidates] == label])
        for label in range(len(class_names))
    ]
    shares = np.zeros(len(members), np.int64)
    sizes = np.array([len(part) for part in members])
    while (left := count - shares.sum()) > 0:
        room = np.flatnonzero(shares < sizes)
        if left < len(room):
            shares[room[:left]] += 1
        else:
            shares[room] += np.minimum(left // len(room), (sizes - shares)[room])
    fair = count // len(members)
    notes = [
        f"class {class_names[label]} has only {counted(sizes[label], 'image')}, fewer than its "
        f"share of {fair}"
        for label in np.flatnonzero(sizes < fair)
    ]
    if not notes and shares.min() < shares.max():
        notes.append(f"some classes have {shares.max()} labeled images, others {shares.min()}")
    chosen = [part[:share] for part, share in zip(members, shares, strict=True)]
    return np.sort(np.concatenate(chosen)), notes
