"""
The play: the steps in their order, each timed and judged, and the report of them all.

It may import the stage, the steps and the judge. A step whose ground did not hold is not played: what it would measure
would mean nothing.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from pinwarden import PinwardenError
from pinwarden_demo.errors import CannotStart
from pinwarden_demo.judge import unmet
from pinwarden_demo.stage import Stage
from pinwarden_demo.steps import STEPS, Step


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one step.

    Attributes:
        held: None when it was not played, because the step that it needs did not hold.
        unmet: the conditions that the facts contradict, or the error that ended the step.
        facts: what was measured, or None.
    """

    step: Step
    sabotaged: bool
    held: bool | None
    unmet: tuple[str, ...]
    seconds: float
    facts: Any

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return {
            "name": self.step.name,
            "promise": self.step.promise,
            "sabotaged": self.sabotaged,
            "held": self.held,
            "unmet": list(self.unmet),
            "seconds": round(self.seconds, 3),
            "leaked_bytes": None if self.facts is None else self.facts.leaked,
            "facts": None if self.facts is None else asdict(self.facts),
        }


def chosen(only: Collection[str]) -> list[Step]:
    """Return the steps named in *only*, with what they need, in order; every step when none is named."""
    wanted = {step.name for step in STEPS if not only or step.name in only}
    wanted |= {step.needs for step in STEPS if step.name in wanted and step.needs}
    return [step for step in STEPS if step.name in wanted]


def play(
    stage: Stage,
    steps: Collection[Step],
    *,
    sabotage: str | None,
    before: Callable[[Step], object],
    after: Callable[[Outcome], object],
) -> list[Outcome]:
    """
    Play *steps* and return what became of each.

    Args:
        sabotage: the step whose defence is taken away, or None.
        before: told of each step that begins.
        after: told of each step that was judged, or could not be played.
    """
    outcomes: dict[str, Outcome] = {}
    for step in steps:
        ground = outcomes[step.needs].held if step.needs else True
        if ground:
            before(step)
            outcome = _play(stage, step, step.name == sabotage)
        else:
            outcome = Outcome(step, step.name == sabotage, None, (), 0.0, None)
        outcomes[step.name] = outcome
        after(outcome)
    return list(outcomes.values())


def _play(stage: Stage, step: Step, sabotaged: bool) -> Outcome:
    start = time.monotonic()
    try:
        facts = step.measure(stage, sabotaged)
    except CannotStart:
        raise
    except PinwardenError as error:
        ended = (f"the step ends (it ended with {type(error).__name__}: {error})",)
        return Outcome(step, sabotaged, False, ended, time.monotonic() - start, None)
    seconds = time.monotonic() - start
    contradicted = tuple(unmet(step.name, facts))
    return Outcome(step, sabotaged, not contradicted, contradicted, seconds, facts)
