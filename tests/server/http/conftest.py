"""A real installation per test, the Flask application on it under a clock the test owns, and real gunicorn servers."""

import base64
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from flask import Flask
from flask.testing import FlaskClient

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden_server.app import create_app
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.node import Node, open_site
from tests.waiting import Watched

START_SECONDS = 30.0
MANY = 100_000  # wrong attempts in a minute, where they are not what is tested
# What every problem document has, whether or not there is something to say.
MEMBERS = {"type", "title", "status", "detail", "expected", "got", "violations"}
COMMAND = [sys.executable, "-P", "-c", "from pinwarden_server.cli import server; server()"]


class Words:
    """What tests of both kinds say often."""

    @staticmethod
    def pin(word: str) -> str:
        """Return the pin that *word* stands for."""
        return base64.b64encode(hashlib.sha256(word.encode()).digest()).decode()

    @staticmethod
    def draft(*words: str, host: str = "api.example.com", **fields: Any) -> dict[str, Any]:
        """Return a body for PUT: the first word's pin in service, the others and vault as backups."""
        first, *backups = words or ("live", "spare", "vault")
        if backups and "vault" not in (first, *backups):
            backups.append("vault")  # or the next draft would lock out the holders of the one before (PIN009)
        entry = {"host": host, "pins": [_pin(first)], "backups": [_pin(word) for word in backups]}
        return {"hosts": [entry], **fields}

    @staticmethod
    def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
        """Return the problem document that *answer* is; it must be a whole one, of this status and kind."""
        content = getattr(answer, "status_code", None) or answer.status, answer.headers["Content-Type"]
        assert content == (status, "application/problem+json"), answer.data
        document: dict[str, Any] = json.loads(answer.data)
        wanted = {"type": f"urn:pinwarden:problem:{slug}", "status": status}
        assert {name: document[name] for name in wanted} == wanted
        assert document.keys() >= MEMBERS, document
        return document

    @staticmethod
    def version_of(bundle: bytes) -> str:
        """Return the tag of the pin set inside a bundle's bytes."""
        document = PinSet.parse(Bundle.parse(bundle).pinset.payload)
        return f"{document.epoch}.{document.version}"


def _pin(word: str) -> dict[str, str]:
    return {"sha256": Words.pin(word)}


@dataclass
class Clock:
    """The present, as a test wants it."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class Service(Words):
    """The application on a real installation, in this process, with the calls that tests make most."""

    installation: Installation
    app: Flask
    clock: Clock
    admin: str

    @property
    def node(self) -> Node:
        node: Node = self.app.extensions["pinwarden"]
        return node

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def ask(self, method: str, path: str, *, token: str | None = None, body: Any = None, **headers: str) -> Any:
        """Send one request; header names with underscores; *body* is bytes or a value that becomes JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            named.setdefault("Content-Type", "application/json")
        named.setdefault("Authorization", f"Bearer {token or self.admin}")
        return self.client.open(path, method=method, data=content, headers=named)

    def create(self, name: str = "payments", *words: str) -> str:
        """Publish the first version of *name* and return its ETag."""
        answer = self.ask("PUT", f"/admin/v1/pinsets/{name}", body=self.draft(*words), If_None_Match="*")
        assert answer.status_code == 201, answer.text
        return str(answer.headers["ETag"])

    def token(self, role: str, *names: str, seconds: int = 3600) -> str:
        """Issue a token and return it."""
        body = {"role": role, "names": list(names or ("*",)), "lifetime_seconds": seconds}
        answer = self.ask("POST", "/admin/v1/tokens", body=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json["token"])

    def stored(self) -> str:
        """Return a digest of every table and of every public file."""
        return stored(self.installation)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the database itself says to *query*."""
        return rows(self.installation, query)


def rows(installation: Installation, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of *query*, asked of the database file beside the server."""
    with closing(sqlite3.connect(installation.folder / "pinwarden.db")) as connection:
        return connection.execute(query).fetchall()


def stored(installation: Installation) -> str:
    """Return a digest of every table and of every public file of *installation*."""
    settings = installation.settings()
    with closing(sqlite3.connect(settings.data_dir / "pinwarden.db")) as connection:
        digest = hashlib.sha256("\n".join(connection.iterdump()).encode())
    for file in sorted((settings.tree_dir / "v1").rglob("*")):
        digest.update(str(file).encode() + (file.read_bytes() if file.is_file() else b""))
    return digest.hexdigest()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return init_development(tmp_path / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC))


