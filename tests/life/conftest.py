"""
A stage for applications in processes of their own: a pin server, a pinned TLS service, files, and programs that run.

Everything listens on loopback. Nothing here judges a connection; the programs do, by the SDK as it is installed.
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from pinwarden.spki import pin_of
from pinwarden.testing import ThrowawayAuthority
from tests.sdk.conftest import PinServer, RawServer

HERE = Path(__file__).parent
HOST = "localhost"
PROGRAM_SECONDS = 60.0


class Service:
    """A TLS service that says ``ok`` to everyone, and ``pin``, the pin of its key."""

    def __init__(self, authority: trustme.CA) -> None:
        certificate = authority.issue_cert(HOST)
        self.pin = pin_of(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                stream, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        stream.settimeout(10)
        with stream, suppress(OSError), self._context.wrap_socket(stream, server_side=True) as secure:
            secure.sendall(b"ok")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Stage:
    """
    What programs find: ``authority`` publishes, ``server`` serves it, ``service`` is what they connect to.

    The pin set pins the service's key; :meth:`publish` changes that.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        self.service = Service(ca)
        stack.callback(self.service.close)
        self.server = PinServer()
        stack.callback(self.server.close)
        with pytest.warns(UserWarning, match="keys that anyone can compute"):
            self.authority = ThrowawayAuthority()
        (folder / "root.json").write_bytes(self.authority.root_json)
        self.publish(self.service.pin)

    def publish(self, *pins: bytes, **changes: Any) -> None:
        """Publish that the service has *pins*; *changes* replace fields of the pin set."""
        self.authority.publish({HOST: [*pins, b"b" * 32]}, **changes)
        self.server.serve(self.authority)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a program on this stage."""
        own = {
            "PINWARDEN_URL": self.server.url,
            "PINWARDEN_PINSET": "app",
            "PINWARDEN_ROOT": str(self.folder / "root.json"),
            "PINWARDEN_CACHE": str(self.folder / "cache"),
            "PINWARDEN_POLL_SECONDS": "0.1",
            "STAGE_CA": str(self.folder / "ca.pem"),
            "STAGE_PORT": str(self.service.port),
            "PYTHONPATH": str(HERE),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "always::ResourceWarning",  # nothing may be left open, not even at the end
        }
        return {**{name: value for name, value in os.environ.items() if not name.startswith("PINWARDEN_")}, **own}

    def start(self, body: str, *arguments: str, within: Sequence[str] = (), **changes: str) -> "subprocess.Popen[str]":
        """
        Start a Python program; it is killed when the test ends before it does.

        Args:
            within: a command that executes the one that follows it.
        """
        path = self.folder / f"program{len(list(self.folder.glob('program*.py')))}.py"
        path.write_text(textwrap.dedent(body))
        process = subprocess.Popen(
            [*within, sys.executable, str(path), *arguments],
            env={**self.environ, **changes},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(end, process)
        return process

    def run(self, body: str, *arguments: str, **changes: str) -> str:
        """Run a Python program to its end, which must be a good one, and return what it printed."""
        return finish(self.start(body, *arguments, **changes))


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a program that must end well and complain of nothing; return what it printed."""
    told, complained = process.communicate(timeout=PROGRAM_SECONDS)
    assert (process.returncode, complained) == (0, "")
    return told


def end(process: "subprocess.Popen[Any]") -> None:
    """Kill a program that still runs."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage on which the service's own key is pinned."""
    with ExitStack() as stack:
        yield Stage(tmp_path, stack)


@pytest.fixture
def raw_server() -> type[RawServer]:
    """A pin server that a test drives by bytes; to be used as a context manager."""
    return RawServer
