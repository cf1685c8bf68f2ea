"""Two real servers, each with two workers and files of its own, on one real PostgreSQL."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Timestamp
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.store import Store, open_store
from tests.postgres import Postgres
from tests.waiting import Watched

START_SECONDS = 30.0
COMMAND = [sys.executable, "-P", "-c", "from pinwarden_server.cli import server; server()"]


def pin(word: str) -> dict[str, str]:
    return {"sha256": base64.b64encode(hashlib.sha256(word.encode()).digest()).decode()}


def draft(word: str, **fields: Any) -> dict[str, Any]:
    """Return a body for PUT whose pin is that of *word*, and whose backup that of every word."""
    return {"hosts": [{"host": "api.example.com", "pins": [pin(word)], "backups": [pin("spare of all")]}], **fields}


class Server(Watched):
    """One node: gunicorn under ``pinwarden server run`` on a free loopback address."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.settings = installation.settings()
        self.log_file = installation.folder / f"log-{time.monotonic_ns()}"
        environ = {**os.environ, "PINWARDEN_SERVER_RENEWAL_INTERVAL_SECONDS": "1"}
        with self.log_file.open("wb") as log:
            arguments = [*COMMAND, "--config", str(installation.config), "run"]
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environ, cwd=installation.folder)
        self.http = urllib3.PoolManager(retries=False, timeout=30, maxsize=32)
        self.url = self._wait_for_address()
        self.wait_until(lambda: len(self.workers) >= 2)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def workers(self) -> list[int]:
        return [int(number) for number in re.findall(r"Booting worker with pid: (\d+)", self.log)]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send one request to the admin API; header names with underscores."""
        token = self.installation.admin_token.read_text().strip()
        named = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        return self.http.request(method, f"{self.url}/admin/v1{path}", body=content, headers=named)

    def publish(self, name: str, word: str, **headers: str) -> str:
        """Publish over whatever is in force and return the version."""
        there = self.ask("GET", f"/pinsets/{name}")
        condition = {"If_Match": there.headers["ETag"]} if there.status == 200 else {"If_None_Match": "*"}
        answer = self.ask("PUT", f"/pinsets/{name}", draft(word), **condition, **headers)
        assert answer.status in (200, 201), answer.data
        return str(answer.json()["version"])

    def fetch(self, path: str) -> Any:
        """GET without a token on a connection of its own, so that any worker may answer."""
        with urllib3.PoolManager(retries=False, timeout=20) as http:
            return http.request("GET", self.url + path, headers={"Connection": "close"})

    def served(self, name: str, root: int = 1) -> str | None:
        """Return the version that a client would get now, None when there is none."""
        answer = self.fetch(f"/v1/bundles/{name}/{root}")
        assert answer.status in (200, 404), answer.data
        return version_of(answer.data) if answer.status == 200 else None

    def timestamp(self, name: str) -> int | None:
        """Return the timestamp's version that a client would get now."""
        answer = self.fetch(f"/v1/bundles/{name}/1")
        if answer.status != 200:
            return None
        return Timestamp.parse(Bundle.parse(answer.data).timestamp.payload).version

    def in_tree(self, name: str, root: int = 1) -> str | None:
        """Return the version in the published tree of this node."""
        file = self.settings.tree_dir / f"v1/bundles/{name}/{root}"
        return version_of(file.read_bytes()) if file.exists() else None

    def tell_to_stop(self) -> None:
        """Begin the end of a server that runs."""
        if self.process.poll() is None:
            self.process.terminate()

    def end(self) -> int:
        """Wait for a server that was told to stop, and return its exit code."""
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _wait_for_address(self) -> str:
        file = self.settings.run_dir / "addresses.json"
        self.wait_until(file.exists)
        return str(json.loads(file.read_text())[0])


def version_of(bundle: bytes) -> str:
    """Return the tag of the pin set inside a bundle's bytes."""
    document = PinSet.parse(Bundle.parse(bundle).pinset.payload)
    return f"{document.epoch}.{document.version}"


def installed(folder: Path, url: str) -> Installation:
    """Return a founded server in *folder* whose store is at *url*."""
    folder.mkdir(mode=0o700)
    secret = folder / "database.url"
    secret.write_text(url)
    secret.chmod(0o600)
    now = datetime.now(UTC)
    return init_development(folder / "a", bind="127.0.0.1:0", label="test", now=now, database_url_file=secret)


def another(first: Installation, name: str) -> Installation:
    """Return a second node of the same server: its keys and its settings, with other folders."""
    other = Installation(first.folder.parent / name)
    other.folder.mkdir(mode=0o700)
    shutil.copytree(first.keys, other.keys)
    for file in (first.admin_token, first.root_json):
        shutil.copy2(file, other.folder / file.name)
    other.config.write_text(first.config.read_text().replace(str(first.folder), str(other.folder)))
    other.config.chmod(0o600)
    return other


@contextmanager
def two_nodes(folder: Path, postgres: Postgres) -> Iterator[tuple[Server, Server]]:
    """Yield two running nodes of one server on a database of their own; both end cleanly."""
    first = installed(folder, postgres.create())
    nodes: list[Server] = []
    try:
        for installation in (first, another(first, "b")):
            nodes.append(Server(installation))
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            node.tell_to_stop()  # all at once: each takes its time
        codes = {node.end() for node in nodes}
    assert codes == {0}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[tuple[Server, Server]]:
    """Two nodes for the tests of a module, each of which has a pin set of its own."""
    with two_nodes(tmp_path_factory.mktemp("shared") / "nodes", postgres) as running:
        yield running


@pytest.fixture
def store(nodes: tuple[Server, Server]) -> Iterator[Store]:
    """The store of the nodes, seen from beside them."""
    opened = open_store(nodes[0].settings.database_url)
    yield opened
    opened.close()
