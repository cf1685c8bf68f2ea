"""The play: which steps are played, in which order, and what an error in one of them means."""

from dataclasses import dataclass
from typing import Any

import pytest

from pinwarden import FetchError
from pinwarden_demo import judge
from pinwarden_demo.errors import CannotMeasure, CannotStart
from pinwarden_demo.play import chosen, play
from pinwarden_demo.steps import NAMES, Step


@dataclass(frozen=True)
class Facts:
    """What the steps of these tests measure."""

    good: bool
    leaked: int = 0


@pytest.fixture
def conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the steps of these tests by whether they are good."""
    good = (judge.Condition("all is good", lambda facts: facts.good),)
    monkeypatch.setattr(judge, "CONDITIONS", {"ground": good, "house": good, "garden": good})


def step(name: str, result: Any, needs: str | None = "ground") -> Step:
    """Return a step that measures *result*, or raises it; sabotaged, it measures the contrary."""

    def measure(_stage: Any, sabotaged: bool) -> Facts:
        if isinstance(result, Exception):
            raise result
        return Facts(result is not sabotaged)

    return Step(name, "It holds.", measure, lambda facts: [], needs)


def run(*steps: Step, sabotage: str | None = None) -> tuple[list[tuple[str, bool | None, tuple[str, ...]]], list[str]]:
    """Play *steps*; return their outcomes, and the names of those that began."""
    begun: list[str] = []
    outcomes = play(None, steps, sabotage=sabotage, before=lambda one: begun.append(one.name), after=lambda _: None)
    return [(one.step.name, one.held, one.unmet) for one in outcomes], begun


def test_only_names_steps_with_what_they_need_in_the_order_of_the_play():
    assert [one.name for one in chosen(())] == list(NAMES)
    assert [one.name for one in chosen(("restart", "tampered"))] == ["publish", "tampered", "restart"]
    assert [one.name for one in chosen(("publish",))] == ["publish"]


@pytest.mark.usefixtures("conditions")
def test_a_step_whose_ground_did_not_hold_is_not_played():
    played = run(step("ground", False, None), step("house", True))
    assert played == ([("ground", False, ("all is good",)), ("house", None, ())], ["ground"])


@pytest.mark.usefixtures("conditions")
def test_only_the_step_that_is_named_is_sabotaged():
    outcomes, _ = run(step("ground", True, None), step("house", True), step("garden", True), sabotage="house")
    assert [held for _, held, _ in outcomes] == [True, False, True]


@pytest.mark.usefixtures("conditions")
@pytest.mark.parametrize("error", [FetchError("the server is gone"), CannotMeasure("a client process ended")])
def test_a_step_that_ends_with_an_error_did_not_hold_and_the_others_are_played(error):
    outcomes, begun = run(step("ground", True, None), step("house", error), step("garden", True))
    assert [held for _, held, _ in outcomes] == [True, False, True]
    assert outcomes[1][2] == (f"the step ends (it ended with {type(error).__name__}: {error})",)
    assert begun == ["ground", "house", "garden"]


@pytest.mark.usefixtures("conditions")
def test_what_cannot_start_ends_the_play():
    with pytest.raises(CannotStart):
        run(step("ground", CannotStart("no room"), None), step("house", True))


@pytest.mark.usefixtures("conditions")
def test_a_fault_of_the_demo_itself_is_never_taken_for_a_result():
    with pytest.raises(ZeroDivisionError):
        run(step("ground", ZeroDivisionError(), None))
