"""Each step's defence taken away for real: precisely that step must be seen to fail, and its harm be measured."""

from collections.abc import Callable
from typing import Any

import pytest

from pinwarden_demo.sabotage import SABOTAGES
from pinwarden_demo.steps import NAMES

HARM: dict[str, Callable[[dict[str, Any]], bool]] = {
    "publish": lambda facts: facts["stranger"] == 200 and facts["intercepted"]["through"] == 1,
    "libraries": lambda facts: facts["expired_per_context"]["through"] == facts["expired_process_wide"]["through"] == 4,
    "interceptor": lambda facts: facts["per_context"]["through"] == facts["process_wide"]["through"] == 4,
    "tampered": lambda facts: facts["attempts"][0]["right_key"]["errors"] == {"PinMismatchError": 1},
    "rollback": lambda facts: (facts["attempts"][0]["before"], facts["attempts"][0]["after"]) == ("1.3", "1.2"),
    "foreign": lambda facts: [one["intercepted"]["through"] for one in facts["attempts"]] == [1, 1],
    "rotation": lambda facts: facts["failed"]["PinMismatchError"] == facts["sent"] - facts["old_key"] >= 2 * 25,
    "outage": lambda facts: facts["intercepted"]["through"] == 4,
    "restart": lambda facts: facts["right_key"]["errors"] == {"PinsUnavailableError": 4},
}
# Where the harm is not that bytes reach an attacker, but that the application is locked out.
LOCKED_OUT = {"tampered", "rotation", "restart"}


@pytest.mark.parametrize("step", SABOTAGES)
def test_a_step_without_its_defence_fails_by_what_was_measured(demo, step):
    done = demo("--sabotage", step, "--only", step, "--json")
    assert done.err == ""
    assert done.held == {"publish": True, step: False}
    assert (done.code, done.report["held"], done.report["sabotaged"]) == (1, False, step)
    found = done.steps[step]
    assert HARM[step](found["facts"]), found["facts"]
    assert found["unmet"]
    assert (found["leaked_bytes"] > 0) == (step not in LOCKED_OUT)


def test_sabotage_of_one_step_leaves_every_other_step_as_it_was(demo):
    done = demo("--sabotage", "rotation", "--json")
    assert done.held == {**dict.fromkeys(NAMES, True), "rotation": False}
    assert done.code == 1


def test_nothing_is_played_on_pins_that_a_stranger_published(demo):
    done = demo("--sabotage", "publish", "--json")
    assert done.held == {**dict.fromkeys(NAMES, None), "publish": False}
    assert done.code == 1
    assert all(done.steps[name]["facts"] is None for name in NAMES if name != "publish")
