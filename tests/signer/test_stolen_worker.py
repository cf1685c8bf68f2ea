"""
A web worker taken over whole: it may ask the signer process for anything, holds every document and approval that ever
passed through it, and plays any server to clients. No client accepts a pin that too few people approved.

The process is a real one, over a real socket; who judges what comes out is the client's own verifier.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature, pae
from pinwarden.errors import UntrustedError
from pinwarden_keys import SigningRefusedError
from pinwarden_keys.signer import CHALLENGE
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_keys.signer_unix import UnixSigner
from tests.changes.pinned_fleet import ask, hostile_server
from tests.signer.safe import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    PINS,
    STAMP,
    Safe,
    approvals,
    make_safe,
    message_of,
    open_unix,
    pinset,
    timestamp,
)

EVIL = "evil"


@dataclass
class Loot:
    """What the thief has: the way to both keys, and what passed through the worker."""

    safe: Safe
    pins: UnixSigner
    stamp: UnixSigner
    now: datetime
    old: PinSet
    held: PinSet
    waiting: PinSet
    europe: PinSet
    stamps: list[Timestamp]
    passed: dict[str, tuple[Signature, ...]]
    got: list[tuple[bytes, Signature]] = field(default_factory=list)

    def forged(self, **changes: Any) -> PinSet:
        """Return the pin set that the thief wants, with the next version."""
        return replace(pinset(word=EVIL, version=self.held.version + 1, now=self.now), **changes)

    def take(self, signer: UnixSigner, message: bytes, approved: tuple[Signature, ...] = ()) -> str:
        """Ask for a signature and keep it; return the rule that refuses, or "signed"."""
        try:
            sig = signer.sign_approved(message, approved)
        except SigningRefusedError as error:
            return error.rule
        self.got.append((message, Signature(signer.keyid, sig)))
        return "signed"

    def envelope(self, payload_type: str, payload: bytes) -> Envelope:
        """Return the best envelope of *payload* that the thief can make out of everything."""
        message = pae(payload_type, payload)
        mine = {entry.keyid: entry for signed, entry in self.got if signed == message}
        every = {entry.keyid: entry for _, entry in self.got}
        people = {entry.keyid: entry for entries in self.passed.values() for entry in entries}
        return Envelope.of(payload_type, payload, list((people | every | mine).values())[:16])


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loot]:
    """Two versions that people approved, one that alice alone has approved, another name; then the theft."""
    now = datetime.now(UTC).replace(microsecond=0)
    safe = make_safe(tmp_path_factory.mktemp("stolen") / "safe", now=now)
    old, held = (pinset(word=f"live{number}", version=number, now=now) for number in (1, 2))
    waiting = pinset(word="next", version=3, now=now)
    europe = pinset("payments-eu", version=1, now=now)
    passed = {
        "old": approvals(old, ALICE, BOB),
        "held": approvals(held, ALICE, CAROL),
        "waiting": approvals(waiting, ALICE),
        "europe": approvals(europe, ALICE, BOB),
    }
    with safe.running(), closing(open_unix(safe)) as pins, closing(open_unix(safe, STAMP)) as stamp:
        stamps = [timestamp(each, version=each.version, now=now) for each in (old, held, europe)]
        loot = Loot(safe, pins, stamp, now, old, held, waiting, europe, stamps, passed)
        for document, name, named in zip((old, held, europe), ("old", "held", "europe"), stamps, strict=True):
            assert loot.take(pins, message_of(document), passed[name]) == "signed"
            assert loot.take(stamp, message_of(named)) == "signed"
        yield loot


# What each asks of the pin-set key, and the rule that refuses it.
ATTACKS: dict[str, tuple[str, Callable[[Loot], tuple[PinSet, tuple[Signature, ...]]]]] = {
    "nobody approved": ("approval", lambda loot: (loot.forged(), ())),
    "a stranger approved twice": (
        "approval",
        lambda loot: (loot.forged(), approvals(loot.forged(), MALLORY, SoftwareSigner(b"\x01" * 32, uri="memory:x"))),
    ),
    "a stranger approved under the names of alice and bob": (
        "approval",
        lambda loot: (loot.forged(), under(approvals(loot.forged(), MALLORY)[0], ALICE, BOB)),
    ),
    "alice's approval of what waits, twice": (
        "approval",
        lambda loot: (loot.waiting, loot.passed["waiting"] * 2),
    ),
    "alice's approval of what waits, under the names of all": (
        "approval",
        lambda loot: (loot.waiting, under(loot.passed["waiting"][0], ALICE, BOB, CAROL)),
    ),
    "what waits, with bob's approval of an older version": (
        "approval",
        lambda loot: (loot.waiting, (*loot.passed["waiting"], loot.passed["old"][1])),
    ),
    "pins with the approvals of what is in force": ("approval", lambda loot: (loot.forged(), loot.passed["held"])),
    "the old version that two people did approve": ("version", lambda loot: (loot.old, loot.passed["old"])),
    "the old content under the next version": (
        "approval",
        lambda loot: (replace(loot.old, version=3), loot.passed["old"]),
    ),
    "the version in force with other pins": ("version", lambda loot: (loot.forged(version=2), loot.passed["held"])),
    "what people approved for another name": (
        "approval",
        lambda loot: (replace(loot.europe, name="payments", version=3), loot.passed["europe"]),
    ),
    "another authority, fully approved": (
        "V5",
        lambda loot: approved(loot.forged(authority="safe-ffffffffffffffff")),
    ),
    "an epoch that no root gives, fully approved": ("V7", lambda loot: approved(loot.forged(epoch=2))),
    "a version that burns the others, fully approved": (
        "version",
        lambda loot: approved(loot.forged(version=2**53 - 1)),
    ),
    "issued tomorrow, fully approved": (
        "issued",
        lambda loot: approved(
            loot.forged(issued=loot.now + timedelta(hours=20), expires=loot.now + timedelta(days=30))
        ),
    ),
    "a life beyond the grant's, fully approved": (
        "V5",
        lambda loot: approved(loot.forged(expires=loot.now + timedelta(days=91))),
    ),
    "the content in force with a life of an hour": (
        "approval",
        lambda loot: (replace(loot.held, version=3, expires=loot.now + timedelta(hours=1)), ()),
    ),
    "an empty pin set, which would switch pinning off": ("approval", lambda loot: (loot.forged(hosts=()), ())),
    "a renewal with a version that burns the others": ("version", lambda loot: (replace(loot.held, version=2000), ())),
    "a name that no section covers": ("name", lambda loot: (loot.forged(name="orders"), ())),
}


def under(entry: Signature, *people: SoftwareSigner) -> tuple[Signature, ...]:
    """Return one signature under several names."""
    return tuple(Signature(person.keyid, entry.sig) for person in people)


def approved(document: PinSet) -> tuple[PinSet, tuple[Signature, ...]]:
    """Return *document* as if the thief had talked everybody into it; what a rule refuses, no approval allows."""
    return document, approvals(document, ALICE, BOB, CAROL)


@pytest.mark.parametrize("words", ATTACKS)
def test_no_client_accepts(loot: Loot, words: str) -> None:
    rule, make = ATTACKS[words]
    before = loot.safe.rows()
    document, given = make(loot)
    assert loot.take(loot.pins, message_of(document), given) == rule
    stamp = timestamp(document, version=100, now=loot.now)
    assert loot.take(loot.stamp, message_of(stamp)) != "signed"
    assert loot.safe.rows() == before
    assert accepted(loot, document, stamp) == []


def accepted(loot: Loot, document: PinSet, stamp: Timestamp) -> list[str]:
    """Return which clients take the best bundle that the thief can make of *document*, with any timestamp there is."""
    envelope = loot.envelope(PINSET_TYPE, document.encode())
    said = []
    for named in (stamp, *loot.stamps):
        bundle = Bundle((), loot.envelope(TIMESTAMP_TYPE, named.encode()), envelope)
        for who, held in (("new", None), ("up to date", loot.held)):
            state = trust.begin(loot.safe.root, name="payments")
            if held is not None:
                state = trust.advance_bundle(state, genuine(loot, held, loot.stamps[1]), now=loot.now)
            try:
                trust.advance_bundle(state, bundle, now=loot.now)
            except UntrustedError:
                continue
            said.append(f"{who} client")
    # The residual risk of every pin server: a client that holds nothing takes an older version that people approved.
    return [] if document == loot.old and set(said) <= {"new client"} else said


def genuine(loot: Loot, document: PinSet, stamp: Timestamp) -> Bundle:
    """Return what the honest server published."""
    signed = dict(loot.got)
    parts = (
        Envelope.of(kind, each.encode(), [signed[message_of(each)]])
        for kind, each in ((TIMESTAMP_TYPE, stamp), (PINSET_TYPE, document))
    )
    return Bundle((), *parts)


STAMPS: dict[str, Callable[[Loot], Timestamp]] = {
    "the older pin set": lambda loot: timestamp(loot.old, version=50, now=loot.now),
    "pins that nobody approved": lambda loot: timestamp(loot.forged(), version=50, now=loot.now),
    "what waits for a second approval": lambda loot: timestamp(loot.waiting, version=50, now=loot.now),
    "the pin set of another name": lambda loot: replace(
        timestamp(loot.europe, version=50, now=loot.now), name="payments"
    ),
    "the version in force with other bytes": lambda loot: timestamp(loot.forged(version=2), version=50, now=loot.now),
    "the newest, with a version that burns the others": lambda loot: timestamp(
        loot.held, version=2**53 - 1, now=loot.now
    ),
    "the newest, issued tomorrow": lambda loot: timestamp(loot.held, version=50, now=loot.now + timedelta(hours=20)),
    "the newest, for a year": lambda loot: timestamp(
        loot.held, version=50, now=loot.now, expires=loot.now + timedelta(days=365)
    ),
    "the newest, in another epoch": lambda loot: timestamp(loot.held, version=50, now=loot.now, epoch=2),
    "the newest, under a root to come": lambda loot: timestamp(loot.held, version=50, now=loot.now, root_version=9),
}


@pytest.mark.parametrize("words", STAMPS)
def test_no_timestamp_is_had_that_names(loot: Loot, words: str) -> None:
    stamp, before = STAMPS[words](loot), loot.safe.rows()
    assert loot.take(loot.stamp, message_of(stamp)) in ("pinset", "version", "issued", "V5", "V6")
    assert loot.take(loot.pins, message_of(stamp)) == "key"
    assert loot.safe.rows() == before


FREE = (
    b"",
    b"free bytes",
    CHALLENGE,
    CHALLENGE + b"x" * 1000,
    pae(ROOT_TYPE, b"{}"),
    pae("application/vnd.in-toto+json", b"{}"),
    b"DSSEv1 " + b"9" * 400,
)


@pytest.mark.parametrize("message", FREE, ids=range(len(FREE)))
def test_neither_key_signs_a_root_or_free_bytes(loot: Loot, message: bytes) -> None:
    before = loot.safe.rows()
    given = approvals(message, ALICE, BOB, CAROL)
    assert (loot.take(loot.pins, message, given), loot.take(loot.stamp, message, given)) == ("type", "type")
    assert loot.safe.rows() == before


def test_a_root_that_gives_everything_to_the_thief_is_not_signed_though_people_are_talked_into_it(loot: Loot) -> None:
    root = Envelope.parse(loot.safe.root, expect=ROOT_TYPE)
    message = pae(ROOT_TYPE, root.payload.replace(b'"version":1', b'"version":2'))
    for signer in (loot.pins, loot.stamp):
        assert loot.take(signer, message, approvals(message, ALICE, BOB, CAROL)) == "type"


def test_a_challenge_signature_is_no_signature_of_any_document(loot: Loot) -> None:
    challenge = CHALLENGE + os.urandom(32)
    assert loot.take(loot.pins, challenge) == "signed"
    _, entry = loot.got.pop()
    document = loot.forged()
    envelope = Envelope.of(PINSET_TYPE, document.encode(), [entry])
    role = trust.begin(loot.safe.root, name="payments").root.grant_for("payments")
    with pytest.raises(UntrustedError):
        envelope.verified_by(role)


def test_of_two_contents_for_one_version_that_arrive_at_once_one_is_signed(tmp_path: Path) -> None:
    """Two coordinators, or one thief: people approved both in good faith, and clients must never see two."""
    now = datetime.now(UTC).replace(microsecond=0)
    safe = make_safe(tmp_path / "safe", now=now)
    documents = [pinset(word=f"word{number}", version=1, now=now) for number in range(4)]
    ready = Barrier(len(documents) * 2)

    def race(document: PinSet) -> str:
        with closing(open_unix(safe)) as signer:
            ready.wait()
            try:
                signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))
            except SigningRefusedError as error:
                return error.rule
            return "signed"

    with safe.running(), ThreadPoolExecutor(len(documents) * 2) as pool:
        said = list(pool.map(race, documents * 2))
    assert said[:4] == said[4:]  # asked twice, the one that was first is signed twice
    assert sorted(said[:4]) == ["signed", "version", "version", "version"]
    assert len(safe.rows()) == 1


def test_what_remains_to_the_thief_are_renewals_of_what_people_approved(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    safe = make_safe(tmp_path / "safe", now=now)
    first = pinset(version=1, now=now)
    with safe.running(), closing(open_unix(safe)) as pins, closing(open_unix(safe, STAMP)) as stamp:
        loot = Loot(safe, pins, stamp, now, first, first, first, first, [], {})
        assert loot.take(pins, message_of(first), approvals(first, ALICE, BOB)) == "signed"
        renewed = [replace(first, version=1000 * number) for number in range(1, 8)]
        assert [loot.take(pins, message_of(each)) for each in renewed] == ["signed"] * 6 + ["rate"]
        last = timestamp(renewed[5], version=900, now=now)
        assert loot.take(stamp, message_of(last)) == "signed"
        with hostile_server() as server:
            server.answers = {"/v1/bundles/payments/1": genuine(loot, renewed[5], last).to_bytes()}
            held, said = ask(server.url, safe.root, tmp_path / "cache", now=now)
    assert (held, said) == (renewed[5].encode(), "accepted")
    assert PinSet.parse(held or b"").hosts == first.hosts
    # People publish on top of it all the same: the numbers were not used up.
    nexts = pinset(word="next", version=6001, now=now)
    with safe.running(), closing(open_unix(safe)) as pins:
        assert pins.sign_approved(message_of(nexts), approvals(nexts, BOB, CAROL))


def test_the_keys_that_the_thief_asks_are_those_that_clients_believe(loot: Loot) -> None:
    root = trust.begin(loot.safe.root, name="payments").root
    assert (set(root.grant_for("payments").keys), set(root.timestamp.keys)) == ({PINS.keyid}, {STAMP.keyid})
    state = trust.begin(loot.safe.root, name="payments")
    adopted = trust.advance_bundle(state, genuine(loot, loot.held, loot.stamps[1]), now=loot.now)
    assert adopted.pinset == loot.held
