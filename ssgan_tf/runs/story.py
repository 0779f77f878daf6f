"""`train_and_evaluate`: a run from its configuration to the SavedModel."""

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ssgan_tf.config import FOLDER, Config, UserError, expand_user, is_folder, written
from ssgan_tf.data import labels_json
from ssgan_tf.data.folder.names import why_no_folder
from ssgan_tf.data.folder.walk import changed_since
from ssgan_tf.presets import FOLDER_PRESET, FORMER_FOLDER_PRESETS
from ssgan_tf.runs import config_file, finished_run, preparation, run_dir
from ssgan_tf.runs.interruption import Interrupted, Interruption
from ssgan_tf.runs.results import Results, read_results
from ssgan_tf.system.device import worker

# What needs TensorFlow is imported inside the functions: wrong flags are answered without it.


def train_and_evaluate(config: Config) -> Results:
    """Runs what `config` says, or goes on where the run stopped.

    Args:
        config: all that defines the run, and where it is written.

    Returns:
        What `results.json` holds: final accuracies (fractions), step, wall time, hardware.

    Raises:
        UserError: if the data is not available or the directory holds a different run; then nothing
            has been written. Also if a loss is no longer a number, or the disk is full.
        Interrupted: after Ctrl-C or SIGTERM, when the checkpoint is written.
    """
    start = time.monotonic()
    config = placed(config)
    directory = run_dir.directory_of(config)
    _mention_former(config, directory)
    config = _admitted(config, directory)
    if results := _finished(config, directory):
        return results
    with _workplace(directory) as workplace:
        run = preparation.prepare(config, directory, workplace, start)
        from ssgan_tf.runs import closing, rounds  # TensorFlow is there now

        with run_dir.errors_explained(workplace), Interruption() as interruption:
            while run.done < run.total_steps:
                rounds.train(run, interruption)
                rounds.evaluate(run)
                if interruption.signum:
                    raise Interrupted(interruption.signum, run.done)
            run.writer.close()
        return closing.finish(run)


def placed(config: Config) -> Config:
    """The configuration, with a new directory where the usual one has a run of other labels.

    A folder whose images or labels have changed since a run, finished or not, is trained on in
    `runs/NAME-2`, `runs/NAME-3` and so on. A directory that is asked for stays.

    Raises:
        UserError: if the folder cannot be loaded.
    """
    _check_folder(config)
    if config.run_dir or not is_folder(config.dataset) or worker()[1] > 1:
        return config
    first = directory = run_dir.directory_of(config)
    number = 1
    while _has_other_labels(directory, config):
        number += 1
        directory = first.with_name(f"{first.name}-{number}")
    if directory == first:
        return config
    has_run = os.path.exists(directory / "config.json")
    there = "the run on the folder as it is now is" if has_run else "the new run is"
    ended = os.path.exists(first / "results.json")
    stopped = "" if ended else " (not finished; to go on with it, take these changes back)"
    print(
        f"note: images or labels of this folder have changed since {first}{stopped}, which stays "
        f"as it is; {there} {directory}."
    )
    return dataclasses.replace(config, run_dir=str(directory))


def _check_folder(config: Config) -> None:
    """Raises `UserError` where the folder is not there, at once; a finished run needs none."""
    path = expand_user(config.dataset.removeprefix(FOLDER))
    if not is_folder(config.dataset) or os.path.isdir(path):
        return
    directory = run_dir.directory_of(config)
    done = os.path.exists(directory / "results.json")  # Path.exists() fails if a name is too long
    if done and config_file.read_config(directory).dataset == config.dataset:
        return
    raise UserError(f"--dataset={config.dataset}: {why_no_folder(path)}.")


def _mention_former(config: Config, directory: Path) -> None:
    """Says what a run of a former preset keeps, or that an unfinished one is in its directory."""
    if worker()[0] or not is_folder(config.dataset) or config.preset != FOLDER_PRESET:
        return
    if os.path.exists(directory / "config.json"):
        former = config_file.former_recipe(config_file.read_config(directory), config)
        if former.keys() - {"preset"}:
            words = " ".join(f"--{name}={written(value)}" for name, value in former.items())
            print(
                f"note: {directory} has {words}, which stay; for --preset={config.preset} give "
                "another --run_dir."
            )
    if config.run_dir or os.path.exists(directory):
        return
    for preset in FORMER_FOLDER_PRESETS:
        former = run_dir.directory_of(dataclasses.replace(config, preset=preset))
        if os.path.exists(former / "config.json") and not os.path.exists(former / "results.json"):
            print(f"note: {former} is not finished; --run_dir={former} goes on with it.")


def _has_other_labels(directory: Path, config: Config) -> bool:
    """Whether it has a run on the same folder, which has changed since."""
    if not all(os.path.exists(directory / name) for name in ("labels.json", "config.json")):
        return False
    then = config_file.read_config(directory)
    if config_file.moved(then, config):
        return False  # this is reported
    then = dataclasses.replace(then, cache_dir=config.cache_dir)
    root = expand_user(config.dataset.removeprefix(FOLDER))
    since = (directory / "labels.json").stat().st_mtime
    return changed_since(root, since) and not finished_run.has_data_of(directory, then)


def _admitted(config: Config, directory: Path) -> Config:
    """The configuration that goes on in this directory.

    Raises:
        UserError: if the directory is not for this run, or the machines are not as they should be.
    """
    number, machines = worker()
    if machines > 1 and config.strategy != "multi_worker":
        raise UserError(
            f"--strategy={config.strategy}: TF_CONFIG names {machines} machines; give "
            "--strategy=multi_worker, or unset TF_CONFIG."
        )
    config = config_file.continued(directory, config)
    if number == 0 or os.path.exists(directory / "config.json"):  # the chief may just be making it
        run_dir.claim(directory, config)
    if config.labels_from:
        labels_json.read_given(config.labels_from)  # reported before TensorFlow starts
    return config


def _finished(config: Config, directory: Path) -> Results | None:
    """The results of a run that is finished already, and is not to be made longer."""
    if not os.path.exists(directory / "results.json"):
        return None
    then = config_file.read_config(directory)
    if config_file.longer(then, config):
        return None
    results = read_results(directory)
    if config_file.moved(then, config):
        finished_run.load_data(directory, config)  # other images are another run
    images = f"{results['train_images']:,} training images of {results['dataset']}"
    print(f"{directory} is finished already, with {images}.")
    if config.run_dir and is_folder(config.dataset) and worker()[1] == 1:
        with contextlib.suppress(UserError, OSError):  # the run is finished all the same
            if _has_other_labels(directory, config):
                print(
                    "note: images or labels of the folder have changed since; to train on them, "
                    "give another --run_dir."
                )
    return results


@contextlib.contextmanager
def _workplace(directory: Path) -> Iterator[Path]:
    """Where this process writes: the run directory, locked.

    Of several machines only the chief writes there. Each of the rest has a temporary directory.
    """
    if worker()[0] > 0:
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere)
    else:
        with run_dir.locked(directory):
            yield directory
