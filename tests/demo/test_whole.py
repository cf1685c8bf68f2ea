"""The whole demo once: every step holds, and what it measured is what it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from pinwarden_demo.steps import NAMES

pytestmark = pytest.mark.xdist_group("demo-whole")
LIBRARIES = 4


def through(calls: int) -> dict[str, Any]:
    """Return a round in which every call was answered, apart from how many bytes the service read."""
    return {"sent": calls, "through": calls, "errors": {}, "met": calls}


def refused(calls: int, error: str = "PinMismatchError") -> dict[str, Any]:
    """Return a round in which every call met the far end and was refused before any byte."""
    return {"sent": calls, "through": 0, "errors": {error: calls}, "bytes_read": 0, "met": calls}


def read(a_round: dict[str, Any]) -> int:
    """Take the bytes out of *a_round* and return them."""
    taken: int = a_round.pop("bytes_read")
    return taken


def test_every_step_holds_and_leaves_nothing_behind(whole):
    assert whole.err == ""
    assert whole.held == dict.fromkeys(NAMES, True)
    assert (whole.code, whole.report["held"], whole.report["sabotaged"]) == (0, True, None)
    assert {step["leaked_bytes"] for step in whole.steps.values()} == {0}
    assert {tuple(step["unmet"]) for step in whole.steps.values()} == {()}


def test_only_the_owner_publishes_and_root_json_is_all_that_a_client_needs(whole):
    assert whole.steps["publish"]["facts"] == {
        "created": 201,
        "stranger": 401,
        "version": "1.1",
        "held": "1.1",
        "state": "fresh",
        "hosts": 2,
        "intercepted": refused(1),
    }


def test_every_library_reaches_both_services_in_both_ways_and_still_refuses_an_expired_certificate(whole):
    facts = whole.steps["libraries"]["facts"]
    for way in ("per_context", "process_wide"):
        assert read(facts[way]) > 2 * LIBRARIES * len("GET / HTTP/1.1\r\n\r\n")
        assert facts[way] == through(2 * LIBRARIES)
        assert facts[f"expired_{way}"] == refused(LIBRARIES, "SSLCertVerificationError")


def test_the_interceptor_reads_nothing_under_pins_and_everything_without(whole):
    facts = whole.steps["interceptor"]["facts"]
    assert facts["per_context"] == refused(LIBRARIES)
    assert facts["process_wide"] == refused(LIBRARIES)
    assert read(facts["unpinned"]) > LIBRARIES * len("GET / HTTP/1.1\r\n\r\n")
    assert facts["unpinned"] == through(LIBRARIES)


@pytest.mark.parametrize(
    ("step", "errors", "version"),
    [
        ("tampered", ["SignatureError"], "1.1"),
        ("rollback", ["RollbackError"], "1.3"),
        ("foreign", ["SignatureError", "WrongPinSetError"], "1.3"),
    ],
)
def test_each_lie_is_refused_by_its_name_and_the_pins_in_force_stay(whole, step, errors, version):
    attempts = whole.steps[step]["facts"]["attempts"]
    assert [attempt["error"] for attempt in attempts] == errors
    for attempt in attempts:
        assert (attempt["before"], attempt["after"], attempt["pins_stay"]) == (version, version, True)
        assert attempt["lies_told"] >= 1
        assert read(attempt["right_key"]) > 0
        assert (attempt["right_key"], attempt["intercepted"]) == (through(1), refused(1))


def test_a_rotation_under_load_fails_not_one_call(whole):
    facts = whole.steps["rotation"]["facts"]
    assert facts["failed"] == {}
    assert facts["sent"] == facts["old_key"] + facts["new_key"]
    assert min(facts["old_key"], facts["new_key"]) >= 2 * 25
    assert (facts["versions"], facts["reached"]) == (["1.3", "1.4", "1.5"], ["1.5", "1.5"])
    assert facts["retired"] == refused(1)


@pytest.mark.parametrize(("step", "source"), [("outage", "memory"), ("restart", "disk")])
def test_pins_outlive_the_server(whole, step, source):
    facts = whole.steps[step]["facts"]
    assert read(facts["right_key"]) > 0
    assert facts == {
        "source": source,
        "published": "1.5",
        "held": "1.5",
        "refresh": "FetchError",
        "state": "fresh",
        "right_key": through(LIBRARIES),
        "intercepted": refused(LIBRARIES),
    }


def test_the_page_names_every_field_of_the_report(whole):
    page = (Path(__file__).parents[2] / "docs" / "demo.md").read_text("utf-8")
    paragraph = page.partition("The JSON has ")[2].partition("\n\n")[0]
    assert re.findall(r"`([a-z_]+)`", paragraph) == [*whole.report, *whole.report["steps"][0]]
