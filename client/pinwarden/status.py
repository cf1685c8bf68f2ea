"""
What a client reports about itself.

It may import only the rules and the standard library. It never contains a secret, a URL path or a host name that the
application talked to, so that it can be logged as it is.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pinwarden.enforce import Policy
from pinwarden.trust import State


@dataclass(frozen=True, slots=True)
class Rollout:
    """
    One host pattern that not every installation enforces (spec E7).

    Attributes:
        host: the pattern, as the pin set spells it.
        mode: ``"report"``: no installation enforces it; ``"enforce"``: *enforce_percent* of them do.
        enforce_percent: the share, 1 to 100.
        enforced_here: whether this installation belongs to that share.
    """

    host: str
    mode: Literal["enforce", "report"]
    enforce_percent: int
    enforced_here: bool


@dataclass(frozen=True, slots=True)
class Status:
    """
    One look at a client; immutable.

    Attributes:
        state: the row of the state table that holds now.
        authority, name: the trust domain and the pin set.
        root: the version of the newest trusted root.
        epoch, version, issued, expires: of the pin set in force, or None.
        fresh_until: the end of the timestamp in force, or None.
        hosts: how many host patterns the pin set has.
        rollout: those of them that not every installation enforces.
        last_refresh: when a refresh last succeeded, or None.
        last_error: what refused or failed the last refresh, or None when it succeeded.
        failures: how many refreshes failed in a row.
        server: origin of the pin server that gave the last accepted answer, or None.
        cache: where documents are kept, for people.
        persist_failed: how often the cache could not be written.
        split_views: how many documents of another content than the one held were found in a shared cache (spec C6).
        refused, reported: connections refused, and let through in report mode, since the client was made.
        reports_sent, reports_dropped: failure reports that were taken, and given up (docs/reports.md).
        process_wide: whether this client judges every connection of the process.
        not_covered: loaded TLS libraries that no Python hook reaches.
    """

    state: State
    authority: str
    name: str
    root: int
    epoch: int | None
    version: int | None
    issued: datetime | None
    expires: datetime | None
    fresh_until: datetime | None
    hosts: int
    rollout: tuple[Rollout, ...]
    last_refresh: datetime | None
    last_error: str | None
    failures: int
    server: str | None
    cache: str
    persist_failed: int
    split_views: int
    refused: int
    reported: int
    reports_sent: int
    reports_dropped: int
    process_wide: bool
    not_covered: tuple[str, ...]


def rollout_of(policy: Policy) -> tuple[Rollout, ...]:
    """Return the hosts that are on their way from report to enforce, as the installation of *policy* sees them."""
    return tuple(
        Rollout(rule.entry.host, rule.entry.mode, rule.entry.enforce_percent, rule.enforced) for rule in policy.staged
    )
