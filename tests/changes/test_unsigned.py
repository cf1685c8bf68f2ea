"""A pin set that nobody has signed yet is judged by the client's own verifier, and nothing else comes of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.documents import PinSet
from pinwarden.errors import UntrustedError
from pinwarden.testing import ThrowawayAuthority, pinned
from pinwarden_keys.unsigned import judge_unsigned_pinset

pytestmark = pytest.mark.filterwarnings("ignore::pinwarden.testing.InsecureForProductionWarning")
HOSTS = [pinned("api.example.com", b"\1" * 32, b"\2" * 32)]
Draft = Callable[[PinSet], dict[str, Any]]


@pytest.fixture
def authority() -> ThrowawayAuthority:
    made = ThrowawayAuthority()
    for _ in range(3):
        made.publish(HOSTS)
    return made


def client(authority: ThrowawayAuthority) -> trust.TrustState:
    return trust.advance_bundle(
        trust.begin(authority.root_json, name=authority.name), authority.bundle(), now=authority.now
    )


def next_document(authority: ThrowawayAuthority) -> PinSet:
    return PinSet.parse(authority.sign_pinset(HOSTS, version=4).payload)


def test_what_clients_will_adopt_is_returned_and_the_state_is_what_it_was(authority: ThrowawayAuthority) -> None:
    state, document = client(authority), next_document(authority)
    before = replace(state)
    assert judge_unsigned_pinset(state, document.encode(), now=authority.now) == document
    assert state == before
    fresh = trust.begin(authority.root_json, name=authority.name)
    assert judge_unsigned_pinset(fresh, document.encode(), now=authority.now) == document
    assert (fresh.pinset, fresh.pending) == (None, None)


REFUSED: dict[str, tuple[Draft, str]] = {
    "an older version": (lambda d: {"version": 2}, "V7"),
    "the version in force with other content": (lambda d: {"version": 3, "deny": (b"\3" * 32,)}, "V7"),
    "another authority": (lambda d: {"authority": "evil-0123456789abcdef"}, "V5"),
    "another name": (lambda d: {"name": "other"}, "V5"),
    "another epoch": (lambda d: {"epoch": 2}, "V7"),
    "a life beyond the grant's": (lambda d: {"expires": d.issued + timedelta(days=91)}, "V5"),
    "a life that is over": (lambda d: {"issued": d.issued - timedelta(days=9), "expires": d.issued}, "V5"),
    "a life that begins in two days": (
        lambda d: {"issued": d.issued + timedelta(days=2), "expires": d.expires + timedelta(days=2)},
        "V5",
    ),
    "a pin that is denied": (lambda d: {"deny": (b"\1" * 32,)}, "V8"),
    "a host without backup": (lambda d: {"hosts": (replace(HOSTS[0], backups=()),)}, "V8"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_nobody_is_asked_to_sign(authority: ThrowawayAuthority, words: str) -> None:
    make, step = REFUSED[words]
    document = next_document(authority)
    with pytest.raises(UntrustedError) as refusal:
        judge_unsigned_pinset(client(authority), replace(document, **make(document)).encode(), now=authority.now)
    assert refusal.value.step == step


def test_the_very_version_in_force_is_not_signed_a_second_time(authority: ThrowawayAuthority) -> None:
    assert authority.current is not None
    with pytest.raises(UntrustedError, match=r"pin set 1\.3 of 'app' exists already"):
        judge_unsigned_pinset(client(authority), authority.current[1].payload, now=authority.now)


def test_under_a_root_that_is_past_its_end_nothing_is_signed(authority: ThrowawayAuthority) -> None:
    late = authority.now + timedelta(days=366)
    authority_document = replace(next_document(authority), issued=late, expires=late + timedelta(days=1))
    with pytest.raises(UntrustedError, match="past its end"):
        judge_unsigned_pinset(client(authority), authority_document.encode(), now=late)
