"""A patient: a real installation with a published pin set, which tests break, and the doctor's findings about it."""

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.testing import pinned
from pinwarden_server.doctor import Facts, State, examine, gather
from pinwarden_server.drafts import Draft
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.node import open_site
from pinwarden_server.publishing import publish
from pinwarden_server.renewal import Renewer
from pinwarden_server.site import Act
from tests.server.domain.conftest import KEPT


@dataclass
class Patient:
    """An installation, and what is told to the doctor besides."""

    installation: Installation
    now: datetime
    environ: dict[str, str] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    backup: Path | None = None

    @property
    def folder(self) -> Path:
        return self.installation.folder

    def facts(self) -> Facts:
        settings = replace(self.installation.settings(), **self.changes)
        return gather(
            settings, environ=self.environ, clock=self.clock, config=self.installation.config, backup=self.backup
        )

    def clock(self) -> datetime:
        """Return the present, moved by as much as *now* is away from when this began."""
        return datetime.now(UTC) + (self.now - self._began)

    def __post_init__(self) -> None:
        self._began = self.now

    def findings(self, check: str) -> list[tuple[State, str, str]]:
        """Return what the doctor says about *check*."""
        return [(one.state, one.says, one.do) for one in examine(self.facts()) if one.check == check]

    def states(self) -> dict[str, list[State]]:
        """Return the states of every check that is not ok."""
        found: dict[str, list[State]] = {}
        for one in examine(self.facts()):
            if one.state is not State.OK:
                found.setdefault(one.check, []).append(one.state)
        return found

    def sql(self, statements: str) -> None:
        """Run SQL in its database, which must be SQLite."""
        with closing(sqlite3.connect(self.folder / "pinwarden.db")) as connection:
            connection.executescript(statements)

    def digest(self) -> dict[str, tuple[str, int, int]]:
        """Return every file with its content, mode and time, but for what reading itself leaves beside the database."""
        files = [path for path in self.folder.rglob("*") if not path.name.endswith(("-wal", "-shm"))]
        return {
            str(path): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
                path.stat().st_mode,
                path.stat().st_mtime_ns if path.is_file() else 0,
            )
            for path in files
        }


def admit(folder: Path, **options: Any) -> Patient:
    """Return a healthy installation with ``payments`` published and a lease that is held."""
    now = datetime.now(UTC)
    made = init_development(folder, bind="127.0.0.1:0", label="doctor", now=now - timedelta(minutes=1), **options)
    site = open_site(made.settings(), with_signers=True)
    draft = Draft((pinned("api.example.com", os.urandom(32), KEPT),))
    publish(site, "payments", draft, None, Act("tester", now))
    Renewer(site, holder="somebody", clock=lambda: now).tick()
    site.signers.close()
    site.store.close()
    site.bell.close()
    made.admin_token.unlink()
    return Patient(made, now)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return admit(tmp_path / "server")
