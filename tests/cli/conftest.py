"""
The command line as people call it: in this process through click's runner, and as a process where that is the subject.

The pin server is a folder of plain files over HTTP, which the protocol allows; the TLS server counts what reaches it.
"""

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pinwarden.cli import pinwarden
from pinwarden.spki import pin_of
from pinwarden.testing import ThrowawayAuthority
from pinwarden.testing.plugin import throwaway_authority, throwaway_pins  # noqa: F401

HOST = "localhost"
BACKUP = b"2" * 32


class PinFiles:
    """The public files of an authority, served over HTTP on loopback from *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        folder.mkdir()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, authority: ThrowawayAuthority) -> None:
        """Serve what *authority* has published."""
        for number, root in enumerate(authority.roots, 1):
            self._write(f"v1/roots/{number}", root.to_bytes())
            self._write(f"v1/bundles/{authority.name}/{number}", authority.bundle(root=number).to_bytes())

    def _write(self, path: str, content: bytes) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class TlsServer:
    """A TLS server on loopback for ``localhost`` that remembers the application bytes of each connection."""

    def __init__(self, certificates: Path) -> None:
        self.ca_file = certificates / "ca.pem"
        self.chain_file = certificates / "chain.pem"
        self.leaf_pin = pin_of(
            x509.load_pem_x509_certificates(self.chain_file.read_bytes())[0].public_bytes(Encoding.DER)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates / "server.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def target(self) -> str:
        """The address for the command line."""
        return f"{HOST}:{self._listener.getsockname()[1]}"

    def stop(self) -> list[bytes]:
        """Wait for the connections that were made, and return what each of them sent after its handshake."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self._received

    def close(self) -> None:
        """Stop, and give the port back."""
        self.stop()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(10)
            with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as line:
                self._received.append(b"")
                self._received[-1] = line.recv(65536)
                if self._received[-1]:
                    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


@dataclass
class Command:
    """Calls ``pinwarden`` in this process, with variables that a test may change."""

    environ: dict[str, str]

    def __call__(self, *arguments: object, stdin: bytes | None = None, **environ: str) -> Result:
        given = {**self.environ, **environ}
        return CliRunner(env=given).invoke(pinwarden, [str(each) for each in arguments], input=stdin)

    def process(self, *arguments: object, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        """The same as a process of its own."""
        return subprocess.run(**self.words(*arguments, **environ), cwd=cwd, capture_output=True, text=True, timeout=30)

    def words(self, *arguments: object, **environ: str) -> dict[str, Any]:
        """Return what subprocess needs to start it."""
        program = Path(sys.executable).parent / "pinwarden"
        words = [str(program), *(str(each) for each in arguments)]
        return {"args": words, "env": {**os.environ, **self.environ, **environ}}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("PINWARDEN_") or name == "XDG_STATE_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def authority() -> ThrowawayAuthority:
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        return ThrowawayAuthority()


@pytest.fixture
def pin_files(tmp_path: Path) -> Iterator[PinFiles]:
    served = PinFiles(tmp_path / "public")
    yield served
    served.close()


@pytest.fixture
def command(tmp_path: Path, authority: ThrowawayAuthority, pin_files: PinFiles) -> Command:
    """The command with settings of a client whose pin server has published nothing yet."""
    root = tmp_path / "root.json"
    root.write_bytes(authority.root_json)
    return Command(
        {
            "PINWARDEN_URL": pin_files.url,
            "PINWARDEN_PINSET": authority.name,
            "PINWARDEN_ROOT": str(root),
            "PINWARDEN_CACHE": str(tmp_path / "cache"),
        }
    )


@pytest.fixture
def publish(authority: ThrowawayAuthority, pin_files: PinFiles) -> Callable[..., None]:
    """Return a function that publishes hosts with their pins, or Host values, and serves the result."""

    def now(hosts: Any, **changes: Any) -> None:
        authority.publish(hosts, **changes)
        pin_files.serve(authority)

    return now


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, chain.pem (leaf, then CA) and server.pem (key and leaf) for localhost."""
    folder = tmp_path_factory.mktemp("certificates")
    ca = trustme.CA()
    issued = ca.issue_cert(HOST)
    leaf = issued.cert_chain_pems[0].bytes()
    (folder / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (folder / "chain.pem").write_bytes(leaf + ca.cert_pem.bytes())
    (folder / "server.pem").write_bytes(issued.private_key_pem.bytes() + leaf)
    return folder


@pytest.fixture
def tls_server(certificates: Path) -> Iterator[TlsServer]:
    server = TlsServer(certificates)
    yield server
    server.close()
