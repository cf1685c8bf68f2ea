"""
An authority in memory, a client state that trusts its first pin set, and one way to say that something is refused.

Everything here is pure: the tests of this folder open no file and no socket, and read no clock.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import TrustState

HOST, PIN, BACKUP = "api.example.com", b"1" * 32, b"2" * 32


@pytest.fixture
def now() -> datetime:
    """The present, at which everything is issued."""
    return datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def authority(now: datetime) -> ThrowawayAuthority:
    """An authority that published version 1 for api.example.com."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        made = ThrowawayAuthority(now=now, seed="trust")
    made.publish({HOST: [PIN, BACKUP]})
    return made


@pytest.fixture
def fresh(authority: ThrowawayAuthority) -> TrustState:
    """A client that knows root 1 and nothing else."""
    return trust.begin(authority.root_json, name="app")


@pytest.fixture
def holding(fresh: TrustState, authority: ThrowawayAuthority, now: datetime) -> TrustState:
    """A client that trusts the first pin set."""
    return trust.advance_bundle(fresh, authority.bundle(), now=now)


@dataclass
class Refusal:
    """What was raised inside a ``refuses`` block."""

    error: Any = None


@pytest.fixture
def refuses() -> Callable[..., Any]:
    """
    Return ``refuses(kind, step, *states)``: the block must raise exactly that, and leave every state as it was.

    The message must stay readable whatever was sent, because it goes to logs.
    """

    @contextmanager
    def check(kind: type[UntrustedError], step: str | None, *states: TrustState) -> Iterator[Refusal]:
        before, refusal = [(repr(state), state.pinset, state.timestamp) for state in states], Refusal()
        with pytest.raises(kind) as raised:
            yield refusal
        refusal.error = raised.value
        assert (type(raised.value), raised.value.step) == (kind, step)
        assert [(repr(state), state.pinset, state.timestamp) for state in states] == before
        assert len(str(raised.value)) < 1000

    return check


@dataclass
class Forge:
    """Bundles and envelopes that an attacker, or a careless authority, might make."""

    authority: ThrowawayAuthority
    now: datetime

    def bundle(self, timestamp: Envelope | None = None, pinset: Envelope | None = None, *roots: Envelope) -> Bundle:
        """Return the current bundle with parts replaced."""
        current = self.authority.bundle(root=len(self.authority.roots))
        return Bundle(roots, timestamp or current.timestamp, pinset or current.pinset)

    def next(
        self, pinset_changes: dict[str, Any] | None = None, timestamp_changes: dict[str, Any] | None = None
    ) -> Bundle:
        """Return a next version, validly signed, with *changes* to its documents."""
        self.authority.pinset_version += 1
        changes = {"version": self.authority.pinset_version, **(pinset_changes or {})}
        pinset = self.authority.sign_pinset({HOST: [PIN, BACKUP]}, **changes)
        return Bundle((), self.authority.sign_timestamp(pinset, **(timestamp_changes or {})), pinset)

    def timed(self, kind: str, times: dict[str, timedelta]) -> Bundle:
        """Return a next version, one document of which has *times*, spans from the present; the other lives a week."""
        changes, week = {field: self.now + span for field, span in times.items()}, {"expires": self.at(days=7)}
        if kind == "timestamp":
            return self.next(pinset_changes=week, timestamp_changes=changes)
        return self.next(pinset_changes={**week, **changes}, timestamp_changes=week)

    def at(self, **span: float) -> datetime:
        """Return a moment after the present."""
        return self.now + timedelta(**span)


@pytest.fixture
def forge(authority: ThrowawayAuthority, now: datetime) -> Forge:
    """A maker of bad bundles."""
    return Forge(authority, now)


@pytest.fixture
def spelled() -> Callable[..., bytes]:
    """Return ``spelled(document, change)``: the payload of *document* after ``change(body)`` had its way with it."""

    def spell(document: Any, change: Callable[[dict[str, Any]], object]) -> bytes:
        body = json.loads(document.encode())
        change(body)
        return json.dumps(body).encode()

    return spell
