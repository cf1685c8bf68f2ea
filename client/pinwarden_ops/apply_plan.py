"""
What has to happen so that a server says what a folder of files says, and what must not happen unasked.

It may import this package. It only reads: a plan publishes nothing, deletes nothing ever, and calls what somebody
published by hand by its name instead of overwriting it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pinwarden_ops import contents
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_review import EVERYWHERE, Row
from pinwarden_ops.draft_files import Draft
from pinwarden_ops.live_sets import (
    Line,
    Version,
    fetch_current,
    fetch_history,
    fetch_list,
    fetch_version,
    fetch_waiting,
)
from pinwarden_ops.progress import shown

Action = Literal["create", "replace", "nothing", "waiting", "drift", "foreign"]
WRITES: tuple[Action, ...] = ("create", "replace")
# With this the reasons of all versions begin that were applied from files; by it they are told from others.
MARK = "apply: "
LOOK_BACK = 1000  # versions; renewals are versions too
RENEWAL = "system:renewal"


@dataclass(frozen=True, slots=True)
class Step:
    """
    What shall happen to one pin set.

    Attributes:
        draft: the file, or None for a pin set that no file means.
        version: what is in force, or None.
        rows: what would change, or what somebody changed by hand.
        why: more words for people, or empty.
        change: the number of the change that waits for people already, or None.
        last: whether it takes something away, and so comes after those that only add.
    """

    name: str
    action: Action
    draft: Draft | None
    version: str | None
    rows: tuple[Row, ...] = ()
    why: str = ""
    change: int | None = None
    last: bool = False

    @property
    def about(self) -> str:
        """Its file, what that replaces, and why, in words."""
        place = self.draft.file.name if self.draft else "no file"
        replaced = f", replaces {self.version}" if self.action == "replace" else ""
        return f"{place}{replaced}{f': {self.why}' if self.why else ''}"

    @property
    def rows_shown(self) -> tuple[Row, ...]:
        """What people are shown of ``rows``: what waits already is told by its change."""
        return () if self.action == "waiting" else self.rows

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "action": self.action,
            "file": self.draft and self.draft.file.name,
            "version": self.version,
            "change": self.change,
            "difference": contents.rows_json(list(self.rows)),
            "why": self.why,
        }


def make_plan(api: AdminClient, drafts: Sequence[Draft], *, take_over: Iterable[str] = ()) -> list[Step]:
    """
    Return the steps in the order in which they are safe: those that only add, then those that take away, by name.

    A host that moves from one pin set to another is so in both for a while, and never in none.

    Args:
        take_over: pin sets that are replaced although somebody published them by hand.
    """
    live = {line.name: line for line in fetch_list(api)}
    accepted = frozenset(take_over)
    steps = []
    for number, draft in enumerate(drafts, 1):
        with shown(f"{number} of {len(drafts)}: comparing {draft.name}"):
            steps.append(_step(api, draft, live.get(draft.name), draft.name in accepted))
    known = {draft.name for draft in drafts}
    steps += [_foreign(line) for name, line in live.items() if name not in known]
    return sorted(steps, key=lambda step: (step.last, step.name))


def summary(steps: Sequence[Step]) -> str:
    """Return how many pin sets there are of each kind."""
    words: dict[Action, str] = {
        "create": "to create",
        "replace": "to replace",
        "nothing": "as they should be",
        "waiting": "waiting for people",
        "drift": "changed by hand",
        "foreign": "in no file",
    }
    counts = {action: sum(step.action == action for step in steps) for action in words}
    return ", ".join(f"{count} {words[action]}" for action, count in counts.items() if count)


def lines_of(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the plan as lines for a pipe."""
    width = max((len(step.name) for step in steps), default=0)
    for step in steps:
        yield f"{step.action.ljust(7)}  {step.name.ljust(width)}  {step.about}"
        yield from contents.row_lines(list(step.rows_shown), "           ")


def _step(api: AdminClient, draft: Draft, line: Line | None, accepted: bool) -> Step:
    if line is None:
        if (number := _waiting(api, draft, None)) is not None:
            return Step(draft.name, "waiting", draft, None, why=f"change {number}", change=number)
        return Step(draft.name, "create", draft, None, tuple(contents.rows_between(None, draft.content)))
    current = fetch_current(api, draft.name)
    if current is None:  # it can be seen in the list, and nothing ever deletes one
        return Step(draft.name, "create", draft, None, tuple(contents.rows_between(None, draft.content)))
    rows, found = _rows(current, draft), current.version
    if not rows and contents.is_same(current.contained(), draft.content):
        return Step(draft.name, "nothing", draft, found)
    if (number := _waiting(api, draft, found)) is not None:
        return Step(draft.name, "waiting", draft, found, rows, f"change {number}", number)
    by_hand = None if accepted else _by_hand(api, current)
    if by_hand is not None:
        return Step(draft.name, "drift", draft, found, rows, by_hand)
    return Step(draft.name, "replace", draft, found, rows, last=contents.takes_away(current.contained(), draft.content))


def _rows(current: Version, draft: Draft) -> tuple[Row, ...]:
    rows = contents.rows_between(current.contained(), draft.content)
    if draft.lifetime_seconds not in (None, current.lifetime_seconds):
        rows.append(("~", EVERYWHERE, f"life {current.lifetime_seconds} -> {draft.lifetime_seconds} seconds"))
    return tuple(rows)


def _waiting(api: AdminClient, draft: Draft, base: str | None) -> int | None:
    """Return the change that would publish just this, if people have yet to sign it."""
    same = [
        number for number, content in fetch_waiting(api, draft.name, base) if contents.is_same(content, draft.content)
    ]
    return max(same, default=None)


def _by_hand(api: AdminClient, current: Version) -> str | None:
    """
    Return who published by hand since files were applied last, or None when nobody did.

    A renewal keeps the content, and is nobody's change.
    """
    if current.reason.startswith(MARK):
        return None
    history = fetch_history(api, current.name, limit=LOOK_BACK)
    applied = next((place for place, version in enumerate(history) if version.reason.startswith(MARK)), None)
    if applied is not None:
        before = fetch_version(api, current.name, history[applied].version)
        if contents.is_same(before.contained(), current.contained()):
            return None
    since = [version for version in history[:applied] if version.actor != RENEWAL]
    return (since[0] if since else current).told_by()


def _foreign(line: Line) -> Step:
    return Step(line.name, "foreign", None, line.version, why=f"{line.version} stays as it is")
