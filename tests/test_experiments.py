"""What the experiments declare, run, keep and tabulate."""

import csv
import dataclasses
import gzip
import io
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import folders, records, run, runs, suggested, tables
from experiments.realness import patchwork
from experiments.runs import DATA, FOLDERS, RUNS, Run
from experiments.stress import kill_test, soak
from ssgan_tf.config import Config
from ssgan_tf.flags import parse_config
from ssgan_tf.presets import ARTICLE_CONTROL, PRESETS
from ssgan_tf.runs import config_file

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
TUNED, CONTROL = RUNS["svhn-250-tuned"], RUNS["svhn-250-tuned-control"]


def result_row(declared: Run, seed: int, accuracy: float, **more: object) -> records.Row:
    row = {
        "name": declared.name,
        "seed": seed,
        "command": f"{declared.command} --seed={seed}",
        "recipe": declared.recipe,
        "steps": declared.steps(),
        "seconds": 600 + 60 * seed,
        "test_accuracy": accuracy,
    }
    row = dict.fromkeys(records.COLUMNS, "") | row | more
    return {name: str(value) for name, value in row.items()}


def rows_of(declared: Run, *accuracies: float, **more: object) -> list[records.Row]:
    return [result_row(declared, seed, value, **more) for seed, value in enumerate(accuracies)]


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


# Declarations


def test_the_flags_of_every_run_are_valid_and_each_is_declared_once() -> None:
    for declared in RUNS.values():
        config = declared.config(seed=2)  # a UserError fails this test
        assert config.seed == 2 and declared.seeds >= 1
        assert declared.steps() > 0
    assert len(RUNS) == len(runs._ALL)
    commands = [(declared.data, declared.recipe) for declared in RUNS.values()]
    assert len(set(commands)) == len(commands)


def test_every_control_is_declared_and_is_trained_on_the_same_labels() -> None:
    for declared in RUNS.values():
        if declared.control:
            control = RUNS[declared.control]
            assert (control.data, control.labels) == (declared.data, declared.labels)
            alone = declared.config().method == "supervised"
            assert alone or control.seeds >= declared.seeds, declared.name
    for name in tables.HEADLINE:
        assert RUNS[RUNS[name].control].config().method == "supervised"


def test_the_control_of_article_has_the_flags_that_a_run_proposes() -> None:
    flags = RUNS["svhn-1000-article-control"].flags.split()
    assert {f"--{name}={value}" for name, value in ARTICLE_CONTROL.items()} < set(flags)


def test_a_recipe_follows_the_flags_and_the_preset_and_not_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = result_row(TUNED, 0, 0.9)
    assert records.finished(TUNED, 0, [row])
    assert not records.finished(TUNED, 1, [row])
    elsewhere = "--data_dir=/elsewhere --keep_checkpoints=1 --precision=bfloat16"
    assert dataclasses.replace(TUNED, flags=f"{TUNED.flags} {elsewhere}").recipe == TUNED.recipe
    monkeypatch.setitem(PRESETS, "tuned", PRESETS["tuned"] | {"consistency_weight": 1.0})
    assert not records.finished(TUNED, 0, [row])


@pytest.mark.parametrize("name", ["label_smoothing", "beta_1", "latent_dim"])
def test_a_default_that_is_changed_makes_another_recipe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = TUNED.recipe
    field = Config.__dataclass_fields__[name]
    monkeypatch.setattr(field, "default", type(field.default)(field.default / 2))
    assert TUNED.recipe != before


def test_a_flag_that_is_younger_than_a_result_counts_where_it_is_on() -> None:
    assert {name: getattr(Config(), name) for name in runs.OFF} == runs.OFF
    for flag in (
        "--augment_cutout=0.25",
        "--augment_fakes",
        "--distribution_alignment",
        "--consistency_share_power=2",
    ):
        other = dataclasses.replace(TUNED, flags=f"{TUNED.flags} {flag}")
        assert other.recipe != TUNED.recipe
        off = dataclasses.replace(other, flags=f"{TUNED.flags} {flag.split('=')[0]}=0")
        assert off.recipe == TUNED.recipe


