"""A real HTTPS receiver of failure reports, on loopback."""

import json
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from pinwarden.spki import pin_of

PATH = "/v1/reports?from=app"
WAIT_SECONDS = 20.0


class Receiver:
    """
    Takes reports over HTTPS.

    Attributes:
        answers: statuses and headers that the next reports get; 204 when it runs out.
        reports: the paths, headers and parsed bodies that came.
    """

    def __init__(self, folder: Path) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.reports: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.connections = 0
        self._came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = outer.answers.pop(0) if outer.answers else (204, {})
                with outer._came:
                    outer.reports.append((self.path, dict(self.headers), json.loads(body)))
                    outer._came.notify_all()
                with suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        authority = trustme.CA()
        self.ca_file = folder / "receiver-ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        certificate = authority.issue_cert("localhost")
        self.pin = pin_of(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}{PATH}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return the bodies once *count* have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.reports) >= count, WAIT_SECONDS), "they never came"
            return [body for _, _, body in self.reports]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
