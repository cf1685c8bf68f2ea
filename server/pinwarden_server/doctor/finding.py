"""What the doctor says of one thing: a value. It may import nothing of ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


OK, WARN, BAD = State.OK, State.WARN, State.BAD
# What a check yields, once or more often: the state, what was found, and what to do.
Verdicts = Iterator[tuple[State, str, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line of the doctor's table.

    Attributes:
        says: what was found, with the values.
        do: what to do, empty where nothing is to be done.
    """

    check: str
    state: State
    says: str
    do: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the line as programs read it."""
        return {"check": self.check, "state": self.state.value, "says": self.says, "do": self.do}
