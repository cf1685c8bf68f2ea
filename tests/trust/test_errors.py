"""Every way of saying no: what its message reads like, what it carries, and that it survives copying and wrapping."""

import ast
import copy
import pickle
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import pinwarden
from pinwarden import errors, trust
from pinwarden.bundle import Bundle
from pinwarden.enforce import Chain, Policy, judge
from pinwarden.errors import PinwardenError, UntrustedError, find_pin_error
from pinwarden.trust import State

SOURCES = sorted(Path(pinwarden.__file__).parent.rglob("*.py"))


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


CLASSES = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, PinwardenError)
}

MISMATCH = {"host": "a.example", "presented": ("p",), "expected_pins": ("e", "f"), "document": "a/b 1.1", "denied": "d"}
EQUIVOCATION = {"held": b"held", "shown": b"shown"}
OWN = {
    "PinMismatchError": MISMATCH,
    "EquivocationError": EQUIVOCATION,
    "FetchError": {"status": 503, "retry_after": 9.5},
}


def made(name: str, **values: Any) -> PinwardenError:
    common = {"expected": "this", "got": 7, "holds": "Something holds.", "hint": "Do something.", "step": "V6"}
    return CLASSES[name]("it happened", **{**OWN.get(name, {}), **common, **values})


# What people read. Each row makes one real refusal, and the sentence that it must give.


@pytest.fixture
def refusals(holding: Any, authority: Any, forge: Any) -> dict[str, Callable[[], object]]:
    """One way to bring about each error of the pure rooms."""
    pinset = authority.sign_pinset({"api.example.com": [b"x" * 32]}, version=1)
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    policy = Policy(replace(holding.pinset, on_stale="refuse"), bytes(16))

    def advance(bundle: Any, state: Any = holding, **span: float) -> object:
        return trust.advance_bundle(state, bundle, now=forge.at(**span))

    stripped = replace(authority.bundle().pinset, signatures=())
    return {
        "MalformedError": lambda: Bundle.parse(b'{"a":1.5}'),
        "SignatureError": lambda: advance(forge.bundle(pinset=stripped)),
        "RollbackError": lambda: advance(authority.bundle(), newer),
        "ExpiredError": lambda: advance(authority.bundle(), days=3),
        "StaleError": lambda: trust.advance_pinset(holding, pinset, clock=trust.read_clock(holding, forge.now)),
        "WrongPinSetError": lambda: advance(forge.next({"name": "other"})),
        "EquivocationError": lambda: advance(Bundle((), authority.sign_timestamp(pinset), pinset)),
        "PinMismatchError": lambda: judge(policy, "api.example.com", Chain((b"x" * 32,), True), state=State.FRESH),
        "PinsUnavailableError": lambda: judge(policy, "api.example.com", Chain((), True), state=State.STALE),
    }


TRUST_STAYS = "What was trusted before stays in force."
REFUSED = "The connection was refused before any application byte was sent or read."
X32, ONE, TWO = (f"{letter}=" for letter in ("eHh4" * 10 + "eHg", "MTEx" * 10 + "MTE", "MjIy" * 10 + "MjI"))
READ = {
    "MalformedError": f"bundle has a number that is not an integer: 1.5 (step P3). {TRUST_STAYS}",
    "SignatureError": "too few valid signatures: expected 1 of 1 keys, got 0 (of 0 signatures present) (step V3). "
    f"{TRUST_STAYS} Either the document was changed on its way, or its signers are not those that the root names.",
    "RollbackError": "timestamp of 'app' is older than one that was seen before: expected 1.2 or newer, got 1.1 "
    "(step V6). The pins already trusted stay in force. If the server was restored from a backup, its operator must "
    "raise its numbers (docs/backup.md).",
    "ExpiredError": "timestamp has expired: expected an end after 2026-11-27T12:00:00Z, got 2026-11-27T12:00:00Z "
    f"(step V5). {TRUST_STAYS} Check this machine's clock; when it is right, nobody renewed, or something on the way "
    "serves old answers.",
    "StaleError": f"no accepted timestamp names a pin set of 'app' (step V10). {TRUST_STAYS}",
    "WrongPinSetError": "pin set of another authority or name: expected AUTHORITY/app, got AUTHORITY/other (step V5). "
    f"{TRUST_STAYS}",
    "EquivocationError": f"pin set 1.1 of 'app' exists with two contents (step V7). {TRUST_STAYS} "
    "The authority shows different clients different documents; treat it as an incident.",
    "PinMismatchError": f"no key of api.example.com is pinned: expected one of {ONE}, {TWO}, got {X32} (step E2). "
    f"{REFUSED} Judged by pin set AUTHORITY/app 1.1. Either the connection is intercepted, or the service changed its "
    "key before a pin for it was published: compare with `pinwarden pin api.example.com` from another network.",
    "PinsUnavailableError": "pin set AUTHORITY/app 1.1 is stale, and for api.example.com that means to refuse: "
    f"expected a fresh pin set, got stale. {REFUSED} Look at `pinwarden status` for what keeps the refresh "
    "from succeeding.",
}


