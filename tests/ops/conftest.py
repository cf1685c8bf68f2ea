"""A server that answers whatever a test wants, a real one, and an operator's shell in front of either."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from pinwarden.cli import pinwarden
from pinwarden_server.installation import init_development
from tests.server.http.conftest import Running

TOKEN = "pw_0123456789abcdef_" + "s" * 43


class Api:
    """Answers every request after its *delays* with *status* and *body*, and remembers what came from whom."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", {}
        self.delays: dict[str, float] = {}  # seconds, by method
        self.peers: set[tuple[str, int]] = set()
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionError, ssl.SSLError):  # who was told enough, or trusts nobody here, hangs up
                    super().handle()

            def do_any(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, dict(self.headers), content))
                outer.peers.add(self.client_address)
                threading.Event().wait(
                    outer.delays.get(self.command, 0.0)
                )  # not time.sleep(), which some tests replace
                self.send_response(outer.status)
                for name, value in {**outer.headers, "Content-Length": str(len(outer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body)

            do_GET = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def speak_tls(self, certificate: trustme.LeafCert) -> None:
        """From now on, be at an https address with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        # Each connection shakes hands in a thread of its own, at its first byte.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    yield served
    served.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(TOKEN + "\n")
    return file


@dataclass
class Shell:
    """One person's command line, their token and their files, in front of one server."""

    url: str
    folder: Path
    token_file: Path

    def __call__(self, *words: str, typed: str | None = None, **variables: str | None) -> Result:
        """Run ``pinwarden`` with *words*."""
        return CliRunner().invoke(pinwarden, words, input=typed, env={**self.variables(), **variables})

    def variables(self) -> dict[str, str]:
        """Return the variables that this person has set."""
        return {
            "PINWARDEN_OPS_URL": self.url,
            "PINWARDEN_OPS_TOKEN_FILE": str(self.token_file),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    def private(self, name: str, content: str) -> str:
        """Write a file that its owner alone may read, and return its path."""
        file = Path(self.write(name, ""))
        file.chmod(0o600)
        file.write_text(content)
        return str(file)

    def write(self, name: str, content: Any) -> str:
        """Write a file, JSON unless it is text, and return its path."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(file)


@dataclass
class Workshop(Shell):
    """A shell in front of a real server."""

    running: Running

    def publish(self, name: str, *words: str, base: str | None = None, **fields: Any) -> str:
        """Publish by hand, over HTTP, and return the version."""
        condition = {"If_Match": f'"{base}"'} if base else {"If_None_Match": "*"}
        answer = self.running.ask("PUT", f"/admin/v1/pinsets/{name}", body=Running.draft(*words, **fields), **condition)
        assert answer.status in (200, 201), answer.data
        return str(answer.json()["version"])

    def link(self, owner: str = "alice", role: str = "admin") -> str:
        """Return a new one-time link of the server."""
        answer = self.running.ask("POST", "/admin/v1/one-time-links", body={"owner": owner, "role": role})
        assert answer.status == 201, answer.data
        return str(answer.json()["url"])

    def versions(self, name: str) -> list[str]:
        """Return the versions that the server has, newest first."""
        answer = self.running.ask("GET", f"/admin/v1/pinsets/{name}/versions").json()
        return [row["version"] for row in answer.get("versions", [])]

    def stored(self) -> list[tuple[Any, ...]]:
        """Return everything that a command can have stored: each change has a row in the audit log."""
        audit = self.running.rows("SELECT seq, hash FROM audit ORDER BY seq")
        return (
            audit
            + self.running.rows("SELECT count(*) FROM versions")
            + self.running.rows("SELECT count(*) FROM changes")
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One real server for the tests of a module; each uses names of its own."""
    folder = tmp_path_factory.mktemp("ops")
    running = Running(init_development(folder / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC)))
    yield running
    running.stop()


@pytest.fixture
def shop(server: Running, tmp_path: Path) -> Workshop:
    """An administrator in front of the real server."""
    return Workshop(server.url, tmp_path, server.installation.admin_token, server)


@pytest.fixture
def limited(shop: Workshop) -> Callable[..., Workshop]:
    """Return a function that gives a shell with a token of less power."""

    def issue(role: str, *names: str) -> Workshop:
        body = {"role": role, "names": list(names), "lifetime_seconds": 3600}
        file = shop.folder / f"{role}.token"
        file.touch(mode=0o600)
        file.write_text(shop.running.ask("POST", "/admin/v1/tokens", body=body).json()["token"])
        return Workshop(shop.url, shop.folder, file, shop.running)

    return issue


@pytest.fixture
def hostile(api: Api, token_file: Path, tmp_path: Path) -> Shell:
    """A shell in front of the server that answers whatever a test wants."""
    return Shell(api.url, tmp_path, token_file)
