import csv
import io
import json

import pytest

from ssgan_tf.inference.classifier import Prediction
from ssgan_tf.inference.prediction_writer import FORMATS, PredictionWriter


@pytest.mark.parametrize(
    "name", ["a\rb", "a\nb", "a\r\nb", 'a,"b', "a\x1b[2Jb", "a\u2028b", "日本", "caf\udce9", "a\\b"]
)
def test_any_name_is_one_row_in_every_format(name: str) -> None:
    item = Prediction(name, [("x", 1.0)], 0.5)
    lines = {}
    for form in FORMATS:
        binary = io.BytesIO()
        output = io.TextIOWrapper(binary, "ascii", errors="backslashreplace", newline="")
        writer = PredictionWriter(output, form, 1)
        writer.write(item)
        writer.write(item)
        lines[form] = binary.getvalue().decode("ascii")
    assert [json.loads(line)["path"] for line in lines["jsonl"].splitlines()] == [name, name]
    rows = list(csv.reader(io.StringIO(lines["csv"], newline="")))
    shown = name.encode("ascii", "backslashreplace").decode()
    assert [row[0] for row in rows] == ["path", shown, shown]
    assert len(lines["table"].splitlines()) == 3
    assert "\x1b" not in lines["table"]
