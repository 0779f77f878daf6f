import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ssgan_tf import report
from ssgan_tf.runs.results import same_test_images


class Page(HTMLParser):
    """Collects what has to be checked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.charts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self.tags.add(tag)
        if tag == "img":
            self.images.append(found)
        if tag == "svg":
            self.charts.append(found["aria-label"])
        self.links += [value for name, value in attributes if name in ("src", "href") and value]


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run directory of one's own, to be written into."""
    return Path(shutil.copytree(run, tmp_path / "run <1> & co"))


def test_training_ends_with_a_report(run: Path) -> None:
    text = (run / "report.html").read_text()
    accuracy = json.loads((run / "results.json").read_text())["test_accuracy"]
    assert f"<strong>{accuracy:.1%}</strong>" in text
    assert "probability of being real" in text  # not where there is no generator: test_load_folder


def test_the_report_is_one_file_with_alt_texts_and_without_scripts(run: Path) -> None:
    text = (run / "report.html").read_text()
    page = Page(text)
    assert len(text) < 3_000_000
    assert "script" not in page.tags and "link" not in page.tags
    # Nothing is loaded from anywhere: data URLs and places within the page are all there is.
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.images) > 30
    assert all(image["alt"] for image in page.images)
    names = re.findall(r'<figure title="([^"]+)"><img [^>]*alt="Test image ([^:"]+):', text)
    assert len(names) > 30 and all(title == name for title, name in names)
    assert page.charts == ["Accuracy over steps", "Losses over steps", "Confusion matrix"]


def test_the_counts_of_the_label_split_are_those_of_the_run(run: Path) -> None:
    text = (run / "report.html").read_text()
    split = json.loads((run / "labels.json").read_text())
    row = re.search(r"<td>all</td>(.*?)</tr>", text, re.S)[1]
    counts = [int(count) for count in re.findall(r">(\d+)<", row)]
    labeled, validation = len(split["ids"]), len(split["validation_ids"])
    assert counts == [labeled, 96 - labeled - validation, validation, 40]
    results = json.loads((run / "results.json").read_text())
    assert [results["labeled"], results["unlabeled"]] == counts[:2]


def test_another_run_is_put_beside_it_and_names_are_escaped(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "control"))
    results = json.loads((other / "results.json").read_text())
    results |= {"method": "supervised", "test_accuracy": results["test_accuracy"] - 0.05}
    (other / "results.json").write_text(json.dumps(results))
    report.main(["report", f"--run_dir={copy}", f"--compare={other}"])
    assert f"Report: {copy}/report.html" in capsys.readouterr().out
    text = (copy / "report.html").read_text()
    assert re.search(r"\+5\.0 \(\d+\.\d\)</td>", text)
    assert "labels alone" in text
    assert "run &lt;1&gt; &amp; co" in text and "run <1>" not in text


def test_the_report_has_the_configuration_that_the_run_was_trained_with(copy: Path) -> None:
    for name, change in (
        ("config.json", lambda content: content["config"].update(precision="auto")),
        ("results.json", lambda content: content.update(precision="bfloat16")),
    ):
        content = json.loads((copy / name).read_text())
        change(content)
        (copy / name).write_text(json.dumps(content))
    report.main(["report", f"--run_dir={copy}"])  # computes in float32
    text = (copy / "report.html").read_text()
    assert "<code>--precision</code></th><td><code>auto</code>" in text
    assert "<code>--deterministic</code></th><td><code>false</code>" in text
    assert re.search(r"hardware.*bfloat16", text, re.S)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--run_dir", "missing"]),
        (["--run_dir={tmp}"], ["{tmp}", "no run"]),
        (["--run_dir={run}", "--compare={tmp}"], ["{tmp}", "no finished run"]),
        (["--run_dir={run}", "--compare={tmp}/no"], ["--compare={tmp}/no", "no such directory"]),
        (["--run_dir={run}", f"--compare={'x' * 300}"], ["--compare=xxx", "no such directory"]),
    ],
)
def test_a_mistake_is_named(
    arguments: list[str], words: list[str], run: Path, tmp_path: Path
) -> None:
    def fill(text: str) -> str:
        return text.format(run=run, tmp=tmp_path)

    with pytest.raises(SystemExit) as error:
        report.main(["report", *map(fill, arguments)])
    for word in words:
        assert fill(word) in str(error.value)


def test_results_name_recall_and_test_images(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    ids = "\n".join(f"test_{index:06d}" for index in range(40))
    assert results["test_ids_digest"] == hashlib.sha256(ids.encode()).hexdigest()
    assert list(results["recall"]) == [str(label) for label in range(10)]
    known = [value for value in results["recall"].values() if value is not None]
    assert results["balanced_accuracy"] == pytest.approx(sum(known) / len(known))
    text = (run / "report.html").read_text()
    assert f"balanced accuracy {results['balanced_accuracy']:.1%}" in text
    row = re.search(r"<td>3</td>(.*?)</tr>", text, re.S)[1]
    assert f">{results['recall']['3']:.1%}<" in row


@pytest.mark.parametrize(
    ("dataset", "other", "same"),
    [
        ("folder:a", "folder:b", True),
        ("mnist/3.0.1", "fashion_mnist/3.0.1", False),  # both count test_000000, test_000001, ...
        ("folder:a", "mnist/3.0.1", False),
    ],
)
def test_the_name_of_a_folder_does_not_matter(dataset: str, other: str, same: bool) -> None:
    first, second = (
        {"dataset": name, "test_images": 9, "test_ids_digest": "ab"} for name in (dataset, other)
    )
    assert same_test_images(first, second) is same
