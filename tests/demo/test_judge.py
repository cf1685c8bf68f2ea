"""The judge: facts that hold, and every single one that does not."""

from dataclasses import replace
from typing import Any

import pytest

from pinwarden_demo import judge
from pinwarden_demo.libraries import Round
from pinwarden_demo.steps import NAMES, bad_bundles, interceptor, libraries, offline, publish, rotation

PASSED, LEAKED = Round(4, 4, {}, 600, 4), Round(4, 4, {}, 600, 4)
REFUSED = Round(4, 0, {"PinMismatchError": 4}, 0, 4)
EXPIRED = Round(4, 0, {"SSLCertVerificationError": 4}, 0, 4)
NEVER_MET = replace(REFUSED, met=0)
ONE_LOST = Round(4, 3, {"ConnectError": 1}, 450, 4)
DRIPPED = replace(REFUSED, bytes_read=1)


def attempt(error: str | None) -> bad_bundles.Attempt:
    """Return a lie that was refused with *error* and changed nothing."""
    return bad_bundles.Attempt("a lie", error, "1.1", "1.1", True, 1, PASSED, REFUSED)


def lies(*errors: str) -> bad_bundles.Facts:
    """Return facts of one attempt per error."""
    return bad_bundles.Facts(tuple(attempt(error) for error in errors))


OFFLINE = offline.Facts("memory", "1.5", "1.5", "FetchError", "fresh", PASSED, REFUSED)
HOLDING: dict[str, Any] = {
    "publish": publish.Facts(201, 401, "1.1", "1.1", "fresh", 2, REFUSED),
    "libraries": libraries.Facts(PASSED, PASSED, EXPIRED, EXPIRED),
    "interceptor": interceptor.Facts("payments.demo.test", REFUSED, REFUSED, PASSED),
    "tampered": lies("SignatureError"),
    "rollback": lies("RollbackError"),
    "foreign": lies("SignatureError", "WrongPinSetError"),
    "rotation": rotation.Facts(10, {}, 5, 5, ("1.3", "1.4", "1.5"), ("1.5", "1.5"), REFUSED),
    "outage": OFFLINE,
    "restart": OFFLINE,
}
OFFLINE_FAULTS: list[tuple[dict[str, Any], set[int]]] = [
    ({"refresh": None}, {0}),
    ({"held": None}, {1}),
    ({"held": "1.4"}, {1}),
    ({"state": "stale"}, {1}),
    ({"right_key": ONE_LOST}, {2}),
    ({"right_key": replace(PASSED, sent=0, through=0)}, {2}),
    ({"intercepted": NEVER_MET}, {3}),
    ({"intercepted": DRIPPED}, {4}),
    ({"intercepted": LEAKED}, {3, 4}),
]
LIE_FAULTS: list[tuple[dict[str, Any], set[int]]] = [
    ({"lies_told": 0}, {0}),
    ({"error": "FetchError"}, {1}),
    ({"error": None}, {1}),
    ({"after": "1.0"}, {2}),
    ({"pins_stay": False}, {3}),
    ({"right_key": ONE_LOST}, {4}),
    ({"intercepted": DRIPPED}, {5}),
    ({"intercepted": LEAKED}, {5}),
    ({"intercepted": NEVER_MET}, {5}),
]
FAULTS: dict[str, list[tuple[dict[str, Any], set[int]]]] = {
    "publish": [
        ({"created": 200}, {0}),
        ({"stranger": 200}, {1}),
        ({"stranger": 500}, {1}),
        ({"held": "1.2"}, {2}),
        ({"state": "empty"}, {3}),
        ({"hosts": 1}, {3}),
        ({"intercepted": DRIPPED}, {4}),
        ({"intercepted": LEAKED}, {4}),
    ],
    "libraries": [
        ({"per_context": ONE_LOST}, {0}),
        ({"process_wide": ONE_LOST}, {0}),
        ({"expired_per_context": LEAKED}, {1, 2}),
        ({"expired_process_wide": replace(EXPIRED, bytes_read=1)}, {2}),
        ({"expired_process_wide": REFUSED}, {1}),
    ],
    "interceptor": [
        ({"per_context": LEAKED}, {0, 1}),
        ({"process_wide": DRIPPED}, {1}),
        ({"process_wide": NEVER_MET}, {0}),
        ({"per_context": EXPIRED}, {0}),
        ({"unpinned": REFUSED}, {2}),
        ({"unpinned": replace(PASSED, bytes_read=0)}, {2}),
    ],
    "rotation": [
        ({"failed": {"PinMismatchError": 1}}, {0}),
        ({"sent": 11}, {0}),
        ({"old_key": 0, "new_key": 10}, {1}),
        ({"versions": ("1.3",), "reached": ("1.3", "1.3")}, {2}),
        ({"reached": ("1.5", "1.4")}, {3}),
        ({"retired": LEAKED}, {4}),
    ],
    "outage": OFFLINE_FAULTS,
    "restart": OFFLINE_FAULTS,
}


def test_every_step_is_judged_and_holds_on_facts_that_fulfil_its_conditions():
    assert list(judge.CONDITIONS) == list(NAMES)
    assert {step: judge.unmet(step, facts) for step, facts in HOLDING.items()} == {step: [] for step in NAMES}


def cases() -> list[Any]:
    """Return every fault of every step, with the facts that show it."""
    rows = [
        (step, replace(HOLDING[step], **fault), numbers) for step, some in FAULTS.items() for fault, numbers in some
    ]
    for step in ("tampered", "rollback", "foreign"):
        for fault, numbers in LIE_FAULTS:
            *first, last = HOLDING[step].attempts
            rows.append((step, bad_bundles.Facts((*first, replace(last, **fault))), numbers))
    return [pytest.param(*row, id=f"{row[0]}-{number}") for number, row in enumerate(rows)]


@pytest.mark.parametrize(("step", "facts", "numbers"), cases())
def test_a_fact_that_contradicts_a_promise_is_named(step, facts, numbers):
    sentences = [condition.sentence for condition in judge.CONDITIONS[step]]
    assert judge.unmet(step, facts) == [sentences[number] for number in sorted(numbers)]


def test_no_condition_is_without_a_fault_that_shows_it():
    for step in NAMES:
        shown = set().union(*(numbers for _, numbers in FAULTS.get(step, LIE_FAULTS)))
        assert shown == set(range(len(judge.CONDITIONS[step]))), step
