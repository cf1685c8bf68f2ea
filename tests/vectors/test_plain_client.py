"""The vectors against a client that was written from docs/spec.md, without the product and without a strict parser."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.pieces import read_input
from tests.vectors.plain_client import Envelope, PlainClient, Refused, check_pattern, parse

HERE = Path(__file__).parent
FILES = {path.stem: json.loads(path.read_text("ascii")) for path in sorted(HERE.glob("*.json"))}
SMALL_ORDER = {
    bytes.fromhex(each) for each in json.loads((HERE / "ed25519" / "small_order_encodings.json").read_text())
}
MARKS = ("strict_parser_only", "prime_order_check_only")


def cases(with_member: str, *, marked: bool = False) -> list[Any]:
    """Return the cases that have a member, without those that are marked as beyond this client, or only those."""
    return [
        pytest.param(content["shared"], case, id=f"{file}-{case.get('name', number)}")
        for file, content in FILES.items()
        for number, case in enumerate(content["cases"])
        if with_member in case and any(mark in case for mark in MARKS) == marked
    ]


def time_of(event: dict[str, Any]) -> datetime:
    """Return the system time of an event."""
    return datetime.strptime(event["now"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def trusted(client: PlainClient, now: datetime) -> dict[str, Any]:
    """Return what the client trusts as vectors spell it."""
    timestamp, pinset = client.in_force()
    return {
        "state": client.state(now),
        "root": client.chain[-1]["version"],
        "timestamp": "{}.{}".format(*timestamp.tag) if timestamp else None,
        "pinset": "{}.{}".format(*pinset.tag) if pinset else None,
    }


def happen(client: PlainClient, event: dict[str, Any], shared: dict[str, Any]) -> None:
    """Let one event happen."""
    if "refresh" in event:
        client.take_bundle(read_input(event["refresh"], shared), time_of(event))
    elif "root" in event:
        client.take_root(Envelope(parse(read_input(event["root"], shared), 38_229), "root"))
    elif "load" in event:
        kept = {
            kind: [Envelope(parse(read_input(each, shared), 1 << 21), kind.removesuffix("s")) for each in envelopes]
            for kind, envelopes in event["load"].items()
        }
        client.load(**kept)


def live(case: dict[str, Any], shared: dict[str, Any]) -> list[Any]:
    """Return what a client did at each event of a case: verdict and, but for an embedded root, what it trusts."""
    first, *events = case["events"]
    try:
        client = PlainClient(read_input(first["embed"], shared), first["pinset"], SMALL_ORDER)
    except Refused as refusal:
        return [("refuse", refusal.args[0])]
    seen: list[Any] = [("accept", None)]
    for event in events:
        try:
            happen(client, event, shared)
            verdict: Any = ("accept", None)
        except Refused as refusal:
            verdict = ("refuse", refusal.args[0])
        seen.append((*verdict, trusted(client, time_of(event))))
    return seen


def expected(case: dict[str, Any]) -> list[Any]:
    """Return what a case demands, in the shape of :func:`live`; steps are for people."""
    first, *events = (event.get("expect", {"result": "accept"}) for event in case["events"])
    return [
        (first["result"], first.get("error")),
        *((expect["result"], expect.get("error"), expect["then"]) for expect in events),
    ]


@pytest.mark.parametrize(("shared", "case"), cases("events"))
def test_a_client_written_from_the_text_does_what_the_vectors_say(shared: Any, case: dict[str, Any]) -> None:
    assert expected(case) == live(case, shared)


@pytest.mark.parametrize(("shared", "case"), cases("limit"))
def test_an_ordinary_parser_refuses_what_is_not_marked(shared: Any, case: dict[str, Any]) -> None:
    try:
        parsed: Any = ("accept", parse(read_input(case["input"], shared), case["limit"]))
    except Refused:
        parsed = ("refuse", None)
    assert (case["expect"]["result"], case["expect"].get("value")) == parsed


@pytest.mark.parametrize(("shared", "case"), cases("pattern"))
def test_the_text_says_which_patterns_may_stand_in_a_pin_set(shared: Any, case: dict[str, Any]) -> None:
    try:
        check_pattern(case["pattern"])
        result = "accept"
    except Refused:
        result = "refuse"
    assert case["expect"]["result"] == result


def test_marks_are_given_only_where_an_ordinary_client_needs_them() -> None:
    needless = [
        parameters.id
        for parameters in cases("events", marked=True)
        if expected(parameters.values[1]) == live(parameters.values[1], parameters.values[0])
    ]
    assert needless == []
