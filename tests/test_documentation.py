"""What the documents say of the code is true."""

import ast
import importlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ssgan_tf.config import Config
from ssgan_tf.flags import parse_command, parse_config

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ssgan_tf"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "BUILD.md",
    ROOT / "experiments/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)

# What runs a command of the documents: a test, with flags of its own, or `.ci/run`, in which the
# words beside it stand. All other commands must be marked with "not run here".
RUN_BY_TEST = {
    "ssgan_tf.train": "tests/test_train.py",
    "ssgan_tf.predict": "tests/test_predict.py",
    "ssgan_tf.evaluate": "tests/test_evaluate.py",
    "ssgan_tf.export": "tests/test_export.py",
    "ssgan_tf.sample": "tests/test_sample.py",
    "ssgan_tf.report": "tests/test_report.py",
    "ssgan_tf.label": "tests/test_label.py",
    "ssgan_tf.suggest": "tests/test_suggest.py",
    "ssgan_tf.cache": "tests/data/test_cache.py",
    "ssgan_tf.verify_gpu": "tests/test_verify_gpu.py",
}
RUN_BY_CI = {
    "python3 -m venv .venv": "python3 -m venv",
    ". .venv/bin/activate": "bin/activate",
    "pip install -e .": "-e '.[test]'",
    "pip install -e .[test]": "-e '.[test]'",
    "python -m pytest -n 2 --dist worksteal": "python -m pytest -n 2",
    "ruff check .": "ruff check .",
    "ruff format --check .": "ruff format --check .",
    "pyright": "pyright",
}
NOT_RUN = "<!-- not run here"


def without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M)


# The map from the article to the code.

SYMBOL = (
    r"`(?!\w+\.py`)((?:data|models|training|inference|labeling|reporting|runs|system)\.[\w.]+"
    r"|[a-z]+\.[A-Z]\w+)`"
)
SYMBOLS = sorted({symbol for path in DOCUMENTS for symbol in re.findall(SYMBOL, path.read_text())})


def names_in(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Functions, classes and variables that these statements define."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from (
                (target.id, node) for target in node.targets if isinstance(target, ast.Name)
            )
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node


def attributes_of(node: ast.stmt) -> set[str]:
    """What a class has: methods, fields, and what its methods assign to `self`."""
    if not isinstance(node, ast.ClassDef):
        return set()
    assigned = {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
    }
    return assigned | {name for name, _ in names_in(node.body)}


def exists(symbol: str) -> bool:
    """Whether there is such a function, class, attribute or constant in the package."""
    parts = symbol.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = PACKAGE.joinpath(*parts[:length]).with_suffix(".py")
        if path.exists():
            found = dict(names_in(ast.parse(path.read_text()).body)).get(parts[length])
            rest = parts[length + 1 :]
            return found is not None and (not rest or rest[0] in attributes_of(found))
    return False


def test_the_map_from_the_article_to_the_code_is_there() -> None:
    assert len(SYMBOLS) > 25


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_of_the_map_exists(symbol: str) -> None:
    assert exists(symbol)


def test_a_symbol_that_does_not_exist_is_found_missing() -> None:
    assert exists("training.losses.gan_logit")
    assert exists("models.discriminator.Discriminator.conv1")
    assert not exists("training.losses.gan_logits")
    assert not exists("models.discriminator.Discriminator.conv8")
    assert not exists("training.loss.gan_logit")


# The map of the wings.


def test_the_picture_of_the_wings_has_each_command() -> None:
    picture = (ROOT / "docs/wings.svg").read_text()
    shown = next(row for row in re.findall(r">([^<]+)<", picture) if row.startswith("train · "))
    commands = {path.stem for path in PACKAGE.glob("*.py")} - {
        "__init__",
        "__main__",
        "config",
        "presets",
    }
    assert sorted(shown.split(" · ")) == sorted(commands)


def test_the_map_of_the_wings_has_each_module_once() -> None:
    rows = re.findall(r"^\| (`[a-z/]+`)? ?\| (`.+?`) \| ", (ROOT / "BUILD.md").read_text(), re.M)
    mapped = [
        str(Path(wing.strip("`"), name))
        for wing, names in rows
        for name in re.findall(r"`(\w+)`", names)
    ]
    modules = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    there = {str(path) for path in modules if path.name != "__init__"}
    assert (set(mapped) - there, there - set(mapped)) == (set(), set())
    assert len(set(mapped)) == len(mapped)