def test_the_start_of_batch_norm_counts_where_it_can_change_the_result() -> None:
    def changes(declared: Run) -> bool:
        other = dataclasses.replace(declared, flags=f"{declared.flags} --bn_start=tf1")
        return other.recipe != declared.recipe

    assert changes(TUNED)  # the averaged weights teach
    assert changes(RUNS["controls-250-tuned-1000-steps"])  # too short to forget it
    assert not changes(CONTROL) and not changes(RUNS["svhn-1000-article"])


# Records


def test_results_and_curves_come_back_as_they_were_and_give_the_same_bytes(tmp_path: Path) -> None:
    curve = [{"step": "80", "test_accuracy": "0.5"}, {"step": "160", "test_accuracy": "0.7"}]
    for row in (*rows_of(TUNED, 0.7, 0.8), *rows_of(CONTROL, 0.5)):
        records.record(row, curve, tmp_path)
    found = records.read_results(tmp_path)
    assert [(row["name"], row["seed"]) for row in found] == [
        ("svhn-250-tuned", "0"),
        ("svhn-250-tuned", "1"),
        ("svhn-250-tuned-control", "0"),
    ]
    assert found[0] == rows_of(TUNED, 0.7)[0]
    assert len(records.read_curves(tmp_path)) == 6
    before = [(tmp_path / name).read_bytes() for name in ("results.csv", "curves.csv.gz")]
    records.record(rows_of(TUNED, 0.7)[0], curve, tmp_path)  # the same again, in place of it
    after = [(tmp_path / name).read_bytes() for name in ("results.csv", "curves.csv.gz")]
    assert before == after


def record_many(folder: Path, name: str) -> None:
    for seed in range(20):
        row = result_row(RUNS[name], seed, 0.5)
        records.record(row, [{"step": "1", "test_accuracy": "0.5"}], folder)


def test_two_processes_record_at_a_time_and_nothing_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=record_many, args=(tmp_path, declared.name))
        for declared in (TUNED, CONTROL)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(records.read_results(tmp_path)) == len(records.read_curves(tmp_path)) == 40


def test_what_is_kept_is_of_declared_runs_as_they_are_declared_now() -> None:
    results = records.read_results()
    keys = [(row["name"], int(row["seed"])) for row in results]
    assert keys == sorted(set(keys))
    for row in results:
        declared = RUNS[row["name"]]
        assert row["recipe"] == declared.recipe, row["name"]
        assert row["command"] == f"{declared.command} --seed={row['seed']}"
        assert int(row["seed"]) < declared.seeds and int(row["steps"]) == declared.steps()
        assert float(row["test_low"]) <= float(row["test_accuracy"]) <= float(row["test_high"])
    assert {(row["name"], int(row["seed"])) for row in records.read_curves()} <= set(keys)


# Running


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """Runs of the rendered data set, in the place of all declared ones."""
    made = {
        name: Run(name, "house_numbers", labels, "--steps=40", "a run", seeds, "")
        for name, labels, seeds in (("good", "20", 2), ("other", "30", 1), ("bad", "3", 1))
    }
    monkeypatch.setattr(run, "RUNS", made)
    monkeypatch.setattr(tables, "RUNS", made)
    return made


