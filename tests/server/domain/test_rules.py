"""Lint: each rule on a draft that breaks it and on one that does not."""

from dataclasses import replace
from hashlib import sha256

import pytest

from pinwarden.documents import Grant, Host, Pin
from pinwarden.strict_json import decode_base64
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import LintRefused, Violation
from pinwarden_server.rules import DAY, MAX_WARNINGS, Surroundings, check, lint

A, B, C = (Pin(sha256(name).digest()) for name in (b"a", b"b", b"c"))
GOOD = Host("api.example.com", (A,), (B,))
AROUND = Surroundings(("pins.example.com",), 30 * DAY, Grant((), 1, {}, 1, 200 * DAY, ("*",)))


# Warnings that small drafts have, and that have tests of their own.
USUAL = {"PIN004", "PIN007", "PIN010", "PIN017"}


def codes(draft: Draft, around: Surroundings = AROUND) -> list[tuple[str, str]]:
    return [(finding.code, finding.pointer) for finding in lint(draft, around) if finding.code not in USUAL]


def unusual(draft: Draft, around: Surroundings = AROUND) -> list[Violation]:
    return [finding for finding in check(draft, around) if finding.code not in USUAL]


def test_a_good_draft_has_no_findings() -> None:
    assert codes(Draft((GOOD, Host("www.example.com", (A,), (C,))))) == []
    assert codes(Draft(())) == []


def test_a_host_without_backup_cannot_be_forced() -> None:
    draft = Draft((GOOD, Host("b.example.com", (A,), ())), force=("PIN001",), reason="hurry")
    assert codes(draft) == [("PIN001", "/hosts/1/backups")]
    with pytest.raises(LintRefused) as refusal:
        check(draft, AROUND)
    assert "none of this can be forced" in str(refusal.value)


@pytest.mark.parametrize(("days", "found"), [(0.9, True), (1, False), (90, False), (90.1, True)])
def test_a_life_under_one_day_or_over_ninety_is_a_warning(days: float, found: bool) -> None:
    around = replace(AROUND, lifetime_seconds=int(days * DAY))
    assert bool(codes(Draft((GOOD,)), around)) is found
    assert [finding.blocking for finding in unusual(Draft((GOOD,)), around)] == [False] * found


def test_a_life_beyond_the_grant_blocks() -> None:
    with pytest.raises(LintRefused):
        check(Draft((GOOD,)), replace(AROUND, lifetime_seconds=201 * DAY))


@pytest.mark.parametrize("pattern", ["pins.example.com", "*.example.com", "**.example.com"])
def test_pinning_the_pin_server_blocks_until_forced_with_a_reason(pattern: str) -> None:
    draft = Draft((replace(GOOD, host=pattern),))
    assert codes(draft) == [("PIN008", "/hosts/0/host")]
    for unforced in (draft, replace(draft, force=("PIN008",)), replace(draft, force=("PIN014",), reason="because")):
        with pytest.raises(LintRefused):
            check(unforced, AROUND)
    assert [finding.code for finding in unusual(replace(draft, force=("PIN008",), reason="because"))] == ["PIN008"]


def test_pinning_the_host_that_receives_reports_blocks() -> None:
    draft = Draft((replace(GOOD, host="*.example.net"),), report_to="https://Reports.example.net:8443/x")
    assert codes(draft) == [("PIN008", "/hosts/0/host")]
    assert codes(replace(draft, report_to="https://reports.example.org")) == []


@pytest.mark.parametrize(
    "pin",
    [
        b"\0" * 32,
        b"\xff" * 32,
        b"\x11" * 32,
        decode_base64("B" * 42 + "A=", what="pin"),
        decode_base64("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", what="pin"),
        sha256(b"\n").digest(),
    ],
)
def test_a_placeholder_for_a_pin_blocks_wherever_it_stands(pin: bytes) -> None:
    assert codes(Draft((replace(GOOD, pins=(A, Pin(pin))),))) == [("PIN014", "/hosts/0/pins/1/sha256")]
    assert codes(Draft((replace(GOOD, backups=(Pin(pin),)),))) == [("PIN014", "/hosts/0/backups/0/sha256")]


def test_the_same_pin_twice_for_one_host_blocks_and_as_its_own_backup_for_good() -> None:
    twice, own_backup = Draft((replace(GOOD, pins=(A, C, A)),)), Draft((replace(GOOD, backups=(B, A)),))
    assert codes(twice) == [("PIN015", "/hosts/0/pins/2/sha256")]
    assert codes(own_backup) == [("PIN015", "/hosts/0/backups/1/sha256")]
    assert len(unusual(replace(twice, force=("PIN015",), reason="known"))) == 1
    with pytest.raises(LintRefused):
        check(replace(own_backup, force=("PIN015",), reason="known"), AROUND)


def test_a_host_that_is_named_twice_is_not_said_to_have_a_pin_twice() -> None:
    assert codes(Draft((GOOD, GOOD))) == []  # clients refuse it, and that is said by check_content


def test_of_many_warnings_of_a_code_the_first_are_told_and_the_rest_counted() -> None:
    hosts = tuple(Host(f"h{number}.example.com", (A,), (B,)) for number in range(MAX_WARNINGS + 5))
    found = [finding for finding in lint(Draft(hosts), AROUND) if finding.code == "PIN017"]
    assert [finding.pointer for finding in found] == [f"/hosts/{number}/backups" for number in range(MAX_WARNINGS)]
    assert found[-1].message == f"h{MAX_WARNINGS - 1}.example.com has a single backup pin; 5 more like this"


def test_what_blocks_is_told_of_every_host() -> None:
    hosts = tuple(Host(f"h{number}.example.com", (A,), ()) for number in range(MAX_WARNINGS + 5))
    assert len(codes(Draft(hosts))) == MAX_WARNINGS + 5
