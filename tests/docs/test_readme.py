"""The README's lines of Python, run as they stand against a pin server and a service on this machine."""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from pinwarden.spki import pin_of
from pinwarden.testing import ThrowawayAuthority
from tests.docs.pages import REPOSITORY, blocks

CALL = """
answers = []
for url in ("https://localhost:{right}/", "https://127.0.0.1:{wrong}/"):
    try:
        answers.append(http.get(url, timeout=10).text)
    except httpx.ConnectError as error:
        answers.append(type(pinwarden.find_pin_error(error)).__name__)
print(*answers)
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *arguments: Any) -> None:
        """Keep test output readable."""


@pytest.fixture
def serve() -> Iterator[Any]:
    """Return a function that serves a folder over HTTP, or HTTPS with a certificate, and returns the port."""
    servers = []

    def start(folder: Path, leaf: trustme.LeafCert | None = None) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        server.daemon_threads = True
        if leaf is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_three_lines_pin_a_client_and_a_wrong_key_is_refused_with_our_error_inside(serve, tmp_path):
    ca = trustme.CA()
    right, wrong = ca.issue_cert("localhost"), ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        authority = ThrowawayAuthority(name="payments")
    pin = pin_of(ssl.PEM_cert_to_DER_cert(right.cert_chain_pems[0].bytes().decode()))
    authority.publish({"localhost": [pin], "127.0.0.1": [pin]})
    published = tmp_path / "published/v1/bundles/payments"
    published.mkdir(parents=True)
    (published / "1").write_bytes(authority.bundle().to_bytes())
    (tmp_path / "root.json").write_bytes(authority.root_json)
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("hello")
    ports = {"right": serve(site, right), "wrong": serve(site, wrong)}
    example = blocks(REPOSITORY / "README.md", "python")[0]
    local = example.replace("https://pins.example.com", f"http://127.0.0.1:{serve(tmp_path / 'published')}")
    assert local != example
    environ = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem"), "PINWARDEN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", local + CALL.format(**ports)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("hello PinMismatchError\n", 0), done.stderr
