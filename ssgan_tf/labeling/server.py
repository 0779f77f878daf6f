"""The server behind the page: for this machine, and for who knows its address, alone.

    GET  /TOKEN/               the page
    GET  /TOKEN/state?after=N  the next image after number N, as JSON; or ?at=N
    GET  /TOKEN/image/N        image N
    POST /TOKEN/answer         {"index": N, "label": ..., "before": ...}
    POST /TOKEN/finish

Images are asked for by number: no request names a file.
"""

import http.server
import importlib.resources
import json
import secrets
import socketserver
import sys
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from ssgan_tf.config import UserError
from ssgan_tf.data.folder.answers import LabeledMeanwhileError
from ssgan_tf.data.images.decoding import ImageError
from ssgan_tf.labeling.session import Session
from ssgan_tf.system.errors import cause

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")  # by which a browser on this machine asks; others may be rebound
_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_LONGEST_BODY = 10_000  # bytes


class RefusedError(Exception):
    """A request that is not served.

    Attributes:
        status: of HTTP.
        content: what is said about it.
    """

    def __init__(self, status: HTTPStatus, error: str, **content: Any) -> None:
        super().__init__(error)
        self.status, self.content = status, {"error": error, **content}


class LabelingServer(http.server.ThreadingHTTPServer):
    """Serves one session until `shutdown`, or until the page says that it is finished."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        """
        Args:
            session: what is served.
            port: of this machine; 0: one that is free.

        Raises:
            UserError: if the port cannot be had.
        """
        self.session = session
        self.result: dict[str, Any] | None = None  # when the page has said that it is finished
        self.token = secrets.token_urlsafe()
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(
                f"--port={port}: cannot be used ({error.strerror}); give another, or 0 for any "
                "that is free."
            ) from error

    def server_bind(self) -> None:
        """Binds, without asking the network for the name of this machine, as the parent does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Is silent where a browser has gone."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds, of a connection that is not used

    @property
    def _labeling(self) -> LabelingServer:
        return cast(LabelingServer, self.server)

    def do_GET(self) -> None:
        address = f"/{self._labeling.token}"
        if secrets.compare_digest(self.path.encode(), address.encode()):  # without its last slash
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", f"{self.path}/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._serve(self._get)

    def do_POST(self) -> None:
        self._serve(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed."""

    def version_string(self) -> str:
        return "ssgan_tf"

    def _serve(self, method: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            status, kind, content = HTTPStatus.OK, *method(self._asked_for())
        except RefusedError as refusal:
            status, kind, content = refusal.status, *_json(refusal.content)
            self.close_connection = True  # the rest of the request may not have been read
        except ImageError as error:
            status, kind, content = HTTPStatus.NOT_FOUND, *_json({"error": str(error)})
        except LabeledMeanwhileError as error:
            answer = {"error": "labeled meanwhile", "label": error.label}
            status, kind, content = HTTPStatus.CONFLICT, *_json(answer)
        except UserError as error:
            status, kind, content = HTTPStatus.BAD_REQUEST, *_json({"error": str(error)})
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        if self._labeling.result:
            self.wfile.flush()
            self._labeling.shutdown()

    def _asked_for(self) -> str:
        """The path behind the token.

        Raises:
            RefusedError: if the request does not come from this machine's page.
        """
        host = self.headers.get("Host", "")
        if host.partition(":")[0] not in _NAMES:
            raise RefusedError(HTTPStatus.FORBIDDEN, "This page is for this machine alone.")
        token, _, rest = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self._labeling.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "The address is not the one that was printed.")
        if self.command == "POST" and self.headers.get("Origin") != f"http://{host}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "The request comes from another page.")
        return rest

    def _get(self, path: str) -> tuple[str, bytes]:
        name, _, query = path.partition("?")
        if name in _FILES:
            file, kind = _FILES[name]
            return kind, (
                importlib.resources.files("ssgan_tf.labeling") / "page" / file
            ).read_bytes()
        session = self._labeling.session
        if name == "state":
            fields = dict(urllib.parse.parse_qsl(query))
            if "at" in fields:
                return _json(session.state(self._index(fields["at"])))
            after = self._index(fields.get("after", "-1"), lowest=-1)
            return _json(session.state(session.following(after)))
        start, _, number = name.partition("/")
        if start == "image":
            return session.picture(self._index(number))
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _post(self, path: str) -> tuple[str, bytes]:
        session, body = self._labeling.session, self._body()
        if path == "finish":
            self._labeling.result = session.result()
            return _json(self._labeling.result)
        if path != "answer":
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")
        index, label, before = self._index(body.get("index")), body.get("label"), body.get("before")
        if not isinstance(label, str | None) or not isinstance(before, str):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The label is not text.")
        written, had = session.answer(index, label, before)
        # An answer leads on; one that is taken back leads there.
        return _json(
            session.state(session.following(index) if written else index)
            | {"written": written, "had": had}
        )

    def _body(self) -> dict[str, Any]:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LONGEST_BODY:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The request has no length, or is too long.")
        try:
            content = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"Not JSON ({cause(error)}).") from error
        if not isinstance(content, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Not an object.")
        return content

    def _index(self, value: Any, lowest: int = 0) -> int:
        """The number of an image."""
        try:
            index = int(value)
        except (TypeError, ValueError, OverflowError):  # the last one for Infinity
            index = -2
        if not lowest <= index < len(self._labeling.session):
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such image.")
        return index


def _json(content: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()
