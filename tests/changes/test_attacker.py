"""
A server taken over whole: its database, its key files, its environment, its code.

The attacker here has every byte of the installation and plays any server to real clients. The keys of the people are
on other machines; whatever the attacker makes, no client accepts a pin that two people did not sign.
"""

import base64
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from pinwarden.bundle import Bundle
from pinwarden.documents import Grant, Key, PinSet, PinSetRef, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature, keyid_of, pae
from pinwarden.testing import pinned
from pinwarden_keys import file_uri, open_signer, passphrase_file
from pinwarden_keys.signer_file import SoftwareSigner
from tests.changes.conftest import found_town, office_of
from tests.changes.pinned_fleet import HostileServer, ask, hostile_server
from tests.server.http.conftest import serving

if TYPE_CHECKING:
    from conftest import Office, Town

EVIL = pinned("api.example.com", b"\xee" * 32, b"\xef" * 32)


@dataclass
class Loot:
    """What lies on the server: its open keys, every document and signature in its database, and its root."""

    office: "Office"
    town: "Town"
    timestamp: SoftwareSigner
    pinset: SoftwareSigner
    own: SoftwareSigner
    genuine: tuple[Envelope, ...]
    waiting: tuple[Envelope, ...]

    @property
    def now(self) -> datetime:
        return self.office.clock().replace(microsecond=0)

    @property
    def root(self) -> Root:
        return Root.parse(Envelope.parse(self.town.root_json, expect=ROOT_TYPE).payload)

    def forged(self, **changes: Any) -> PinSet:
        """Return a pin set that only an attacker wants, with the next version."""
        newest = PinSet.parse(self.genuine[-1].payload)
        moved = {"version": newest.version + 100, "issued": self.now, "expires": self.now + timedelta(days=30)}
        return replace(newest, **{"hosts": (EVIL,), **moved, **changes})

    def stamped(self, pinset: Envelope, *, root_version: int = 1, **changes: Any) -> Timestamp:
        document = PinSet.parse(pinset.payload)
        digest = sha256(pinset.payload).digest()
        stamp = Timestamp(
            authority=self.root.authority,
            name="payments",
            epoch=1,
            version=10_000,
            issued=self.now,
            expires=self.now + timedelta(days=3),
            root_version=root_version,
            pinset=PinSetRef(document.epoch, document.version, digest, len(pinset.payload)),
        )
        return replace(stamp, **changes)

    def bundle(
        self, pinset: Envelope, *, roots: tuple[Envelope, ...] = (), signer: Any = None, **changes: Any
    ) -> bytes:
        """Return a bundle whose timestamp the real timestamp key signed."""
        stamp = self.stamped(pinset, root_version=1 + len(roots), **changes).encode()
        return Bundle(roots, signed(TIMESTAMP_TYPE, stamp, signer or self.timestamp), pinset).to_bytes()


def signed(payload_type: str, payload: bytes, *signers: Any) -> Envelope:
    entries = [Signature(signer.keyid, signer.sign(pae(payload_type, payload))) for signer in signers]
    return Envelope.of(payload_type, payload, entries)


def attached(payload: bytes, *entries: Signature) -> Envelope:
    """Return a pin set with signatures that were made elsewhere."""
    return Envelope.of(PINSET_TYPE, payload, entries)


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loot]:
    """Two published versions, a waiting and a rejected change with one signature each; then the theft."""
    folder = tmp_path_factory.mktemp("attack")
    town = found_town(folder, now=datetime.now(UTC).replace(microsecond=0))
    with serving(town.installation) as service:
        office = office_of(service, town)
        alice, bob, _ = town.people
        for number, base in enumerate((None, "1.1")):
            office.publish(f"live{number}", "spare", base=base)
        office.publish("other", "spare", name="payments-eu")
        waiting = office.propose("next", "spare", base="1.2")["id"]
        office.sign(waiting, alice)
        rejected = office.propose("wrong", "spare", base="1.2")["id"]
        office.sign(rejected, bob)
        office.ask("POST", f"/admin/v1/changes/{rejected}/rejection", body={"reason": "wrong key"})
        # From here on everything is read from the stolen files, never from the running server.
        rows = office.rows("SELECT envelope FROM versions WHERE name = 'payments' ORDER BY version")
        genuine = tuple(Envelope.parse(row[0], expect=PINSET_TYPE) for row in rows)
        half = tuple(
            attached(payload, Signature(keyid, sig))
            for payload, keyid, sig in office.rows(
                "SELECT payload, keyid, sig FROM changes JOIN change_signatures ON change_id = id"
                " WHERE state IN ('waiting', 'rejected') ORDER BY id"
            )
        )
        passphrase = passphrase_file(town.installation.passphrase)
        keys = [
            open_signer(file_uri(town.installation.key(name)), passphrase=passphrase)
            for name in ("timestamp", "pinset")
        ]
        own = SoftwareSigner(os.urandom(32), uri="memory:attacker")
        yield Loot(office, town, *keys, own, genuine, half)  # type: ignore[arg-type]


