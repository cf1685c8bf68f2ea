"""A real server under gunicorn whose ``payments`` two people sign: one version is in force, and one change waits."""

import json
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden_keys import write_passphrase_file
from pinwarden_server.auth import Role
from tests.changes.conftest import Town, found_town
from tests.server.http.conftest import Running

METRICS_TOKEN = "scraper-with-a-long-secret"
NOBODY, SCRAPER = "nobody", "metrics token"
# What a token may be for: names that reach payments, and names that do not.
REACHES = {"everything": ("*",), "by pattern": ("pay*",), "by name": ("payments",), "others": ("orders", "refunds*")}


@dataclass
class House:
    """The server, the change that waits there, and a token and a person's session for each role and reach."""

    running: Running
    town: Town
    change_id: int
    tokens: dict[tuple[str, str], str]
    sessions: dict[tuple[str, str], str]

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """Send one request as the first administrator; the conventions of ``Running.ask``."""
        return self.running.ask(method, path, **request)

    def stored(self) -> str:
        """Return a digest of every public file and of the database, but for leases and the last use of tokens."""
        digest, folder = sha256(), self.running.installation.settings().tree_dir / "v1"
        with closing(sqlite3.connect(self.running.installation.folder / "pinwarden.db")) as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in sorted(set(tables) - {"leases"}):
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                kept = ", ".join(column for column in columns if column != "last_used_at")
                digest.update(repr(connection.execute(f"SELECT {kept} FROM {table}").fetchall()).encode())
        for file in sorted(folder.rglob("*")):
            digest.update(str(file).encode() + (file.read_bytes() if file.is_file() else b""))
        return digest.hexdigest()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server for requests that change nothing, refused or not."""
    with built(tmp_path_factory.mktemp("house")) as house:
        yield house


@contextmanager
def built(folder: Path) -> Iterator[House]:
    """Found a town in *folder*, and run its server for the length of the block; nothing there renews by itself."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    town = found_town(folder, now=now)
    write_passphrase_file(folder / "metrics", METRICS_TOKEN.encode())
    settings = {"METRICS_TOKEN_FILE": str(folder / "metrics"), "RENEWAL_INTERVAL_SECONDS": "3600"}
    running = Running(town.installation, **{f"PINWARDEN_SERVER_{name}": value for name, value in settings.items()})
    try:
        yield _furnished(running, town)
    finally:
        running.stop()


def _furnished(running: Running, town: Town) -> House:
    first = _proposed(running, If_None_Match="*")
    for person in town.people[:2]:
        payload = json.loads(running.ask("GET", f"/admin/v1/changes/{first}").data)["payload"]
        signature = person.signature(b64decode(payload))
        answer = running.ask("POST", f"/admin/v1/changes/{first}/signatures", body=signature)
    assert answer.status == 200, answer.data
    waiting = _proposed(running, "next", "spare", If_Match='"1.1"')
    tokens = {(role.value, reach): _token(running, role, names) for role in Role for reach, names in REACHES.items()}
    sessions = {
        (role.value, reach): _session(running, role, names) for role in Role for reach, names in REACHES.items()
    }
    return House(running, town, waiting, tokens, sessions)


def _proposed(running: Running, *words: str, **conditions: str) -> int:
    answer = running.ask("PUT", "/admin/v1/pinsets/payments", body=running.draft(*words), **conditions)
    assert answer.status == 202, answer.data
    return int(json.loads(answer.data)["id"])


def _token(running: Running, role: Role, names: tuple[str, ...]) -> str:
    body = {"role": role.value, "names": list(names), "lifetime_seconds": 3600}
    answer = running.ask("POST", "/admin/v1/tokens", body=body)
    assert answer.status == 201, answer.data
    return str(json.loads(answer.data)["token"])


def _session(running: Running, role: Role, names: tuple[str, ...]) -> str:
    body = {"owner": "alice", "role": role.value, "names": list(names)}
    link = running.ask("POST", "/admin/v1/one-time-links", body=body).json()["url"]
    begun = running.ask("POST", "/admin/v1/logins", body={"link": link.partition("#")[2]})
    assert begun.status == 201, begun.data
    return str(begun.json()["token"])