@contextmanager
def serving(installation: Installation, *, now: datetime | None = None, **changes: Any) -> Iterator[Service]:
    """Yield the application on *installation* at *now*; *changes* are fields of its settings."""
    clock = Clock(now) if now else Clock()
    # Whole modules are wrong on purpose, from one address.
    settings = replace(installation.settings(), **{"wrong_attempts_per_minute": MANY, **changes})
    node = Node(settings, open_site(settings, with_signers=True), clock=clock)
    app = create_app(settings, node=node)
    service = Service(installation, app, clock, installation.admin_token.read_text().strip())
    # The last use of a token is recorded once a minute: now, so that a refusal is seen to change nothing at all.
    assert service.ask("GET", "/admin/v1/roots").status_code == 200
    yield service
    node.stop()


@pytest.fixture
def service(installation: Installation) -> Iterator[Service]:
    with serving(installation) as service:
        yield service


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Serve an installation with changed settings; ends with the test."""
    with ExitStack() as stack:
        yield lambda installation, **changes: stack.enter_context(serving(installation, **changes))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one pin set for the refusals of a module: which change nothing, so they may share it."""
    folder = tmp_path_factory.mktemp("refusals") / "server"
    with serving(init_development(folder, bind="127.0.0.1:0", label="test", now=datetime.now(UTC))) as service:
        service.create()
        yield service


@pytest.fixture
def refused(shared: Service) -> Callable[..., dict[str, Any]]:
    """Send a request to the shared service and return the problem document of its answer; nothing may have moved."""

    def send(method: str, path: str, status: int, slug: str, **request: Any) -> dict[str, Any]:
        before = shared.stored()
        document = shared.problem(shared.ask(method, path, **request), status, slug)
        assert shared.stored() == before
        return document

    return send


class Running(Words, Watched):
    """One real server: gunicorn under ``pinwarden server run``, on a free loopback address."""

    def __init__(self, installation: Installation, *, command: list[str] | None = None, **environment: str) -> None:
        self.installation = installation
        self.run_dir = Path(environment.get("PINWARDEN_SERVER_RUN_DIR", installation.settings().run_dir))
        self.log_file = installation.folder / f"log-{time.monotonic_ns()}"
        config = ["--config", str(installation.config)]
        config_file = {"PINWARDEN_SERVER_CONFIG": str(installation.config)}
        environ = {**os.environ, "PINWARDEN_SERVER_WRONG_ATTEMPTS_PER_MINUTE": str(MANY), **config_file, **environment}
        with self.log_file.open("wb") as log:
            arguments = command or [*COMMAND, *config, "run"]
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environ, cwd=installation.folder)
        self.http = urllib3.PoolManager(retries=False, timeout=20)
        try:
            self.url = self._wait_for_address()
            self.wait_until(lambda: self.log.count("Booting worker") >= 2)
        except BaseException:
            self.process.kill()
            raise

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def workers(self) -> list[int]:
        return [int(number) for number in re.findall(r"Booting worker with pid: (\d+)", self.log)]

    @property
    def admin(self) -> str:
        return self.installation.admin_token.read_text().strip()

    def ask(self, method: str, path: str, *, token: str | None = None, body: Any = None, **headers: str) -> Any:
        """Send one request on a pooled connection; the conventions of :meth:`Service.ask`."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            named.setdefault("Content-Type", "application/json")
        named.setdefault("Authorization", f"Bearer {token or self.admin}")
        return self.http.request(method, self.url + path, body=content, headers=named)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the database itself says to *query*."""
        return rows(self.installation, query)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def fetch(self, path: str, **headers: str) -> Any:
        """GET without a token on a connection of its own."""
        named = {"Connection": "close"} | {name.replace("_", "-"): value for name, value in headers.items()}
        with urllib3.PoolManager(retries=False, timeout=20) as http:
            return http.request("GET", self.url + path, headers=named)

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        for pid in self.workers:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue
        self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _wait_for_address(self) -> str:
        file = self.run_dir / "addresses.json"
        self.wait_until(file.exists)
        return str(json.loads(file.read_text())[0])


@pytest.fixture
def start(installation: Installation) -> Iterator[Callable[..., Running]]:
    """Start servers on the test's installation; they end with the test."""
    started: list[Running] = []

    def starter(**settings: Any) -> Running:
        started.append(Running(installation, **settings))
        return started[-1]

    yield starter
    for running in started:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a module that can share it; each has a pin set of its own."""
    folder = tmp_path_factory.mktemp("shared")
    running = Running(init_development(folder / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC)))
    yield running
    running.stop()


@pytest.fixture
def command_line(installation: Installation) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``pinwarden server`` with the settings of the test's installation."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PINWARDEN_SERVER_CONFIG": str(installation.config), **environment}
        return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environ, timeout=60)

    return run