def test_the_attacker_stole_what_there_is_and_no_key_of_a_person(loot: Loot) -> None:
    grant = loot.root.grant_for("payments")
    assert loot.timestamp.keyid in loot.root.timestamp.keys
    assert {loot.timestamp.keyid, loot.pinset.keyid}.isdisjoint(grant.keys)
    assert (len(loot.genuine), len(loot.waiting)) == (2, 2)
    stolen = b"".join(path.read_bytes() for path in loot.town.installation.folder.rglob("*") if path.is_file())
    for person in loot.town.people:
        assert person.key_file.read_bytes() not in stolen


# Each makes what the hostile server answers, by path; clients that know nothing ask for /v1/bundles/payments/1.
ATTACKS: dict[str, Callable[[Loot], Envelope]] = {}


def attack(words: str) -> Callable[[Callable[[Loot], Envelope]], Callable[[Loot], Envelope]]:
    def kept(make: Callable[[Loot], Envelope]) -> Callable[[Loot], Envelope]:
        ATTACKS[words] = make
        return make

    return kept


def people(loot: Loot) -> list[str]:
    return [person.keyid for person in loot.town.people]


@attack("pins signed by the timestamp key")
def _(loot: Loot) -> Envelope:
    return signed(PINSET_TYPE, loot.forged().encode(), loot.timestamp)


@attack("pins signed by the server's pin-set key, which other names trust")
def _(loot: Loot) -> Envelope:
    return signed(PINSET_TYPE, loot.forged().encode(), loot.pinset, loot.timestamp)


@attack("pins signed by the attacker's key")
def _(loot: Loot) -> Envelope:
    return signed(PINSET_TYPE, loot.forged().encode(), loot.own)


@attack("pins signed by the attacker's key under two people's names")
def _(loot: Loot) -> Envelope:
    payload = loot.forged().encode()
    sig = loot.own.sign(pae(PINSET_TYPE, payload))
    return attached(payload, *(Signature(keyid, sig) for keyid in people(loot)[:2]))


@attack("pins without any signature")
def _(loot: Loot) -> Envelope:
    return attached(loot.forged().encode())


@attack("pins with the signatures of a published version")
def _(loot: Loot) -> Envelope:
    return attached(loot.forged().encode(), *loot.genuine[-1].signatures)


@attack("a published version with other pins, under its own number and signatures")
def _(loot: Loot) -> Envelope:
    swapped = replace(PinSet.parse(loot.genuine[-1].payload), hosts=(EVIL,))
    return attached(swapped.encode(), *loot.genuine[-1].signatures)


@attack("a waiting change with the one signature that it has")
def _(loot: Loot) -> Envelope:
    return loot.waiting[0]


@attack("a waiting change with its one signature under two names")
def _(loot: Loot) -> Envelope:
    [entry] = loot.waiting[0].signatures
    return attached(loot.waiting[0].payload, entry, *(Signature(keyid, entry.sig) for keyid in people(loot)[1:]))


@attack("a waiting change with a second signature lifted from a rejected one")
def _(loot: Loot) -> Envelope:
    return attached(loot.waiting[0].payload, *loot.waiting[0].signatures, *loot.waiting[1].signatures)


@attack("a waiting change with a second signature lifted from a published version")
def _(loot: Loot) -> Envelope:
    [entry] = loot.waiting[0].signatures
    lifted = [other for other in loot.genuine[-1].signatures if other.keyid != entry.keyid]
    return attached(loot.waiting[0].payload, entry, *lifted)


@attack("a waiting change with a second signature by each stolen key")
def _(loot: Loot) -> Envelope:
    own = signed(PINSET_TYPE, loot.waiting[0].payload, loot.timestamp, loot.pinset, loot.own)
    return attached(loot.waiting[0].payload, *loot.waiting[0].signatures, *own.signatures)


