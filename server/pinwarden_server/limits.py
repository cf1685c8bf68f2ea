"""
How often somebody may be wrong: one budget of wrong tokens, links and passwords for each address, shared by a node.

It may use ``mmap``, ``mapped_files``, a file lock and ``errors``. Nothing is written for a request that is right, and
whoever has a good token is let in whatever others behind the same address did: only being wrong costs.
"""

import fcntl
import ipaddress
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from math import ceil
from pathlib import Path
from time import time

from pinwarden_server.errors import StoreUnavailable, TooManyAttempts
from pinwarden_server.mapped_files import take_space

SETS, WAYS = 2048, 8
IPV6_PREFIX = 64  # what one customer of a network has at least: single addresses there cost nothing
_SLOT = struct.Struct("<Qdd")  # whose; when the budget is whole again; until when the log keeps silent about it
_KEY_BYTES = 64
_SIZE = _KEY_BYTES + SETS * WAYS * _SLOT.size
_BUDGET_SECONDS = 60.0
_ROUNDING_SECONDS = 0.001  # no sum of floats is off by more
_SILENCE_SECONDS = 60.0


class AttemptLimits:
    """
    The budgets of a node, in a file that every worker maps into memory: 384 KiB, whoever attacks.

    A budget of *per_minute* wrong attempts is refilled evenly. An address that is not known takes the place of the one
    in its set whose budget is nearest to being whole; so whoever has more addresses than there are places gets more
    attempts, and takes away nobody else's. Which addresses share a set is decided by a random key.

    Args:
        path: on a local file system, in the run directory; it may be deleted while nothing runs.
        clock: seconds since 1970, the same for all workers.

    Raises:
        StoreUnavailable: the file cannot be opened.
    """

    def __init__(self, path: Path, *, per_minute: int, clock: Callable[[], float] = time) -> None:
        self._path, self._clock = path, clock
        self._interval = _BUDGET_SECONDS / per_minute
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b") as file:
                with self._locked():
                    is_new = os.fstat(file.fileno()).st_size < _SIZE
                    take_space(file.fileno(), _SIZE)
                    if is_new:
                        os.pwrite(file.fileno(), os.urandom(_KEY_BYTES), 0)
                self._memory = mmap.mmap(file.fileno(), _SIZE)
        except OSError as error:
            raise StoreUnavailable(f"the limits {path} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file; other workers are not affected."""
        self._memory.close()

    def check(self, address: str) -> None:
        """
        Return while *address* has budget left; for work that must not be done otherwise, such as hashing a password.

        Raises:
            TooManyAttempts: it has none.
        """
        with self._locked():
            whole_at = self._find(_whose(address, self._key))[1][1]
        self._judge(whole_at, self._clock())

    def spend(self, address: str) -> None:
        """
        Take one wrong attempt from the budget of *address*.

        Raises:
            TooManyAttempts: there was none left; that costs nothing more, so the wait does not grow.
        """
        now = self._clock()
        with self._locked():
            offset, (_, whole_at, silent_until) = self._find(whose := _whose(address, self._key))
            after = max(whole_at, now) + self._interval
            if after - now <= _BUDGET_SECONDS + _ROUNDING_SECONDS:
                _SLOT.pack_into(self._memory, offset, whose, after, silent_until)
                return
            first = silent_until <= now or silent_until > now + _SILENCE_SECONDS
            if first:
                _SLOT.pack_into(self._memory, offset, whose, whole_at, now + _SILENCE_SECONDS)
        self._judge(whole_at, now, first=first)

    @property
    def _key(self) -> bytes:
        return self._memory[:_KEY_BYTES]

    def _judge(self, whole_at: float, now: float, *, first: bool = False) -> None:
        wait = whole_at + self._interval - _BUDGET_SECONDS - now
        if wait > _ROUNDING_SECONDS:
            raise TooManyAttempts(
                "too many wrong attempts came from this address",
                retry_after=ceil(wait),
                first=first,
                hint=f"Wait {ceil(wait)} seconds; a valid token is taken at once.",
            )

    def _find(self, whose: int) -> tuple[int, tuple[int, float, float]]:
        """Return the place of *whose* and its content, or the place that it may take, as an unused one."""
        start = _KEY_BYTES + whose % SETS * WAYS * _SLOT.size
        reach = self._clock() + _BUDGET_SECONDS + 2 * _ROUNDING_SECONDS
        places = [start + way * _SLOT.size for way in range(WAYS)]
        slots = [_SLOT.unpack_from(self._memory, place) for place in places]
        for place, slot in zip(places, slots, strict=True):
            # A time that no budget can reach is from before the clock was set back: it counts for nothing.
            if slot[0] == whose and slot[1] <= reach:
                return place, slot
        first = min(range(WAYS), key=lambda way: slots[way][1] if slots[way][1] <= reach else 0.0)
        return places[first], (whose, 0.0, 0.0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # An own descriptor each time: flock would not keep two threads with one descriptor apart.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def network_of(address: str) -> str:
    """Return whose budget *address* has: an IPv4 address its own, IPv6 its /64, and what is no address one for all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "elsewhere"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _whose(address: str, key: bytes) -> int:
    digest = blake2b(network_of(address).encode(), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1  # 0 is nobody's
