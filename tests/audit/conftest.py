"""Servers whose audit log is signed: on both stores, under a clock that tests push, and with roots of people."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import Root
from pinwarden.testing import pinned
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.drafts import Draft
from pinwarden_server.publishing import publish
from pinwarden_server.renewal import Renewer, Round
from pinwarden_server.site import Act, Site
from pinwarden_server.store.engines import open_engine
from tests.rotation.conftest import founded, house
from tests.server.store.conftest import pg_site, pg_store, postgres, site, store, url
from tests.server.store.rows import NOW

__all__ = ["founded", "house", "pg_site", "pg_store", "postgres", "site", "store", "url"]  # fixtures


@dataclass
class Office:
    """A founded server, its renewer, and the present."""

    site: Site
    now: datetime = NOW
    renewer: Renewer = field(init=False)

    def __post_init__(self) -> None:
        self.renewer = Renewer(self.site, holder="one", clock=lambda: self.now)

    def put(self, name: str = "payments", by: str = "token:alice") -> None:
        """Publish fresh pins over whatever is in force."""
        current = self.site.store.reader.find_current(name)
        draft = Draft((pinned("api.example.com", os.urandom(32), os.urandom(32)),))
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


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where one machine remembers."""
    return tmp_path / "state"
