"""What a signer process signs and what it refuses, rule by rule, under a clock that the test owns."""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature, is_signature, pae
from pinwarden.strict_json import encode
from pinwarden_keys.signer import CHALLENGE
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_keys.signer_process import SignerProcess
from pinwarden_keys.signer_process_wire import signatures_json
from tests.signer.safe import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    PINS,
    STAMP,
    Clock,
    Safe,
    approvals,
    message_of,
    next_root_json,
    pinset,
    timestamp,
)


def ask(
    process: SignerProcess,
    message: bytes,
    approved: Iterable[Signature] = (),
    *,
    key: SoftwareSigner = PINS,
    along: Envelope | None = None,
) -> dict[str, Any]:
    message_text = base64.b64encode(message).decode()
    request = {"do": "sign", "key": key.keyid, "message": message_text, "approvals": signatures_json(approved)}
    return process.answer(request | ({"pinset": along.to_json()} if along else {}))


def sign(
    process: SignerProcess, document: PinSet | Timestamp, *people: SoftwareSigner, along: Envelope | None = None
) -> Any:
    """Ask for the signature over *document*, approved by *people*; return the rule that refuses, or "signed"."""
    key = PINS if isinstance(document, PinSet) else STAMP
    message = message_of(document)
    answer = ask(process, message, approvals(message, *people), key=key, along=along)
    if "refused" in answer:
        return answer["refused"]["rule"]
    assert is_signature(base64.b64decode(answer["signature"]), message, key.public)
    return "signed"


def settle(process: SignerProcess, clock: Clock) -> PinSet:
    """Have version 1 of payments approved, signed and stamped."""
    first = pinset(version=1, now=clock())
    assert sign(process, first, ALICE, BOB) == "signed"
    assert sign(process, timestamp(first, version=1, now=clock())) == "signed"
    return first


