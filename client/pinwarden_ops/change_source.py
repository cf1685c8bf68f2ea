"""
What is in force, as this machine's own root vouches for it, and what it has seen before.

It may import layer 0. It is a client like any other, with a cache of its own: a server that shows an older pin set than
it showed last time is refused here too.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pinwarden.bundle import Bundle
from pinwarden.cache import DiskCache
from pinwarden.errors import ConfigError, ExpiredError, FetchError, RollbackError, UntrustedError
from pinwarden.fetch import Fetcher
from pinwarden.trust import KeptDocuments, TrustState, absorb, begin
from pinwarden.update import Updater

NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class InForce:
    """What is trusted here; *problem* says what of it clients would not take any more, such as an end in the past."""

    state: TrustState
    problem: str | None = None


def fetch_in_force(fetcher: Fetcher, root_json: bytes, name: str, *, memory: Path, now: datetime) -> InForce:
    """
    Fetch what the server serves for *name*, walk the chain of roots from *root_json*, verify and remember it.

    A pin set past its end is still what is replaced, so it is verified without its times, and that is said.

    Args:
        memory: folder that keeps what was verified, so that no later answer can be older.

    Raises:
        UntrustedError: refused. FetchError: no answer. ConfigError: *root_json* is no root.
    """
    state = _begin(root_json, name)
    cache = DiskCache(memory, state.authority, name)
    state = absorb(state, cache.load())

    def adopt(newer: TrustState) -> None:
        nonlocal state
        state = newer

    try:
        return InForce(Updater(fetcher, cache, adopt=adopt).update(state, now))
    except FetchError as error:
        if error.status != NOT_FOUND:
            raise
        _check_never_seen(state, name)
        return InForce(state)
    except ExpiredError as error:
        return InForce(_without_times(fetcher, state), str(error.what))


def memory_folder(given: str | Path | None) -> Path:
    """Return the folder that is given, else ``$XDG_STATE_HOME/pinwarden/signing``, else the same in the home folder."""
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "pinwarden/signing")


def _begin(root_json: bytes, name: str) -> TrustState:
    try:
        return begin(root_json, name=name)
    except UntrustedError as error:
        raise ConfigError(
            f"the root of this machine is unusable: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Take the root.json of the ceremony, from your own copy and never from the server that you judge.",
        ) from error


def _check_never_seen(state: TrustState, name: str) -> None:
    if state.floor_pinset is None:
        return
    raise RollbackError(
        f"the server denies that pin set {name!r} exists, and this machine has seen it",
        expected=f"version {state.floor_pinset.tag[0]}.{state.floor_pinset.tag[1]} or newer",
        got="404",
        hint="Treat it as an incident unless the server is being restored.",
    )


def _without_times(fetcher: Fetcher, state: TrustState) -> TrustState:
    fetched = fetcher.bundle(state.name, state.root.version)
    if fetched is None:
        return state
    bundle = Bundle.parse(fetched.body)
    return absorb(state, KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,)))