RESULTS = {
    "test_accuracy": 0.5,
    "test_accuracy_interval": [0.4, 0.6],
    "test_images": 2000,
    "train_images": 10_000,
    "train_labeled_accuracy": 1.0,
    "dataset": "house_numbers/1.0.0",
    "labeled": 20,
    "steps": 40,
    "wall_seconds": 80.0,
    "device": "CPU: toy, 2 cores",
    "precision": "float32",
    "versions": {"ssgan_tf": "0.1.0", "git_commit": "abc"},
}
TRAINING = """
import json, pathlib, sys
if not sys.argv[-1].startswith("--run_dir="):
    sys.exit()  # it makes a folder
directory = pathlib.Path(sys.argv[-1].removeprefix("--run_dir="))
if "--labeled=3" in sys.argv:
    sys.exit("a line\\nerror: --labeled=3: too few.")
directory.mkdir(exist_ok=True)
times = directory / "times"
times.write_text(times.read_text() + "x" if times.exists() else "x")
(directory / "results.json").write_text(json.dumps(RESULTS))
(directory / "metrics.csv").write_text("step,test_accuracy,wall_seconds\\n40,0.5,80.0\\n")
"""


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Instead of a process that trains, one that leaves a result; the commands that were given."""
    original, commands = subprocess.Popen, []

    def start(command: list[str], **options: object) -> subprocess.Popen:
        commands.append(command[2:])
        program = TRAINING.replace("RESULTS", repr(RESULTS))
        return original([sys.executable, "-c", program, *command[3:]], **options)

    monkeypatch.setattr(run.subprocess, "Popen", start)
    return commands


def test_what_is_missing_is_trained_once_and_a_failure_loses_no_other_run(
    declared: dict[str, Run],
    training: list[list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    jobs = run.missing([])
    assert [(job.name, seed) for job, seed in jobs] == [
        ("good", 0),
        ("other", 0),
        ("bad", 0),
        ("good", 1),
    ]
    failures = run.execute(jobs, tmp_path / "runs", workers=1, folder=tmp_path)
    assert failures == [
        f"bad-0 failed: error: --labeled=3: too few. ({tmp_path / 'runs' / 'bad-0.log'})"
    ]
    output = capsys.readouterr()
    assert output.err == f"{failures[0]}\n"
    assert "good-1: 50.0% of the test images" in output.out
    found = records.read_results(tmp_path)
    assert [(row["name"], row["seed"]) for row in found] == [
        ("good", "0"),
        ("good", "1"),
        ("other", "0"),
    ]
    assert found[0]["command"].endswith("--dataset=house_numbers --labeled=20 --steps=40 --seed=0")
    assert (found[0]["threads"], found[0]["commit"]) == (str(run.available_cores()), "abc")
    assert records.read_curves(tmp_path)[0]["wall_seconds"] == "80.0"
    assert [job.name for job, _ in run.missing(found)] == ["bad"]  # the others are not repeated
    assert len(training) == 4


def test_only_takes_a_pattern_of_names_or_of_names_with_seed(declared: dict[str, Run]) -> None:
    assert [(job.name, seed) for job, seed in run.missing([], "g*")] == [("good", 0), ("good", 1)]
    assert [(job.name, seed) for job, seed in run.missing([], "good-1")] == [("good", 1)]
    with pytest.raises(SystemExit, match=r"--only=nothing: no run has such a name"):
        run.main(["--only=nothing"])


def test_the_time_that_is_left_is_that_of_the_steps_at_the_pace_so_far(
    declared: dict[str, Run],
) -> None:
    results = [
        result_row(declared["good"], seed, 0.5, steps=40, seconds=seconds)
        for seed, seconds in ((0, 400), (1, 800))  # 10 and 20 seconds a step
    ]
    jobs = run.missing(results)
    assert run.estimates(jobs, results) == [40 * 15.0, 40 * 15.0]
    lines = run.listing(jobs, results, workers=2).splitlines()
    assert lines[0].startswith("    10 min  other-0: python -m ssgan_tf.train ")
    assert lines[-1].startswith("2 runs are missing, of 4 declared: about 0.2 hours")


def test_more_workers_than_cores_are_refused_before_anything_runs(
    training: list[list[str]],
) -> None:
    for workers in (0, 10_000):
        with pytest.raises(SystemExit, match=f"--workers={workers}: give 1 to "):
            run.main([f"--workers={workers}"])
    assert training == []


def svhn_with(directory: Path, test_images: tuple[int, ...]) -> None:
    """What TFDS leaves of a prepared svhn_cropped, its images aside."""
    prepared = directory / "svhn_cropped" / "3.1.0"
    prepared.mkdir(parents=True)
    splits = [
        {"name": "train", "shardLengths": ["9"]},
        {"name": "test", "shardLengths": [str(count) for count in test_images]},
    ]
    (prepared / "dataset_info.json").write_text(json.dumps({"splits": splits}))


def test_another_svhn_than_the_subset_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shards in (("full", (20000, 6032)), ("subset", (1300, 1300))):
        svhn_with(tmp_path / name, shards)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "full"))
    with pytest.raises(SystemExit, match=r"full: .* 26,032 test images, .* subset with 2,600"):
        run.check_svhn([(TUNED, 0)])
    run.check_svhn([(RUNS["house_numbers-1000-article"], 0)])  # which needs none
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit, match=r"nothing: no svhn_cropped is there"):
        run.check_svhn([(TUNED, 0)])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "subset"))
    run.check_svhn([(TUNED, 0)])


def test_a_run_directory_of_other_data_leaves_no_result(
    declared: dict[str, Run],
    training: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RESULTS, "test_images", 26_032)
    failures = run.execute([(declared["good"], 0)], tmp_path / "runs", 1, tmp_path)
    assert len(failures) == 1 and "its data has 26,032 test images, and house_num" in failures[0]
    assert records.read_results(tmp_path) == []


def test_a_folder_of_images_is_made_before_the_run_that_needs_it(
    training: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "photos-300"
    monkeypatch.setitem(RESULTS, "train_images", DATA[name].train_images)
    run.execute([(RUNS[f"folder-{name}"], 0)], tmp_path / "runs", 1, tmp_path)
    assert training[0] == ["experiments.folders", name]
    assert training[1][:2] == [
        "ssgan_tf.train",
        f"--dataset=folder:experiments/runs/folders/{name}",
    ]
    assert DATA[name].train_images == FOLDERS[name].labeled + FOLDERS[name].unlabeled


def test_a_directory_of_a_former_recipe_gives_no_result(
    training: list[list[str]], tmp_path: Path
) -> None:
    declared_run = RUNS["house_numbers-250-tuned"]  # of the data of `RESULTS`
    directory, fitted = tmp_path / "runs" / f"{declared_run.name}-0", declared_run.fitted(0)
    directory.mkdir(parents=True)
    config_file.write_config(directory, fitted)
    assert not run.execute([(declared_run, 0)], tmp_path / "runs", 1, tmp_path)
    assert [words[0] for words in training].count("ssgan_tf.train") == 1
    other = tmp_path / "other"
    directory = other / f"{declared_run.name}-0"
    directory.mkdir(parents=True)
    config_file.write_config(directory, dataclasses.replace(fitted, ema_decay=0.9))
    (message,) = run.execute([(declared_run, 0)], other, 1, tmp_path)
    assert "has a run with another --ema_decay; delete it" in message
    assert [words[0] for words in training].count("ssgan_tf.train") == 1


PROGRAM = """
import signal, sys
from pathlib import Path
from experiments import run, runs
folder, flags = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGTERM, signal.default_int_handler)
tiny = runs.Run("tiny", "house_numbers", "20", flags, "a tiny run")
print(run.execute([(tiny, 0)], folder / "runs", 1, folder))
"""
TINY = "--steps=600 --batch_size=8 --generator_width=2 --discriminator_width=2"


def stopped(command: list[str], begun: Callable[[], bool]) -> int:
    """Starts a program, asks it to stop when it has begun; its exit status."""
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not begun():
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    return process.wait(timeout=120)


@pytest.mark.slow
def test_a_run_that_is_stopped_writes_a_checkpoint_and_goes_on_from_there(tmp_path: Path) -> None:
    flags = f"{TINY} --checkpoint_every_minutes=0.02"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), flags]
    log = tmp_path / "runs" / "tiny-0.log"
    checkpoint = tmp_path / "runs" / "tiny-0" / "checkpoints" / "checkpoint"
    assert stopped(command, checkpoint.exists) != 0
    assert "Stopped after step" in log.read_text()
    assert records.read_results(tmp_path) == []
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout.endswith("[]\n")
    assert "Going on from step" in log.read_text()
    (row,) = records.read_results(tmp_path)
    assert (row["name"], row["steps"], row["test_images"]) == ("tiny", "600", "2000")


def test_a_program_that_is_stopped_waits_for_its_runs_and_starts_no_other(tmp_path: Path) -> None:
    training = """
