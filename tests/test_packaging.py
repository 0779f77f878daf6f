import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ssgan_tf
from ssgan_tf.__main__ import COMMANDS, main

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_a_command_answers_help_by_the_name_that_it_was_called_by(
    command: str, capsys: pytest.CaptureFixture
) -> None:
    module, _, function = PROJECT["scripts"][command].partition(":")
    main = getattr(importlib.import_module(module), function)
    for called, program in (
        (f"/usr/bin/{command}", command),
        (f"{module.rpartition('.')[2]}.py", f"python -m {module}"),
    ):
        with pytest.raises(SystemExit) as end:
            main([called, "--help"])
        assert end.value.code == 0
        assert f"usage: {program} " in capsys.readouterr().out


def test_every_command_of_the_package_is_a_console_command() -> None:
    modules = {
        path.stem
        for path in Path(ssgan_tf.__file__).parent.glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    } - {"__main__"}
    assert sorted(modules) == sorted(COMMANDS)
    assert {
        f"ssgan-{name.replace('_', '-')}": f"ssgan_tf.{name}:main" for name in modules
    } == PROJECT["scripts"]


def test_the_package_itself_lists_its_commands(capsys: pytest.CaptureFixture) -> None:
    main(["ssgan_tf"])
    shown = capsys.readouterr().out
    assert "python -m ssgan_tf.train       Trains a classifier from few" in shown
    assert [f"python -m ssgan_tf.{name}" in shown for name in COMMANDS] == [True] * len(COMMANDS)
    main(["ssgan_tf", "--help"])
    assert capsys.readouterr().out == shown
    with pytest.raises(SystemExit, match=r"export is not understood.* python -m ssgan_tf\.export"):
        main(["ssgan_tf", "export", "--run_dir=x"])


def test_what_a_notebook_imports_does_not_import_tensorflow() -> None:
    code = """
import sys
from ssgan_tf import Config, load_classifier, train_and_evaluate
import ssgan_tf
assert callable(load_classifier) and callable(train_and_evaluate)
assert Config(labeled=250).labeled == 250
assert {*ssgan_tf.__all__, "__version__"} <= {*dir(ssgan_tf)}
assert not {"tensorflow", "keras"} & {*sys.modules}, "imported too early"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_package_does_not_have_is_named() -> None:
    with pytest.raises(AttributeError, match="'ssgan_tf' has no attribute 'classify'"):
        _ = ssgan_tf.classify
