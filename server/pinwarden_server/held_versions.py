"""
The versions that clients may still hold, each read and parsed once by a process.

It may import the store and safety. What it remembers cannot become wrong: a version is never changed, and its number is
never given to another content.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from threading import Lock

from pinwarden.documents import PinSet
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden_server.safety import HeldVersion
from pinwarden_server.store import Reader, VersionKey

MOST_HOSTS = 100_000  # remembered host entries, of about 1 kB where no two are alike; entries that are cost nothing
_AT_ONCE = 32  # envelopes in memory at a time


class HeldVersions:
    """Every version of a name that a client may hold, made ready for look-ups; for any number of threads."""

    def __init__(self, reader: Reader, *, most_hosts: int = MOST_HOSTS) -> None:
        self._reader = reader
        self._room = most_hosts
        self._remembered: OrderedDict[VersionKey, HeldVersion] = OrderedDict()
        self._lock = Lock()

    def of(self, name: str, since: datetime) -> tuple[HeldVersion, ...]:
        """Return the versions of *name* that expire after *since*, withdrawn ones included; StoreUnavailable."""
        wanted = self._reader.held(name, since)
        found = self._recall(wanted)
        missing = [key for key in wanted if key not in found]
        for start in range(0, len(missing), _AT_ONCE):
            for key, envelope in self._reader.envelopes(missing[start : start + _AT_ONCE]).items():
                found[key] = HeldVersion.of(PinSet.parse(Envelope.parse(envelope, expect=PINSET_TYPE).payload))
        self._remember({key: found[key] for key in missing}, wanted)
        return tuple(found[key] for key in wanted)

    def _recall(self, wanted: Sequence[VersionKey]) -> dict[VersionKey, HeldVersion]:
        with self._lock:
            found = {key: self._remembered[key] for key in wanted if key in self._remembered}
            for key in found:
                self._remembered.move_to_end(key)
        return found

    def _remember(self, new: dict[VersionKey, HeldVersion], wanted: Sequence[VersionKey]) -> None:
        in_use = set(wanted)
        with self._lock:
            for key, held in new.items():
                if key in self._remembered:
                    continue
                self._remembered[key] = held
                self._room -= len(held.hosts)
                while self._room < 0:
                    # Those of this name go last and the newcomer first of them: all in turn would be of use to nobody.
                    oldest = next(iter(self._remembered))
                    leaving = key if oldest in in_use else oldest
                    self._room += len(self._remembered.pop(leaving).hosts)
