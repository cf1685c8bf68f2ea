"""
A folder over HTTP/1.1 that counts what it is asked: ``python -m bench.file_server FOLDER [MILLISECONDS]``.

It may import the standard library. It listens on loopback only and answers after *MILLISECONDS*, as a server would that
is so far away; ``/requests`` answers, and does not count, how many requests came before.
"""

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COUNT_PATH = "/requests"


class CountingHandler(SimpleHTTPRequestHandler):
    """Answers files, keeps connections open, and writes no log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = 0
    delay_seconds = 0.0

    def do_GET(self) -> None:
        """Answer a file, or the count."""
        if self.path != COUNT_PATH:
            CountingHandler.seen += 1
            time.sleep(self.delay_seconds)
            super().do_GET()
            return
        body = str(CountingHandler.seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Write nothing: a log would be part of what is measured."""


if __name__ == "__main__":
    if len(sys.argv) > 2:
        CountingHandler.delay_seconds = int(sys.argv[2]) / 1000
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(CountingHandler, directory=sys.argv[1])) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