def test_new_pins_are_signed_when_two_of_three_approved_exactly_these_bytes(
    safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    document = pinset(version=1, now=clock())
    assert sign(process, document) == "approval"
    assert sign(process, document, CAROL) == "approval"
    assert safe.rows() == []
    assert sign(process, document, ALICE, CAROL) == "signed"
    [row] = safe.rows()
    assert (row[2:7], row[10].split()) == (("pinset", "approved", "payments", 1, 1), sorted((ALICE.keyid, CAROL.keyid)))


def test_a_renewal_needs_nobody_and_keeps_content_and_life(safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    clock.advance(days=15)
    renewed = replace(first, version=2, issued=clock(), expires=clock() + timedelta(days=30))
    assert sign(process, renewed) == "signed"
    assert sign(process, timestamp(renewed, version=2, now=clock())) == "signed"
    assert [(row[2], row[3], row[6]) for row in safe.rows()] == [
        ("pinset", "approved", 1),
        ("timestamp", "alone", 1),
        ("pinset", "alone", 2),
        ("timestamp", "alone", 2),
    ]


CHANGES: dict[str, dict[str, Any]] = {
    "another pin": {"hosts": pinset(word="evil", version=1, now=Clock().now).hosts},
    "no host": {"hosts": ()},
    "a denied key": {"deny": (b"\x01" * 32,)},
    "on_stale": {"on_stale": "refuse"},
    "report_to": {"report_to": "https://elsewhere.example.com/"},
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_renewal_that_changes_anything_needs_people(
    words: str, safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    first, before = settle(process, clock), safe.rows()
    changed = replace(first, version=2, **CHANGES[words])
    assert sign(process, changed) == "approval"
    assert safe.rows() == before
    assert sign(process, changed, ALICE, BOB) == "signed"


@pytest.mark.parametrize("life", [timedelta(seconds=1), timedelta(days=29), timedelta(days=31)])
def test_a_renewal_lives_neither_longer_nor_shorter_than_people_approved(
    life: timedelta, safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    first, before = settle(process, clock), safe.rows()
    assert sign(process, replace(first, version=2, expires=clock() + life)) == "approval"
    assert safe.rows() == before


@pytest.mark.parametrize("later", [timedelta(minutes=-10), timedelta(minutes=10)])
def test_a_renewal_is_issued_now(later: timedelta, safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first, before, issued = settle(process, clock), safe.rows(), clock() + later
    renewed = replace(first, version=2, issued=issued, expires=issued + timedelta(days=30))
    assert sign(process, renewed) == "issued"
    assert safe.rows() == before


def test_an_old_content_comes_back_by_people_only(process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    second = pinset(word="next", version=2, now=clock())
    assert sign(process, second, BOB, CAROL) == "signed"
    assert sign(process, timestamp(second, version=2, now=clock())) == "signed"
    back = replace(first, version=3)
    assert sign(process, back) == "approval"
    assert sign(process, back, *(ALICE, BOB)) == "signed"


def test_until_a_new_pin_set_is_stamped_the_one_before_may_be_stamped_and_renewed(
    process: SignerProcess, clock: Clock
) -> None:
    """A publication that failed between its two signatures leaves the old one in force, and it must not run out."""
    first = settle(process, clock)
    second = pinset(word="next", version=2, now=clock())
    assert sign(process, second, ALICE, BOB) == "signed"
    assert sign(process, timestamp(first, version=2, now=clock())) == "signed"
    renewed = replace(first, version=3)
    assert sign(process, renewed) == "signed"
    assert sign(process, timestamp(renewed, version=3, now=clock())) == "signed"
    assert sign(process, timestamp(second, version=4, now=clock())) == "pinset"


def test_an_older_version_of_the_same_content_may_be_stamped_again(process: SignerProcess, clock: Clock) -> None:
    """A renewal that failed between its second signature and its commit leaves the older version in force."""
    first = settle(process, clock)
    renewed = replace(first, version=2)
    assert sign(process, renewed) == "signed"
    assert sign(process, timestamp(renewed, version=2, now=clock())) == "signed"
    assert sign(process, timestamp(first, version=3, now=clock())) == "signed"


def test_once_a_new_pin_set_is_stamped_the_one_before_never_is_again(
    safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    first = settle(process, clock)
    second = pinset(word="next", version=2, now=clock())
    assert sign(process, second, ALICE, BOB) == "signed"
    assert sign(process, timestamp(second, version=2, now=clock())) == "signed"
    before = safe.rows()
    assert sign(process, timestamp(first, version=3, now=clock())) == "pinset"
    assert sign(process, replace(first, version=3)) == "approval"
    assert safe.rows() == before


def test_the_same_bytes_are_signed_again_and_journalled_once(safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    stamp, before = timestamp(first, version=1, now=clock()), safe.rows()
    clock.advance(minutes=30)
    assert sign(process, first) == "signed"
    assert sign(process, stamp) == "signed"
    assert safe.rows() == before


PINSETS: dict[str, tuple[str, dict[str, Any]]] = {
    "the version in force with other pins": ("version", {"version": 1}),
    "a version further than a thousand ahead": ("version", {"version": 1002}),
    "another authority": ("V5", {"authority": "safe-ffffffffffffffff"}),
    "another epoch": ("V7", {"epoch": 2}),
    "issued in ten minutes": ("issued", {"later": timedelta(minutes=10)}),
    "issued in two days": ("V5", {"later": timedelta(days=2)}),
    "issued more than a week ago": ("issued", {"later": timedelta(days=-8)}),
    "past its end": ("V5", {"later": timedelta(days=-31)}),
    "a life beyond the grant's": ("V5", {"life": timedelta(days=91)}),
    "a name that no section covers": ("name", {"name": "orders"}),
    "a name whose timestamps alone are signed here": ("key", {"name": "public-a"}),
}


@pytest.mark.parametrize("words", PINSETS)
def test_even_with_every_approval_no_pin_set_is_signed_with(
    words: str, safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    settle(process, clock)
    rule, changes = PINSETS[words]
    values = dict(changes)
    issued = clock() + values.pop("later", timedelta())
    expires = issued + values.pop("life", timedelta(days=30))
    document = replace(pinset(word="next", version=2, now=issued), expires=expires, **values)
    before = safe.rows()
    assert sign(process, document, ALICE, BOB, CAROL) == rule
    assert safe.rows() == before


def test_a_section_may_shorten_the_life_that_the_root_allows(process: SignerProcess, clock: Clock) -> None:
    document = pinset("solo", version=1, now=clock())
    assert sign(process, replace(document, expires=clock() + timedelta(days=2)), ALICE) == "lifetime"
    assert sign(process, document, ALICE) == "signed"


STAMPS: dict[str, tuple[str, dict[str, Any]]] = {
    "the version before with other content": ("version", {"version": 1}),
    "a version further than a thousand ahead": ("version", {"version": 1002}),
    "another authority": ("V5", {"authority": "safe-ffffffffffffffff"}),
    "another epoch": ("V6", {"epoch": 2}),
    "issued in ten minutes": ("issued", {"later": timedelta(minutes=10)}),
    "issued ten minutes ago": ("issued", {"later": timedelta(minutes=-10)}),
    "a life beyond the role's": ("V5", {"life": timedelta(days=8)}),
    "no life": ("V5", {"life": timedelta(0)}),
    "a root that is not there": ("V6", {"root_version": 2}),
    "another name": ("pinset", {"name": "payments-eu"}),
    "a name that no section covers": ("name", {"name": "orders"}),
}


@pytest.mark.parametrize("words", STAMPS)
def test_no_timestamp_is_signed_with(words: str, safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    rule, changes = STAMPS[words]
    values = dict(changes)
    issued = clock() + values.pop("later", timedelta())
    expires = issued + values.pop("life", timedelta(days=2))
    stamp = replace(timestamp(first, version=2, now=issued), expires=expires, **values)
    before = safe.rows()
    assert sign(process, stamp) == rule
    assert safe.rows() == before


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"epoch": 2}, {"sha256": b"\0" * 32}, {"length": 1}],
    ids=["version", "epoch", "digest", "length"],
)
def test_no_timestamp_names_a_pin_set_that_was_not_signed_here(
    changes: dict[str, Any], safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    first, before = settle(process, clock), safe.rows()
    stamp = timestamp(first, version=2, now=clock())
    assert sign(process, replace(stamp, pinset=replace(stamp.pinset, **changes))) in ("pinset", "V7")
    assert safe.rows() == before


def test_where_people_sign_the_pin_sets_timestamps_never_go_back(process: SignerProcess, clock: Clock) -> None:
    old, new, other = (
        pinset("public-a", word, version=number, now=clock()) for number, word in ((4, "a"), (5, "b"), (5, "c"))
    )
    said = [
        sign(process, timestamp(each, version=number, now=clock()), along=by_people(each))
        for number, each in ((1, new), (2, old), (2, other), (2, new))
    ]
    assert said == ["signed", "pinset", "pinset", "signed"]


EVIDENCE: dict[str, tuple[str, Callable[[PinSet], Envelope | None]]] = {
    "nothing": ("pinset", lambda named: None),
    "the signature of a stranger": ("V3", lambda named: by_people(named, MALLORY)),
    "the signature of somebody who approves other names": ("V3", lambda named: by_people(named, ALICE)),
    "another version that people did sign": ("pinset", lambda named: by_people(replace(named, version=9))),
    "other pins under the same version": ("pinset", lambda named: by_people(replace(named, hosts=()))),
    "another name that people did sign": ("pinset", lambda named: by_people(replace(named, name="public-b"))),
    "what is no pin set": (
        "P3",
        lambda named: Envelope.of(PINSET_TYPE, b"x", approvals(pae(PINSET_TYPE, b"x"), CAROL)),
    ),
}


@pytest.mark.parametrize("words", EVIDENCE)
def test_a_timestamp_for_a_pin_set_of_people_is_refused_that_comes_with(
    words: str, safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    """Else a thief could name a version that does not exist, and the process would refuse all below it ever after."""
    rule, make = EVIDENCE[words]
    named = pinset("public-a", version=2**40, now=clock())
    assert sign(process, timestamp(named, version=1, now=clock()), along=make(named)) == rule
    assert safe.rows() == []


def by_people(document: PinSet, *people: SoftwareSigner) -> Envelope:
    """Return *document* as carol signed it, whose names are ``public-*``, or as *people* did."""
    return Envelope.of(PINSET_TYPE, document.encode(), approvals(document, *(people or (CAROL,))))


def test_a_day_has_six_renewals_and_the_next_day_six_more(safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    for day in range(2):
        for number in range(6):
            renewed = replace(first, version=2 + 6 * day + number, issued=clock(), expires=clock() + timedelta(days=30))
            assert sign(process, renewed) == "signed"
        before = safe.rows()
        one_more = replace(first, version=100, issued=clock(), expires=clock() + timedelta(days=30))
        assert sign(process, one_more) == "rate"
        assert safe.rows() == before
        clock.advance(days=1, seconds=1)
    assert sign(process, pinset(word="next", version=101, now=clock()), ALICE, BOB) == "signed"


def test_timestamps_are_limited_as_well(safe: Safe, clock: Clock) -> None:
    safe.write('[[pinset]]\nnames = ["*"]\napprovers = ["alice"]\napprovals = 1\ntimestamps_per_day = 2\n')
    with safe.inside(clock) as process:
        first = pinset(version=1, now=clock())
        assert sign(process, first, ALICE) == "signed"
        said = [sign(process, timestamp(first, version=number, now=clock())) for number in (1, 2, 3)]
    assert said == ["signed", "signed", "rate"]


FREE = {
    "free bytes": b"sign me",
    "nothing": b"",
    "a challenge with more behind it": CHALLENGE + b"x" * 33,
    "a root": pae(ROOT_TYPE, b"{}"),
    "another payload type": pae("application/json", b"{}"),
    "a frame whose length is another": b"DSSEv1 %d %b 3 {}" % (len(PINSET_TYPE), PINSET_TYPE.encode()),
    "a frame with a zero before its length": b"DSSEv1 %d %b 02 {}" % (len(PINSET_TYPE), PINSET_TYPE.encode()),
    "a pin set larger than clients take": pae(PINSET_TYPE, b" " * (1024 * 1024 + 1)),
}


@pytest.mark.parametrize("words", FREE)
def test_no_signature_is_made_over(words: str, safe: Safe, process: SignerProcess) -> None:
    message = FREE[words]
    for key in (PINS, STAMP):
        answer = ask(process, message, approvals(message, ALICE, BOB), key=key)
        assert answer["refused"]["rule"] == "type", answer
    assert safe.rows() == []


def test_a_document_in_the_frame_of_the_other_kind_is_refused(safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    before = safe.rows()
    swapped = {TIMESTAMP_TYPE: first.encode(), PINSET_TYPE: timestamp(first, version=2, now=clock()).encode()}
    for payload_type, payload in swapped.items():
        message = pae(payload_type, payload)
        for key in (PINS, STAMP):
            answer = ask(process, message, approvals(message, ALICE, BOB), key=key)
            assert answer["refused"]["rule"] == "V5", answer
    assert safe.rows() == before


@pytest.mark.parametrize("member", [{"note": "unseen"}, {"spec": "1.1"}, {"crit": []}])
def test_what_this_program_would_spell_otherwise_is_refused(
    member: dict[str, Any], safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    first = settle(process, clock)
    before = safe.rows()
    for payload_type, document, key in (
        (PINSET_TYPE, replace(first, version=2), PINS),
        (TIMESTAMP_TYPE, timestamp(first, version=2, now=clock()), STAMP),
    ):
        message = pae(payload_type, encode(json.loads(document.encode()) | member))
        answer = ask(process, message, approvals(message, ALICE, BOB), key=key)
        assert answer["refused"]["rule"] == "form", answer
    assert safe.rows() == before


def test_each_key_signs_only_what_the_root_names_it_for(safe: Safe, process: SignerProcess, clock: Clock) -> None:
    first = settle(process, clock)
    before = safe.rows()
    for document, key in ((replace(first, version=2), STAMP), (timestamp(first, version=2, now=clock()), PINS)):
        message = message_of(document)
        answer = ask(process, message, approvals(message, ALICE, BOB), key=key)
        assert answer["refused"]["rule"] == "key", answer
    answer = ask(process, message_of(replace(first, version=2)), key=MALLORY)
    assert answer["refused"]["rule"] == "key", answer
    assert safe.rows() == before


def test_after_a_root_that_raises_the_epoch_old_approvals_count_no_more_and_the_content_goes_on(
    safe: Safe, clock: Clock
) -> None:
    with safe.inside(clock) as process:
        first = settle(process, clock)
    waiting = pinset(word="next", version=2, now=clock())
    safe.write(root=next_root_json(safe.root, clock(), epoch=2))
    with safe.inside(clock) as process:
        assert sign(process, waiting, ALICE, BOB) == "V7"
        renewed = replace(first, epoch=2, version=2)
        assert sign(process, renewed) == "signed"
        assert sign(process, timestamp(renewed, version=2, now=clock(), root_version=2)) == "signed"


def test_a_root_that_shortens_the_life_shortens_renewals_and_one_that_allows_more_lengthens_none_beyond_the_approval(
    safe: Safe, clock: Clock
) -> None:
    with safe.inside(clock) as process:
        first = settle(process, clock)
    shorter = next_root_json(safe.root, clock(), max_lifetime=20 * 86_400)
    safe.write(root=shorter)
    with safe.inside(clock) as process:
        lives = [(2, 30, "V5"), (2, 10, "approval"), (2, 20, "signed")]
        assert [_renew(process, first, clock, *life[:2]) for life in lives] == [said for *_, said in lives]
        renewed = replace(first, version=2, expires=clock() + timedelta(days=20))
        assert sign(process, timestamp(renewed, version=2, now=clock())) == "signed"
    safe.write(root=next_root_json(shorter, clock(), max_lifetime=90 * 86_400))
    with safe.inside(clock) as process:
        lives = [(3, 31, "approval"), (3, 19, "approval"), (3, 20, "signed"), (4, 30, "signed")]
        assert [_renew(process, first, clock, *life[:2]) for life in lives] == [said for *_, said in lives]


def _renew(process: SignerProcess, first: PinSet, clock: Clock, version: int, days: int) -> Any:
    return sign(process, replace(first, version=version, expires=clock() + timedelta(days=days)))


REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another word": {"do": "export"},
    "a word that is none": {"do": 1},
    "a member too many": {"do": "status", "and": "more"},
    "no approvals": {"do": "sign", "key": PINS.keyid, "message": ""},
    "seventeen approvals": {
        "do": "sign",
        "key": PINS.keyid,
        "message": base64.b64encode(b"m").decode(),
        "approvals": [{"keyid": "", "sig": base64.b64encode(b"s" * 64).decode()}] * 17,
    },
    "a pin set along with it that is none": {
        "do": "sign",
        "key": PINS.keyid,
        "message": base64.b64encode(pae(PINSET_TYPE, b"{}")).decode(),
        "approvals": [],
        "pinset": {},
    },
    "a message that is no base64": {"do": "sign", "key": PINS.keyid, "message": "AB==", "approvals": []},
}


@pytest.mark.parametrize("words", REQUESTS)
def test_a_request_that_is_none_is_refused(words: str, safe: Safe, process: SignerProcess) -> None:
    assert process.answer(REQUESTS[words])["refused"]["rule"] == "frame"
    assert safe.rows() == []


def test_refusals_are_counted_by_rule_and_logged_without_a_key(
    process: SignerProcess, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    document = pinset(version=1, now=clock())
    assert [sign(process, document), sign(process, document, ALICE), sign(process, document, ALICE, BOB)] == [
        "approval",
        "approval",
        "signed",
    ]
    assert process.answer({"do": "status"}) == {
        "keys": sorted((STAMP.keyid, PINS.keyid)),
        "signed": 1,
        "refusals": {"approval": 2},
    }
    assert caplog.text.count("refused by rule approval") == 2
    assert "expected signatures over exactly these bytes by 2 of alice, bob, carol, got alice" in caplog.text
    assert "signing pinset payments 1.1, approved by alice, bob, sha256" in caplog.text
    for key in (STAMP, PINS):
        assert key._secret is not None
        assert key._secret[:32].hex() not in caplog.text


def test_what_a_caller_sends_breaks_no_line_of_the_log(
    process: SignerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "\nINFO signing pinset payments 1.9, approved by alice, bob"
    for request in ({"do": forged}, {"do": "describe", "key": forged}, {"do": "status", forged: ""}, {forged: ""}):
        assert process.answer(request)["refused"]["rule"] in ("frame", "key")
    assert [record.getMessage() for record in caplog.records if "\n" in record.getMessage()] == []
