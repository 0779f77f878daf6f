import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from conftest import NAMES, make_dataset, shared
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from ssgan_tf.config import UserError
from ssgan_tf.data.images import metadata, resize
from ssgan_tf.data.images.decoding import read_image
from ssgan_tf.data.images.resize import scale
from ssgan_tf.inference import encoded
from ssgan_tf.inference.classifier import Classifier
from ssgan_tf.inference.saved_model import save


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_arrays_and_png_bytes_give_what_the_model_gives_in_process(exported: tuple) -> None:
    path, discriminator, _ = exported
    images = make_dataset(test=6).test.images
    output = discriminator(scale(images), statistics="moving")
    signatures = tf.saved_model.load(str(path)).signatures
    encoded = tf.constant([png(image) for image in images])
    for found in (
        signatures["serving_default"](images=tf.constant(images)),
        signatures["encoded"](encoded_images=encoded),
    ):
        logits = output.class_logits.numpy()
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["features"], output.features, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found["class_id"], logits.argmax(axis=1))
        assert found["class_id"].dtype == tf.int64
        exponentials = np.exp(logits)
        sums = exponentials.sum(axis=1)
        np.testing.assert_allclose(found["probabilities"], exponentials / sums[:, None], atol=1e-5)
        np.testing.assert_allclose(found["p_real"], sums / (sums + 1), atol=1e-5)


def test_encoded_images_of_other_sizes_and_colors_are_taken(exported: tuple) -> None:
    signatures = tf.saved_model.load(str(exported[0])).signatures
    rng = np.random.default_rng(0)
    grey, large = (
        rng.integers(0, 256, (20, 50), np.uint8),
        rng.integers(0, 256, (64, 64, 3), np.uint8),
    )
    jpeg = io.BytesIO()
    Image.fromarray(large).save(jpeg, "JPEG")
    found = signatures["encoded"](encoded_images=tf.constant([png(grey), jpeg.getvalue()]))
    assert found["probabilities"].shape == (2, 3)


def test_encoded_images_are_measured_before_they_are_decoded(exported: tuple) -> None:
    encoded = tf.saved_model.load(str(exported[0])).signatures["encoded"]
    small = bytearray(png(np.zeros((8, 8, 3), np.uint8)))
    small[16:24] = (20_000).to_bytes(4, "big") + (20_000).to_bytes(4, "big")  # width, height
    jpeg = io.BytesIO()
    Image.new("L", (11_000, 11_000)).save(jpeg, "JPEG")
    for too_large in (bytes(small), jpeg.getvalue()):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
            encoded(encoded_images=tf.constant([too_large]))
    # What decodes waits for it: the branches that do get their bytes from behind that check.
    functions = {f.signature.name: f for f in encoded.graph.as_graph_def().library.function}
    decoding = {
        name
        for name, function in functions.items()
        if any(node.op in ("DecodePng", "DecodeJpeg") for node in function.node_def)
    }
    assert len(decoding) == 2 + 4  # a PNG of 8 or 16 bits, a JPEG at four sizes
    waiting = set()
    for function in functions.values():
        nodes = {node.name: node for node in function.node_def}
        for node in nodes.values():
            called = {a.func.name for a in node.attr.values() if a.HasField("func")}
            called |= {f.name for a in node.attr.values() for f in a.list.func}
            if called & decoding:
                before = [nodes[i.split(":")[0]] for i in node.input if i.split(":")[0] in nodes]
                while before:
                    source = before.pop()
                    if any("^" in name and "assert_less_equal" in name for name in source.input):
                        waiting |= called & decoding
                    names = [i.split(":")[0] for i in source.input if source.op == "Identity"]
                    before += [nodes[name] for name in names if name in nodes]
    assert waiting == decoding