@attack("a rejected change with the one signature that it has")
def _(loot: Loot) -> Envelope:
    return loot.waiting[1]


@attack("a pin set of another name that the same people signed")
def _(loot: Loot) -> Envelope:
    [row] = loot.office.rows("SELECT envelope FROM versions WHERE name = 'payments-eu'")
    return Envelope.parse(row[0], expect=PINSET_TYPE)


@attack("a genuine version with its life prolonged")
def _(loot: Loot) -> Envelope:
    longer = replace(PinSet.parse(loot.genuine[-1].payload), expires=loot.now + timedelta(days=60))
    return attached(longer.encode(), *loot.genuine[-1].signatures)


@attack("an empty pin set, which would switch pinning off")
def _(loot: Loot) -> Envelope:
    return signed(PINSET_TYPE, loot.forged(hosts=()).encode(), loot.timestamp, loot.pinset)


# What refuses: too few signatures, but for the one document that two people did sign, for another name.
REFUSED_BY = {"a pin set of another name that the same people signed": "WrongPinSetError"}


@pytest.mark.parametrize("words", ATTACKS)
@pytest.mark.parametrize("holds", ["nothing", "the newest version"])
def test_no_client_accepts(loot: Loot, tmp_path: Path, words: str, holds: str) -> None:
    held = loot.genuine[-1] if holds == "the newest version" else None
    with hostile_server() as server:
        if held:
            assert hold(server, loot, tmp_path) == (held.payload, "accepted")
        server.answers = {"/v1/bundles/payments/1": loot.bundle(ATTACKS[words](loot))}
        after = ask(server.url, loot.town.root_json, tmp_path / "cache", now=loot.now)
    assert after == (held and held.payload, REFUSED_BY.get(words, "SignatureError"))


def hold(server: HostileServer, loot: Loot, folder: Path) -> tuple[bytes | None, str]:
    """Give a client the newest genuine version to hold first."""
    server.answers = {"/v1/bundles/payments/1": loot.bundle(loot.genuine[-1], version=9_000)}
    return ask(server.url, loot.town.root_json, folder / "cache", now=loot.now)


def _with_grant(loot: Loot, version: int, **changes: Any) -> Root:
    """Return a root that gives the pin sets to the attacker."""
    keys = {**loot.root.keys, loot.own.keyid: Key("ed25519", loot.own.public)}
    grant = Grant((loot.own.keyid,), 1, {loot.own.keyid: loot.own.public}, 1, 90 * 86_400, ("*",))
    return replace(loot.root, version=version, keys=keys, pinset=(grant,), **changes)


STOLEN = {
    "nobody": (),
    "the timestamp key": ("timestamp",),
    "the server's pin-set key": ("pinset",),
    "the attacker": ("own",),
    "all of them": ("timestamp", "pinset", "own"),
}


@pytest.mark.parametrize("signers", STOLEN)
def test_no_client_follows_a_root_signed_by(loot: Loot, tmp_path: Path, signers: str) -> None:
    root = signed(ROOT_TYPE, _with_grant(loot, 2).encode(), *(getattr(loot, name) for name in STOLEN[signers]))
    pinset = signed(PINSET_TYPE, loot.forged().encode(), loot.own)
    with hostile_server() as server:
        before, _ = hold(server, loot, tmp_path)
        server.answers = {
            "/v1/bundles/payments/1": loot.bundle(pinset, roots=(root,)),
            "/v1/roots/2": root.to_bytes(),
        }
        after = ask(server.url, loot.town.root_json, tmp_path / "cache", now=loot.now)
    assert after == (before, "SignatureError")


def test_no_client_goes_back_to_an_old_version_that_people_did_sign(loot: Loot, tmp_path: Path) -> None:
    old, new = loot.genuine
    with hostile_server() as server:
        hold(server, loot, tmp_path)
        server.answers = {"/v1/bundles/payments/1": loot.bundle(old)}
        assert ask(server.url, loot.town.root_json, tmp_path / "cache", now=loot.now) == (new.payload, "RollbackError")


def test_what_remains_to_the_thief_is_an_unexpired_version_for_clients_that_hold_none(
    loot: Loot, tmp_path: Path
) -> None:
    # The documented residual risk: signed by people, not forged; recovery raises the timestamp's epoch.
    with hostile_server() as server:
        server.answers = {"/v1/bundles/payments/1": loot.bundle(loot.genuine[0])}
        found, said = ask(server.url, loot.town.root_json, tmp_path / "cache", now=loot.now)
        late, later = ask(server.url, loot.town.root_json, tmp_path / "late", now=loot.now + timedelta(days=31))
    assert (found, said) == (loot.genuine[0].payload, "accepted")
    assert (late, later) == (None, "ExpiredError")


