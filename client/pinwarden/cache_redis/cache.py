"""
Documents in Redis, for all clients of one pin set (spec C4).

It may import ``link``, ``head``, ``scripts``, ``cache`` and errors. Each call opens a connection and closes it, so that
none goes stale, none is shared over a fork, and a Redis that fails over is found again.
"""

import logging
import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pinwarden.cache import INSTALLATION_BYTES, DiskCache, parse_kept, spell_kept
from pinwarden.cache_redis.address import RedisAddress, parse_address
from pinwarden.cache_redis.failures import PINS_STAY
from pinwarden.cache_redis.head import MAX_HEAD_BYTES, Head, ends_of, version_of
from pinwarden.cache_redis.limits import SMALL_ANSWER_BYTES
from pinwarden.cache_redis.link import Link, open_link, tls_context
from pinwarden.cache_redis.scripts import LEASE, READ, TESTIFY, WRITE
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE, Envelope
from pinwarden.errors import CacheError, ConfigError, UntrustedError
from pinwarden.split_view import SplitView
from pinwarden.trust import KeptDocuments, TrustState

if TYPE_CHECKING:
    from pinwarden.cache_redis.fleet import Fleet
    from pinwarden.keeping import Health, Testimony

log = logging.getLogger("pinwarden")

MAX_NEWEST_BYTES = 8 * 1024 * 1024
MAX_ROOT_BYTES = ENVELOPE_LIMITS[ROOT_TYPE]
MAX_ROOTS = 256
# After its end a document still proves a floor, and clients that cannot reach the pin server know what was in force.
GRACE = timedelta(days=30)
LEASE_SECONDS = 5.0
EVIDENCE_SECONDS = 400 * 24 * 3600
_FIRST_ROOTS, _MORE_ROOTS = 8, 64
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What was found: the line in front, the documents, and the roots by the version that their key names."""

    line: bytes
    kept: KeptDocuments
    roots: dict[int, Envelope]


class RedisCache:
    """
    One value with the newest documents and a key for each root, all of one hash slot; which all clients may share.

    Attributes:
        describe: where that is, without anything secret.

    Args:
        address: the Redis.
        authority, name: whose documents.
        root: the version of the root that the client has in itself; older ones are of no use to it.
    """

    def __init__(self, address: RedisAddress, *, authority: str, name: str, root: int = 1) -> None:
        self._address = address
        self._context = tls_context(address)
        self._root = root
        self._tag = f"pinwarden:1:{{{authority}/{name}}}"
        self._installation: bytes | None = None
        self.describe = f"{address.shown} {self._tag}"

    def load(self) -> KeptDocuments:
        """Return what is there, or nothing, within the time-outs: a Redis that is away costs one fetch, not a start."""
        try:
            with self._link() as link:
                return self._read(link).kept
        except CacheError as error:
            log.warning("cache cannot be read: %s", error)
        return KeptDocuments()

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        """Read, merge, and write if nothing higher was written meanwhile, else read again; spec C4."""
        with self._link() as link:
            for _ in range(_ROUNDS):
                shelf = self._read(link)
                wanted = merge(shelf.kept)
                if self._is_kept(wanted, shelf) or self._write(link, wanted, shelf):
                    return
        raise CacheError(
            f"cache {self.describe} was changed by others each time that it was about to be written",
            holds=PINS_STAY,
        )

    def installation_id(self) -> bytes:
        """
        Return an id of this installation, which no other client of the same Redis has (spec E7).

        It is kept in ``$XDG_STATE_HOME/pinwarden``; without that it lives as long as the process. It is not made from
        the name of the machine: clones would have the same, and enforce all or none.
        """
        if self._installation is None:
            folder = os.environ.get("XDG_STATE_HOME")
            disk = DiskCache(Path(folder, "pinwarden"), "", "") if folder else None
            self._installation = disk.installation_id() if disk else os.urandom(INSTALLATION_BYTES)
        return self._installation

    def join(
        self,
        *,
        trust: Callable[[], TrustState],
        take: Callable[[KeptDocuments], bool],
        health: "Health | None" = None,
        testimony: "Testimony | None" = None,
    ) -> "Fleet":
        """Return the fleet of the clients that share this cache, as seen by one of them; see :class:`Fleet`."""
        from pinwarden.cache_redis.fleet import Fleet

        return Fleet(self, trust=trust, take=take, health=health, testimony=testimony)

    @contextmanager
    def listen(self) -> Iterator[Link]:
        """Give a link on which hints arrive: lines for :class:`Head`, from whoever may publish."""
        with self._link() as link:
            link.subscribe(self.channel)
            link.linger()
            yield link

    @property
    def channel(self) -> bytes:
        """Where a writer says what it wrote."""
        return self._key("news")

    def seconds_to_wait(self) -> float:
        """
        Return 0.0 for the one client that shall fetch now, and for others when that one should be done.

        A hint too: whoever holds the lease and is dead, or evil, delays the others by LEASE_SECONDS at most.
        """
        with self._link() as link:
            left = link.ask("EVAL", LEASE, 1, self._key("lease"), int(LEASE_SECONDS * 1000))
        if type(left) is not int or left <= 0:
            return 0.0
        # They shall not all begin in the moment at which the lease ends.
        return random.uniform(min(left / 1000, LEASE_SECONDS), LEASE_SECONDS)  # noqa: S311 - protects nothing

    def testify(self, view: SplitView) -> str:
        """
        Keep *view*, unless there is evidence of its kind already, and return the name of its key.

        Raises:
            CacheError: it could not be kept.
        """
        key = self._key(f"split-view:{view.kind}")
        with self._link() as link:
            link.ask("EVAL", TESTIFY, 1, key, view.to_bytes(), EVIDENCE_SECONDS)
        return key.decode()

    def _link(self) -> Link:
        return open_link(self._address, self._context, self._key("newest"))

    def _key(self, what: str) -> bytes:
        return f"{self._tag}:{what}".encode()

    def _read(self, link: Link) -> _Shelf:
        first = range(self._root + 1, self._root + 1 + _FIRST_ROOTS)
        newest, *answers = self._fetch(link, [(self._key("newest"), MAX_NEWEST_BYTES), *map(self._root_key, first)])
        line, kept = self._open(newest)
        roots = _open_roots(first, answers)
        head = Head.parse(line) or Head()
        end = min(head.roots, self._root + MAX_ROOTS) + 1
        for start in range(first.stop, end, _MORE_ROOTS):
            more = range(start, min(start + _MORE_ROOTS, end))
            roots |= _open_roots(more, self._fetch(link, [*map(self._root_key, more)]))
        chain = tuple(sorted(roots.values(), key=version_of))
        return _Shelf(line, KeptDocuments(chain, kept.timestamps, kept.pinsets), roots)

    def _root_key(self, version: int) -> tuple[bytes, int]:
        return self._key(f"root:{version}"), MAX_ROOT_BYTES

    def _fetch(self, link: Link, wanted: list[tuple[bytes, int]]) -> list[object]:
        """Return what stands under the *wanted* keys, each up to its limit of bytes."""
        keys, limits = zip(*wanted, strict=True)
        answer = link.ask("EVAL", READ, len(keys), *keys, *limits, limit=sum(limits) + SMALL_ANSWER_BYTES)
        if type(answer) is not list or len(answer) != len(keys):
            raise link.nonsense()
        return answer

    def _open(self, found: object) -> tuple[bytes, KeptDocuments]:
        """Return the line in front and the documents; nothing for what is none of ours."""
        if not isinstance(found, bytes):
            if found is not None:
                size = f"{found} bytes" if isinstance(found, int) and found > 0 else "no string"
                log.warning("cache %s is passed over: it holds %s", self.describe, size)
            return b"", KeptDocuments()
        line, separator, _ = found[: MAX_HEAD_BYTES + 1].partition(b"\n")
        try:
            kept = parse_kept(found[len(line) + 1 :] if separator else b"")
        except UntrustedError as error:
            log.warning("cache %s is damaged (%s); starting without it", self.describe, error.what)
            kept = KeptDocuments()
        return line if separator else b"", kept

    def _is_kept(self, wanted: KeptDocuments, shelf: _Shelf) -> bool:
        same = (wanted.timestamps, wanted.pinsets) == (shelf.kept.timestamps, shelf.kept.pinsets)
        return same and shelf.line == Head.of(wanted).to_bytes() and not any(self._roots(wanted, shelf).values())

    def _roots(self, wanted: KeptDocuments, shelf: _Shelf) -> dict[int, bytes]:
        """Return the bytes of each root that must be written, by its version; b"" for one that is there."""
        versions = {version_of(root): root for root in wanted.roots}
        return {
            version: b"" if shelf.roots.get(version) == root else root.to_bytes()
            for version, root in versions.items()
            if version > self._root
        }

    def _write(self, link: Link, wanted: KeptDocuments, shelf: _Shelf) -> bool:
        """Write *wanted*; tell whether that was done, or someone else had written something higher."""
        roots = self._roots(wanted, shelf)
        newest = spell_kept(KeptDocuments((), wanted.timestamps, wanted.pinsets))
        if len(newest) > MAX_NEWEST_BYTES:
            raise CacheError(
                f"cache {self.describe} cannot be written: the documents are too large",
                expected=f"at most {MAX_NEWEST_BYTES} bytes",
                got=len(newest),
                holds=PINS_STAY,
            )
        roots_end = _end_of(wanted.roots)
        newest_end = _end_of(wanted.pinsets) or roots_end
        now = datetime.now(UTC)
        ends = [int((end or now).timestamp() + GRACE.total_seconds()) for end in (newest_end, roots_end)]
        keys = [self._key("newest"), *(self._root_key(version)[0] for version in roots)]
        line = Head.of(wanted).to_bytes()
        values: list[bytes | int] = [shelf.line, line, newest, *ends, self.channel, MAX_NEWEST_BYTES]
        return bool(link.ask("EVAL", WRITE, len(keys), *keys, *values, *roots.values()) == 1)


def _open_roots(versions: range, answers: list[object]) -> dict[int, Envelope]:
    roots = {}
    for version, content in zip(versions, answers, strict=True):
        with suppress(UntrustedError):  # what is no root is written over as soon as the right one is known
            if isinstance(content, bytes):
                roots[version] = Envelope.parse(content, expect=ROOT_TYPE)
    return roots


def _end_of(envelopes: Iterable[Envelope]) -> datetime | None:
    return max(ends_of(envelopes), default=None)


def open_redis(url: str, *, authority: str, name: str, root: int) -> RedisCache:
    """
    Return the cache that *url* names; nothing is connected yet.

    Raises:
        ConfigError: the URL is not usable.
    """
    address = parse_address(url)
    if (address.login.password or address.sentinel_login.password) and url == os.environ.get("PINWARDEN_CACHE"):
        raise ConfigError(
            "PINWARDEN_CACHE holds a password, which every process of this user can read there",
            hint="Write the URL into a file with mode 0600, and its path into PINWARDEN_CACHE_FILE.",
        )
    return RedisCache(address, authority=authority, name=name, root=root)
