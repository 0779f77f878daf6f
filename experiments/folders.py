"""Makes the folders of images that some runs train on: PNG files from another data set.

    TFDS_DATA_DIR=... python -m experiments.folders photos-300     # into experiments/runs/folders

Cost: up to a minute a folder. `experiments/run.py` calls it for a run whose folder is not there.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from experiments.runs import FOLDERS, SOURCES, Folder

ROOT = Path(__file__).resolve().parent / "runs" / "folders"


def source_of(name: str) -> Path:
    """The folder of one of `SOURCES`; it is cloned if it is not there."""
    repository, folder = SOURCES[name]
    path = ROOT.parent / "sources" / name
    if not path.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", repository, str(path)], check=True)
    return _as_files(path / folder)


def _as_files(folder: Path) -> Path:
    """`folder`, or a new one in it: with images of NumPy files as PNG files in class folders."""
    import numpy as np
    from PIL import Image

    arrays = folder / "kmnist-test-imgs.npz"
    if not arrays.exists():
        return folder
    labels = np.load(folder / "kmnist-test-labels.npz")["arr_0"]
    for index, (image, label) in enumerate(zip(np.load(arrays)["arr_0"], labels, strict=True)):
        file = folder / "png" / str(label) / f"{index:05d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder / "png"


def make(path: Path, folder: Folder) -> None:
    """Writes the PNG files of one folder; the classes have equally many labels."""
    import numpy as np
    from PIL import Image

    from ssgan_tf.config import FOLDER, Config
    from ssgan_tf.data.dataset import Split
    from ssgan_tf.data.load import load_dataset
    from ssgan_tf.data.sampling import balanced

    source = folder.source
    if source in SOURCES:
        source = f"{FOLDER}{source_of(source)}"
    found = load_dataset(Config(dataset=source, channels=folder.channels))
    names = list(folder.classes) or found.class_names
    places = np.array([names.index(n) if n in names else -1 for n in found.class_names])
    labels, test_labels = places[found.train.labels], places[found.test.labels]
    train = np.flatnonzero(labels >= 0)
    labeled, _ = balanced(labels, train, folder.labeled, names, seed=0)
    rest = np.random.default_rng(0).permutation(np.setdiff1d(train, labeled))

    def write(part: Split, indices: np.ndarray, parent: str, by_class: bool) -> None:
        for index in indices:
            name = found.class_names[part.labels[index]] if by_class else ""
            file = path / parent / name / f"{str(part.ids[index]).replace('/', '_')}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = part.images[index]
            Image.fromarray(image[..., 0] if folder.channels == 1 else image).save(file)

    write(found.train, labeled, "train", by_class=True)
    write(found.train, rest[: folder.unlabeled], "unlabeled", by_class=False)
    write(found.test, np.flatnonzero(test_labels >= 0)[: folder.test], "test", by_class=True)


def main() -> None:
    """Makes one folder, unless it is there; one that is there is whole, also for two at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=tuple(FOLDERS))
    name = parser.parse_args().name
    path = ROOT / name
    ROOT.mkdir(parents=True, exist_ok=True)
    with FileLock(ROOT / ".lock"):  # one for all: two folders may be made of one source
        if not path.exists():
            partial = path.with_name(f"{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a program that was killed
            make(partial, FOLDERS[name])
            partial.rename(path)


if __name__ == "__main__":
    main()
