"""Protects this package from a user's settings of Keras (~/.keras/keras.json, KERAS_BACKEND).

Layers name their own data format and type. This module handles what Keras reads at its import.
"""

import contextlib
import importlib
import json
import os
import stat
import sys
import types
from collections.abc import Iterator

from ssgan_tf.config import UserError


def prepare() -> None:
    """Chooses the backend, and hides settings that Keras would reject. Before its import."""
    if "keras" in sys.modules:
        return
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # tf.keras would be Keras 2, which is not there
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
        if not os.environ.get(name, "0").isdecimal():
            del os.environ[name]
    if not _readable():
        os.environ["KERAS_HOME"] = os.path.join(os.devnull, "keras")  # where there can be no file


def _readable() -> bool:
    """Whether Keras accepts its keras.json, or there is none."""
    home = os.path.expanduser("~")
    home = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = os.path.expanduser(os.path.join(os.environ.get("KERAS_HOME", home), "keras.json"))
    if not os.path.exists(path):
        return True
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path) as file:
            found = json.load(file)
    except ValueError:  # no JSON, which Keras ignores
        return True
    except (OSError, RecursionError):
        return False
    return (
        isinstance(found, dict)
        and found.get("floatx", "float32") in ("float16", "float32", "float64")
        and isinstance(found.get("epsilon", 1e-7), float)
        and found.get("image_data_format", "channels_last") in ("channels_last", "channels_first")
    )


def check_backend() -> None:
    """Checks that Keras, if it was imported before this package, uses TensorFlow.

    Raises:
        UserError: if it does not.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        raise UserError(
            f"Keras runs on {keras.config.backend()} in this process, this package needs "
            "TensorFlow: restart, and import ssgan_tf before keras, or set "
            "KERAS_BACKEND=tensorflow."
        )


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """Makes float32 Keras' default type, for objects that have no argument for it."""
    import keras

    users = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(users)


@contextlib.contextmanager
def imported_light() -> Iterator[None]:
    """Keeps Keras, while it is imported, from loading matplotlib and scikit-learn.

    That takes a second and 50 MB. Keras draws with pyplot, which is loaded when it is first used;
    its wrappers for scikit-learn, which this package never uses, find none in this process.
    """
    if "keras" in sys.modules:
        yield
        return
    names = ("matplotlib", "matplotlib.pyplot")
    matplotlib, pyplot = (types.ModuleType(name) for name in names)
    matplotlib.pyplot = pyplot  # pyright: ignore[reportAttributeAccessIssue]
    pyplot.__getattr__ = lambda name: getattr(importlib.import_module(names[1]), name)
    stand_ins: dict[str, types.ModuleType | None] = {"sklearn": None}
    if not any(name in sys.modules for name in names):
        stand_ins |= {names[0]: matplotlib, names[1]: pyplot}
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Keeps TensorFlow from importing Keras, which takes a quarter of its start-up time."""
    if "keras" in sys.modules:
        yield
        return
    # Its import then fails, which TensorFlow accepts.
    sys.modules["keras"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules["keras"]
