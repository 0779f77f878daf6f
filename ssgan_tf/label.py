"""Labels images of a folder in the browser.

    python -m ssgan_tf.label --dataset=folder:my_images --suggestions=RUN/suggestions.csv

Each answer is in the folder's labels.csv, on the disk, before the next image is shown.
"""

import os
import shlex
import sys

from ssgan_tf.config import UserError, expand_user, is_folder
from ssgan_tf.flags import Flag, errors_as_sentences, parse_command
from ssgan_tf.labeling.opening import open_session
from ssgan_tf.labeling.server import LabelingServer
from ssgan_tf.runs import config_file, finished_run
from ssgan_tf.system import streams
from ssgan_tf.system.text import counted, in_one_line

FLAGS = (
    Flag("dataset", None, "The folder of images: folder:PATH."),
    Flag(
        "suggestions",
        "",
        "The suggestions.csv that suggest wrote; empty: all images without a label, at random.",
    ),
    Flag(
        "run_dir",
        "",
        "The run whose classifier suggested the images; the end names the command that trains it "
        "again. Empty: the directory of --suggestions, if it is a run.",
    ),
    Flag(
        "port",
        0,
        "The port of the page on this machine; 0: any that is free.",
        minimum=0,
        maximum=65_535,
    ),
)


def _train_command(dataset: str, suggestions: str, run_dir: str) -> str:
    """As the run was trained that suggested the images; empty if none did.

    Raises:
        UserError: if `run_dir` is given and is no run of a folder.
    """
    run = expand_user(run_dir) if run_dir else expand_user(suggestions).parent
    if run_dir:
        of = finished_run.read_config(run).dataset
        if not is_folder(of):
            raise UserError(f"--run_dir={run_dir}: is a run of {of}, not of a folder of images.")
    elif not suggestions or not os.path.exists(run / "config.json"):
        return ""
    return shlex.join(config_file.command_with_new_labels(run, dataset))


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; ends when the page says so, or with Ctrl-C."""
    program, description = "python -m ssgan_tf.label", "Labels images of a folder in the browser."
    with errors_as_sentences():
        words = sys.argv if argv is None else argv
        values, _ = parse_command(words, program, description, FLAGS)
        train = _train_command(values.dataset, values.suggestions, values.run_dir)
        again = shlex.join([*program.split(), *words[1:]])
        session, notes = open_session(values.dataset, values.suggestions, train, again)
        server = LabelingServer(session, values.port)
        order = f"in the order of {values.suggestions}" if values.suggestions else "at random"
        images = counted(len(session), "image")
        print(f"Label:    {images}, {in_one_line(order)}; {session.done:,} are done")
        for note in notes:
            print(f"          {note}")
        print(f"Open:     {server.address}")
        table = in_one_line(str(session.table))
        print(f"          Each answer is in {table} at once. Ctrl-C ends.", flush=True)
        with server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()
        result = server.result or session.result()
        print(f"Labeled:  {session.given:,} here; labels in {table}: {result['labels']:,}")
        if result["lacks"]:
            print(f"Not yet:  {in_one_line(result['lacks'])}")
        print(f"{'Next' if result['now'] else 'Then'}:     {in_one_line(result['next'])}")


if __name__ == "__main__":
    main()
