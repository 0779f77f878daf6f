"""How much of the classifier's speed is left when it reads image files.

What it shows: `predict` over 10,000 PNG files (read, decoded, classified, in its own batches)
beside the bare SavedModel on arrays of the same batch size, alternating in one process; and what
decoding alone would allow, so that one sees which of the two holds it back.

    python -m experiments.speed.benchmark_predict --model=runs/NAME/saved_model

Cost: two minutes; nothing else may run meanwhile. Expected: 0.5 to 0.55 on two cores. More than
1 / (1 + bare / decode) there cannot be, since both share the cores: with 17,000 and 21,000
images/s that is 0.56.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from PIL import Image

from experiments.tables import ROOT, replace_block
from ssgan_tf.data.images.decoding import read_image
from ssgan_tf.inference.classifier import Classifier, predict
from ssgan_tf.inference.decoders import decoding_processes
from ssgan_tf.inference.image_paths import Unreadable
from ssgan_tf.system.device import describe_device

PATH = Path(__file__).with_suffix(".json")


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def decode_one(path: str) -> np.ndarray:
    """One file, as `predict` decodes it."""
    return read_image(Path(path), 32)


def table(result: dict) -> str:
    """The rates, what is left, and what could be left at best."""
    bare, decode = result["bare_images_per_second"], result["decode_images_per_second"]
    low, high = result["fractions"][0], result["fractions"][-1]
    return "\n".join(
        [
            "| bare model, arrays/s | decoding alone, files/s | `predict`, files/s "
            "| of the bare model | at best, both sharing the cores | on |",
            "|---|---|---|---|---|---|",
            f"| {bare:,} | {decode:,} | {result['from_files_images_per_second']:,} "
            f"| {result['fraction']:.2f} ({low:.2f} to {high:.2f}) | {1 / (1 + bare / decode):.2f} "
            f"| {result['device']} |",
        ]
    )


def measure(model: Path, files: int, batch_size: int, repetitions: int) -> dict:
    """Alternates the three; the median rates."""
    decoders = decoding_processes()
    from ssgan_tf.data.load import load_named

    classifier = Classifier(model)
    images = load_named("house_numbers").train.images[:files]
    with tempfile.TemporaryDirectory() as directory:
        paths = [f"{directory}/{index:05d}.png" for index in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path)

        def bare() -> None:
            for start in range(0, len(images), batch_size):
                classifier(images[start : start + batch_size])

        def from_files() -> None:
            found = predict(classifier, paths, batch_size=batch_size, decoders=decoders)
            assert not any(isinstance(item, Unreadable) for item in found)

        def decode() -> None:
            for _ in decoders.map(decode_one, paths, chunksize=batch_size // 2):
                pass

        jobs = {"bare": bare, "from_files": from_files, "decode": decode}
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for job in jobs.values():
            job()  # tracing, and the files into the disk cache
        for _ in range(repetitions):
            for name, job in jobs.items():
                times[name].append(seconds(job))
    fractions = [a / b for a, b in zip(times["bare"], times["from_files"], strict=True)]
    return {
        "device": describe_device(),
        "files": len(images),
        "batch_size": batch_size,
        **{
            f"{name}_images_per_second": round(len(images) / statistics.median(values))
            for name, values in times.items()
        },
        "fraction": round(statistics.median(fractions), 3),
        "fractions": [round(float(fraction), 3) for fraction in np.sort(fractions)],
    }


def main() -> None:
    """Measures, keeps the result, writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="an exported model; none: only write the table")
    parser.add_argument("--files", type=int, default=10_000, help="how many PNG files")
    parser.add_argument("--batch_size", type=int, default=256, help="images per call")
    parser.add_argument("--repetitions", type=int, default=5, help="of each measurement")
    arguments = parser.parse_args()
    if arguments.model:
        result = measure(**vars(arguments))
        PATH.write_text(json.dumps(result, indent=1) + "\n")
    text = table(json.loads(PATH.read_text()))
    print(text)
    replace_block(ROOT / "docs" / "performance.md", "predict", text)


if __name__ == "__main__":
    main()
