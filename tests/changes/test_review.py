"""What a person is told before they sign: every way to weaken a pin set has its sentence, and no other has one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from pinwarden.documents import Host, Pin, PinSet
from pinwarden.testing import pinned
from pinwarden_ops.change_review import difference, warnings_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIVE, SPARE, VAULT, OTHER = (sha256(word).digest() for word in (b"live", b"spare", b"vault", b"other"))
API = pinned("api.example.com", LIVE, SPARE)
BASE = PinSet(
    authority="test-0123456789abcdef",
    name="payments",
    epoch=1,
    version=1,
    issued=NOW,
    expires=NOW + timedelta(days=30),
    hosts=(API, pinned("pay.example.com", LIVE, SPARE)),
)


def changed(**changes: Any) -> PinSet:
    """Return the pin set after *changes*; ``api`` changes the first host."""
    host = replace(API, **changes.pop("api", {}))
    return replace(BASE, **{"version": 2, "hosts": (host, BASE.hosts[1]), **changes})


NOTHING_IN_COMMON = "has no key in common with what is in force: clients and servers would have to switch at once"
REPORTING, PLATFORM = {"mode": "report"}, {"on_expiry": "platform"}
# name: (before, after, the warnings)
WEAKER: dict[str, tuple[PinSet | None, PinSet, list[str]]] = {
    "nothing but a new life": (BASE, changed(expires=NOW + timedelta(days=30)), []),
    "a host dropped": (BASE, changed(hosts=(API,)), ["pay.example.com would not be pinned any more"]),
    "every host dropped": (
        changed(hosts=(API,)),
        changed(hosts=()),
        [
            "this withdraws pinning altogether: no host is pinned afterwards",
            "api.example.com would not be pinned any more",
        ],
    ),
    "report mode": (
        BASE,
        changed(api=REPORTING),
        ["api.example.com would only report mismatches, and let them through"],
    ),
    "back to enforce mode": (changed(api=REPORTING), changed(), []),
    "fewer installations": (
        BASE,
        changed(api={"enforce_percent": 10}),
        ["api.example.com would be enforced by 10 % of the installations only"],
    ),
    "more installations": (changed(api={"enforce_percent": 10}), changed(api={"enforce_percent": 50}), []),
    "a softer end": (
        BASE,
        changed(api=PLATFORM),
        ["api.example.com would fall back to ordinary CA checks once the pin set expires (on_expiry platform)"],
    ),
    "a harder end": (changed(api=PLATFORM), changed(), []),
    "a backup promoted": (BASE, changed(api={"pins": (Pin(SPARE),), "backups": (Pin(LIVE),)}), []),
    "a new backup": (
        BASE,
        changed(api={"backups": (Pin(VAULT),)}),
        [f"api.example.com: nothing shows that anyone holds the new backup key {Pin(VAULT)}; ask its holder"],
    ),
    "all keys at once": (
        BASE,
        changed(api={"pins": (Pin(OTHER),), "backups": (Pin(VAULT),)}),
        [
            f"api.example.com {NOTHING_IN_COMMON}",
            f"api.example.com: nothing shows that anyone holds the new backup key {Pin(VAULT)}; ask its holder",
        ],
    ),
    "the hash of nothing": (
        BASE,
        changed(api={"pins": (Pin(LIVE), Pin(sha256(b"").digest()))}),
        [f"api.example.com: {Pin(sha256(b'').digest())} is a placeholder; nobody has its key"],
    ),
    "a denied key forgiven": (
        changed(deny=(OTHER,)),
        changed(),
        [f"the denied key {Pin(OTHER)} would be accepted again where it is pinned"],
    ),
    "a key denied": (BASE, changed(deny=(OTHER,)), []),
    "going on without updates": (
        changed(on_stale="refuse"),
        changed(),
        ["clients that get no updates would go on connecting (on_stale was refuse)"],
    ),
    "stopping without updates": (BASE, changed(on_stale="refuse"), []),
    "reports to someone else": (
        BASE,
        changed(report_to="https://r.example.net/"),
        ["reports of failures would go elsewhere than before"],
    ),
    "a longer life": (
        BASE,
        changed(expires=NOW + timedelta(days=60)),
        ["it lives longer than the one before: a wrong pin would be believed for longer"],
    ),
    "a new pin set in report mode": (
        None,
        changed(hosts=(replace(API, mode="report"),)),
        [
            "api.example.com would only report mismatches, and let them through",
            f"api.example.com: nothing shows that anyone holds the new backup key {Pin(SPARE)}; ask its holder",
        ],
    ),
}


@pytest.mark.parametrize("words", WEAKER)
def test_the_person_who_signs_is_warned_of(words: str) -> None:
    before, after, warnings = WEAKER[words]
    assert list(warnings_of(before, after)) == warnings


def rows(before: PinSet | None, after: PinSet) -> list[str]:
    return [" ".join(row) for row in difference(before, after) if not row[2].startswith("expires ")]


def test_each_change_of_a_host_is_a_row_of_its_own() -> None:
    after = changed(
        api={"pins": (Pin(LIVE), Pin(OTHER, "ca")), "backups": (Pin(VAULT),), **REPORTING, "enforce_percent": 20}
    )
    assert rows(BASE, after) == [
        f"+ api.example.com pin {Pin(OTHER)} ca",
        f"+ api.example.com backup {Pin(VAULT)} leaf",
        f"- api.example.com backup {Pin(SPARE)} leaf",
        "~ api.example.com mode enforce -> report",
        "~ api.example.com enforce_percent 100 -> 20",
    ]


def test_a_pin_whose_kind_changes_is_shown_as_two_rows() -> None:
    assert rows(BASE, changed(api={"pins": (Pin(LIVE, "ca"),)})) == [
        f"+ api.example.com pin {Pin(LIVE)} ca",
        f"- api.example.com pin {Pin(LIVE)} leaf",
    ]


def test_what_concerns_all_hosts_comes_last() -> None:
    after = changed(deny=(OTHER,), on_stale="refuse", report_to="https://r.example.net/")
    assert rows(changed(deny=(VAULT,)), after) == [
        f"+ (pin set) deny {Pin(OTHER)}",
        f"- (pin set) deny {Pin(VAULT)}",
        "~ (pin set) on_stale enforce -> refuse",
        "~ (pin set) report_to none -> https://r.example.net/",
    ]


def test_hosts_that_come_and_go_are_named_with_what_it_means() -> None:
    new = Host("new.example.com", (Pin(LIVE),), (Pin(SPARE),))
    assert rows(BASE, changed(hosts=(API, new))) == [
        "+ new.example.com newly pinned, mode enforce, on_expiry refuse",
        f"+ new.example.com pin {Pin(LIVE)} leaf",
        f"+ new.example.com backup {Pin(SPARE)} leaf",
        "- pay.example.com no longer pinned: any certificate that a CA issues will do",
    ]


def test_the_same_content_again_shows_its_new_end_alone() -> None:
    after = changed(expires=NOW + timedelta(days=40))
    assert list(difference(BASE, after)) == [("~", "(pin set)", "expires 2026-07-01T12:00:00Z -> 2026-07-11T12:00:00Z")]
