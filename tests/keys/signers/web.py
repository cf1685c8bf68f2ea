"""
A small HTTP server for services that cannot run here: it may hang, answer slowly, and speak TLS.

It may import the standard library. What it answers, and which faults it can have, is the business of the service.
"""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    # Seconds between the bytes of the body, for a server that never quite falls silent.
    drip_seconds: float = 0.0


class WebService:
    """Serves ``answer(request)`` on a free port of this machine, and remembers the requests."""

    def __init__(self, answer: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.open = threading.Event()
        self.open.set()
        self._stopped = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, dict(self.headers), body)
                service.requests.append(request)
                service.open.wait(30)
                service.send(self, answer(request))

            do_GET = do_POST = do_PUT = answer  # noqa: N815  # names that http.server looks for

            def log_message(self, *arguments: object) -> None:
                """Keep test output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that give up are what some tests are about
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if not answer.drip_seconds:
            handler.wfile.write(answer.body)
            return
        for number in range(len(answer.body)):
            handler.wfile.write(answer.body[number : number + 1])
            if self._stopped.wait(answer.drip_seconds):
                return

    @contextmanager
    def hangs(self) -> Iterator[None]:
        """Take requests and answer none."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    def stop(self) -> None:
        self._stopped.set()
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
