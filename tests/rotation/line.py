"""The address that clients of these tests know, whoever answers there, and the clock that everyone shares."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

BEGIN = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """The present of everyone here."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Keep test output readable."""


class Line:
    """
    The address that clients know: passes requests on to *application*, unless someone sits in between.

    Attributes:
        answers: bodies that a thief on the line gives instead, by path; None is 404.
        before: called before the request of a path is answered.
        paths: what was asked for, in order.
    """

    def __init__(self) -> None:
        self.application: Any = None
        self.answers: dict[str, bytes | None] = {}
        self.before: dict[str, Callable[[], object]] = {}
        self.paths: list[str] = []
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.paths.append(path)
        self.before.get(path, lambda: None)()
        if path in self.answers:
            body = self.answers[path]
            start_response("404 NOT FOUND" if body is None else "200 OK", [("Content-Length", str(len(body or b"")))])
            return [body or b""]
        answered: Iterable[bytes] = self.application(environ, start_response)
        return answered

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