def test_the_same_forged_signatures_are_refused_by_the_honest_server_too(loot: Loot) -> None:
    office, (alice, *_), number = loot.office, loot.town.people, loot_waiting(loot)
    payload, before = office.payload(number), office.stored()
    for signer in (loot.timestamp, loot.pinset, loot.own):
        sig = base64.b64encode(signer.sign(pae(PINSET_TYPE, payload))).decode()
        for keyid in (signer.keyid, alice.keyid, loot.town.people[1].keyid):
            office.problem(office.hand_in(number, {"keyid": keyid, "sig": sig}), 422, "signature-refused")
    assert office.stored() == before


def loot_waiting(loot: Loot) -> int:
    [row] = loot.office.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    return int(row["id"])


def test_a_database_that_was_edited_does_not_make_the_server_publish_what_nobody_signed(tmp_path: Path) -> None:
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    with serving(town.installation) as service:
        office = office_of(service, town)
        office.publish("live", "spare")
        number = office.propose("next", "spare", base="1.1")["id"]
        office.sign(number, town.people[0])
        evil = replace(PinSet.parse(office.payload(number)), hosts=(EVIL,)).encode()
        execute(office, "UPDATE changes SET payload = ? WHERE id = ?", evil, number)
        before = office.client.get("/v1/bundles/payments/1").data
        # Bob signs what he is shown; alice's signature was over something else, so both together satisfy nobody.
        answer = office.hand_in(number, town.people[1].signature(evil))
        assert office.problem(answer, 500, "publication-refused")["detail"].startswith("a stored signature of change")
        assert office.client.get("/v1/bundles/payments/1").data == before
        assert office.rows("SELECT count(*) FROM versions WHERE name = 'payments'") == [(1,)]
        assert office.change(number)["state"] == "waiting"


def execute(office: "Office", statement: str, *values: object) -> None:
    with closing(sqlite3.connect(office.installation.folder / "pinwarden.db")) as connection:
        connection.execute(statement, values)
        connection.commit()


def test_a_coordinator_that_shows_each_person_another_payload_gets_no_threshold(loot: Loot, tmp_path: Path) -> None:
    """Alice signs X, bob signs Y, both in good faith: neither X nor Y has two signatures, in any mixture."""
    alice, bob, carol = loot.town.people
    shown = {
        person: loot.forged(version=500 + turn, hosts=(pinned("api.example.com", os.urandom(32), os.urandom(32)),))
        for turn, person in enumerate((alice, bob, carol))
    }
    same_number = replace(shown[bob], version=shown[alice].version)
    made = {
        (person, document): Signature(person.keyid, person.signer.sign(pae(PINSET_TYPE, document.encode())))
        for person, document in (*shown.items(), (bob, same_number))
    }
    with hostile_server() as server:
        for document in (*shown.values(), same_number):
            entries = {entry.keyid: entry for (_, other), entry in made.items() if other != document}
            entries |= {entry.keyid: entry for (_, other), entry in made.items() if other == document}
            envelope = attached(document.encode(), *entries.values())
            assert len(envelope.signatures) == 3
            server.answers = {"/v1/bundles/payments/1": loot.bundle(envelope)}
            assert ask(server.url, loot.town.root_json, tmp_path, now=loot.now) == (None, "SignatureError")


def test_keys_that_are_made_to_look_alike_count_once(loot: Loot, tmp_path: Path) -> None:
    """One person's good signature, repeated in every way that an envelope can be spelt."""
    document = loot.forged()
    payload, alice = document.encode(), loot.town.people[0]
    good = Signature(alice.keyid, alice.signer.sign(pae(PINSET_TYPE, payload)))
    public = crypto_sign_seed_keypair(os.urandom(32))[0]
    others = (Signature(alice.keyid.upper(), good.sig), Signature(keyid_of(public), good.sig), Signature("", good.sig))
    with hostile_server() as server:
        for entries in ((good, good), (good, *others), (good, Signature(loot.town.people[1].keyid, good.sig))):
            server.answers = {"/v1/bundles/payments/1": loot.bundle(attached(payload, *entries))}
            assert ask(server.url, loot.town.root_json, tmp_path, now=loot.now) == (None, "SignatureError")
