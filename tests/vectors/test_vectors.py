"""Every vector against the SDK: the verdict, its error and step, and what is trusted afterwards."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden.enforce import Chain, Policy, Verdict, is_enforced_here, judge
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, check_public_key, keyid_of, pae
from pinwarden.errors import PinMismatchError, PinsUnavailableError, PinwardenError, StaleError, UntrustedError
from pinwarden.hosts import PatternIndex, canonical_host, check_pattern
from pinwarden.spki import pin_of, spki_of, spki_of_request
from pinwarden.strict_json import decode_base64, encode_base64, parse_object, parse_time
from pinwarden.testing import pinned
from pinwarden.trust import (
    KeptDocuments,
    State,
    TrustState,
    absorb,
    advance_bundle,
    advance_pinset,
    advance_root,
    begin,
    read_clock,
)
from tests.vectors.pieces import read_input

HERE = Path(__file__).parent
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


FILES = {path.stem: json.loads(path.read_text("ascii")) for path in sorted(HERE.glob("*.json"))}
FORM_TESTS = {
    "json", "base64", "times", "signed_bytes", "keys", "host_patterns", "host_names", "host_winners", "certificates",
    "certificate_requests", "verdicts", "shares",
}  # fmt: skip
UPDATES = sorted(FILES.keys() - FORM_TESTS)


def cases_of(*files: str) -> list[Any]:
    """Return the cases of *files* as parameters: what the file shares, and the case."""
    return [
        pytest.param(FILES[file]["shared"], case, id=f"{file}-{case.get('name', number)}")
        for file in files
        for number, case in enumerate(FILES[file]["cases"])
    ]


def refusal(error: PinwardenError) -> dict[str, Any]:
    """Return *error* as vectors spell it."""
    return {"result": "refuse", "error": type(error).__name__, "step": error.step}


def trusted(state: TrustState, now: datetime) -> dict[str, Any]:
    """Return what *state* trusts as vectors spell it."""
    timestamp, pinset = state.timestamp, state.pinset
    return {
        "state": state.state_at(now).value,
        "root": state.root.version,
        "timestamp": f"{timestamp.epoch}.{timestamp.version}" if timestamp else None,
        "pinset": f"{pinset.epoch}.{pinset.version}" if pinset else None,
    }


def kept_in(event: dict[str, Any], shared: dict[str, Any]) -> KeptDocuments:
    """Return the envelopes of a cache."""
    kinds = {"roots": ROOT_TYPE, "timestamps": TIMESTAMP_TYPE, "pinsets": PINSET_TYPE}
    return KeptDocuments(
        **{
            field: tuple(Envelope.parse(read_input(each, shared), expect=kind) for each in event[field])
            for field, kind in kinds.items()
        }
    )


def apply(state: TrustState, event: dict[str, Any], shared: dict[str, Any], now: datetime) -> TrustState:
    """Return *state* after *event*; raises UntrustedError when that is refused."""
    if "refresh" in event:
        return advance_bundle(state, Bundle.parse(read_input(event["refresh"], shared)), now=now)
    if "root" in event:
        return advance_root(state, read_input(event["root"], shared))
    return absorb(state, kept_in(event["load"], shared)) if "load" in event else state


@pytest.mark.parametrize(("shared", "case"), cases_of(*UPDATES))
def test_a_client_trusts_what_the_vector_says(shared: dict[str, Any], case: dict[str, Any]) -> None:
    first, *events = case["events"]
    root = read_input(first["embed"], shared)
    if "expect" in first:
        with pytest.raises(UntrustedError) as caught:
            begin(root, name=first["pinset"])
        assert first["expect"] == refusal(caught.value)
        return
    state = begin(root, name=first["pinset"])
    for event in events:
        now = parse_time(event["now"], what="now")
        before, kept = replace(state), state.kept()
        try:
            state = apply(state, event, shared, now)
            outcome = {"result": "accept"}
        except UntrustedError as error:
            assert (before, kept) == (state, state.kept())
            state = error.state or state
            # Roots are the only thing that a refused refresh may leave (spec V10).
            assert before == replace(state, chain=before.chain, root_envelopes=before.root_envelopes)
            outcome = refusal(error)
        assert event["expect"] == {**outcome, "then": trusted(state, now)}
        restarted = absorb(begin(root, name=first["pinset"]), state.kept())
        # A timestamp without a pin set is in force for nobody, and a restart does not bring it back.
        alone = {} if state.pinset else {"timestamp": None}
        assert event["expect"]["then"] | alone == trusted(restarted, now)
        assert absorb(state, state.kept()) is state


def test_a_pin_set_waits_for_its_timestamp() -> None:
    shared = FILES["adoption"]["shared"]
    state = begin(read_input({"named": "root 1"}, shared), name="app")
    pinset = Bundle.parse(read_input({"named": "update 1"}, shared)).pinset
    with pytest.raises(StaleError) as caught:
        advance_pinset(state, pinset, clock=read_clock(state, datetime(2026, 1, 1, tzinfo=UTC)))
    assert refusal(caught.value) == {"result": "refuse", "error": "StaleError", "step": "V10"}


@pytest.mark.parametrize(("shared", "case"), cases_of("json"))
def test_bytes_become_an_object_or_are_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    try:
        value = parse_object(read_input(case["input"], shared), limit=case["limit"], what="vector")
        outcome = {"result": "accept", "value": value}
    except UntrustedError as error:
        outcome = {"result": "refuse", "step": error.step}
    assert case["expect"] == outcome


@pytest.mark.parametrize(("shared", "case"), cases_of("base64"))
def test_text_becomes_bytes_or_is_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    try:
        value = decode_base64(case["text"], what="vector", length=case["length"])
        outcome = {"result": "accept", "hex": value.hex()}
    except UntrustedError as error:
        outcome = {"result": "refuse", "step": error.step}
    assert case["expect"] == outcome


@pytest.mark.parametrize(("shared", "case"), cases_of("times"))
def test_text_becomes_a_time_or_is_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    try:
        value = (parse_time(case["text"], what="vector") - EPOCH) // timedelta(seconds=1)
        outcome = {"result": "accept", "unix": value}
    except UntrustedError as error:
        outcome = {"result": "refuse", "step": error.step}
    assert case["expect"] == outcome


@pytest.mark.parametrize(("shared", "case"), cases_of("signed_bytes"))
def test_the_signed_bytes_are_those_of_dsse(shared: dict[str, Any], case: dict[str, Any]) -> None:
    assert case["expect"] == pae(case["type"], decode_base64(case["payload"], what="payload")).hex()


@pytest.mark.parametrize(("shared", "case"), cases_of("keys"))
def test_a_key_is_used_or_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    public = bytes.fromhex(case["public"])
    try:
        outcome = {"result": "accept"} if check_public_key(public, keyid=case["keyid"]) == public else {}
        assert keyid_of(public) == case["keyid"]
    except UntrustedError as error:
        outcome = refusal(error)
    assert case["expect"] == outcome


@pytest.mark.parametrize(("shared", "case"), cases_of("host_patterns"))
def test_a_pattern_may_stand_in_a_pin_set_or_not(shared: dict[str, Any], case: dict[str, Any]) -> None:
    try:
        outcome = {"result": "accept"} if check_pattern(case["pattern"], what="host") == case["pattern"] else {}
    except UntrustedError as error:
        outcome = {"result": "refuse", "step": error.step}
    assert case["expect"] == outcome


@pytest.mark.parametrize(("shared", "case"), cases_of("host_names"))
def test_a_name_has_one_spelling(shared: dict[str, Any], case: dict[str, Any]) -> None:
    assert case["expect"] == canonical_host(case["name"])
    assert case["expect"] == canonical_host(case["expect"]) or case["name"].endswith("..")


@pytest.mark.parametrize(("shared", "case"), cases_of("host_winners"))
def test_one_pattern_decides(shared: dict[str, Any], case: dict[str, Any]) -> None:
    for patterns in (case["patterns"], case["patterns"][::-1]):
        index = PatternIndex((check_pattern(pattern, what="host"), pattern) for pattern in patterns)
        assert case["expect"] == index.find(case["host"])


@pytest.mark.parametrize(("shared", "case"), cases_of("certificates"))
def test_a_certificate_has_a_pin_or_is_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    assert case["expect"] == _pin_outcome(spki_of, pin_of, read_input(case["der"], shared))


@pytest.mark.parametrize(("shared", "case"), cases_of("certificate_requests"))
def test_a_certificate_request_has_a_pin_or_is_refused(shared: dict[str, Any], case: dict[str, Any]) -> None:
    def pin_of_request(request: bytes) -> bytes:
        return sha256(spki_of_request(request)).digest()

    assert case["expect"] == _pin_outcome(spki_of_request, pin_of_request, read_input(case["der"], shared))


def _pin_outcome(key_of: Callable[[bytes], bytes], pin_of_key: Callable[[bytes], bytes], der: bytes) -> dict[str, Any]:
    try:
        key, pin = key_of(der), encode_base64(pin_of_key(der))
    except UntrustedError as error:
        return {"result": "refuse", "error": type(error).__name__}
    return {"result": "accept", "pin": pin, "spki_length": len(key)}


@pytest.mark.parametrize(("shared", "case"), cases_of("verdicts"))
def test_a_connection_may_go_on_or_not(shared: dict[str, Any], case: dict[str, Any]) -> None:
    pinset = PinSet.parse(json.dumps(shared[case["pinset"]]).encode())
    policy = Policy(pinset, bytes.fromhex(case["installation"]))
    pins = tuple(decode_base64(pin, what="pin", length=32) for pin in case["chain"])
    chain, state = Chain(pins, case["verified"]), State(case["state"])
    try:
        outcome = _pass_outcome(judge(policy, case["host"], chain, state=state, unpinned=case["unpinned"]))
    except (PinMismatchError, PinsUnavailableError) as error:
        outcome = {**refusal(error), "denied": getattr(error, "denied", None)}
    assert case["expect"] == outcome


def _pass_outcome(verdict: Verdict) -> dict[str, Any]:
    problem = verdict.problem
    would = {"error": type(problem).__name__, "step": problem.step, "denied": problem.denied} if problem else None
    return {
        "result": "pass",
        "outcome": verdict.outcome.value,
        "pattern": verdict.pattern,
        "pin": verdict.pin,
        "would_refuse": would,
    }


@pytest.mark.parametrize(("shared", "case"), cases_of("shares"))
def test_a_share_of_installations_enforces(shared: dict[str, Any], case: dict[str, Any]) -> None:
    host = pinned(case["host"], b"p" * 32, enforce_percent=case["enforce_percent"])
    pinset = PinSet(case["authority"], case["name"], 1, 1, EPOCH, EPOCH, (host,))
    assert case["expect"]["enforces"] == is_enforced_here(pinset, host, bytes.fromhex(case["installation"]))
    assert not is_enforced_here(pinset, replace(host, mode="report"), bytes.fromhex(case["installation"]))


def test_every_file_is_of_the_format_that_the_readme_describes() -> None:
    assert {"pinwarden-vectors-1"} == {content["format"] for content in FILES.values()}
    assert [name for name in FILES if f"`{name}.json`" not in (HERE / "README.md").read_text("utf-8")] == []
    assert FILES.keys() > FORM_TESTS


def test_the_files_stay_small_enough_to_be_copied_into_another_repository() -> None:
    assert sum(path.stat().st_size for path in HERE.rglob("*.json")) < 1_500_000


def test_the_generator_writes_exactly_these_files() -> None:
    command = [sys.executable, "-m", "tests.vectors.generate", "--check"]
    checked = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True, timeout=120)
    assert (checked.returncode, checked.stderr) == (0, "")
