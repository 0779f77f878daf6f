"""What a run leaves behind: the classifier, the report, `results.json`."""

import shlex

from ssgan_tf.data.dataset import ids_digest
from ssgan_tf.inference import saved_model
from ssgan_tf.inference.evaluation import Evaluator
from ssgan_tf.runs import config_file, run_dir, run_report
from ssgan_tf.runs.preparation import Run
from ssgan_tf.runs.results import Results
from ssgan_tf.system.files import write_json


def finish(run: Run) -> Results:
    """Writes the SavedModel first, and `results.json` last, as the mark of a whole run.

    Returns:
        What `results.json` holds.
    """
    config, dataset = run.config, run.dataset
    if not run.evaluations:  # interrupted between the last checkpoint and here
        run.evaluations = {name: run.evaluator(part) for name, part in run.parts.items()}
    results = _accuracies(run) | {
        "dataset": dataset.name,
        "labeled": len(run.split.labeled),
        "unlabeled": len(run.split.unlabeled),
        "preset": config.preset,
        "method": config.method,
        "seed": config.seed,
        "steps": run.total_steps,
        "wall_seconds": round(run.seconds, 1),
        "device": run.device,
        "precision": run.trainer.state.precision,
        "versions": config_file.versions(),
        "command": shlex.join(config.command()),
    }
    test = run.evaluations["test"]
    with run_dir.errors_explained(run.directory):
        exported = run.directory / "saved_model"
        saved_model.clean_up(exported)
        models = run.trainer.state.models_to_export()
        saved_model.save(exported, *models, dataset.class_names, fit=config.fit)
        report = run_report.report_of(run.directory, config, dataset, run.split, test, results)
        run_report.write_report(run.directory, report)
        write_json(run.directory / "results.json", results)
    return results


def _accuracies(run: Run) -> Results:
    """Of the last step, on every part."""
    config, dataset, evaluations = run.config, run.dataset, run.evaluations
    test = evaluations["test"]
    results: Results = {
        "test_accuracy": test.accuracy,
        "test_accuracy_interval": test.interval,
        **test.per_class(dataset.class_names),
        "test_images": len(dataset.test),
        "test_ids_digest": ids_digest(dataset.test.ids.tolist()),
        "train_images": len(dataset.train),
        "train_labeled_accuracy": evaluations["train_labeled"].accuracy,
    }
    if "validation" in evaluations:
        results["validation_accuracy"] = evaluations["validation"].accuracy
    if run.trainer.averaged is not None:  # the weights themselves, beside their average
        raw = Evaluator(run.trainer.discriminator, config.bn_inference, config.batch_size)
        for name in ("test", "validation"):
            if name in run.parts:
                results[f"{name}_accuracy_raw"] = raw(run.parts[name]).accuracy
    if config.preset == "notebook":
        results["test_accuracy_first_half"] = test.first_half().accuracy
    return results