@each_document
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:ssgan_tf|tests|experiments|docs|\.ci)/[\w./]+)`", document.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_files_of_tests_that_the_documents_name_exist() -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = {name for path in DOCUMENTS for name in re.findall(r"\btest_\w+\.py", path.read_text())}
    assert named - there == set()


# Commands.


def current(document: Path) -> str:
    """Without the list of what is no longer in the program, whose flags are gone."""
    return document.read_text().partition("\n## Tried and dropped\n")[0]


def shell_blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Each block of shell commands, and whether it is marked with "not run here"."""
    for match in re.finditer(r"^( *)```sh\n(.*?)^ *```$", text, re.S | re.M):
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        yield match[2].replace("\\\n", " "), before.lstrip().startswith(NOT_RUN)


def commands_in(block: str) -> Iterator[list[str]]:
    """The words of each simple command; settings of the environment are left out."""
    for line in block.splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        words.whitespace_split, words.commenters = True, "#"
        command: list[str] = []
        for word in [*words, "&&"]:
            if set(word) <= set("&|;"):
                if command:
                    yield command
                command = []
            elif command or not re.match(r"\w+=", word):
                command.append(word)


def check_flags(words: list[str], whole: bool) -> None:
    """Parses the flags of a command of this package, as the command does.

    Args:
        words: of the command.
        whole: whether all flags that it needs must be there; else it stands in a sentence.

    Raises:
        UserError: if a flag does not exist, or its value is not allowed.
    """
    if words[2] == "ssgan_tf.train":
        parse_config(words[2:], "", "")
    else:
        command = importlib.import_module(words[2])
        needed = [f"--{flag.name}=X" for flag in command.FLAGS if flag.default is None]
        words = words[:3] + ([] if whole else needed) + words[3:]
        parse_command(words[2:], "", "", command.FLAGS, getattr(command, "PATHS", None))


def is_run(words: list[str]) -> bool:
    """Whether a test, or CI, runs this command."""
    if words[:2] == ["python", "-m"] and words[2] in RUN_BY_TEST:
        test = (ROOT / RUN_BY_TEST[words[2]]).read_text()
        name = words[2].partition(".")[2]
        return f"{name}.main(" in test or f'"{words[2]}"' in test
    part = RUN_BY_CI.get(" ".join(words))
    return part is not None and part in (ROOT / ".ci/run").read_text()


@each_document
def test_each_command_is_run_by_a_test_or_marked(document: Path) -> None:
    for block, is_marked in shell_blocks(document.read_text()):
        for words in [] if is_marked else commands_in(block):
            assert is_run(words), shlex.join(words)


@each_document
def test_the_flags_and_modules_of_each_command_exist(document: Path) -> None:
    text = current(document)
    blocks = [block for block, _ in shell_blocks(text)]
    in_sentences = re.findall(r"`([^`\n]*\bpython -m [^`\n]*)`", without_code(text))
    in_sentences = [sentence.replace("=N", "=1000") for sentence in in_sentences]
    for block in blocks + in_sentences:
        for words in commands_in(block):
            if words[:2] == ["python", "-m"] and words[2].startswith("ssgan_tf."):
                check_flags(words, whole=block in blocks)
            elif words[:2] == ["python", "-m"] and words[2].startswith("experiments."):
                assert ROOT.joinpath(*words[2].split(".")).with_suffix(".py").exists(), words[2]


@each_document
def test_flags_that_stand_alone_exist(document: Path) -> None:
    alone = re.findall(r"`--([a-z][a-z0-9_]*)(?:=[^`]*)?`", without_code(current(document)))
    known = {"help", "coverage", *Config.__dataclass_fields__}  # coverage is of .ci/run
    for name in RUN_BY_TEST.keys() - {"ssgan_tf.train"}:
        known |= {flag.name for flag in importlib.import_module(name).FLAGS}
    assert set(alone) - known == set()


@pytest.mark.parametrize("name", ["slurm.sh", "kubernetes.yaml"])
def test_the_flags_in_the_scripts_for_clusters_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    (flags,) = re.findall(r"python -m ssgan_tf\.train((?:\s+--[\w=/]+)+)", text)
    config = parse_config(["train", *flags.split()], "", "")
    assert config.strategy == "multi_worker"


def test_console_commands_in_the_documents_are_installed() -> None:
    installed = (ROOT / "pyproject.toml").read_text()
    for name in re.findall(r"`(ssgan-[a-z-]+)`", "".join(path.read_text() for path in DOCUMENTS)):
        assert re.search(rf"^{name} = ", installed, re.M), name


def test_python_in_the_documents_runs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/house_numbers-1000-article-semi_supervised-0").symlink_to(run)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    for name in ("README.md", "docs/own-images.md"):
        (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(), re.S | re.M)
        exec(compile(block, name, "exec"), {})


def test_the_readme_is_short_and_has_exactly_two_commands_for_a_fresh_machine() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    blocks = [block for block, _ in shell_blocks(text) if "venv" in block]
    assert len(blocks) == 2
    assert all(len(block.splitlines()) == 1 for block in blocks)


# Links, tables, words.


def anchors(path: Path) -> set[str]:
    """Those that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", without_code(document.read_text())):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_no_generated_part_is_empty(document: Path) -> None:
    text = without_code(document.read_text())
    for marker in re.findall(r"<!-- (?!end |not run here)(.+?) -->", text):
        part = text.partition(f"<!-- {marker} -->")[2].partition(f"<!-- end {marker} -->")[0]
        assert part.strip(), marker
        bare = re.search(r"^ *\|[-|]+\|$(?!\n *\|)", part, flags=re.M)
        assert not bare, f"{marker}: a table without rows"


# Both spellings are understood there, or belong to others.
SPELLED_OTHERWISE = {"names.py", "labels_csv.py"}
BRITISH = (
    r"\w*(?:labell(?:ed|ing)|colour|\bgrey|centre|neighbour|behaviour|learnt"
    r"|(?:normal|minim|recogn|color|optim)is[ei])\w*"
)


@pytest.mark.parametrize(
    "path",
    [
        *(
            path
            for path in PACKAGE.rglob("*.*")
            if path.suffix in (".py", ".j2", ".html", ".css", ".js")
        ),
        *DOCUMENTS,
        *(ROOT / "docs").glob("*.svg"),
    ],
    ids=lambda path: os.path.relpath(path, ROOT),
)
def test_words_are_spelled_as_the_flags_are(path: Path) -> None:
    if path.name not in SPELLED_OTHERWISE:
        assert re.findall(BRITISH, path.read_text(), re.I) == []
