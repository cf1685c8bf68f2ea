"""
An authority whose pin sets are signed by people: a real installation that has the timestamp key, and three key files
that lie elsewhere.

Names: ``payments`` needs two of the three people, ``mixed`` the server's key and one person, everything else the
server's key alone.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden.envelope import PINSET_TYPE, keyid_of, pae
from pinwarden_keys import LIGHT_KDF, file_uri, read_key_file, write_key_file, write_passphrase_file
from pinwarden_keys.ceremony import (
    Roles,
    assemble,
    first_root,
    keyed,
    next_root,
    roles_of,
    sign_draft,
    verify_root,
)
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.founding import reconcile
from pinwarden_server.installation import Installation, init_production
from tests.server.http.conftest import Running, Service, serving

DAY = 24 * 3600
PEOPLE = ("alice", "bob", "carol")
PASSPHRASE = b"correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Someone with a key file on a machine of their own."""

    name: str
    signer: SoftwareSigner
    key_file: Path
    passphrase_file: Path

    @property
    def keyid(self) -> str:
        return self.signer.keyid

    @property
    def uri(self) -> str:
        return file_uri(self.key_file)

    def signature(self, payload: bytes, payload_type: str = PINSET_TYPE) -> dict[str, str]:
        """Return the body that hands in a signature over *payload*."""
        sig = self.signer.sign(pae(payload_type, payload))
        return {"keyid": self.keyid, "sig": base64.b64encode(sig).decode()}


@dataclass(frozen=True)
class Town:
    """The installation, its root, and the people."""

    installation: Installation
    root_json: bytes
    root_signer: SoftwareSigner
    people: tuple[Person, ...]

    @property
    def server_keyid(self) -> str:
        return read_key_file(self.installation.key("pinset")).keyid


def found_town(folder: Path, *, now: datetime, people: tuple[Person, ...] = ()) -> Town:
    """Make a server as `init` makes it, hold a ceremony for its keys and the people's, and found it."""
    made = init_production(folder / "server", bind="127.0.0.1:0", root_json=None, now=now)
    people = people or tuple(_person(folder / name, name) for name in PEOPLE)
    root_signer = SoftwareSigner(os.urandom(32), uri="memory:root")
    own = {name: read_key_file(made.key(name)).public for name in ("timestamp", "pinset")}
    publics = [person.signer.public for person in people]
    roles = Roles(
        Role((root_signer.keyid,), 1, {root_signer.keyid: root_signer.public}),
        TimestampRole((keyid_of(own["timestamp"]),), 1, keyed([own["timestamp"]]), 1, 7 * DAY),
        (
            grant_of(publics, 2, "payments*"),
            grant_of([own["pinset"], publics[0]], 2, "mixed"),
            grant_of([own["pinset"]], 1, "*"),
        ),
    )
    authority = f"town-{os.urandom(8).hex()}"
    draft = RootDraft(first_root(authority, roles, now=now, lifetime=timedelta(days=365)).encode(), None, {})
    root_json = assemble(draft, [sign_draft(draft, root_signer)]).to_bytes()
    init_production(folder / "server", bind=None, root_json=root_json, now=now)
    return Town(made, root_json, root_signer, people)


def grant_of(publics: list[bytes], threshold: int, *names: str) -> Grant:
    keys = keyed(publics)
    return Grant(tuple(keys), threshold, keys, 1, 90 * DAY, names)


def _person(folder: Path, name: str) -> Person:
    folder.mkdir()
    seed = os.urandom(32)
    write_key_file(folder / "own.key", seed, PASSPHRASE, label=name, kdf=LIGHT_KDF)
    write_passphrase_file(folder / "passphrase", PASSPHRASE)
    return Person(name, SoftwareSigner(seed, uri=f"memory:{name}"), folder / "own.key", folder / "passphrase")


@dataclass
class Office(Service):
    """The application on the town's installation, with what tests of changes do most."""

    town: Town

    def propose(self, *words: str, name: str = "payments", base: str | None = None, **fields: Any) -> dict[str, Any]:
        """PUT a draft that people have to sign, and return the change."""
        conditions = {"If_Match": f'"{base}"'} if base else {"If_None_Match": "*"}
        answer = self.ask("PUT", f"/admin/v1/pinsets/{name}", body=self.draft(*words, **fields), **conditions)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == f"/admin/v1/changes/{answer.json['id']}"
        return dict(answer.json)

    def change(self, number: int) -> dict[str, Any]:
        answer = self.ask("GET", f"/admin/v1/changes/{number}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def payload(self, number: int) -> bytes:
        return base64.b64decode(self.change(number)["payload"])

    def hand_in(self, number: int, body: Any, **headers: str) -> Any:
        return self.ask("POST", f"/admin/v1/changes/{number}/signatures", body=body, **headers)

    def sign(self, number: int, *people: Person) -> Any:
        """Let people sign what the server shows, one after the other, and return the last answer."""
        answers = [self.hand_in(number, person.signature(self.payload(number))) for person in people]
        return answers[-1]

    def publish(self, *words: str, name: str = "payments", base: str | None = None, **fields: Any) -> str:
        """Propose and have alice and bob sign; return the version."""
        answer = self.sign(self.propose(*words, name=name, base=base, **fields)["id"], *self.town.people[:2])
        assert answer.status_code == 200, answer.text
        return str(answer.json["version"])

    def rotate(self, change: Callable[[Grant], Grant] = lambda grant: grant) -> bytes:
        """Put the next root in force, with another grant for payments, as a ceremony makes it; return it."""
        before = self.node.site.store.reader.roots()[-1]
        previous = verify_root(before, previous=None)
        roles = roles_of(previous)
        roles = replace(roles, pinset=(change(roles.pinset[0]), *roles.pinset[1:]))
        root = next_root(previous, roles, now=self.clock(), lifetime=timedelta(days=365))
        draft = RootDraft(root.encode(), before, {})
        envelope = assemble(draft, [sign_draft(draft, self.town.root_signer)])
        with self.node.site.store.writer.transaction() as transaction:
            transaction.append_root(root.version, envelope, self.clock())
        reconcile(self.node.site)
        return envelope.to_bytes()

    def audit(self) -> list[tuple[str, dict[str, Any]]]:
        """Return action and detail of every audit row."""
        return [(action, json.loads(detail)) for action, detail in self.rows("SELECT action, detail FROM audit")]


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))


def office_of(service: Service, town: Town) -> Office:
    """Return *service* with the town around it."""
    return Office(service.installation, service.app, service.clock, service.admin, town)


@pytest.fixture
def office(town: Town) -> Iterator[Office]:
    with serving(town.installation) as service:
        yield office_of(service, town)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with one published version and one change that alice has signed, for refusals, which change nothing."""
    town = found_town(tmp_path_factory.mktemp("settled"), now=datetime.now(UTC).replace(microsecond=0))
    with serving(town.installation) as service:
        office = office_of(service, town)
        office.publish("live", "spare")
        office.sign(office.propose("next", "spare", base="1.1")["id"], town.people[0])
        yield office


@pytest.fixture
def start(town: Town) -> Iterator[Callable[[], Running]]:
    """Start real servers on the town's installation; they end with the test."""
    with ExitStack() as stack:

        def starter() -> Running:
            running = Running(town.installation)
            stack.callback(lambda: running.process.poll() is None and running.stop())
            return running

        yield starter
