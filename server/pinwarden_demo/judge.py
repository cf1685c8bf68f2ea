"""
Whether a step's promise held: one table of conditions on its facts, and nothing else.

It may import nothing but dataclasses. It does not know what was sabotaged; only what was measured counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MISMATCH = "PinMismatchError"
CERTIFICATE = "SSLCertVerificationError"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must be so, in words and as a test of the facts."""

    sentence: str
    holds: Callable[[Any], bool]


def unmet(step: str, facts: Any) -> list[str]:
    """Return the sentences of *step* that the facts contradict; none means that its promise held."""
    return [condition.sentence for condition in CONDITIONS[step] if not condition.holds(facts)]


def _all_through(*rounds: Any) -> bool:
    return all(one.through == one.sent > 0 for one in rounds)


def _all_refused(error: str, *rounds: Any) -> bool:
    """Tell whether the far end was met by every call, and each was refused with *error* before any byte."""
    return all(one.errors == {error: one.sent} and one.sent > 0 and one.met >= one.sent for one in rounds)


def _silent(*rounds: Any) -> bool:
    return all(one.bytes_read == 0 for one in rounds)


def _refusals(*errors: str) -> tuple[Condition, ...]:
    return (
        Condition("the server told every lie", lambda f: all(one.lies_told > 0 for one in f.attempts)),
        Condition(
            f"each lie was refused with {' and '.join(errors)}",
            lambda f: tuple(one.error for one in f.attempts) == errors,
        ),
        Condition("the version in force did not move", lambda f: all(one.before == one.after for one in f.attempts)),
        Condition("the pins in force did not change", lambda f: all(one.pins_stay for one in f.attempts)),
        Condition("the right key still passed", lambda f: _all_through(*(one.right_key for one in f.attempts))),
        Condition(
            "the interceptor was still refused, and read nothing",
            lambda f: (
                _all_refused(MISMATCH, *(one.intercepted for one in f.attempts))
                and _silent(*(one.intercepted for one in f.attempts))
            ),
        ),
    )


_OFFLINE = (
    Condition("the pin server was away", lambda f: f.refresh == "FetchError"),
    Condition("the client held what was in force", lambda f: (f.held, f.state) == (f.published, "fresh")),
    Condition("the right key passed in every library", lambda f: _all_through(f.right_key)),
    Condition("every call through the interceptor was refused", lambda f: _all_refused(MISMATCH, f.intercepted)),
    Condition("the interceptor read nothing", lambda f: _silent(f.intercepted)),
)

CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "publish": (
        Condition("the owner's publication was created", lambda f: f.created == 201),
        Condition("the stranger's publication was refused", lambda f: f.stranger in (401, 403)),
        Condition("the client holds the owner's version", lambda f: f.held == f.version),
        Condition("the client's pins are fresh, for both hosts", lambda f: (f.state, f.hosts) == ("fresh", 2)),
        Condition(
            "the interceptor was refused, and read nothing",
            lambda f: _all_refused(MISMATCH, f.intercepted) and _silent(f.intercepted),
        ),
    ),
    "libraries": (
        Condition("every call with the right key got through", lambda f: _all_through(f.per_context, f.process_wide)),
        Condition(
            "an expired certificate was refused by every library, whatever its key",
            lambda f: _all_refused(CERTIFICATE, f.expired_per_context, f.expired_process_wide),
        ),
        Condition(
            "no byte was sent under an expired certificate",
            lambda f: _silent(f.expired_per_context, f.expired_process_wide),
        ),
    ),
    "interceptor": (
        Condition(
            "every pinned call was refused because of its pin",
            lambda f: _all_refused(MISMATCH, f.per_context, f.process_wide),
        ),
        Condition("the interceptor read nothing from them", lambda f: _silent(f.per_context, f.process_wide)),
        Condition(
            "without pins the same interceptor read every call",
            lambda f: _all_through(f.unpinned) and f.unpinned.bytes_read > 0,
        ),
    ),
    "tampered": _refusals("SignatureError"),
    "rollback": _refusals("RollbackError"),
    "foreign": _refusals("SignatureError", "WrongPinSetError"),
    "rotation": (
        Condition("not one call failed", lambda f: f.failed == {} and f.sent == f.old_key + f.new_key),
        Condition("both keys answered under load", lambda f: f.old_key > 0 and f.new_key > 0),
        Condition("two versions were published for it", lambda f: len(set(f.versions)) == 3),
        Condition("every client polled the last one", lambda f: set(f.reached) == {f.versions[-1]}),
        Condition("the retired key is refused", lambda f: _all_refused(MISMATCH, f.retired) and _silent(f.retired)),
    ),
    "outage": _OFFLINE,
    "restart": _OFFLINE,
}
