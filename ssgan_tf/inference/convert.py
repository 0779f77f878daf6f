"""A SavedModel's classifier in other formats, each with a way to run it, for comparison."""

import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from ssgan_tf.config import UserError
from ssgan_tf.data.images.resize import unscale
from ssgan_tf.models.generator import Generator
from ssgan_tf.system.paths import literal

Outputs = dict[str, np.ndarray]
TOLERANCE = 1e-4  # of the logits, relative to the largest one
CHECKED = 64  # images on which a converted model must agree


def to_tflite(directory: Path) -> bytes:
    """SavedModel -> TFLite: `images` uint8 (N, S, S, C) -> the outputs of `serving_default`."""
    model = tf.saved_model.load(str(directory))
    signature = model.signatures["serving_default"]
    return tf.lite.TFLiteConverter.from_concrete_functions([signature], model).convert()


def run_tflite(model: bytes, images: np.ndarray) -> Outputs:
    """Classifies uint8 images (N, S, S, C)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its successor is a package of its own
        interpreter = tf.lite.Interpreter(model_content=model)
    return interpreter.get_signature_runner("serving_default")(images=images)


def to_onnx(directory: Path) -> bytes:
    """SavedModel -> ONNX, with the same input and outputs.

    Raises:
        UserError: if the packages for it are not installed.
    """
    for package in ("tf2onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"--format=onnx: needs the package {package}; in a clone of this project: "
                "pip install -e '.[onnx]'."
            )
    os.environ.setdefault("TF2ONNX_LOG_LEVEL", "ERROR")
    import tf2onnx  # pyright: ignore[reportMissingImports] - only there for this format

    model = tf.saved_model.load(str(directory))
    signature = model.signatures["serving_default"]
    spec = signature.structured_input_signature[1]["images"]

    input_signature = [tf.TensorSpec(spec.shape, spec.dtype, "images")]

    @tf.function(input_signature=input_signature)
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return signature(images=images)

    converted, _ = tf2onnx.convert.from_function(
        classify, input_signature=input_signature, opset=17
    )
    return converted.SerializeToString()


def run_onnx(model: bytes, images: np.ndarray) -> Outputs:
    """Classifies uint8 images (N, S, S, C)."""
    import onnxruntime  # pyright: ignore[reportMissingImports] - only there for this format

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


FORMATS: dict[str, tuple[Callable, Callable]] = {
    "tflite": (to_tflite, run_tflite),
    "onnx": (to_onnx, run_onnx),
}


def images_to_check(size: int, channels: int, generator: Generator | None = None) -> np.ndarray:
    """(64, S, S, channels) uint8 that need no data: generated ones, else coarse patterns.

    Args:
        size: S.
        channels: of the images.
        generator: of a run that has one.
    """
    rng = np.random.default_rng(0)
    if generator is not None:
        z = rng.normal(size=(CHECKED, generator.latent_dim)).astype(np.float32)
        return unscale(generator(z, statistics="moving")).numpy()
    patterns = rng.integers(0, 256, (CHECKED, 8, 8, channels), np.uint8)
    return patterns.repeat(size // 8, axis=1).repeat(size // 8, axis=2)


def convert(directory: Path, form: str, output: Path, images: np.ndarray) -> float:
    """Writes `model.tflite` or `model.onnx`, and `class_names.txt`, into a new directory.

    Args:
        directory: of the SavedModel.
        form: "tflite" or "onnx".
        output: the new directory.
        images: uint8 (N, S, S, C), on which both must agree.

    Returns:
        The largest difference of a logit, relative to the largest logit.

    Raises:
        UserError: if a package is missing, or the outputs are not the same; then nothing is
            written.
    """
    make, run = FORMATS[form]
    with literal(directory) as place:
        model = make(place)
        original = tf.saved_model.load(str(place))
        names = Path(original.class_names.asset_path.numpy().decode()).read_text(encoding="utf-8")
    expected = original.signatures["serving_default"](images=tf.constant(images))
    found = run(model, images)
    logits = expected["logits"].numpy()
    difference = float(np.abs(found["logits"] - logits).max() / np.abs(logits).max())
    same = np.array_equal(found["class_id"], expected["class_id"].numpy())
    if not same or not difference < TOLERANCE:
        raise UserError(
            f"--format={form}: the converted model does not give what the SavedModel gives (logits "
            f"differ by {difference:.1e} of the largest one); nothing was written."
        )
    output.mkdir()
    (output / f"model.{form}").write_bytes(model)
    (output / "class_names.txt").write_text(names, encoding="utf-8")
    return difference
