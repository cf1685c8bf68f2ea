"""A founded server on loopback; everything that tests do with it is in ``stage.py``."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden_keys import file_uri, open_signer, passphrase_file
from pinwarden_keys.ceremony import Roles, assemble, first_root, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_server.installation import init_production
from tests.rotation.line import BEGIN, Clock, Line
from tests.rotation.stage import AUTHORITY, DAY, House, new_signer, publics


@contextmanager
def a_house(folder: Path, now: datetime) -> Iterator[House]:
    """Yield a server with root 1 and no pin set, founded at *now*; two of three people make roots."""
    made = init_production(folder, bind="127.0.0.1:0", root_json=None, now=now)
    passphrase = passphrase_file(made.passphrase)
    timestamp, pinset = (
        open_signer(file_uri(made.key(name)), passphrase=passphrase) for name in ("timestamp", "pinset")
    )
    people = [new_signer() for _ in range(3)]
    keys, stamps, pins = publics(people), publics([timestamp]), publics([pinset])
    roles = Roles(
        Role(tuple(keys), 2, keys),
        TimestampRole(tuple(stamps), 1, stamps, 1, 7 * DAY),
        (Grant(tuple(pins), 1, pins, 1, 90 * DAY, ("*",)),),
    )
    draft = RootDraft(first_root(AUTHORITY, roles, now=now, lifetime=timedelta(days=365)).encode(), None, {})
    first = assemble(draft, [sign_draft(draft, person) for person in people])
    init_production(folder, bind=None, root_json=first.to_bytes(), now=now)
    with ExitStack() as stack:
        stack.enter_context(structlog.testing.capture_logs())  # else they stand among what commands print
        line = Line()
        stack.callback(line.close)
        uris = made.settings().signers
        house = House(made, line, Clock(now), people, [first], stack, timestamp, pinset, uris)
        stack.callback(house.http.clear)
        stack.callback(house.stop)
        house.start()
        yield house


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[House]:
    """A server with root 1 and no pin set."""
    with a_house(tmp_path / "server", BEGIN) as house:
        yield house


@pytest.fixture
def house_now(tmp_path: Path) -> Iterator[House]:
    """The same, founded at the present of this machine, for real processes."""
    with a_house(tmp_path / "server", datetime.now(UTC)) as house:
        yield house


@pytest.fixture
def house(founded: House) -> House:
    """The server with the pin set ``payments`` 1.1."""
    founded.publish()
    return founded
