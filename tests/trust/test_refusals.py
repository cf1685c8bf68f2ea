"""Timestamps and pin sets: rollback, splice, mix-and-match, equivocation, freeze and false times, one by one."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, PinSetRef
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE
from pinwarden.errors import (
    EquivocationError,
    ExpiredError,
    MalformedError,
    RollbackError,
    SignatureError,
    StaleError,
    WrongPinSetError,
)
from pinwarden.testing import ThrowawayKey, sign


def test_a_next_version_is_adopted_and_leaves_the_state_before_it_alone(holding: Any, forge: Any) -> None:
    before, bundle = repr(holding), forge.next()
    newer = trust.advance_bundle(holding, bundle, now=forge.now)
    assert (newer.pinset.version, newer.timestamp.version, newer.pending) == (2, 2, None)
    assert (newer.floor_pinset, newer.floor_timestamp) == (newer.adopted_pinset, newer.adopted_timestamp)
    assert (newer.adopted_pinset.envelope, newer.adopted_timestamp.envelope) == (bundle.pinset, bundle.timestamp)
    assert repr(holding) == before


def test_the_same_bundle_again_is_accepted_and_changes_nothing(holding: Any, authority: Any, forge: Any) -> None:
    assert trust.advance_bundle(holding, authority.bundle(), now=forge.now) == holding


def test_a_renewed_timestamp_for_the_same_pin_set_is_accepted(holding: Any, authority: Any, forge: Any) -> None:
    authority.now = forge.at(days=2)
    renewed = authority.sign_timestamp(holding.adopted_pinset.envelope)
    newer = trust.advance_bundle(holding, forge.bundle(timestamp=renewed), now=authority.now)
    assert (newer.timestamp.version, newer.pinset.version) == (2, 1)


def test_another_envelope_around_the_same_payload_is_no_equivocation(holding: Any, authority: Any, forge: Any) -> None:
    stranger = ThrowawayKey("stranger")
    reframed = [
        sign(held.envelope.payload_type, held.envelope.payload, [stranger, *keys])
        for held, keys in (
            (holding.adopted_timestamp, authority.timestamp_keys),
            (holding.adopted_pinset, authority.pinset_keys),
        )
    ]
    assert trust.advance_bundle(holding, forge.bundle(*reframed), now=forge.now).pinset == holding.pinset


@pytest.mark.parametrize("part", ["timestamp", "pinset"])
def test_a_stripped_or_foreign_signature_is_refused(refuses: Any, holding: Any, forge: Any, part: str) -> None:
    bundle = forge.next()
    envelope = getattr(bundle, part)
    for signers in ([], [ThrowawayKey("stranger")]):
        forged = sign(envelope.payload_type, envelope.payload, signers)
        with refuses(SignatureError, "V3", holding):
            trust.advance_bundle(holding, replace(bundle, **{part: forged}), now=forge.now)


def test_the_key_of_one_role_cannot_sign_for_another(refuses: Any, holding: Any, authority: Any, forge: Any) -> None:
    bundle = forge.next()
    for part, keys in (
        ("timestamp", authority.pinset_keys),
        ("timestamp", authority.root_keys),
        ("pinset", authority.timestamp_keys),
        ("pinset", authority.root_keys),
    ):
        envelope = getattr(bundle, part)
        forged = sign(envelope.payload_type, envelope.payload, keys)
        with refuses(SignatureError, "V3", holding):
            trust.advance_bundle(holding, replace(bundle, **{part: forged}), now=forge.now)


@pytest.mark.parametrize("part", ["timestamp", "pinset"])
def test_signatures_are_judged_before_the_payload_is_read(
    refuses: Any, holding: Any, authority: Any, forge: Any, part: str
) -> None:
    bundle = forge.next()
    kind = getattr(bundle, part).payload_type
    keys = authority.timestamp_keys if part == "timestamp" else authority.pinset_keys
    for signers, error, step in (([ThrowawayKey("stranger")], SignatureError, "V3"), (keys, MalformedError, "P3")):
        broken = replace(bundle, **{part: sign(kind, b"not JSON", signers)})
        with refuses(error, step, holding):
            trust.advance_bundle(holding, broken, now=forge.now)


@pytest.mark.parametrize("part", ["timestamp", "pinset"])
def test_a_payload_of_another_type_inside_the_right_envelope_is_refused(
    refuses: Any, holding: Any, authority: Any, forge: Any, part: str
) -> None:
    bundle = forge.next()
    swapped = {
        "timestamp": sign(TIMESTAMP_TYPE, bundle.pinset.payload, authority.timestamp_keys),
        "pinset": sign(PINSET_TYPE, bundle.timestamp.payload, authority.pinset_keys),
    }
    with refuses(MalformedError, "V5", holding):
        trust.advance_bundle(holding, replace(bundle, **{part: swapped[part]}), now=forge.now)


def test_an_envelope_in_the_place_of_another_is_refused(refuses: Any, holding: Any, forge: Any) -> None:
    bundle, clock = forge.next(), trust.read_clock(holding, forge.now)
    waiting = trust.advance_timestamp(holding, bundle.timestamp, clock=clock)
    for as_sent in (lambda envelope: envelope, lambda envelope: envelope.to_bytes()):
        with refuses(MalformedError, "P7", holding):
            trust.advance_timestamp(holding, as_sent(bundle.pinset), clock=clock)
        with refuses(MalformedError, "P7", waiting):
            trust.advance_pinset(waiting, as_sent(bundle.timestamp), clock=clock)


FOREIGN = [
    pytest.param({"authority": "test-0123456789abcdef"}, id="another authority"),
    pytest.param({"name": "payments"}, id="another name"),
]


@pytest.mark.parametrize("changes", FOREIGN)
def test_a_timestamp_from_elsewhere_is_refused_though_the_keys_are_shared(
    refuses: Any, holding: Any, forge: Any, changes: dict[str, Any]
) -> None:
    with refuses(WrongPinSetError, "V5", holding):
        trust.advance_bundle(holding, forge.next(timestamp_changes=changes), now=forge.now)


@pytest.mark.parametrize("changes", FOREIGN)
def test_a_pin_set_from_elsewhere_is_refused_though_the_keys_are_shared(
    refuses: Any, holding: Any, forge: Any, changes: dict[str, Any]
) -> None:
    with refuses(WrongPinSetError, "V5", holding) as refusal:
        trust.advance_bundle(holding, forge.next(pinset_changes=changes), now=forge.now)
    assert refusal.error.what == "pin set of another authority or name"


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_document_of_another_epoch_than_its_role_is_refused(
    refuses: Any, authority: Any, forge: Any, fresh: Any, epoch: int
) -> None:
    reached = trust.advance_root(fresh, authority.rotate_root(timestamp_epoch=2, pinset_epoch=2))
    with refuses(RollbackError, "V6", reached):
        trust.advance_bundle(reached, forge.next(timestamp_changes={"epoch": epoch}), now=forge.now)
    with refuses(RollbackError, "V7", reached):
        trust.advance_bundle(reached, forge.next(pinset_changes={"epoch": epoch}), now=forge.now)


def test_an_older_timestamp_is_refused(refuses: Any, holding: Any, authority: Any, forge: Any) -> None:
    old = authority.bundle()
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    with refuses(RollbackError, "V6", newer) as refusal:
        trust.advance_bundle(newer, old, now=forge.now)
    assert (refusal.error.expected, refusal.error.got) == ("1.2 or newer", "1.1")


def test_an_older_pin_set_is_refused_though_a_newer_timestamp_names_it(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    naming = authority.sign_timestamp(holding.adopted_pinset.envelope)
    with refuses(RollbackError, "V7", newer):
        trust.advance_bundle(newer, Bundle((), naming, holding.adopted_pinset.envelope), now=forge.now)


def test_one_timestamp_version_with_two_contents_is_equivocation_with_both_as_evidence(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    shown = authority.sign_timestamp(
        holding.adopted_pinset.envelope, version=1, expires=holding.timestamp.expires + timedelta(seconds=1)
    )
    with refuses(EquivocationError, "V6", holding) as refusal:
        trust.advance_bundle(holding, forge.bundle(timestamp=shown), now=forge.now)
    assert (refusal.error.held, refusal.error.shown) == (
        holding.adopted_timestamp.envelope.to_bytes(),
        shown.to_bytes(),
    )


def test_one_pin_set_version_with_two_contents_is_equivocation_with_both_as_evidence(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    shown = authority.sign_pinset({"api.example.com": [b"x" * 32]}, version=1)
    with refuses(EquivocationError, "V7", holding) as refusal:
        trust.advance_bundle(holding, Bundle((), authority.sign_timestamp(shown), shown), now=forge.now)
    assert (refusal.error.held, refusal.error.shown) == (holding.adopted_pinset.envelope.to_bytes(), shown.to_bytes())


def reference(pinset: Any, **changes: Any) -> PinSetRef:
    document = PinSet.parse(pinset.payload)
    exact = PinSetRef(document.epoch, document.version, sha256(pinset.payload).digest(), len(pinset.payload))
    return replace(exact, **changes)


@pytest.mark.parametrize("field", ["epoch", "version", "sha256", "length"])
def test_a_pin_set_that_differs_from_what_the_timestamp_names_is_refused(
    refuses: Any, holding: Any, authority: Any, forge: Any, field: str
) -> None:
    pinset = forge.next().pinset
    wrong = {"epoch": 2, "version": 3, "sha256": bytes(32), "length": len(pinset.payload) + 1}
    timestamp = authority.sign_timestamp(pinset, pinset=reference(pinset, **{field: wrong[field]}))
    with refuses(StaleError, "V7", holding):
        trust.advance_bundle(holding, Bundle((), timestamp, pinset), now=forge.now)


def test_timestamp_and_pin_set_of_two_versions_do_not_mix(refuses: Any, holding: Any, forge: Any) -> None:
    second, third = forge.next(), forge.next()
    for timestamp, pinset in ((third.timestamp, second.pinset), (second.timestamp, third.pinset)):
        with refuses(StaleError, "V7", holding):
            trust.advance_bundle(holding, Bundle((), timestamp, pinset), now=forge.now)


def test_a_pin_set_that_no_timestamp_names_is_refused(refuses: Any, holding: Any, forge: Any) -> None:
    with refuses(StaleError, "V10", holding):
        trust.advance_pinset(holding, forge.next().pinset, clock=trust.read_clock(holding, forge.now))


def test_a_timestamp_that_waits_is_not_in_force(holding: Any, forge: Any) -> None:
    waiting = trust.advance_timestamp(holding, forge.next().timestamp, clock=trust.read_clock(holding, forge.now))
    assert waiting.pending is not None
    assert (waiting.timestamp, waiting.pinset) == (holding.timestamp, holding.pinset)
    assert (waiting.kept(), waiting.floor_timestamp) == (holding.kept(), holding.floor_timestamp)


def test_a_timestamp_of_a_root_that_was_withheld_is_refused(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.rotate_root()
    bundle = forge.next()
    with refuses(StaleError, "V6", holding) as refusal:
        trust.advance_bundle(holding, bundle, now=forge.now)
    assert (refusal.error.expected, refusal.error.got) == ("root version 1 or older", 2)
    reached = trust.advance_root(holding, authority.roots[1])
    assert trust.advance_bundle(reached, bundle, now=forge.now).pinset.version == 2


# Each row: what one document claims, relative to the present, and the moment at which it is judged.
TIMES = [
    pytest.param({"expires": timedelta(hours=1)}, timedelta(hours=1), "has expired", id="frozen at its last second"),
    pytest.param({"expires": timedelta(hours=1)}, timedelta(days=6), "has expired", id="frozen long ago"),
    pytest.param(
        {"issued": timedelta(hours=24, seconds=1), "expires": timedelta(hours=48)},
        timedelta(),
        "was issued in the future",
        id="issued more than a day ahead",
    ),
    pytest.param({"expires": timedelta()}, -timedelta(hours=1), "ends before it begins", id="no life at all"),
    pytest.param(
        {"issued": timedelta(hours=2), "expires": timedelta(hours=1)},
        timedelta(),
        "ends before it begins",
        id="an end before its beginning",
    ),
    pytest.param(
        {"expires": timedelta(days=8)}, timedelta(), "lives longer than its role may grant", id="a life of eight days"
    ),
    pytest.param(
        {"expires": timedelta(days=7, seconds=1)},
        timedelta(),
        "lives longer than its role may grant",
        id="a second more than its role may grant",
    ),
]


@pytest.fixture
def week(fresh: Any, authority: Any) -> Any:
    """A client whose root lets both kinds of documents live for seven days."""
    grant = replace(authority.root.pinset[0], max_lifetime_seconds=7 * 24 * 3600)
    return trust.advance_root(fresh, authority.rotate_root(pinset=(grant,)))


@pytest.mark.parametrize("kind", ["timestamp", "pin set"])
@pytest.mark.parametrize(("times", "moment", "words"), TIMES)
def test_a_document_at_a_false_time_is_refused(
    refuses: Any, week: Any, forge: Any, kind: str, times: Any, moment: timedelta, words: str
) -> None:
    with refuses(ExpiredError, "V5", week) as refusal:
        trust.advance_bundle(week, forge.timed(kind, times), now=forge.now + moment)
    assert refusal.error.what == f"{kind} {words}"


@pytest.mark.parametrize("kind", ["timestamp", "pin set"])
@pytest.mark.parametrize(
    ("times", "moment"),
    [
        pytest.param({"expires": timedelta(hours=1)}, timedelta(minutes=59, seconds=59), id="its last second"),
        pytest.param(
            {"issued": timedelta(hours=24), "expires": timedelta(hours=48)}, timedelta(), id="issued a day ahead"
        ),
        pytest.param({"expires": timedelta(days=7)}, timedelta(), id="the longest life"),
        pytest.param({"expires": timedelta(seconds=1)}, timedelta(), id="the shortest life"),
    ],
)
def test_a_document_at_the_edge_of_its_time_is_accepted(
    week: Any, forge: Any, kind: str, times: Any, moment: timedelta
) -> None:
    bundle = forge.timed(kind, times)
    newer = trust.advance_bundle(week, bundle, now=forge.now + moment)
    assert (newer.adopted_timestamp.envelope, newer.adopted_pinset.envelope) == (bundle.timestamp, bundle.pinset)


def test_a_system_clock_that_is_set_back_does_not_revive_what_has_expired(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.now = forge.at(days=2)
    later = trust.advance_bundle(holding, forge.next(), now=authority.now)
    revived = authority.sign_timestamp(
        later.adopted_pinset.envelope, issued=forge.now, expires=forge.at(days=2), version=9
    )
    with refuses(ExpiredError, "V5", later) as refusal:
        trust.advance_bundle(later, Bundle((), revived, later.adopted_pinset.envelope), now=forge.now)
    assert refusal.error.what == "timestamp has expired"


def test_the_future_is_measured_by_the_system_clock_and_not_by_what_was_issued(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    # Else each document could carry the next one a day further, to the end of time.
    authority.now = forge.at(hours=24)
    ahead = trust.advance_bundle(holding, forge.next(), now=forge.now)
    assert ahead.newest_issue == forge.at(hours=24)
    authority.now = forge.at(hours=24, seconds=1)
    with refuses(ExpiredError, "V5", ahead) as refusal:
        trust.advance_bundle(ahead, forge.next(), now=forge.now)
    assert refusal.error.what == "timestamp was issued in the future"


def test_a_pin_set_of_no_hosts_is_how_pinning_is_withdrawn(holding: Any, authority: Any, forge: Any) -> None:
    authority.publish({})
    assert trust.advance_bundle(holding, forge.bundle(), now=forge.now).pinset.hosts == ()
