"""How much of the classifier's speed is left when it reads image files.

What it shows: `predict` over 10,000 PNG files (read, decoded, classified, in its own batches)
beside the bare SavedModel on arrays of the same batch size, alternating in one process; and what
decoding alone would allow, so that one sees which of the two holds it back.

    python experiments/benchmark_predict.py --model=runs/NAME/saved_model

Cost: two minutes; nothing else may run meanwhile. Expected: at least 0.6 on two cores.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from common import RESULTS
from PIL import Image

from ssgan_tf import datasets
from ssgan_tf.device import describe_device
from ssgan_tf.images import read_image
from ssgan_tf.predict import Classifier, Unreadable, predict


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Alternates the three and prints the median rates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="an exported model")
    parser.add_argument("--files", type=int, default=10_000, help="how many PNG files")
    parser.add_argument("--batch_size", type=int, default=256, help="images per call")
    parser.add_argument("--repetitions", type=int, default=5, help="of each measurement")
    arguments = parser.parse_args()

    classifier = Classifier(arguments.model)
    images = datasets.load("house_numbers").train.images[: arguments.files]
    with tempfile.TemporaryDirectory() as directory:
        paths = [f"{directory}/{index:05d}.png" for index in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            Image.fromarray(image).save(path)

        def bare() -> None:
            for start in range(0, len(images), arguments.batch_size):
                classifier(images[start : start + arguments.batch_size])

        def from_files() -> None:
            found = predict(classifier, paths, batch_size=arguments.batch_size)
            assert not any(isinstance(item, Unreadable) for item in found)

        def decode() -> None:
            with ThreadPoolExecutor(os.cpu_count()) as executor:
                for _ in executor.map(lambda path: read_image(Path(path), 32), paths):
                    pass

        jobs = {"bare": bare, "from_files": from_files, "decode": decode}
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for job in jobs.values():
            job()  # tracing, and the files into the disk cache
        for _ in range(arguments.repetitions):
            for name, job in jobs.items():
                times[name].append(seconds(job))
    fractions = [a / b for a, b in zip(times["bare"], times["from_files"], strict=True)]
    result = {
        "device": describe_device(),
        "files": len(images),
        "batch_size": arguments.batch_size,
        **{
            f"{name}_images_per_second": round(len(images) / statistics.median(values))
            for name, values in times.items()
        },
        "fraction": round(statistics.median(fractions), 3),
        "fractions": [round(float(fraction), 3) for fraction in np.sort(fractions)],
    }
    print(json.dumps(result, indent=1))
    (RESULTS / "benchmark_predict.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
