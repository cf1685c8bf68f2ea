"""
What a client reports about itself.

It may import only the trust state and the standard library. It never contains a secret, a URL path or a host name that
the application talked to, so that it can be logged as it is.
"""

import sys
from dataclasses import dataclass
from datetime import datetime

from pinwarden.trust import State

# TLS stacks that do not go through Python's ssl module, and so escape the hooks.
_OTHER_STACKS = (
    "grpc",
    "psycopg",
    "psycopg2",
    "curl_cffi",
    "pycurl",
    "OpenSSL",
    "urllib3.contrib.pyopenssl",
    "aioquic",
)


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
        last_refresh: when a refresh last succeeded, or None.
        last_error: what refused or failed the last refresh, or None when it succeeded.
        cache: where documents are kept, for people.
        persist_failed: how often the cache could not be written.
        split_views: how many documents of another content than the one held were found in a shared cache (spec C6).
        refused, reported: connections refused, and let through in report mode, since the client was made.
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
    last_refresh: datetime | None
    last_error: str | None
    cache: str
    persist_failed: int
    split_views: int
    refused: int
    reported: int
    process_wide: bool
    not_covered: tuple[str, ...]


def uncovered_libraries() -> tuple[str, ...]:
    """Return the loaded modules whose TLS connections cannot be judged."""
    return tuple(name for name in _OTHER_STACKS if name in sys.modules)
