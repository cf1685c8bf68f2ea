"""
What is measured of a client, as one table: every metrics library gets the same names, units and meanings.

It may import the status and errors. It reads a client's status when somebody collects, and adds nothing to a handshake.
"""

import weakref
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from pinwarden.client import PinClient
from pinwarden.errors import ConfigError
from pinwarden.status import Status
from pinwarden.trust import State


class Measurement(NamedTuple):
    """
    One row.

    Attributes:
        name: after ``pinwarden_``; a counter's without ``_total``.
        is_counter: whether it only rises.
        unit: as OpenTelemetry spells units.
        meaning: one sentence.
        read: the value in a status, or None where there is none yet.
    """

    name: str
    is_counter: bool
    unit: str
    meaning: str
    read: Callable[[Status], float | None]


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


# The state comes besides, as one value of 0 or 1 for each row of the state table.
MEASUREMENTS = (
    Measurement("root_version", False, "1", "Version of the newest trusted root.", lambda status: status.root),
    Measurement("pinset_epoch", False, "1", "Epoch of the pin set in force.", lambda status: status.epoch),
    Measurement("pinset_version", False, "1", "Version of the pin set in force.", lambda status: status.version),
    Measurement("pinset_hosts", False, "1", "Host patterns in the pin set in force.", lambda status: status.hosts),
    Measurement(
        "pinset_expires_timestamp_seconds", False, "s", "End of the pin set in force.", lambda s: _seconds(s.expires)
    ),
    Measurement(
        "fresh_until_timestamp_seconds", False, "s", "End of the timestamp in force.", lambda s: _seconds(s.fresh_until)
    ),
    Measurement(
        "last_refresh_timestamp_seconds",
        False,
        "s",
        "Time of the last refresh that succeeded.",
        lambda status: _seconds(status.last_refresh),
    ),
    Measurement("refresh_failures", False, "1", "Refreshes that failed in a row.", lambda status: status.failures),
    Measurement(
        "persist_failed", True, "1", "Updates that could not be kept for the next start.", lambda s: s.persist_failed
    ),
    Measurement("connections_refused", True, "1", "Connections refused.", lambda status: status.refused),
    Measurement(
        "connections_reported", True, "1", "Connections let through in report mode.", lambda status: status.reported
    ),
    Measurement("reports_sent", True, "1", "Failure reports that were taken.", lambda status: status.reports_sent),
    Measurement(
        "reports_dropped", True, "1", "Failure reports that were given up.", lambda status: status.reports_dropped
    ),
)
STATE_NAME = "state"
STATE_MEANING = "1 for the state that holds now, 0 for the others: fresh, stale, expired or empty."


class Clients:
    """Clients that are measured as long as somebody else keeps them."""

    def __init__(self, clients: tuple[PinClient, ...]) -> None:
        if not clients:
            raise ConfigError("there is nothing to measure", expected="one PinClient or more")
        self._references = [weakref.ref(client) for client in clients]

    def statuses(self) -> Iterator[tuple[dict[str, str], Status]]:
        """Yield the labels and the status of each client that is still there."""
        for reference in self._references:
            if (client := reference()) is not None:
                status = client.status()
                yield {"authority": status.authority, "pinset": status.name}, status


def states(status: Status) -> Iterator[tuple[str, int]]:
    """Yield each state with 1 where it holds, else 0."""
    for state in State:
        yield str(state), int(state is status.state)


def library(module: str, *, extra: str) -> Any:
    """
    Return an imported library that an extra brings.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module.partition('.')[0]} cannot be imported: {error}",
            hint=f"pip install 'pinwarden[{extra}]' brings it.",
        ) from error
