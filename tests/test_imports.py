"""The wings of the package: imports point one way, and no room is too large."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ssgan_tf

ROOT = Path(ssgan_tf.__file__).parent
# From top to bottom; a module imports from its own wing and those below it.
WINGS = (
    "commands",
    "verification",
    "runs",
    "reporting",
    "labeling",
    "inference",
    "training",
    "models",
    "data",
    "system",
    "config",
)
# The modules that lie at the top of the package.
WING_OF = dict.fromkeys(("config", "presets"), "config") | dict.fromkeys(
    (
        "__init__",  # what a notebook imports: it has names of all wings
        "__main__",
        "cache",
        "evaluate",
        "export",
        "flagfiles",
        "flags",
        "label",
        "predict",
        "report",
        "sample",
        "suggest",
        "train",
        "verify_gpu",
    ),
    "commands",
)
MODULE_LINES, FUNCTION_LINES = 350, 60


def name_of(path: Path) -> str:
    """Of a module, without `ssgan_tf.`; of a wing's `__init__.py` that of the wing."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {name_of(path): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
MODULES = {name: ast.parse(source) for name, source in SOURCES.items()}


def wing(module: str) -> str | None:
    """The wing of a module; None if it has none."""
    first = module.split(".")[0]
    found = WING_OF.get(first, first)
    return found if found in WINGS else None


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules of this package that a module names, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used in this package"
            # `from ssgan_tf.data import cache` names a module, `from ssgan_tf.config import Config`
            # something in one.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "ssgan_tf.__version__":  # of the package itself, whoever imports from it
                continue
            package, _, inner = name.partition(".")
            if package == "ssgan_tf":
                yield inner if inner in MODULES else inner.rpartition(".")[0] or "__init__"


IMPORTS = {name: sorted(set(imported(tree))) for name, tree in MODULES.items()}


def test_every_module_is_in_a_wing() -> None:
    homeless = [module for module in MODULES if wing(module) is None]
    assert not homeless, homeless


def test_all_that_is_imported_is_there() -> None:
    missing = [
        f"{name} -> {other}"
        for name, others in IMPORTS.items()
        for other in others
        if other not in MODULES
    ]
    assert not missing, "\n".join(missing)


def test_imports_point_from_upper_wings_to_lower_ones() -> None:
    upwards = [
        f"{name} -> {other}"
        for name, others in IMPORTS.items()
        for other in others
        if WINGS.index(wing(name)) > WINGS.index(wing(other))
    ]
    assert not upwards, "\n".join(upwards)


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter(IMPORTS).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def table_of_flags(tree: ast.Module) -> int:
    """Lines of the fields of `Config`, which may be as many as there are flags."""
    return sum(
        field.end_lineno - field.lineno + 1
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Config"
        for field in node.body
        if isinstance(field, ast.AnnAssign)
    )


def test_no_module_is_too_long() -> None:
    lengths = {name: source.count("\n") for name, source in SOURCES.items()}
    lengths["config"] -= table_of_flags(MODULES["config"])
    long = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MODULE_LINES]
    assert not long, "\n".join(long)


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{name}.{node.name}": node.end_lineno - node.lineno + 1
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_every_folder_of_modules_is_a_package() -> None:
    assert all((path.parent / "__init__.py").exists() for path in ROOT.rglob("*.py"))
