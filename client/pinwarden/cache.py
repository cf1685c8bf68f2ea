"""
Where accepted documents wait for the next start (spec C1 to C5).

It may import the gate, ``envelope``, ``owned_files``, ``split_view`` and the standard library. It never judges what it
reads: every load goes through ``trust.absorb``, so whoever can write here can at most make the client fetch again.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pinwarden import failpoints, owned_files
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import CacheError, MalformedError, UntrustedError
from pinwarden.split_view import SplitView
from pinwarden.strict_json import parse_object, spell
from pinwarden.trust import KeptDocuments, TrustState

if TYPE_CHECKING:
    from pinwarden.cache_redis.fleet import Fleet
    from pinwarden.keeping import Health, Testimony

__all__ = ["Cache", "DiskCache", "MemoryCache"]

log = logging.getLogger("pinwarden")

FORMAT = "pinwarden-cache-1"
MAX_CACHE_BYTES = 16 * 1024 * 1024
MAX_EVIDENCE = 8
INSTALLATION_BYTES = 16
_INSTALLATION_FILE_BYTES = 64  # twice as long in hex, and whoever wrote it by hand may have ended the line
_TYPES = {"roots": ROOT_TYPE, "timestamps": TIMESTAMP_TYPE, "pinsets": PINSET_TYPE}


@runtime_checkable
class Cache(Protocol):
    """
    Keeps the documents of one pin set between starts.

    Attributes:
        describe: where that is, for people.
    """

    describe: str

    def load(self) -> KeptDocuments:
        """Return what is kept, unjudged; nothing when there is nothing usable. Never raises for bad content."""

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        """
        Replace what is kept by ``merge(what is kept now)``, under a lock that other processes respect.

        Raises:
            CacheError: it could not be written; what was kept before is still there.
        """

    def installation_id(self) -> bytes:
        """Return 16 random bytes that stay the same as long as this cache exists (spec E7)."""


@runtime_checkable
class Witness(Protocol):
    """A cache that also keeps evidence of split views where an operator finds it."""

    def testify(self, view: SplitView) -> str | None:
        """
        Keep *view*, one for each kind and version, and return where it is; None when there is too much already.

        Raises:
            CacheError: it could not be written.
        """


@runtime_checkable
class SharedCache(Cache, Protocol):
    """A cache on the network that the clients of a fleet share: too far away for a handshake to wait for."""

    def join(
        self,
        *,
        trust: Callable[[], TrustState],
        take: Callable[[KeptDocuments], bool],
        health: "Health | None" = None,
        testimony: "Testimony | None" = None,
    ) -> "Fleet":
        """Return what carries documents between a client and this cache; its class describes the arguments."""


class MemoryCache:
    """Keeps documents as long as the process lives."""

    describe = "memory"

    def __init__(self) -> None:
        self._kept = KeptDocuments()
        self._installation = os.urandom(INSTALLATION_BYTES)
        self._lock, self._process = threading.Lock(), os.getpid()

    def load(self) -> KeptDocuments:
        """Return what this process kept."""
        return self._kept

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        """Replace what is kept, one thread after the other."""
        if self._process != os.getpid():  # forked: what another thread held then, nobody would ever let go
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            self._kept = merge(self._kept)

    def installation_id(self) -> bytes:
        """Return an id that lives as long as the process."""
        return self._installation


class DiskCache:
    """
    One file per (authority, name) in *folder*, which several processes may share.

    The folder is made with mode 0700 when it is missing, its files have mode 0600. A file that belongs to someone
    else, or that others may write, is passed over with a warning: its content could be trusted, since it is verified,
    but whoever writes there could keep replacing it.

    Args:
        folder: where; made at the first write.
        authority, name: whose documents.
    """

    def __init__(self, folder: str | os.PathLike[str], authority: str, name: str) -> None:
        self._folder = Path(folder)
        digest = hashlib.sha256(f"{authority}\n{name}".encode()).hexdigest()[:32]
        self._path = self._folder / f"{digest}.json"
        self._installation_path = self._folder / "installation-id"
        self.describe: str = str(self._path)

    def load(self) -> KeptDocuments:
        """Return what the file holds, or nothing: a damaged file costs one fetch, not a start."""
        try:
            return self._load()
        except OSError as error:
            log.warning("cache %s cannot be read (%s); starting without it", self._path, error.strerror)
        return KeptDocuments()

    def _load(self) -> KeptDocuments:
        try:
            return parse_kept(owned_files.read(self._path, MAX_CACHE_BYTES))
        except FileNotFoundError:
            return KeptDocuments()
        except owned_files.UnusableFileError as error:
            log.warning("cache %s is passed over: %s", self._path, error)
        except UntrustedError as error:
            log.warning("cache %s is damaged (%s); starting without it", self._path, error.what)
        return KeptDocuments()

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        """Lock, read again, merge, write to a temporary file, sync, rename, sync the folder (spec C3)."""
        try:
            with owned_files.locked(self._path):
                failpoints.hit("cache.locked")
                found = self._load()  # what merely could not be read now may be newer than what we have
                failpoints.hit("cache.read")
                wanted = merge(found)
                if wanted != found:
                    owned_files.replace(self._path, spell_kept(wanted))
        except OSError as error:
            raise CacheError(
                f"cache {self._path} cannot be written: {error.strerror or error}",
                holds="The pins in memory are in force; the next start will fetch them again.",
                hint="Give cache= a folder that this process may write to.",
            ) from error

    def testify(self, view: SplitView) -> str | None:
        """
        Keep *view* in a file beside the cache, and return its path; None when there are eight already.

        The first pair of a kind and version stays: whoever can sign two contents can sign a thousand.

        Raises:
            CacheError: it could not be written.
        """
        path = self._folder / f"{self._path.stem}.{view.kind}-{view.tag[0]}.{view.tag[1]}.evidence"
        try:
            with owned_files.locked(self._path):
                if not path.exists():
                    if len(list(self._folder.glob(f"{self._path.stem}.*.evidence"))) >= MAX_EVIDENCE:
                        return None
                    owned_files.replace(path, view.to_bytes())
        except OSError as error:
            raise CacheError(f"evidence {path} cannot be written: {error.strerror or error}") from error
        return str(path)

    def installation_id(self) -> bytes:
        """Return the folder's id, made when it is missing; one for this process when the folder cannot be written."""
        with suppress(OSError, ValueError):
            return _parse_installation(owned_files.read(self._installation_path, _INSTALLATION_FILE_BYTES))
        try:
            with owned_files.locked(self._installation_path):
                with suppress(FileNotFoundError, ValueError):  # another process was first
                    return _parse_installation(owned_files.read(self._installation_path, _INSTALLATION_FILE_BYTES))
                fresh = os.urandom(INSTALLATION_BYTES)
                # Not worth waiting for the disk: what a power cut spoils is no id, and is drawn anew.
                owned_files.replace(self._installation_path, fresh.hex().encode(), durable=False)
                return fresh
        except OSError as error:
            reason = error.strerror or error
            log.warning("no installation id can be kept in %s (%s); using one for this process", self._folder, reason)
            return os.urandom(INSTALLATION_BYTES)


def parse_kept(content: bytes) -> KeptDocuments:
    """
    Return the envelopes that *content* holds; nothing about them is judged.

    Raises:
        UntrustedError: it is no cache.
    """
    value = parse_object(content, limit=MAX_CACHE_BYTES, what="cache")
    if value.get("format") != FORMAT:
        raise MalformedError("cache of another format", expected=FORMAT, got=repr(value.get("format"))[:40])
    return KeptDocuments(**{field: _parse_envelopes(value.get(field), kind) for field, kind in _TYPES.items()})


def _parse_envelopes(value: Any, kind: str) -> tuple[Envelope, ...]:
    if type(value) is not list:
        raise MalformedError("cache lacks a list of envelopes")
    return tuple(Envelope.from_json(item, expect=kind) for item in value)


def spell_kept(kept: KeptDocuments) -> bytes:
    """Return the bytes that :func:`parse_kept` reads."""
    lists = {field: [envelope.to_json() for envelope in getattr(kept, field)] for field in _TYPES}
    return spell({"format": FORMAT, **lists})


def _parse_installation(text: bytes) -> bytes:
    value = bytes.fromhex(text.decode("ascii"))
    if len(value) != INSTALLATION_BYTES:
        raise ValueError("not an installation id")
    return value
