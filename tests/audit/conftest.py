"""Servers whose audit log is signed: on both stores, under a clock that tests push, and with roots of people."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import urllib3
from click.testing import CliRunner, Result
from sqlalchemy import text

from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import Root
from pinwarden.testing import pinned
from pinwarden_ops.cli_audit import audit
from pinwarden_server.app import create_app
from pinwarden_server.auth import issue_token
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.drafts import Draft
from pinwarden_server.node import Node
from pinwarden_server.publishing import publish
from pinwarden_server.renewal import Renewer, Round
from pinwarden_server.settings import load_settings
from pinwarden_server.site import Act, Site
from pinwarden_server.store import migrate, open_store
from pinwarden_server.store.engines import open_engine
from pinwarden_server.token_drafts import TokenDraft
from tests.rotation.conftest import founded, house
from tests.rotation.line import Line
from tests.server.domain.conftest import KEPT
from tests.server.store.conftest import pg_site, pg_store, site, site_on, store, url
from tests.server.store.rows import NOW

__all__ = ["founded", "house", "pg_site", "pg_store", "site", "store", "url"]  # fixtures


@dataclass
class Office:
    """A founded server, its renewer, and the present."""

    site: Site
    now: datetime = NOW
    renewer: Renewer = field(init=False)

    def __post_init__(self) -> None:
        self.renewer = Renewer(self.site, holder="one", clock=lambda: self.now)

    def put(self, name: str = "payments", by: str = "system:alice") -> None:
        """Publish a fresh pin over whatever is in force."""
        current = self.site.store.reader.find_current(name)
        draft = Draft((pinned("api.example.com", os.urandom(32), KEPT),))
        publish(self.site, name, draft, current.tag if current else None, Act(by, self.now))

    def tick(self, **later: float) -> Round:
        """Let the renewer look around, *later* than now."""
        self.now += timedelta(**later)
        return self.renewer.tick()

    def checkpoint(self) -> Checkpoint:
        """Publish once, and have the end of the log signed as soon as that is due."""
        self.put()
        self.now += timedelta(hours=1)
        made = make_checkpoint(self.site, self.now)
        assert made is not None
        return made

    @property
    def root(self) -> Root:
        return Root.parse(self.site.store.reader.roots()[-1].payload)

    def tamper(self, statements: str) -> None:
        """Run SQL beside the server, as somebody does who has its database."""
        engine = open_engine(self.site.store.url, mode="rw")
        with engine.begin() as connection:
            for statement in statements.split(";"):
                connection.execute(text(statement))
        engine.dispose()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return what the database says to *query*."""
        with self.site.store.reader.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@dataclass
class Desk:
    """The office behind its HTTP API, and an auditor at another machine: a token, a root.json, a memory of her own."""

    office: Office
    url: str
    folder: Path
    requests: list[str]

    def run(self, *words: str) -> Result:
        """Run ``pinwarden audit`` with *words*."""
        return CliRunner().invoke(audit, words, env=self.variables())

    def variables(self) -> dict[str, str]:
        return {
            "PINWARDEN_OPS_URL": self.url,
            "PINWARDEN_OPS_TOKEN_FILE": str(self.folder / "token"),
            "PINWARDEN_OPS_ROOT": str(self.folder / "root.json"),
            "PINWARDEN_OPS_STATE_DIR": str(self.folder / "state"),
        }

    def verify(self, *words: str) -> dict[str, Any]:
        """Verify, and return what was told; the exit code has to go with it."""
        done = self.run("verify", "--json", *words)
        assert done.exit_code in (0, 1), done.output
        told: dict[str, Any] = json.loads(done.stdout)
        assert (done.exit_code == 1) == bool(told["findings"])
        return told

    def kinds(self, *words: str) -> list[str]:
        """Verify, and return the kinds of what was found, each once."""
        return list(dict.fromkeys(found["kind"] for found in self.verify(*words)["findings"]))

    def memory(self) -> dict[str, bytes]:
        """Return what this machine remembers, without evidence and locks."""
        return {path.name: path.read_bytes() for path in (self.folder / "state").glob("*.audit")}

    def keep(self, name: str = "kept") -> str:
        """Fetch the newest checkpoint as a stranger does, and return the file."""
        answer = urllib3.request("GET", f"{self.url}/v1/audit/checkpoint")
        assert answer.status == 200
        file = self.folder / name
        file.write_bytes(answer.data)
        return str(file)

    def export(self, form: str = "jsonl", *words: str) -> str:
        """Export the log, and return the file."""
        file = self.folder / f"export-{len(list(self.folder.glob('export-*')))}.{form}"
        done = self.run("export", "--format", form, "--output", str(file), *words)
        assert (done.exit_code, done.stdout) == (0, ""), done.output
        return str(file)


def _served(office: Office, folder: Path) -> Iterator[Desk]:
    values = {"DATA_DIR": folder, "TREE_DIR": office.site.tree.folder, "RUN_DIR": folder / "run"}
    environ = {f"PINWARDEN_SERVER_{name}": str(value) for name, value in values.items()}
    settings = load_settings({**environ, "PINWARDEN_SERVER_DATABASE_URL": office.site.store.url})
    line = Line()
    with structlog.testing.capture_logs():
        line.application = create_app(settings, node=Node(settings, office.site, clock=lambda: office.now))
        (folder / "root.json").write_bytes(office.site.store.reader.roots()[0].to_bytes())
        issued = issue_token(office.site.store, TokenDraft("approver", 10**6), Act("setup", office.now))
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(str(issued.token))
        yield Desk(office, line.url, folder, line.paths)
    line.close()


@pytest.fixture
def desk(office: Office, tmp_path: Path) -> Iterator[Desk]:
    """An auditor in front of a server on either store: four rows, the last of which is her own token's."""
    yield from _served(office, tmp_path)


@pytest.fixture
def lite_desk(tmp_path: Path, lite_office: Office) -> Iterator[Desk]:
    """The same on SQLite alone, for what no database has a part in."""
    yield from _served(lite_office, tmp_path)


@pytest.fixture
def lite_office(tmp_path: Path) -> Iterator[Office]:
    """A server on SQLite with two versions of ``payments``."""
    address = f"sqlite:///{tmp_path}/lite.db"
    migrate(address)
    opened = open_store(address)
    made = Office(site_on(opened, tmp_path))
    made.put()
    made.put()
    yield made
    made.site.bell.close()
    opened.close()


@pytest.fixture
def office(site: Site) -> Office:
    """A server on either store with two versions of ``payments``: three rows in its audit log."""
    made = Office(site)
    made.put()
    made.put()
    return made


@pytest.fixture
def pg_office(pg_site: Site) -> Office:
    """The same on PostgreSQL alone."""
    made = Office(pg_site)
    made.put()
    return made
