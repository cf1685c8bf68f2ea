"""
What ends unless people act: the root, pin sets whose keys are not on this server, timestamps that nothing renewed, and
the time in which the end of the audit log is signed.

It may import layer 0, the published documents and the signers. It judges values and writes log lines; it renews nothing
and stores nothing.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pinwarden.documents import Root
from pinwarden.errors import WrongPinSetError
from pinwarden.strict_json import format_time
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_state import PublishedDocuments, published_documents, published_root
from pinwarden_server.signers import Signers

log = logging.getLogger("pinwarden.server")

LOOK_EVERY = timedelta(hours=1)
SAY_EVERY = timedelta(days=1)


class Level(StrEnum):
    """How near the end is, the mildest first."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


# Days that are left when each level begins, in the order of the levels.
ROOT_DAYS = (60, 30, 14, 7)
OFFLINE_PINSET_DAYS = (14, 7, 3, 1)
_SEVERITY = {
    Level.INFO: logging.INFO,
    Level.NOTICE: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.CRITICAL: logging.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class Alert:
    """
    One thing that people must do in time.

    Attributes:
        subject: ``root``, ``audit``, ``pinset`` or ``timestamp`` and a name, or ``review`` or ``change`` and a number.
        message, hint: what ends when and what that means; what to do.
    """

    subject: str
    level: Level
    expires: datetime
    message: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """Return the alert as ``/statusz`` shows it."""
        return {
            "subject": self.subject,
            "level": self.level.value,
            "expires": format_time(self.expires),
            "message": self.message,
            "hint": self.hint,
        }


def level_of(left: timedelta, days: tuple[int, ...]) -> Level | None:
    """Return the last level that has begun with *left* to go, None while there is time."""
    begun = [level for level, limit in zip(Level, days, strict=True) if left <= timedelta(days=limit)]
    return begun[-1] if begun else None


def alerts_of(root: Root, documents: Iterable[PublishedDocuments], signers: Signers, now: datetime) -> Iterator[Alert]:
    """Yield what must be done in time, the root first."""
    level = level_of(root.expires - now, ROOT_DAYS)
    if level is not None:
        yield Alert(
            "root",
            level,
            root.expires,
            f"root {root.version} {_spell(root.expires - now)}: from its end on, clients refuse every newer document",
            "Draft, sign and publish the next root: `pinwarden root draft --previous`, then `pinwarden root publish`.",
        )
    for each in documents:
        yield from _late_timestamp(each, now)
        name, expires = each.pinset.name, each.pinset.expires
        level = level_of(expires - now, OFFLINE_PINSET_DAYS)
        if level is not None and not _is_online(root, name, signers):
            yield Alert(
                f"pinset {name}",
                level,
                expires,
                f"pin set {name!r} {_spell(expires - now)}, and its keys are not on this server",
                "Bring its keys and publish it again, before its hosts are refused.",
            )


def current_alerts(table: PublicTable, signers: Signers, now: datetime) -> list[Alert]:
    """Return what must be done in time, as this worker serves it; nothing before the first root."""
    root = published_root(table)
    return [] if root is None else list(alerts_of(root, published_documents(table), signers, now))


def late_checkpoint(since: datetime | None, interval: timedelta, now: datetime) -> list[Alert]:
    """
    Return what is to be said of audit rows that no checkpoint covers.

    Args:
        since: when the oldest of them was written, or None.
    """
    due = since + 2 * interval if since else now
    if since is None or now < due:
        return []
    waits = _length(now - since)
    return [
        Alert(
            "audit",
            Level.WARNING,
            due,
            f"rows of the audit log have waited for a signed checkpoint for {waits}: rewriting them would not show",
            "The log says why none was signed; `pinwarden server doctor` looks at rows and keys.",
        )
    ]


class AlertLog:
    """
    Writes a line for each alert: once a day, and at once when it becomes more urgent.

    Args:
        find: returns the alerts at a time.
    """

    def __init__(self, find: Callable[[datetime], list[Alert]]) -> None:
        self._find = find
        self._looked: datetime | None = None
        self._said: dict[str, tuple[Level, datetime]] = {}

    def look(self, now: datetime, others: Sequence[Alert] = ()) -> list[Alert]:
        """Look once an hour at most, at *others* as well; log what is due, and return that."""
        if self._looked is not None and timedelta(0) <= now - self._looked < LOOK_EVERY:
            return []
        self._looked = now
        alerts = [*self._find(now), *others]
        due = [alert for alert in alerts if self._is_due(alert, now)]
        # What is over may come back, and is news then.
        self._said = {alert.subject: self._said[alert.subject] for alert in alerts if alert not in due}
        for alert in due:
            log.log(_SEVERITY[alert.level], "%s: %s. %s", alert.level.value, alert.message, alert.hint)
            self._said[alert.subject] = (alert.level, now)
        return due

    def _is_due(self, alert: Alert, now: datetime) -> bool:
        said = self._said.get(alert.subject)
        return said is None or said[0] != alert.level or not timedelta(0) <= now - said[1] < SAY_EVERY


def _late_timestamp(each: PublishedDocuments, now: datetime) -> Iterator[Alert]:
    """Timestamps are signed again after a third of their life: at one half something is wrong (spec S4)."""
    stamp, left = each.timestamp, each.timestamp.expires - now
    if left <= (stamp.expires - stamp.issued) / 2:
        yield Alert(
            f"timestamp {stamp.name}",
            Level.CRITICAL if left <= timedelta(0) else Level.WARNING,
            stamp.expires,
            f"the timestamp of pin set {stamp.name!r} {_spell(left)}, and was not renewed in time",
            "The log says why; `pinwarden server renew` tries again at once.",
        )


def _is_online(root: Root, name: str, signers: Signers) -> bool:
    try:
        return signers.can_sign(root.grant_for(name))
    except WrongPinSetError:
        return False


def _spell(left: timedelta) -> str:
    return "is past its end" if left <= timedelta(0) else f"ends in {_length(left)}"


def _length(span: timedelta) -> str:
    return f"{span.days} days" if span.days else f"{int(span.total_seconds() // 3600)} hours"
