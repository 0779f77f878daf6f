import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pictures_to_label import picture, suggest, unlabeled
from PIL import Image

from ssgan_tf.config import UserError
from ssgan_tf.labeling import session as session_module
from ssgan_tf.labeling.opening import open_session
from ssgan_tf.labeling.server import LabelingServer


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.content)


class Window:
    """A browser's window, as far as the server sees it."""

    def __init__(self, server: LabelingServer, thread: threading.Thread | None = None) -> None:
        self.server, self.thread = server, thread
        self.host = f"127.0.0.1:{server.server_port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        given: dict[str, str | None] = {"Host": self.host}
        if method == "POST":
            given["Origin"] = f"http://{self.host}"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if content is not None:
            given.setdefault("Content-Length", str(len(content)))
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(content)
        with connection.getresponse() as answer:
            found = Answer(answer.status, dict(answer.getheaders()), answer.read())
        connection.close()
        return found

    def get(self, path: str) -> Answer:
        return self.ask("GET", f"/{self.server.token}/{path}")

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", f"/{self.server.token}/{path}", body)

    def answer(self, index: int, label: str | None, before: str = "") -> Answer:
        return self.post("answer", {"index": index, "label": label, "before": before})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    unlabeled(tmp_path / "x", 5)
    return tmp_path / "x"


@pytest.fixture
def window(root: Path, tmp_path: Path) -> Iterator[Window]:
    names = [f"unlabeled/{number:02}.png" for number in range(5)]
    session, _ = open_session(f"folder:{root}", str(suggest(tmp_path / "s.csv", names)))
    with LabelingServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Window(server, thread)
        server.shutdown()
        thread.join()


def table(root: Path) -> str:
    return (root / "labels.csv").read_text()


