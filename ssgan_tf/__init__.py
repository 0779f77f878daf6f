"""Semi-supervised image classification with a GAN: few labels, many images.

    from ssgan_tf import Config, load_classifier, train_and_evaluate

TensorFlow is imported when one of them needs it, not before.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from ssgan_tf.system import keras_settings, streams

if TYPE_CHECKING:
    from ssgan_tf.config import Config
    from ssgan_tf.inference.classifier import load_classifier
    from ssgan_tf.runs.story import train_and_evaluate

__all__ = ["Config", "load_classifier", "train_and_evaluate"]
__version__ = "0.1.0"

# TensorFlow reads this when it is imported. Its oneDNN kernels are on by default on some processors
# only; on all others a train step takes twice the time without them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
keras_settings.prepare()
streams.fill_closed()

_MODULES = {
    "Config": "ssgan_tf.config",
    "load_classifier": "ssgan_tf.inference.classifier",
    "train_and_evaluate": "ssgan_tf.runs.story",
}


def __getattr__(name: str) -> Any:
    """Imports what is in `__all__` when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """What tab completion shows."""
    return sorted({*globals(), *__all__})
