"""An exported model that classifies images: arrays, or files.

    classifier = load_classifier("runs/NAME")
    classifier.predict(["photo.png"])  # files
    classifier(images)["probabilities"]  # uint8 (N, S, S, channels)

Needs the exported directory alone, neither the run nor its data.
"""

import collections
import contextlib
import functools
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssgan_tf.config import FITS, Fit, UserError
from ssgan_tf.data.images.resize import RULES
from ssgan_tf.inference.ahead import Ahead
from ssgan_tf.inference.decoders import decode
from ssgan_tf.inference.image_paths import Unreadable
from ssgan_tf.system.device import cores, prepare_device, quiet_start
from ssgan_tf.system.paths import literal

_FIRST_BATCH = 4


class Prediction(NamedTuple):
    """What the model says about one file.

    Attributes:
        path: as it was given, or found in a folder.
        classes: the `top_k` most probable classes with their probabilities, best first.
        p_real: 0 to 1, how sure the classifier is that the image is not one of its generator's;
            without a generator, high if any class has a high logit.
    """

    path: str
    classes: list[tuple[str, float]]
    p_real: float


def load_classifier(path: str | os.PathLike[str]) -> "Classifier":
    """Loads the classifier of a run.

    Args:
        path: a run directory, or a SavedModel that this package exported.

    Raises:
        UserError: if it is neither.
    """
    directory = Path(path)
    # Path.exists() fails if a name is too long
    if os.path.exists(directory / "saved_model" / "saved_model.pb"):  # a run directory
        directory = directory / "saved_model"
    if not os.path.exists(directory / "saved_model.pb"):
        there = os.path.exists(directory)
        other = next(directory.glob("model.*"), None) if there else None
        hint = f"{other.name} is not read here; " if other else ""
        what = "is not an exported model" if there else "is not there"
        raise UserError(f"{directory}: {what}; {hint}give the saved_model/ of a run.")
    with quiet_start():
        import tensorflow  # noqa: F401

        prepare_device(deterministic=False)
    return Classifier(directory)


class Classifier:
    """An exported model, loaded by `load_classifier`.

    Attributes:
        class_names: of the K classes.
        size: S, the side of the images that it takes, in pixels.
        channels: of the images: 3 for color, 1 for gray.
        fit: how images that are not square were made square in training.
    """

    def __init__(self, directory: Path) -> None:
        """
        Args:
            directory: a SavedModel that this package exported.

        Raises:
            UserError: if it cannot be loaded.
        """
        import tensorflow as tf

        try:
            with literal(directory) as place:
                self._model = tf.saved_model.load(str(place))
                names = Path(os.fsdecode(self._model.class_names.asset_path.numpy()))
                self.class_names = names.read_text(encoding="utf-8").splitlines()
            self._classify = self._model.signatures["serving_default"]
            shape = self._classify.structured_input_signature[1]["images"].shape
            self.fit: Fit = FITS[int(self._model.fit)]
            # Older models have no number for the rule; their files were read by the first one.
            rule = int(getattr(self._model, "rule", 0))
            if self._classify.structured_outputs["logits"].shape[1] != len(self.class_names):
                raise ValueError("a name for each class")
        except Exception as error:  # a file cut short can make the readers object to anything
            raise UserError(
                f"{directory}: cannot be loaded as a model that this program exported "
                f"({type(error).__name__}); export it again, or copy it whole."
            ) from error
        if rule >= len(RULES):
            raise UserError(
                f"{directory}: its images were brought to size in a way that this version "
                "does not know; use a newer ssgan-tf, or export it again with this one."
            )
        self.size: int = shape[1]
        self.channels: int = shape[3]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Classifies images.

        Args:
            images: uint8 (N, S, S, channels).

        Returns:
            `class_id` (N,), `probabilities` and `logits` (N, K), `p_real` (N,), and `features`.

        Raises:
            UserError: if the images have another type or shape.
        """
        import tensorflow as tf

        images, shape = np.asarray(images), (self.size, self.size, self.channels)
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise UserError(
                f"images: must be uint8 (N, {', '.join(map(str, shape))}), not {images.dtype} "
                f"{images.shape}."
            )
        found = self._classify(images=tf.constant(images))
        return {name: value.numpy() for name, value in found.items()}

    def predict(
        self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], top_k: int = 1
    ) -> list[Prediction | Unreadable]:
        """Classifies image files.

        Args:
            paths: of the files, or of one.
            top_k: how many classes are reported for each.

        Returns:
            One item for each path, in order: for a file that cannot be read, why not.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else paths
        return list(predict(self, (os.fspath(path) for path in paths), top_k))


def predict(
    classifier: Classifier,
    paths: Iterable[str | Unreadable],
    top_k: int = 1,
    batch_size: int = 256,
    decoders: Executor | None = None,
) -> Generator[Prediction | Unreadable, None, None]:
    """Classifies image files in their order and in constant memory, each as soon as it is there.

    The next batch is decoded, in parallel, while the model works on this one. A batch is what has
    come so far: the first ones are small, and those of a slow list stay small.

    Args:
        classifier: the model.
        paths: of the files, taken as they are needed, in a thread; what is known to be unreadable
            comes out as it is.
        top_k: how many classes are reported for each.
        batch_size: files per call of the model, at most.
        decoders: what decodes the files, such as `decoders.decoding_processes()`; None: threads.

    Yields:
        One item per path.
    """
    job = functools.partial(
        decode, size=classifier.size, channels=classifier.channels, fit=classifier.fit
    )
    # Batches that are being decoded: one ahead of the one that the model works on.
    pending: collections.deque[tuple[list[str | Unreadable], list[Future]]] = collections.deque()
    limit = min(_FIRST_BATCH, batch_size)
    with (
        contextlib.nullcontext(decoders) if decoders else ThreadPoolExecutor(cores()) as executor,
        Ahead(paths, batch_size) as waiting,
    ):
        while True:
            batch = waiting.take(limit, wait=not pending)
            if batch:
                limit = min(4 * limit, batch_size)
                # A task for each core: a task for each of many small files would cost more.
                share = -(-len(batch) // cores())
                shares = [batch[first : first + share] for first in range(0, len(batch), share)]
                pending.append((batch, [executor.submit(job, part) for part in shares]))
            if not pending:
                return
            if len(pending) == 2 or not batch:
                items, futures = pending.popleft()
                decoded = [image for future in futures for image in future.result()]
                yield from _classify(classifier, items, decoded, top_k)


def _classify(
    classifier: Classifier,
    items: Sequence[str | Unreadable],
    decoded: Sequence[np.ndarray | Unreadable],
    top_k: int,
) -> Iterator[Prediction | Unreadable]:
    """What the model says about one batch, in its order."""
    images = [image for image in decoded if not isinstance(image, Unreadable)]
    found = classifier(np.stack(images)) if images else {}
    row = 0
    for path, image in zip(items, decoded, strict=True):
        if isinstance(image, Unreadable):
            yield image
            continue
        probabilities = found["probabilities"][row]
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        classes = [(classifier.class_names[k], float(probabilities[k])) for k in best]
        yield Prediction(str(path), classes, float(found["p_real"][row]))
        row += 1