def test_the_page_and_its_parts_are_served_with_headers_that_keep_others_out(
    window: Window,
) -> None:
    for path, kind in (("", "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = window.get(path)
        assert answer.status == 200 and answer.headers["Content-Type"].startswith(kind)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    page = window.get("").content.decode()
    assert "http:" not in page and "style=" not in page and "<script>" not in page


def test_a_request_without_the_token_is_refused(window: Window, root: Path) -> None:
    token = window.server.token
    assert len(token) >= 32
    for path in ("/", "/page.js", "/x/state", f"/{token[:-1]}/state", f"/{token}x/state", "//"):
        assert window.ask("GET", path).status == 403, path
    body = {"index": 0, "label": "cat", "before": ""}
    assert window.ask("POST", "/answer", body).status == 403
    assert window.ask("POST", f"/{token[::-1]}/answer", body).status == 403
    assert not (root / "labels.csv").exists()


def test_a_request_by_another_name_or_from_another_page_is_refused(
    window: Window, root: Path
) -> None:
    state = f"/{window.server.token}/state"
    port = window.server.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", None):
        assert window.ask("GET", state, Host=host).status == 403, host
    assert window.ask("GET", state, Host=f"localhost:{port}").status == 200
    body = {"index": 0, "label": "cat", "before": ""}
    answer = f"/{window.server.token}/answer"
    origins = ("http://evil.example", "null", "http://127.0.0.1:1", f"https://{window.host}", None)
    for origin in origins:
        assert window.ask("POST", answer, body, Origin=origin).status == 403, origin
    assert not (root / "labels.csv").exists()
    # Through a tunnel the port is another one.
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert window.ask("POST", answer, body, **tunnel).status == 200


def test_it_listens_on_this_machine_alone(window: Window) -> None:
    assert window.server.socket.getsockname()[0] == "127.0.0.1"
    assert window.server.address.startswith("http://127.0.0.1:")


def test_only_listed_images_are_served_and_by_number(window: Window, root: Path) -> None:
    answer = window.get("image/3")
    assert answer.status == 200 and answer.headers["Content-Type"] == "image/png"
    with (
        Image.open(io.BytesIO(answer.content)) as shown,
        Image.open(root / "unlabeled/03.png") as image,
    ):
        assert list(shown.getdata()) == list(image.getdata())
    (root / "secret.txt").write_text("secret")
    paths = ("image/5", "image/-1", "image/", "image/unlabeled/03.png", "image/../secret.txt")
    others = ("secret.txt", "../secret.txt", "%2e%2e/secret.txt", "/etc/passwd", "page.html", "3")
    for path in (*paths, *others, "image/1e0", "image/٣x", "state?at=5", "state?at=x"):
        assert window.get(urlsafe(path)).status == 404, path


def urlsafe(path: str) -> str:
    return path.encode("ascii", "ignore").decode()


def test_large_images_shrink_and_formats_that_browsers_lack_are_shown(
    window: Window, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "SIDE", 700)
    Image.new("RGB", (1400, 1000), "red").save(root / "unlabeled/01.png")
    Image.new("CMYK", (1, 30), (0, 255, 255, 0)).save(root / "unlabeled/02.png", "TIFF")
    for number, kind, size in ((1, "JPEG", (700, 500)), (2, "PNG", (1, 30))):
        with Image.open(io.BytesIO(window.get(f"image/{number}").content)) as shown:
            assert (shown.format, shown.size, shown.mode) == (kind, size, "RGB")
            red, *rest = shown.getpixel((0, 0))
            assert red > 230 and max(rest) < 30


def test_an_answer_is_in_the_table_and_leads_to_the_next_image(window: Window, root: Path) -> None:
    state = window.get("state?after=-1").json
    assert state == {
        "total": 5,
        "done": 0,
        "classes": ["circle"],
        "problems": [],
        "image": {
            "index": 0,
            "path": "unlabeled/00.png",
            "label": "",
            "predicted": "circle",
            "probability": 0.875,
            "reason": "typical",
            "following": 1,
        },
    }
    answer = window.answer(0, "square, small").json
    assert (answer["written"], answer["had"], answer["done"]) == ("square, small", None, 1)
    assert answer["image"]["index"] == 1 and answer["classes"] == ["circle", "square, small"]
    assert table(root) == 'file,label\nunlabeled/00.png,"square, small"\n'
    assert window.answer(4, "circle").json["image"]["index"] == 1  # from the start again
    undone = window.answer(0, None, "square, small").json
    assert undone["image"]["index"] == 0 and undone["image"]["label"] == ""
    assert table(root) == "file,label\nunlabeled/04.png,circle\n"
    for index in range(4):
        last = window.answer(index, "circle").json
    assert last["image"] is None and last["done"] == 5
    assert window.server.session.given == 5


def test_two_windows_and_other_programs(window: Window, root: Path) -> None:
    other = Window(window.server)
    window.answer(0, "circle")
    answer = other.answer(0, "square")
    assert (answer.status, answer.json["label"]) == (409, "circle")
    assert window.answer(0, None, "square").status == 409  # undo of what is not there
    assert table(root) == "file,label\nunlabeled/00.png,circle\n"
    with open(root / "labels.csv", "a") as file:
        file.write("unlabeled/01.png,star\n")
    state = other.get("state?after=0").json
    assert state["image"]["index"] == 2 and state["done"] == 2
    assert state["classes"] == ["circle", "star"]


def test_many_requests_at_once_lose_nothing(window: Window, root: Path) -> None:
    threads = [threading.Thread(target=window.answer, args=(i, f"c{i}")) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(table(root).split()[1:]) == [f"unlabeled/0{i}.png,c{i}" for i in range(5)]


def test_images_that_are_gone_or_damaged_are_skipped_and_named(window: Window, root: Path) -> None:
    (root / "unlabeled/01.png").unlink()
    (root / "unlabeled/02.png").write_bytes(b"not an image")
    assert window.get("image/1").status == 404
    assert window.answer(0, "circle").json["image"]["index"] == 2
    problem = window.get("image/2")
    assert problem.status == 404 and "is not an image" in problem.json["error"]
    state = window.get("state?after=1").json
    assert state["image"]["index"] == 3
    first, second = sorted(state["problems"])
    assert first == "unlabeled/01.png is not there any more"
    assert second.startswith("unlabeled/02.png is not an image")
    picture(root / "unlabeled/01.png", 1)  # it comes back
    state = window.get("state?after=0").json
    assert state["image"]["index"] == 1 and len(state["problems"]) == 1
    picture(root / "unlabeled/02.png", 2)  # it is repaired
    assert window.get("image/2").status == 200
    assert window.get("state?after=1").json["image"]["index"] == 2


def test_an_answer_that_cannot_be_written_is_one_sentence(window: Window, root: Path) -> None:
    (root / "labels.csv").write_bytes(b"unlabeled/00.png,caf\xe9\n")
    answer = window.answer(0, "circle")
    assert answer.status == 400 and "line 1 is not UTF-8" in answer.json["error"]
    answer = window.get("state?after=-1")
    assert answer.status == 400 and "line 1 is not UTF-8" in answer.json["error"]
    (root / "labels.csv").unlink()
    answer = window.answer(0, "n/a")
    assert answer.status == 400 and "would read as no label" in answer.json["error"]


def test_requests_that_the_page_does_not_make_are_refused(window: Window) -> None:
    path = f"/{window.server.token}/answer"
    bodies: tuple[Any, ...] = (b"{", b"[]", b"[" * 5000, {"index": "x"}, {"index": None})
    bodies += (b'{"index": Infinity}', b'{"index": NaN}')
    bodies += ({"index": 0, "label": 3, "before": ""}, {"index": 0, "label": "x"})
    for body in bodies:
        answer = window.ask("POST", path, body)
        assert answer.status in (400, 404) and answer.json["error"], body
    assert window.ask("POST", path).status == 400
    assert window.ask("POST", path, b"", Content_Length="20000").status == 400
    assert window.ask("POST", path, b"", Content_Length="-1").status == 400
    assert window.post("other", {}).status == 404
    assert window.ask("PUT", path, b"").status == 501
    assert window.get("state?after=-1").status == 200


def test_finish_says_what_is_next_and_ends_the_server(window: Window, root: Path) -> None:
    window.answer(0, "circle")
    window.answer(1, "square")
    window.answer(2, "square")
    result = window.post("finish", {}).json
    assert result == {
        "table": str(root / "labels.csv"),
        "labels": 3,
        "next": f"python -m ssgan_tf.train --dataset=folder:{root}",
        "now": True,
        "lacks": "",
    }
    assert window.thread
    window.thread.join(10)
    assert not window.thread.is_alive()


def test_a_port_that_is_taken_is_one_sentence(window: Window) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port={port}: cannot be used .*in use"):
            LabelingServer(window.server.session, port)


def test_the_address_without_its_last_slash_leads_to_the_page(window: Window) -> None:
    token = window.server.token
    answer = window.ask("GET", f"/{token}")
    assert (answer.status, answer.headers["Location"]) == (301, f"/{token}/")
    assert window.ask("GET", f"/{token[:-1]}").status == 403
