"""
A pin server on loopback that answers for whichever repository a test puts in.

It may import the standard library and the repository. It remembers every path that was asked for, and never judges.
"""

import gzip
import http.server
import threading
import time
from contextlib import suppress
from typing import Any

from tests.conformance.repository import Repository

POLL_SECONDS = 0.01


class Simulator:
    """
    Serves *repository* over HTTP.

    Attributes:
        repository: may be replaced at any time.
        requests: the paths that were asked for, in order.
        url: what clients are told.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.requests: list[str] = []
        simulator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                simulator.requests.append(self.path)
                simulator._send(self)

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _send(self, request: http.server.BaseHTTPRequestHandler) -> None:
        answer = self.repository.answer(request.path, request.headers)
        body, headers = answer.body, {"Content-Type": answer.content_type, "Connection": "close", **answer.headers}
        if headers.pop("Content-Encoding", None) and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 9), "gzip"
        request.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.close_connection = True
        with suppress(ConnectionError):  # a client that refuses stops reading, which is its right
            request.end_headers()
            body = body[: len(body) - answer.cut]
            step = -(-len(body) // answer.pieces) or 1
            for start in range(0, len(body), step):
                request.wfile.write(body[start : start + step])
                time.sleep(answer.pause_seconds)
