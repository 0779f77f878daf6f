"""Lists the commands, which are modules: `python -m ssgan_tf`."""

import importlib
import sys
from collections.abc import Sequence

from ssgan_tf.system import streams

COMMANDS = (
    *("train", "report", "evaluate", "predict", "export", "sample"),
    *("label", "suggest", "cache", "verify_gpu"),
)


@streams.used()
def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    words = (sys.argv if argv is None else argv)[1:]
    if words and words[0] not in ("--help", "-h", "--helpfull"):
        meant = next((word for word in words if word in COMMANDS), "train")
        sys.exit(
            f"error: python -m ssgan_tf: {words[0]} is not understood; each command is a module, "
            f"such as python -m ssgan_tf.{meant}. Without a word, this lists them."
        )
    print("Each command has its own --help; ssgan-train and so on are short forms:\n")
    for name in COMMANDS:
        purpose = (importlib.import_module(f"ssgan_tf.{name}").__doc__ or "").splitlines()[0]
        print(f"  python -m ssgan_tf.{name:<12}{purpose}")


if __name__ == "__main__":
    main()