@pytest.mark.parametrize("name", list(READ))
def test_a_refusal_reads_like_this(refusals: Any, authority: Any, name: str) -> None:
    with pytest.raises(CLASSES[name]) as refused:
        refusals[name]()
    assert type(refused.value) is CLASSES[name]
    assert str(refused.value).replace(authority.authority, "AUTHORITY") == READ[name]


def test_every_error_of_the_pure_rooms_is_read_here() -> None:
    kinds = {kind.__name__ for kind in subclasses(UntrustedError) if kind.__module__ == "pinwarden.errors"}
    assert kinds | {"PinMismatchError", "PinsUnavailableError"} == set(READ)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every place in the SDK that makes one of its errors, whatever its class."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
                yield f"{path.name}:{node.lineno}", node


def texts(node: ast.AST | None) -> list[str]:
    """The last literal piece of each text that *node* may give, and nothing where it is computed."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=[*_, ast.Constant(value=str(text))]):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return texts(one) + texts(other)
        case ast.BoolOp(values=values):
            return [text for value in values for text in texts(value)]
    return []


def test_every_message_says_what_happened_and_ends_where_it_should() -> None:
    faults, seen = [], set()
    for place, call in calls():
        seen.add(call.func.id)  # type: ignore[attr-defined]
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        if not call.args:
            faults.append(f"{place}: does not say what happened")
        if any(text.rstrip().endswith((".", "!", ":")) for text in texts(call.args[0] if call.args else None)):
            faults.append(f"{place}: what happened is a clause without a full stop")
        faults += [
            f"{place}: {name} is not a sentence"
            for name in ("holds", "hint")
            for text in texts(named.get(name))
            if not text.endswith((".", "?"))
        ]
        faults += [
            f"{place}: no such step"
            for text in texts(named.get("step"))
            if re.fullmatch(r"[PVCESH](?:[1-9]|1[01])", text) is None
        ]
    assert faults == []
    assert seen >= set(CLASSES) - {"PinwardenError", "UntrustedError"}


# What they carry.


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_message_says_what_happened_expected_got_step_holds_and_hint(name: str) -> None:
    assert str(made(name)) == "it happened: expected this, got 7 (step V6). Something holds. Do something."


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "it happened."),
        ({"expected": 0}, "it happened: expected 0."),
        ({"got": 0}, "it happened: got 0."),
        ({"step": "V6"}, "it happened (step V6)."),
        ({"holds": "A.", "hint": "B."}, "it happened. A. B."),
        ({"hint": "B."}, "it happened. B."),
    ],
)
def test_what_is_not_known_is_not_said(values: dict[str, Any], text: str) -> None:
    assert str(PinwardenError("it happened", **values)) == text


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_a_copy_carries_all_that_the_original_does(name: str, copied: Callable[[Any], Any]) -> None:
    error = made(name)
    error.add_note("a note")
    twin = copied(error)
    assert type(twin) is type(error)
    assert (twin.__dict__, twin.args, str(twin)) == (error.__dict__, error.args, str(error))
    if isinstance(error, ssl.SSLError):
        assert [getattr(twin, field) for field in ("errno", "strerror", "library", "reason")] == [
            1,
            str(error),
            "PINWARDEN",
            error.reason,
        ]


def test_a_copy_carries_the_state_that_was_reached(holding: Any, forge: Any) -> None:
    with pytest.raises(UntrustedError) as refused:
        trust.advance_bundle(holding, forge.next({"name": "other"}), now=forge.now)
    twin = pickle.loads(pickle.dumps(refused.value))
    assert twin.state == refused.value.state == holding


def test_what_refuses_bytes_says_that_trust_stays_unless_it_says_more() -> None:
    for name in [kind.__name__ for kind in subclasses(UntrustedError) if kind.__module__ == "pinwarden.errors"]:
        error = CLASSES[name]("it happened", **OWN.get(name, {}))
        assert (error.holds, error.state) == (TRUST_STAYS, None)


def test_a_refused_connection_is_the_certificate_failure_that_libraries_know() -> None:
    mismatch, unavailable = made("PinMismatchError"), made("PinsUnavailableError")
    assert isinstance(mismatch, ssl.SSLCertVerificationError)
    assert isinstance(unavailable, ssl.SSLError)
    assert not isinstance(unavailable, ssl.SSLCertVerificationError)
    assert (mismatch.reason, unavailable.reason) == ("CERTIFICATE_VERIFY_FAILED", "PINS_UNAVAILABLE")
    assert (mismatch.verify_code, mismatch.verify_message, mismatch.errno) == (1, "it happened", 1)
    assert mismatch.args == (1, str(mismatch))


def test_a_mismatch_says_by_itself_what_was_expected_and_seen() -> None:
    plain = errors.PinMismatchError("it happened", **MISMATCH)
    empty = errors.PinMismatchError("it happened", **{**MISMATCH, "presented": (), "expected_pins": ()})
    assert (plain.expected, plain.got) == ("one of e, f", "p")
    assert (empty.expected, empty.got) == (None, "no verified key")


def test_a_wrong_setting_is_a_value_error_too() -> None:
    assert isinstance(made("ConfigError"), ValueError)


# How they are found again.


class LibraryError(Exception):
    """Stands for what an HTTP library raises."""


def by_cause(error: BaseException) -> BaseException:
    outer = LibraryError()
    outer.__cause__ = error
    return outer


def by_context(error: BaseException) -> BaseException:
    outer = LibraryError()
    outer.__context__ = error
    return outer


def by_reason(error: BaseException) -> BaseException:
    outer = LibraryError()
    outer.reason = error  # type: ignore[attr-defined]
    return outer


def by_args(error: BaseException) -> BaseException:
    return LibraryError("text", error)


def by_group(error: BaseException) -> BaseException:
    return BaseExceptionGroup("several", [LibraryError(), error])


WRAPS = [by_cause, by_context, by_reason, by_args, by_group]


@pytest.mark.parametrize("outer", WRAPS)
@pytest.mark.parametrize("inner", WRAPS)
def test_an_error_is_found_however_libraries_wrapped_it(outer: Any, inner: Any) -> None:
    error = made("PinMismatchError")
    assert find_pin_error(error) is error
    assert find_pin_error(outer(inner(error))) is error


def test_where_no_error_of_ours_is_inside_none_is_found() -> None:
    circle = by_cause(LibraryError())
    circle.__cause__.__cause__ = circle  # type: ignore[union-attr]
    for other in (None, LibraryError(), by_cause(ssl.SSLError(1, "x")), circle, by_reason("text")):  # type: ignore[arg-type]
        assert find_pin_error(other) is None


def test_the_nearest_error_is_found_first() -> None:
    near, far = made("PinMismatchError"), made("FetchError")
    near.__cause__ = far
    assert find_pin_error(by_cause(near)) is near


def test_a_lifetime_is_spelled_in_seconds(holding: Any, forge: Any) -> None:
    long = {"expires": forge.now + timedelta(days=8)}
    with pytest.raises(errors.ExpiredError) as refused:
        trust.advance_bundle(holding, forge.next(timestamp_changes=long), now=forge.now)
    assert (refused.value.expected, refused.value.got) == ("at most 604800 s", "691200 s")