import signal, sys, time
def stop(*_):
    time.sleep(0.3)  # for the checkpoint
    sys.exit("Stopped after step 7.")
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
time.sleep(60)
"""
    fake = f"""
from experiments import run
start = run.subprocess.Popen
run.subprocess.Popen = lambda words, **options: start([words[0], "-c", {training!r}], **options)
"""
    program = PROGRAM.replace("[(tiny, 0)]", "[(tiny, 0), (tiny, 1)]")
    log = tmp_path / "runs" / "tiny-0.log"
    status = stopped(
        [sys.executable, "-c", fake + program, str(tmp_path), TINY],
        lambda: log.exists() and "begun" in log.read_text(),
    )
    assert status != 0
    assert log.read_text().endswith("Stopped after step 7.\n")
    assert not log.with_name("tiny-1.log").exists()
    assert records.read_results(tmp_path) == []


# Tables


def test_mean_and_deviation_are_those_worked_out_by_hand() -> None:
    assert tables.spread([]) == ""
    assert tables.spread([0.752]) == "75.2"
    assert tables.spread([0.7, 0.8, 0.9]) == "80.0 ± 10.0"
    assert tables.spread([0.1, 0.2], "+") == "+15.0 ± 7.1"


def test_gains_are_taken_seed_by_seed_where_both_have_a_result() -> None:
    found = records.Found([*rows_of(TUNED, 0.7, 0.8, 0.99), *rows_of(CONTROL, 0.5, 0.7)])
    (row,) = cells(tables.table(found, [TUNED]))
    # 20 and 10 points, not of the third; the worst seed; the fastest one has ten minutes
    assert row[1:8] == ["250", "83.0 ± 14.7", "70.0", "+15.0 ± 7.1", "3", "3,200", "10"]
    assert row[8] == "`python -m ssgan_tf.train --labeled=250 --preset=tuned`"
    assert cells(tables.table(found, [CONTROL]))[0][4] == ""  # it has no control of its own


def test_a_result_of_another_recipe_or_name_does_not_count() -> None:
    other = result_row(TUNED, 0, 0.9, recipe=CONTROL.recipe)
    strange = result_row(TUNED, 0, 0.9, name="gone")
    longer = result_row(TUNED, 0, 0.9, steps=TUNED.steps() + 1)
    found = records.Found([other, strange, longer])
    assert tables.table(found, [TUNED]) == tables.NOT_YET


def test_validation_accuracy_is_shown_where_flags_were_chosen() -> None:
    chosen = RUNS["controls-250-tuned"]
    found = records.Found(rows_of(chosen, 0.1, validation_accuracy=0.84))
    assert cells(tables.table(found, [chosen], part="validation"))[0][2] == "84.0"


def test_the_headline_has_only_what_is_measured_with_the_labels_alone_beside_it() -> None:
    name = "house_numbers-1000-article"
    found = records.Found(
        [
            *rows_of(RUNS[name], 0.9, 0.88),
            *rows_of(RUNS[f"{name}-control"], 0.8, 0.82),
            *rows_of(RUNS["svhn-1000-tuned-control"], 0.8),  # it has nothing to stand beside
        ]
    )
    expected = ["house_numbers, `article`", "1,000", "81.0 ± 1.4", "89.0 ± 1.4", "+8.0 ± 2.8"]
    assert cells(tables.headline(found)) == [expected]
    declared = [RUNS[run] for run in tables.HEADLINE]
    declared += [RUNS[run.control] for run in declared]
    everything = records.Found(row for run in declared for row in rows_of(run, 0.5))
    assert len(cells(tables.headline(everything))) == 5


def test_what_the_gan_terms_add_has_the_interval_worked_out_by_hand() -> None:
    first, second = (RUNS[name] for name in ("svhn-250-pooled", "folder-signs-1500-pooled"))
    without = [RUNS[f"{run.name}-no-gan"] for run in (first, second)]
    rows = [*rows_of(first, 0.84, 0.78), *rows_of(second, 0.91, 0.5)]
    assert tables.gan_terms(records.Found(rows)) == tables.NOT_YET
    rows += [*rows_of(without[0], 0.80, 0.80), *rows_of(without[1], 0.90)]
    # 4, -2 and 1: mean 1, deviation 3, and 4.3027 x 3 / sqrt(3) = 7.45
    text = tables.gan_terms(records.Found(rows)).replace("\n", " ")
    assert "Over the 3 draws" in text
    assert "+1.0 points (95% interval -6.5 to +8.5)" in text
    assert "higher in 2 draws, lower in 1." in text


def test_the_time_without_the_gan_terms_is_that_of_the_two_rows() -> None:
    whole = RUNS["folder-signs-1500-pooled"]
    rows = [result_row(whole, 2, 0.9, seconds="1101.3")]
    assert tables.gan_time(records.Found(rows)) == tables.NOT_YET
    rows.append(result_row(RUNS[f"{whole.name}-no-gan"], 2, 0.9, seconds="612.7"))
    assert tables.gan_time(records.Found(rows)).startswith("613 seconds instead of 1,101 (")


def test_labels_have_a_column_each_and_the_gain_below() -> None:
    found = records.Found([*rows_of(TUNED, 0.7, 0.8), *rows_of(CONTROL, 0.5, 0.5)])
    first, second = tables.labels_tables(found).split("\n\n")
    assert cells(first)[-1] == ["`tuned`", "", "75.0 ± 7.1 (2)", "", "", "", ""]
    assert cells(second)[-1] == ["`tuned`", "", "+25.0 ± 7.1", "", "", "", ""]


def curve(name: str, *points: tuple[int, float, float]) -> list[records.Row]:
    return [
        {
            "name": name,
            "seed": "0",
            "step": str(step),
            "test_accuracy": str(accuracy),
            "wall_seconds": str(seconds),
        }
        for step, accuracy, seconds in points
    ]


def test_time_to_target_is_that_of_the_first_evaluation_at_or_above_it() -> None:
    points = ((80, 0.5, 10.0), (160, 0.7, 20.0), (240, 0.6, 30.0), (320, 0.8, 40.0))
    assert tables.seconds_to_target(curve("x", *points)) == (20.0, True)
    assert tables.seconds_to_target(curve("x", *points[:1])) == (10.0, False)
    rows = rows_of(RUNS["svhn-1000-article"], 0.5)
    found = records.Found(rows, curve("svhn-1000-article", *points[:1]))
    assert cells(tables.time_table(found)) == [["`article`", "10 (never, seed 0)"]]
    assert not records.Found([], curve("svhn-1000-article", *points)).curves  # of another recipe


def test_long_runs_are_shown_on_their_way() -> None:
    points = curve("long-control", (400, 0.8, 9.0), (20000, 0.92, 99.0))
    found = records.Found(rows_of(RUNS["long-control"], 0.92), points)
    assert cells(tables.long_table(found))[0][1:] == ["80.0", "", "", "", "", "", "", "92.0"]


def test_a_block_is_replaced_between_its_markers_alone(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("a\n  <!-- results -->\n  old\n  <!-- end results -->\nb\n")
    tables.replace_block(path, "results", "new")
    assert path.read_text() == "a\n  <!-- results -->\n  new\n  <!-- end results -->\nb\n"
    with pytest.raises(SystemExit, match=r"README.md: needs <!-- other --> once"):
        tables.replace_block(path, "other", "new")


FIRST = "python -m ssgan_tf.train --dataset=house_numbers"


def test_the_first_command_is_described_by_the_results_that_it_left(tmp_path: Path) -> None:
    left = {"device": "CPU: X, 2 cores", "wall_seconds": 250.0, "test_accuracy": 0.8912}
    (tmp_path / "first_command.json").write_text(json.dumps(left | {"test_images": 2000}))
    assert tables.first_command(tmp_path) == (
        "On X, 2 cores, training takes 4 minutes. 89.1% of the 2,000 test images are classified "
        "correctly."
    )
    kept = json.loads((ROOT / "experiments" / "first_command.json").read_text())
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if FIRST in line]
    given, left_by = (
        parse_config(text.split()[2:], "", "")
        for text in (line[line.index(FIRST) :], kept["command"])
    )
    assert given == left_by


def test_the_documents_are_those_that_the_results_give(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (tmp_path / "README.md").write_text(readme)
    tables.write(root=tmp_path, figures=False)
    assert (tmp_path / "README.md").read_text() == readme, "run python -m experiments.tables"
    written = (tmp_path / "docs" / "results.md").read_text()
    assert written == (ROOT / "docs" / "results.md").read_text(), "run python -m experiments.tables"
    assert "{{" not in written


def test_figures_are_the_same_bytes_for_the_same_results(tmp_path: Path) -> None:
    from experiments import figures

    found = records.Found(rows_of(TUNED, 0.7, 0.8))
    accuracies = suggested.accuracies(tmp_path)  # none yet
    accuracies["svhn_cropped", 40, "random"] = {0: 0.5, 1: 0.6}
    for name in ("one", "two"):
        figures.draw(found, accuracies, tmp_path / name)
    for name in ("labels.svg", "suggested.svg"):
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes() and b"</svg>" in content


# Suggested labels


def test_a_chain_of_suggestions_builds_on_the_round_before() -> None:
    chain = suggested.Chain("house_numbers", 1, "suggested")
    words = suggested.commands(chain)
    assert [command[0] for command in words] == ["ssgan_tf.suggest", "ssgan_tf.train"] * 4
    assert "--dataset=house_numbers" in words[0] and "--n=10" in words[0]
    assert f"--run_dir={chain.directory(10)}" in words[2] and "--n=30" in words[2]
    labels = chain.directory(10) / "suggested_labels.json"
    assert f"--labels_from={labels}" in words[3] and "--labeled=40" in words[3]
    for command in words[1::2]:
        parse_config(command, "", "")  # a UserError fails this test
    drawn = suggested.commands(chain._replace(choice="balanced"))
    assert [command[0] for command in drawn] == ["ssgan_tf.train"] * 4
    assert not any("labels_from" in word for command in drawn for word in command)


def test_the_table_of_suggestions_has_mean_deviation_seeds_and_the_gain_over_random_labels(
    tmp_path: Path,
) -> None:
    head = "data,seed,choice,labels,test_accuracy,classes,seconds,commit"
    rows = [f"svhn_cropped,{seed},suggested,40,{0.7 + 0.1 * seed},10,9,x" for seed in (0, 1)]
    rows += ["svhn_cropped,1,random,40,0.65,10,9,x"]  # the difference is that of this seed
    (tmp_path / "suggested.csv").write_text("\n".join([head, *rows]) + "\n")
    (found,) = cells(tables.suggested_table(tmp_path))
    assert found == ["SVHN subset", "40", "75.0 ± 7.1 (2)", "65.0 (1)", "", "+15.0"]
    assert "experiments.suggested" in tables.suggested_table(tmp_path / "nowhere")


def test_results_of_chains_are_put_beside_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggested, "PLACE", tmp_path)
    path = tmp_path / "table.csv"
    chain = suggested.Chain("cifar10", 0, "random")
    for labels, accuracy in ((10, 0.2), (40, 0.3)):
        directory = chain.directory(labels)
        directory.mkdir()
        results = {"test_accuracy": accuracy, "recall": {"a": 0.5, "b": 0.0, "c": None}}
        results |= {"wall_seconds": 9.6, "versions": {"git_commit": "abc"}}
        (directory / "results.json").write_text(json.dumps(results))
        suggested.write(path)
    shutil.rmtree(chain.directory(10))  # only its row is left
    suggested.write(path)
    assert path.read_text().splitlines()[1:] == [
        "cifar10,0,random,10,0.2000,1,10,abc",
        "cifar10,0,random,40,0.3000,1,10,abc",
    ]


def test_a_folder_has_the_classes_that_are_asked_for_and_equally_many_labels_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("test", 2)):
        for name in ("ant", "bee", "cat"):
            (tmp_path / "source" / part / name).mkdir(parents=True)
            for index in range(count):
                image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
                image.save(tmp_path / "source" / part / name / f"{index}.png")
    monkeypatch.setitem(folders.SOURCES, "pets", runs.Source("", ""))
    monkeypatch.setattr(folders, "source_of", lambda name: tmp_path / "source")

    for classes, wanted in (((), ("ant", "bee", "cat")), (("cat", "bee"), ("bee", "cat"))):
        path = tmp_path / "-".join(["made", *classes])
        made = runs.Folder("pets", 3, 2 * len(wanted), 3, test=2 * len(wanted), classes=classes)
        folders.make(path, made)
        for part in ("train", "test"):
            found = {folder.name: len(list(folder.iterdir())) for folder in (path / part).iterdir()}
            assert found == dict.fromkeys(wanted, 2)
        names = [file.name for file in (path / "unlabeled").iterdir()]
        assert len(names) == 3 and all(any(name in file for name in wanted) for file in names)
        assert not {file.name for file in (path / "train").glob("*/*")} & set(names)


def test_images_of_numpy_files_become_files_in_class_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ROOT", tmp_path / "folders")
    repository, inner = tmp_path / "sources" / "kmnist", runs.SOURCES["kmnist"].folder
    (repository / inner).mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    np.savez(repository / inner / "kmnist-test-imgs.npz", images)
    np.savez(repository / inner / "kmnist-test-labels.npz", np.array([4, 0, 4], np.uint8))
    root = folders.source_of("kmnist")
    found = {file.relative_to(root).as_posix() for file in root.glob("*/*")}
    assert found == {"4/00000.png", "0/00001.png", "4/00002.png"}
    np.testing.assert_array_equal(np.asarray(Image.open(root / "4" / "00002.png")), images[2])


def test_a_folder_that_two_runs_want_at_a_time_is_made_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make(path: Path, folder: runs.Folder) -> None:
        path.mkdir(parents=True)
        made.append(folder)
        time.sleep(0.2)
        (path / "last.png").touch()

    monkeypatch.setattr(folders, "ROOT", tmp_path / "folders")
    monkeypatch.setattr(folders, "make", make)
    monkeypatch.setattr(sys, "argv", ["folders", "photos-300"])
    with ThreadPoolExecutor(2) as both:
        for end in [both.submit(folders.main) for _ in range(2)]:
            end.result()
    assert made == [FOLDERS["photos-300"]]
    assert (tmp_path / "folders" / "photos-300" / "last.png").exists()


def test_what_was_dropped_is_kept_with_the_commit_that_measured_it() -> None:
    for row in csv.DictReader((EXPERIMENTS / "dropped.csv").open(newline="")):
        assert row["what"] and bool(row["difference"]) == bool(row["commit"]) == bool(row["seeds"])
        assert re.fullmatch("|[0-9a-f]{7}", row["commit"]) and row["flag"][:2] in ("", "--")
    assert "conv1 with stride 1" in tables.dropped_table(EXPERIMENTS)


@pytest.mark.parametrize("cells", ["conv1, stride 1,--conv1_stride=1", "conv1"])
def test_a_row_of_too_many_or_too_few_cells_is_reported_with_its_line(
    tmp_path: Path, cells: str
) -> None:
    (tmp_path / "dropped.csv").write_text(f"what,flag\nentropy,--entropy_weight=0.1\n{cells}\n")
    with pytest.raises(SystemExit, match=r"dropped\.csv, line 3: not 2 cells"):
        tables.dropped_table(tmp_path)


def test_curves_are_a_plain_table() -> None:
    text = gzip.decompress((EXPERIMENTS / "curves.csv.gz").read_bytes()).decode()
    steps = [int(row["step"]) for row in csv.DictReader(io.StringIO(text))]
    assert len(steps) > 1000 and min(steps) > 0


def test_tables_of_the_stress_programs_can_be_written_from_what_was_measured() -> None:
    killed = kill_test.table(json.loads((EXPERIMENTS / "stress" / "kill_test.json").read_text()))
    assert cells(killed)[0][0].startswith("25: 10 at work") and cells(killed)[0][-1] == "none"
    soaked = soak.table(json.loads((EXPERIMENTS / "stress" / "soak.json").read_text()))
    assert cells(soaked)[0] == ["resident memory", "970 MB", "993 MB", "997 MB"]


def test_patchwork_keeps_every_patch_in_its_place_and_mixes_images() -> None:
    images = np.broadcast_to(np.arange(50, dtype=np.uint8)[:, None, None, None], (50, 32, 32, 3))
    images = images.copy()
    images[:, :8, :8] += 100  # marks the first place
    made = patchwork(images, 20, np.random.default_rng(0))
    assert made.shape == (20, 32, 32, 3)
    assert (made[:, :8, :8] >= 100).all()
    assert (made[:, 8:] < 100).all() and (made[:, :, 8:] < 100).all()
    patches = made.reshape(20, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(20, 16, -1)
    assert (patches.min(axis=2) == patches.max(axis=2)).all()  # each from one image
    assert all(len(np.unique(image[:, 0])) > 5 for image in patches)
