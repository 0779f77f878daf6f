"""`train_and_evaluate`: a run from its configuration to the SavedModel."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ssgan_tf.config import Config, UserError, is_folder
from ssgan_tf.data import label_split
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
    directory = _directory(config)
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


def _directory(config: Config) -> Path:
    """Where the run is written; a folder that has other labels by now gets another directory.

    That is so where no directory is asked for: `runs/NAME-2`, `runs/NAME-3` and so on.
    """
    first = directory = run_dir.directory_of(config)
    number = 1
    while _holds_other_images(directory, config):
        number += 1
        directory = first.with_name(f"{first.name}-{number}")
    if directory != first:
        print(f"note: {first} is of other images or labels of this folder; it stays as it is.")
    return directory


def _holds_other_images(directory: Path, config: Config) -> bool:
    """Whether it has a run with these flags, on the folder as it was before it changed."""
    if config.run_dir or not is_folder(config.dataset) or not (directory / "labels.json").exists():
        return False
    config = config_file.continued(directory, config)
    then = config_file.read_config(directory)
    flags = config_file.changed_flags(then, config)
    return not flags and not finished_run.has_data_of(directory, config)


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
    if number == 0 or (directory / "config.json").exists():  # the chief may just be making it
        run_dir.claim(directory, config)
    if config.labels_from:
        label_split.read(config.labels_from)  # a wrong file is reported before TensorFlow starts
    return config


def _finished(config: Config, directory: Path) -> Results | None:
    """The results of a run that is finished already, and is not to be made longer."""
    if not (directory / "results.json").exists():
        return None
    then = config_file.read_config(directory)
    if config_file.longer(then, config):
        return None
    results = read_results(directory)
    if config_file.moved(then, config):
        finished_run.load_data(directory, config)  # other images are another run
    images = f"{results['train_images']:,} training images of {results['dataset']}"
    print(f"{directory} is finished already, with {images}.")
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
