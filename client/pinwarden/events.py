"""
What a client tells about itself: stable names and fields, as log records and to one hook.

It may import the standard library. It never lets a listener's failure, or a listener that opens a connection itself,
reach what was going on; and it holds no secret: hosts, versions and reasons are all it knows.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

log = logging.getLogger("pinwarden")

Value = str | int | float | bool | None


class Kind(NamedTuple):
    """One row of the table of events: the level of the log record, the fields besides the common ones, the meaning."""

    level: int
    fields: tuple[str, ...]
    meaning: str


COMMON = ("authority", "pinset")

# docs/events.md shows this table; names and fields stay, new ones may come.
EVENTS: Mapping[str, Kind] = {
    "refresh.succeeded": Kind(
        logging.DEBUG,
        ("server", "state", "root", "epoch", "version"),
        "A pin server answered, and what is trusted is at least what it served.",
    ),
    "refresh.failed": Kind(
        logging.WARNING,
        ("error", "reason", "failures"),
        "No pin server gave an answer that was accepted; failures counts them in a row. DEBUG when the application "
        "called refresh() itself, since it gets the error.",
    ),
    "server.failed": Kind(
        logging.WARNING,
        ("server", "error", "reason"),
        "One of several pin servers failed or was refused; the next one is asked.",
    ),
    "pins.updated": Kind(
        logging.INFO,
        ("epoch", "version", "previous_epoch", "previous_version", "hosts"),
        "Another pin set is in force; open connections are judged again at their next byte.",
    ),
    "root.updated": Kind(logging.INFO, ("root", "previous_root"), "A newer root is trusted."),
    "state.changed": Kind(
        logging.INFO, ("state", "previous"), "At the end of a refresh another row of the state table holds than before."
    ),
    "cache.failed": Kind(
        logging.WARNING,
        ("cache", "reason"),
        "An update is in force but could not be kept for the next start; told once, until it works again.",
    ),
    "cache.recovered": Kind(logging.INFO, ("cache",), "Updates are kept again."),
    "split_view.found": Kind(
        logging.ERROR,
        ("kind", "epoch", "version", "held", "shown", "evidence"),
        "One version has two contents, both signed; held and shown are their SHA-256, and evidence says where both "
        "are.",
    ),
    "connection.refused": Kind(
        logging.ERROR, ("host", "error", "reason", "epoch", "version"), "A connection was refused."
    ),
    "connection.reported": Kind(
        logging.WARNING, ("host", "reason"), "Report mode let a connection through that would have been refused."
    ),
    "connection.backup_used": Kind(
        logging.WARNING, ("host", "reason"), "Only a backup pin matched: promote it, or find out why it is in service."
    ),
    "connection.stale": Kind(logging.WARNING, ("host", "reason"), "A connection was judged by stale pins."),
    "connection.platform": Kind(
        logging.WARNING, ("host", "reason"), "The pin set has expired; ordinary CA checks decided, as it says."
    ),
    "connection.empty": Kind(
        logging.WARNING, ("host", "reason"), "Nothing is trusted; ordinary CA checks decided, as the application says."
    ),
    "reports.failed": Kind(
        logging.WARNING,
        ("reason", "waiting"),
        "Where reports go did not take them; waiting counts those that are tried again. Told at the first attempt of a "
        "batch.",
    ),
    "reports.dropped": Kind(
        logging.WARNING, ("reason", "dropped"), "Reports were given up; dropped counts all since the client was made."
    ),
}


class Event(NamedTuple):
    """
    Something that happened.

    Attributes:
        name: a row of :data:`EVENTS`.
        fields: texts, numbers, booleans or None by name, ready for JSON.
    """

    name: str
    fields: Mapping[str, Value]


class Events:
    """
    Tells what happens: one log record, and one call of *hook*, per event.

    Records of the logger ``pinwarden`` carry the name as ``pinwarden_event`` and the fields as ``pinwarden_fields``.

    Args:
        hook: called on the thread where something happened, so it returns soon; what it raises is logged and goes no
            further.
        common: the fields that every event has.
    """

    def __init__(self, hook: Callable[[Event], object] | None = None, **common: Value) -> None:
        self._hook = hook
        self._common = common
        self._here = _Here()

    def tell(self, name: str, message: str, *values: object, level: int | None = None, **fields: Value) -> None:
        """Tell of *name*; *message* with its *values* is for people. Within :meth:`later` it waits for the end."""
        if self._here.busy:
            # A listener has opened a connection, and that is being told of: it would never end.
            return
        event = Event(name, {**self._common, **fields})
        told = (EVENTS[name].level if level is None else level, event, message, values)
        if self._here.pending is not None:
            self._here.pending.append(told)
        else:
            self._tell(*told)

    @contextmanager
    def later(self) -> Iterator[None]:
        """Tell what happens on this thread within the block at its end, when no lock is held any more."""
        if self._here.pending is not None:
            yield
            return
        self._here.pending = []
        try:
            yield
        finally:
            pending, self._here.pending = self._here.pending, None
            for told in pending:
                self._tell(*told)

    def _tell(self, level: int, event: Event, message: str, values: tuple[object, ...]) -> None:
        self._here.busy = True
        try:
            extra = {"pinwarden_event": event.name, "pinwarden_fields": dict(event.fields)}
            log.log(level, message, *values, extra=extra)
            if self._hook is not None:
                self._call(self._hook, event)
        finally:
            self._here.busy = False

    @staticmethod
    def _call(hook: Callable[[Event], object], event: Event) -> None:
        try:
            hook(event)
        except Exception:
            log.exception("on_event failed for %s; nothing else is affected", event.name)


class _Here(threading.local):
    """What one thread is doing: telling, or holding back until a lock is free."""

    busy = False
    pending: list[tuple[int, Event, str, tuple[object, ...]]] | None = None
