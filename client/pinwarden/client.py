"""
PinClient: what an application holds.

It wires the rooms together and may import all of layer 0. It never judges anything itself, and its constructor never
touches the network.
"""

import os
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, Unpack

from pinwarden import tls
from pinwarden.arguments import POLL_SECONDS, Options, begin_with, check_options, read_bootstrap
from pinwarden.background import BackgroundRefresh
from pinwarden.cache import Cache, SharedCache, open_cache
from pinwarden.enforce import Chain, Policy, Verdict
from pinwarden.errors import FetchError, PinwardenError
from pinwarden.guard import SECOND_LOOK_SECONDS, ClientGuard, Rules, Snapshot, log
from pinwarden.spki import pin_of
from pinwarden.status import Status, uncovered_libraries
from pinwarden.trust import KeptDocuments, State, TrustState, absorb
from pinwarden.update import Updater

if TYPE_CHECKING:
    from pinwarden.cache_redis.hints import Hints
    from pinwarden.fetch import Fetcher

# A refresh ends within its deadlines. Whoever waits longer for another's may be what that one waits for: a log handler
# that ships records over a judged connection.
REFRESH_WAIT_SECONDS = 30.0
_ROWS = (State.EMPTY, State.EXPIRED, State.STALE, State.FRESH)


class PinClient:
    """
    Fetches, verifies and caches one pin set, and enforces it on TLS connections.

    The constructor reads the cache, and never asks the pin server. Use it as a context manager, or call :meth:`start`,
    to keep the pins fresh in the background; without that, a handshake that finds the last refresh older than
    *poll_seconds* asks for one in passing and does not wait for it. All methods may be called from any thread.

    Args:
        url: the pin server, ``https://pins.example.com``.
        pinset: the name of the pin set.
        root: the authority's root that the application embeds: a path, or the bytes themselves.
        cache: a folder, a Redis URL (docs/cache.md), a Cache, or None for ``$PINWARDEN_CACHE``, else
            ``$XDG_STATE_HOME/pinwarden``, else memory.
        bootstrap: a bundle shipped with the application (path or bytes), so that the first start needs no network.
        options: see :class:`Options`.

    Raises:
        ConfigError: something that no later refresh could mend: no root, a bad name or address, an unknown option.
    """

    def __init__(
        self,
        url: str,
        *,
        pinset: str,
        root: str | os.PathLike[str] | bytes,
        cache: str | os.PathLike[str] | Cache | None = None,
        bootstrap: str | os.PathLike[str] | bytes | None = None,
        **options: Unpack[Options],
    ) -> None:
        # Here, and not in a thread later: a child forked meanwhile would wait for that thread's import for ever.
        from pinwarden.fetch import Fetcher

        check_options(options)
        tls.check_platform()
        trust = begin_with(root, pinset)
        self.url = url
        self._clock = options.get("clock", _utc_now)
        self._poll_seconds = options.get("poll_seconds", POLL_SECONDS)
        self._fetcher = Fetcher(
            url,
            ca_file=options.get("ca_file"),
            allow_http=options.get("allow_http", False),
            instance=os.urandom(8).hex() if options.get("telemetry", True) else None,
        )
        self._cache = open_cache(cache, authority=trust.authority, name=trust.name, root=trust.root.version)
        self._installation = self._cache.installation_id()
        trust = absorb(absorb(trust, read_bootstrap(bootstrap)), self._cache.load())
        shared = self._cache if isinstance(self._cache, SharedCache) else None
        self._fleet = shared.join(trust=lambda: self._guard.snapshot.trust, take=self._take) if shared else None
        self._updater = Updater(self._fetcher, self._fleet.near if self._fleet else self._cache, adopt=self._adopt)
        self._guard = ClientGuard(
            self._snapshot_of(trust, None),
            Rules(self._clock, options.get("unpinned", "allow"), options.get("when_empty", "refuse")),
            refresh=self._refresh_for_handshake,
            refresh_soon=self._refresh_soon,
            refresh_if_due=self._refresh_if_due,
        )
        self._lock = threading.Lock()
        self._errand = threading.Lock()
        self._last_refresh: datetime | None = None
        self._last_attempt: float | None = None
        self._last_error: str | None = None
        self._failures = 0
        self._refreshing: int | None = None
        # Weakly, or the thread of a client that everyone has forgotten would run for ever.
        self._background = BackgroundRefresh(_weakly(self._refresh_in_turn), interval_seconds=self._poll_seconds)
        self._process_wide = False
        _alive.add(self)
        hints = self._fleet.hints if self._fleet else None
        weakref.finalize(self, _let_go, self._background, self._fetcher, hints).atexit = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Make a client from ``PINWARDEN_*`` variables; docs/settings.md lists them.

        Raises:
            ConfigError: a variable is missing, unknown or impossible.
        """
        from pinwarden.settings import sdk_settings

        return cls(**sdk_settings(os.environ if environ is None else environ))

    def refresh(self) -> Status:
        """
        Fetch once and adopt what is newer; blocks for 10 seconds at most per request, after the resolver has answered,
        and then for a second at most to write to a Redis.

        Raises:
            UntrustedError: the answer was refused; what was trusted stays. FetchError: there was no usable answer, or
                another refresh did not end.
        """
        try:
            self._refresh()
        finally:
            if self._fleet:
                self._fleet.share()
        return self.status()

    def _refresh_for_handshake(self) -> None:
        """Refresh while a handshake waits: what is accepted is kept on the network after that, not before."""
        try:
            self._refresh()
        finally:
            if self._fleet:
                self._fleet.share_soon()

    def _refresh_in_turn(self) -> None:
        """Refresh in the background, where one client of a fleet may do it for the others."""
        if self._fleet:
            self._fleet.turn(self.refresh)
        else:
            self.refresh()

    def _refresh(self) -> None:
        if not self._acquire():
            raise FetchError(
                "another refresh is still under way",
                holds="The pins already trusted stay in force.",
                hint="A log handler that opens TLS connections may be waiting for its own record.",
            )
        self._refreshing = threading.get_ident()
        try:
            self._refresh_once()
        finally:
            self._refreshing = None
            self._lock.release()

    def _acquire(self) -> bool:
        """Take the lock of refreshes; False when one does not end, or is under way in this very thread."""
        return self._refreshing != threading.get_ident() and self._lock.acquire(timeout=REFRESH_WAIT_SECONDS)

    def _refresh_once(self) -> None:
        self._last_attempt = time.monotonic()
        self._guard.due = self._last_attempt + self._poll_seconds
        try:
            self._updater.update(self._guard.snapshot.trust, self._clock())
        except Exception as error:
            self._plan(error)
            raise
        self._last_refresh = self._clock()
        self._plan(None)

    def _plan(self, failure: Exception | None) -> None:
        """Remember how a refresh went, and when a handshake may ask for the next one."""
        # Only its text: the error itself would keep what was refused, and where it came from, in memory.
        self._last_error = None if failure is None else str(failure) or type(failure).__name__
        self._failures = 0 if failure is None else self._failures + 1
        self._guard.due = time.monotonic() + self._background.wait_seconds(self._failures, failure)

    def status(self) -> Status:
        """Return what is trusted and how the last refresh went; touches neither network nor disk."""
        trust = self._guard.snapshot.trust
        pinset = trust.pinset
        return Status(
            state=trust.state_at(self._clock()),
            authority=trust.authority,
            name=trust.name,
            root=trust.root.version,
            epoch=pinset.epoch if pinset else None,
            version=pinset.version if pinset else None,
            issued=pinset.issued if pinset else None,
            expires=pinset.expires if pinset else None,
            fresh_until=trust.timestamp.expires if trust.timestamp else None,
            hosts=len(pinset.hosts) if pinset else 0,
            last_refresh=self._last_refresh,
            last_error=self._last_error,
            cache=self._cache.describe,
            persist_failed=self._updater.persist_failed + (self._fleet.persist_failed if self._fleet else 0),
            split_views=self._fleet.split_views if self._fleet else 0,
            refused=self._guard.refused,
            reported=self._guard.reported,
            process_wide=self._process_wide,
            not_covered=uncovered_libraries(),
        )

    def ssl_context(self, base: ssl.SSLContext | None = None) -> ssl.SSLContext:
        """
        Return a client context whose connections are judged: *base* itself, armed, or a new default one.

        Chain and host-name checks stay as they are in *base*; under CERT_NONE only a pinned leaf is accepted.
        """
        return tls.arm_context(base if base is not None else ssl.create_default_context(), self._guard)

    def enforce(self) -> None:
        """
        Judge every TLS connection that this process makes through Python's ``ssl``, whichever library makes it.

        Call it once, after monkey patching, before connections are opened: those that exist already are not judged.
        Servers are left alone. ``status().not_covered`` names loaded libraries that bring a TLS stack of their own.

        Raises:
            ConfigError: another client enforces already.
        """
        tls.enforce_process(self._guard)
        self._process_wide = True

    def check(self, host: str, chain: Sequence[bytes]) -> Verdict:
        """
        Judge DER certificates, leaf first, that something else has verified, as a connection to *host*.

        Chain, validity and host name are not checked here.

        Raises:
            PinMismatchError: no certificate holds an allowed key. PinsUnavailableError: nothing is trusted.
            MalformedError: a certificate cannot be read.
        """
        keys = Chain(tuple(pin_of(certificate) for certificate in chain), True)
        return self._guard.verdict(self._guard.snapshot, host, lambda: keys)

    def selftest(self) -> list[str]:
        """
        Prove on handshakes in memory that this Python refuses wrong pins; return a line per promise that held.

        Raises:
            PinwardenError: a promise did not hold; do not rely on pinning in this process.
        """
        from pinwarden.selftest import run_selftest

        return run_selftest(process_wide=self._process_wide)

    def start(self) -> Self:
        """Refresh in the background from now on, at once and then every ``poll_seconds`` with 20 % jitter."""
        if self._fleet:
            self._fleet.open()
        self._background.start()
        return self

    def close(self) -> None:
        """
        Stop the background refresh and close idle connections to the pin server.

        The cache stays, and so does enforcement, with its refreshes in passing: a service that shuts down must not
        lose its pins on the way. :meth:`start` starts again.
        """
        if self._fleet:
            self._fleet.close()  # first, for the background refresh may be waiting for others
        self._background.close()
        if self._lock.acquire(timeout=1.0):  # a refresh that is under way closes its connection by its deadline
            try:
                self._fetcher.close()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        status = self.status()
        return f"<PinClient {status.authority}/{status.name} {status.state} {status.epoch}.{status.version}>"

    def _snapshot_of(self, trust: TrustState, previous: Snapshot | None) -> Snapshot:
        pinset = trust.pinset
        if previous and previous.policy and previous.policy.pinset == pinset:
            return Snapshot(trust, previous.policy)
        return Snapshot(trust, Policy(pinset, self._installation) if pinset else None)

    def _adopt(self, trust: TrustState) -> None:
        self._guard.adopt(self._snapshot_of(trust, self._guard.snapshot))

    def _take(self, found: KeptDocuments) -> bool:
        """
        Adopt what other clients kept, if it is newer and puts this one no row down in the state table (spec C1).

        Whoever can write to a shared cache could otherwise show a document that was good once, and whose end lets
        ordinary CA checks decide. Return whether the pins of it are fresh.
        """
        if not self._acquire():
            return False
        try:
            trust, now = self._guard.snapshot.trust, self._clock()
            newer = absorb(trust, found)
            before, after = trust.state_at(now), newer.state_at(now)
            if newer is trust or _ROWS.index(after) < _ROWS.index(before):
                return False
            self._adopt(newer)
        finally:
            self._lock.release()
        return after is State.FRESH

    def _refresh_if_due(self) -> None:
        """Keep the pins of a client fresh that nobody called start() on; the guard asks when the time has come."""
        self._guard.due = time.monotonic() + self._poll_seconds
        if not self._background.is_running:
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        if self._background.is_running:
            self._background.poke()
        elif self._is_older_than(SECOND_LOOK_SECONDS) and self._errand.acquire(blocking=False):
            try:
                threading.Thread(target=self._run_errand, name="pinwarden-refresh", daemon=True).start()
            except RuntimeError as error:  # too many threads, or the process is ending: no reason to fail a handshake
                self._errand.release()
                log.warning("no refresh in passing: %s", error)

    def _run_errand(self) -> None:
        try:
            self.refresh()
        except PinwardenError as error:
            log.warning("refresh failed: %s", error)
        finally:
            self._errand.release()

    def _is_older_than(self, seconds: float) -> bool:
        return self._last_attempt is None or time.monotonic() - self._last_attempt >= seconds

    def _reset_after_fork(self) -> None:
        # A lock that another thread held at the fork would never be released in the child.
        self._lock, self._errand, self._refreshing = threading.Lock(), threading.Lock(), None
        self._guard.reset_after_fork()
        self._fetcher.reset_after_fork()
        if self._fleet:
            self._fleet.reset_after_fork()
        self._background.reset_after_fork()  # last, because its thread uses all of these


_alive: weakref.WeakSet[PinClient] = weakref.WeakSet()


def _reset_in_child() -> None:
    for client in list(_alive):
        client._reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)  # once, because nothing can be taken back from there


def _let_go(background: BackgroundRefresh, fetcher: "Fetcher", hints: "Hints | None") -> None:
    background.stop()
    fetcher.close()
    if hints is not None:
        hints.stop()


def _weakly(method: Callable[[], object]) -> Callable[[], object]:
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call


def _utc_now() -> datetime:
    return datetime.now(UTC)
