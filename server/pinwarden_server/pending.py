"""
What waits for people: changes without enough approvals, publications without a review, and what could not be published.

It may import the store and the alerts. It looks and judges nothing; an observer that cannot look says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pinwarden.strict_json import format_time
from pinwarden_server.alerts import Alert, Level
from pinwarden_server.planning import is_exempt
from pinwarden_server.site import Site
from pinwarden_server.store import ChangeRow

REVIEW_WITHIN = timedelta(days=1)
MOST = 500  # changes that are looked at; a list that long has other problems


@dataclass(frozen=True, slots=True)
class Pending:
    """
    Changes that people have to do something about.

    Attributes:
        approvals: those that lack approvals, reviews: those that broke the glass and nobody reviewed, blocked: those
            that were due and not published; the newest first.
    """

    approvals: tuple[ChangeRow, ...]
    reviews: tuple[ChangeRow, ...]
    blocked: tuple[ChangeRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``/statusz`` shows it."""
        return {
            "approvals": [_line(row, row.proposed_at) for row in self.approvals],
            "reviews": [_line(row, row.proposed_at) for row in self.reviews],
            "blocked": [{**_line(row, row.not_before or row.proposed_at), "why": row.blocked} for row in self.blocked],
        }

    def ages(self, now: datetime) -> dict[str, float]:
        """Return by name how long the oldest change has waited for approvals, in seconds."""
        return {row.name: (now - row.proposed_at).total_seconds() for row in self.approvals}

    def alerts(self, now: datetime) -> Iterator[Alert]:
        """Yield what must be done in time."""
        for row in self.reviews:
            until = row.proposed_at + REVIEW_WITHIN
            yield Alert(
                f"review {row.id}",
                Level.WARNING if now < until else Level.CRITICAL,
                until,
                f"pin set {row.name!r} was published without its approvals by {row.actor}, and nobody reviewed that",
                f"Look at it, then `pinwarden change review {row.id}`, as another person than the author.",
            )
        for row in self.blocked:
            yield Alert(
                f"change {row.id}",
                Level.CRITICAL,
                row.waits_until,
                f"change {row.id} of pin set {row.name!r} is due and was not published",
                "`pinwarden change show` says why; reject it, or remove what is in its way.",
            )


def pending_of(site: Site, now: datetime) -> Pending:
    """Return what waits for people at *now*; StoreUnavailable."""
    reader = site.store.reader
    required = reader.policies()
    waiting = reader.changes(state="waiting", now=now, limit=MOST)
    return Pending(
        tuple(row for row in waiting if _lacks_approvals(row, required, site.policy.approvals_required)),
        tuple(reader.changes(state="review", now=now, limit=MOST)),
        tuple(row for row in waiting if row.blocked),
    )


def _lacks_approvals(row: ChangeRow, required: dict[str, int], of_new_names: int) -> bool:
    creates = row.base is None and not row.is_policy
    wanted = of_new_names if creates else required.get(row.name, 0)
    return not is_exempt(row.action) and len(row.approvers) < row.required(wanted)


def _line(row: ChangeRow, since: datetime) -> dict[str, Any]:
    return {"change": row.id, "name": row.name, "actor": row.actor, "since": format_time(since)}
