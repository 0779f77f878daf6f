"""The trained classifier as a SavedModel, which needs TensorFlow alone to be used."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from ssgan_tf.config import FITS
from ssgan_tf.data.images import resize
from ssgan_tf.data.images.resize import scale, unscale
from ssgan_tf.inference import encoded
from ssgan_tf.models.discriminator import Discriminator
from ssgan_tf.models.generator import Generator
from ssgan_tf.system.paths import literal
from ssgan_tf.training import losses

Outputs = dict[str, tf.Tensor]


class ExportedClassifier(tf.Module):
    """The signatures of the SavedModel; preprocessing is inside, moving averages always.

    | signature         | input                                        | outputs        |
    |-------------------|----------------------------------------------|----------------|
    | `serving_default` | `images` uint8 (N, S, S, C)                | see `classify` |
    | `encoded`         | `encoded_images` string (N,): PNG/JPEG bytes | the same       |
    | `generate`        | `z` float32 (N, latent_dim)                  | see `generate` |
    """

    def __init__(
        self,
        discriminator: Discriminator,
        generator: Generator | None,
        class_names: Path,
        temperature: float = 1.0,
        fit: str = "crop",
    ) -> None:
        """
        Args:
            discriminator: the classifier.
            generator: None where the run has none: there will be no `generate`.
            class_names: a file with the names of the K classes, one a line; travels as an asset.
            temperature: the probabilities are softmax(logits / temperature).
            fit: how images that are not square became square in training; see `resize`, whose
                rule is stored too.
        """
        super().__init__()
        self.temperature = tf.Variable(
            tf.constant(temperature), trainable=False, name="temperature"
        )
        self.discriminator, self.generator = discriminator, generator
        self.channels, self.size = discriminator.channels, discriminator.image_size
        self.class_names = tf.saved_model.Asset(str(class_names))
        fit_number, rule = FITS.index(fit), resize.RULES.index(resize.RULE)
        self.fit = tf.Variable(tf.constant(fit_number), trainable=False, name="fit")
        self.rule = tf.Variable(tf.constant(rule), trainable=False, name="rule")
        self._fit = fit

    @tf.function(autograph=False)
    def classify(self, images: tf.Tensor) -> Outputs:
        """Classifies uint8 images (N, S, S, C).

        Returns:
            `class_id` (N,) int64, `probabilities` (N, K) and `logits` (N, K) float32, `p_real` (N,)
            float32: sigmoid(logsumexp(logits)), `features` (N, F) float32. The temperature is
            in `probabilities` alone.
        """
        output = self.discriminator(scale(images), statistics="moving")
        return {
            "class_id": tf.argmax(output.class_logits, axis=-1),
            "probabilities": tf.nn.softmax(output.class_logits / self.temperature),
            "logits": output.class_logits,
            "p_real": tf.sigmoid(losses.gan_logit(output.class_logits)),
            "features": output.features,
        }

    @tf.function(autograph=False)
    def classify_encoded(self, encoded_images: tf.Tensor) -> Outputs:
        """Decodes PNG or JPEG bytes (N,) string, brings them to S x S, classifies.

        They are turned by their EXIF orientation and put on white, as in training; see `encoded`.

        Raises:
            InvalidArgumentError: if any is something else, damaged, or has over 100 million pixels;
                its size is read before its pixels are decoded.
        """

        def decode(image: tf.Tensor) -> tf.Tensor:
            return encoded.decode(image, self.size, self.channels, self._fit)

        shape = (self.size, self.size, self.channels)
        spec = tf.TensorSpec(shape, tf.uint8)
        return self.classify(tf.map_fn(decode, encoded_images, fn_output_signature=spec))

    @tf.function(autograph=False)
    def generate(self, z: tf.Tensor) -> Outputs:
        """Generates uint8 images (N, S, S, C) from z (N, latent_dim) float32."""
        assert self.generator is not None  # else there is no such signature
        return {"images": unscale(self.generator(z, statistics="moving"))}


def clean_up(directory: Path) -> None:
    """Removes what an export to `directory` left behind when its process died."""
    for aside in directory.parent.glob(".export-*"):
        if not directory.exists() and (aside / "old").exists():
            (aside / "old").rename(directory)
        shutil.rmtree(aside)


def save(
    directory: Path,
    discriminator: Discriminator,
    generator: Generator | None,
    class_names: list[str],
    temperature: float = 1.0,
    fit: str = "crop",
) -> None:
    """Writes the SavedModel; see `ExportedClassifier` for what is in it.

    An older one at `directory` stays usable until the new one is whole.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (
        literal(directory.parent) as parent,
        tempfile.TemporaryDirectory(dir=parent, prefix=".export-") as temporary,
    ):
        names = Path(temporary) / "class_names.txt"
        names.write_text("\n".join(class_names) + "\n", encoding="utf-8")
        # The type stubs do not know the methods of a tf.function.
        module: Any = ExportedClassifier(discriminator, generator, names, temperature, fit)
        shape = (None, module.size, module.size, module.channels)
        images = tf.TensorSpec(shape, tf.uint8, "images")
        encoded_images = tf.TensorSpec((None,), tf.string, "encoded_images")
        signatures = {
            "serving_default": module.classify.get_concrete_function(images),
            "encoded": module.classify_encoded.get_concrete_function(encoded_images),
        }
        if generator is not None:
            z = tf.TensorSpec((None, generator.latent_dim), tf.float32, "z")
            signatures["generate"] = module.generate.get_concrete_function(z)
        tf.saved_model.save(module, str(Path(temporary) / "new"), signatures)
        if directory.exists():
            directory.rename(Path(temporary) / "old")
        (Path(temporary) / "new").rename(directory)
