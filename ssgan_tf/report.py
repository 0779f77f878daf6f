"""Writes a run's report: report.html, one file, for the screen and for paper.

python -m ssgan_tf.report --run_dir=RUN --compare=OTHER_RUN
"""

import os
import sys
from pathlib import Path

from absl import logging

from ssgan_tf.config import expand_user
from ssgan_tf.flags import RUN_FLAGS, Flag, errors_as_sentences, parse_command
from ssgan_tf.runs.run_report import report_run
from ssgan_tf.system import streams


def run_directories(text: str) -> list[Path]:
    """Directories, separated by commas; their names may have commas, too."""
    parts, found = text.split(","), []
    while parts:
        # As much as names a directory that is there; else what is before the comma.
        names = {n: ",".join(parts[:n]).strip() for n in range(len(parts), 0, -1)}
        count = next((n for n, name in names.items() if os.path.isdir(expand_user(name))), 1)
        if names[count].strip(", "):
            found.append(expand_user(names[count]))
        parts = parts[count:]
    return found


FLAGS = (
    *(flag for flag in RUN_FLAGS if flag.name != "checkpoint"),
    Flag("compare", "", "Other runs on the same data, such as the control; commas between."),
)


@streams.used()
def main(argv: list[str] | None = None) -> None:
    """The command line; exits 1 with one sentence if something is wrong."""
    logging.set_verbosity(logging.ERROR)
    program = "python -m ssgan_tf.report"
    description = "Writes a run's report: report.html, one file, for the screen and for paper."
    with errors_as_sentences():
        values, _ = parse_command(sys.argv if argv is None else argv, program, description, FLAGS)
        compare = run_directories(values.compare)
        path = report_run(expand_user(values.run_dir), compare, values.data_dir)
    print(f"Report: {path}")


if __name__ == "__main__":
    main()