def test_encoded_bytes_that_are_no_image_are_an_error_of_the_caller(exported: tuple) -> None:
    encoded = tf.saved_model.load(str(exported[0])).signatures["encoded"]
    gif = io.BytesIO()
    Image.new("L", (8, 8)).save(gif, "GIF")
    whole = png(np.zeros((8, 8, 3), np.uint8))
    chunk = (8).to_bytes(4, "big") + b"abCd" + (1).to_bytes(4, "big") * 2  # says 1 x 1 before IHDR
    forged = whole[:8] + chunk + zlib.crc32(chunk[4:]).to_bytes(4, "big") + whole[8:]
    cut = (b"", b"\x89PNG", whole[:20], whole[:-30])
    for other in (*cut, forged, b"no image", gif.getvalue()):
        with pytest.raises(tf.errors.InvalidArgumentError):
            encoded(encoded_images=tf.constant([other]))


def test_encoded_images_are_turned_and_put_on_white_as_files_are(exported: tuple) -> None:
    signatures = tf.saved_model.load(str(exported[0])).signatures
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (32, 32, 4), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for image, kind, options in (
        (photo, "PNG", {}),
        (photo.convert("LA"), "PNG", {"exif": exif}),
        (photo.convert("RGB"), "PNG", {"exif": exif}),
        (photo.convert("RGB"), "JPEG", {"exif": exif, "progressive": True}),
        (photo.convert("CMYK"), "JPEG", {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    pixels = np.stack([read_image(io.BytesIO(content), 32) for content in files])
    np.testing.assert_array_equal(pixels[2], np.rot90(np.asarray(photo.convert("RGB")), -1))
    expected = signatures["serving_default"](images=tf.constant(pixels))["logits"]
    found = signatures["encoded"](encoded_images=tf.constant(files))["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(0x0110, 2, 1, 0), (0x0112, 3, 1, 6)], 6),
        ([(0x0112, 4, 1, 8)], 8),
        ([(0x0112, 3, 1, 9)], 1),
        ([(0x0112, 5, 1, 6)], 1),
        ([(0x0110, 3, 1, 6)], 1),
        ([], 1),
    ],
)
def test_the_graph_reads_exif_data_as_files_are_read(
    entries: list[tuple], expected: int, order: str
) -> None:
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    packed = [
        struct.pack(order + "HHI", *entry[:3])
        + struct.pack(order + ("HH" if entry[1] == 3 else "I"), *entry[3:], *[0] * (entry[1] == 3))
        for entry in entries
    ]
    exif = b"Exif\0\0" + start + b"".join(packed) + bytes(4)
    assert metadata.exif_orientation(exif) == expected
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "JPEG")
    jpeg, padding = content.getvalue(), b"\xff\xe2\0\x08whatev\xff"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    for whole in (jpeg[:2] + segment + jpeg[2:], jpeg[:2] + padding + segment + jpeg[2:]):
        found = encoded._jpeg_segments(tf.constant(whole))
        assert (int(found[0]), bool(found[2])) == (expected, True)
    for end in range(len(exif)):  # cut short anywhere
        found = int(encoded._exif_orientation(encoded._bytes(tf.constant(exif[6:end]))))
        assert found == metadata.exif_orientation(exif[:end]) if end > 6 else found == 1


def test_what_tensorflow_would_get_wrong_is_refused(exported: tuple) -> None:
    signature = tf.saved_model.load(str(exported[0])).signatures["encoded"]
    content = io.BytesIO()
    Image.new("CMYK", (8, 8), (200, 10, 10, 0)).save(content, "JPEG")
    whole = content.getvalue()
    place = whole.index(b"\xff\xee")
    without = whole[:place] + whole[place + 2 + int.from_bytes(whole[place + 2 : place + 4]) :]
    with pytest.raises(tf.errors.InvalidArgumentError, match="CMYK image lacks"):
        signature(encoded_images=tf.constant([without]))
    Image.new("L", (8, 8)).save(content := io.BytesIO(), "JPEG")
    junk = content.getvalue()[:20] + b"junk" + content.getvalue()[20:]
    assert read_image(io.BytesIO(junk), 8).shape == (8, 8, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"segments .* are damaged"):
        signature(encoded_images=tf.constant([junk]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="neither a PNG nor a JPEG"):
        signature(encoded_images=tf.constant([b"RIFF"]))


def test_the_rule_for_sizes_is_stored_and_an_unknown_one_is_refused(
    exported: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tf.saved_model.load(str(exported[0]))
    assert resize.RULES[int(model.rule)] == "resize-1"
    Classifier(exported[0])
    # An older model has none, one of a later version a larger one.
    loaded = [
        SimpleNamespace(signatures=model.signatures, fit=model.fit, class_names=model.class_names)
    ]
    monkeypatch.setattr(tf.saved_model, "load", lambda path: loaded[0])
    assert Classifier(exported[0]).fit == "crop"
    loaded[0].rule = len(resize.RULES)
    with pytest.raises(UserError, match=r": .*does not know; use a newer"):
        Classifier(exported[0])


def test_generate_gives_uint8_images_by_moving_averages(exported: tuple) -> None:
    path, _, generator = exported
    z = tf.random.stateless_normal((4, 5), (0, 0))
    images = tf.saved_model.load(str(path)).signatures["generate"](z=z)["images"].numpy()
    expected = (generator(z, statistics="moving").numpy() + 1) * 127.5
    assert images.dtype == np.uint8
    assert np.abs(images - expected).max() <= 0.51


@pytest.fixture(scope="module")
def hot(exported: tuple, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the same classifier without a generator, at a temperature of 2."""
    return shared(
        tmp_path_factory,
        "hot",
        lambda place: save(place / "saved_model", exported[1], None, NAMES, temperature=2.0),
    )


def test_a_temperature_is_in_the_probabilities_alone(exported: tuple, hot: Path) -> None:
    images = tf.constant(make_dataset(test=3).test.images)
    cold, hot = (
        tf.saved_model.load(str(path)).signatures["serving_default"](images=images)
        for path in (exported[0], hot / "saved_model")
    )
    for name in ("class_id", "logits", "p_real", "features"):
        np.testing.assert_allclose(hot[name], cold[name], rtol=1e-5, atol=1e-6)
    exponentials = np.exp(cold["logits"].numpy() / 2)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(hot["probabilities"], expected, atol=1e-6)
    assert np.abs(hot["probabilities"] - cold["probabilities"]).max() > 1e-3


def test_class_names_travel_with_the_model(exported: tuple) -> None:
    assert (exported[0] / "assets" / "class_names.txt").read_text().split() == NAMES


def test_servers_see_the_signatures_names_dtypes_and_shapes(exported: tuple) -> None:
    content = (exported[0] / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs

    def described(tensors: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, tuple]:
        return {
            name: (tf.as_dtype(info.dtype), tuple(dim.size for dim in info.tensor_shape.dim))
            for name, info in tensors.items()
        }

    predictions = {
        "class_id": (tf.int64, (-1,)),
        "probabilities": (tf.float32, (-1, 3)),
        "logits": (tf.float32, (-1, 3)),
        "p_real": (tf.float32, (-1,)),
        "features": (tf.float32, (-1, 16)),
    }
    for signature, inputs, outputs in (
        ("serving_default", {"images": (tf.uint8, (-1, 32, 32, 3))}, predictions),
        ("encoded", {"encoded_images": (tf.string, (-1,))}, predictions),
        ("generate", {"z": (tf.float32, (-1, 5))}, {"images": (tf.uint8, (-1, 32, 32, 3))}),
    ):
        found = graph.signature_def[signature]
        assert described(found.inputs) == inputs
        assert described(found.outputs) == outputs


def test_the_control_has_no_generate_signature(hot: Path) -> None:
    signatures = tf.saved_model.load(str(hot / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "encoded"}


def test_a_fresh_process_needs_tensorflow_alone(exported: tuple, tmp_path: Path) -> None:
    path, discriminator, _ = exported
    images = make_dataset(test=3).test.images
    for index, image in enumerate(images):
        (tmp_path / f"{index}.png").write_bytes(png(image))
    script = (
        "import json, sys\n"
        "import tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "files = [tf.io.read_file(f'{sys.argv[2]}/{index}.png') for index in range(3)]\n"
        "found = model.signatures['encoded'](encoded_images=tf.stack(files))\n"
        "assert not any(name.startswith('ssgan') for name in sys.modules)\n"
        "print(json.dumps(found['logits'].numpy().tolist()))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, path, tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = discriminator(scale(images), statistics="moving").class_logits
    np.testing.assert_allclose(json.loads(process.stdout), expected, rtol=1e-5, atol=1e-5)
