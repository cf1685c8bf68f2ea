"""
PinClient: what an application holds.

It wires the rooms together and may import all of layer 0. It never judges anything itself, and its constructor never
touches the network.
"""

import atexit
import os
import ssl
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self, Unpack

from pinwarden import elapsed, tls
from pinwarden.arguments import POLL_SECONDS, Options, begin_with, check_options, open_cache, read_bootstrap
from pinwarden.background import BackgroundRefresh
from pinwarden.cache import Cache, DiskCache, MemoryCache, SharedCache
from pinwarden.enforce import Chain, Policy, Verdict, is_drawn
from pinwarden.events import Events
from pinwarden.guard import ClientGuard, Rules, Snapshot, present
from pinwarden.keeping import Health, Testimony
from pinwarden.once import once
from pinwarden.refresher import Refresher
from pinwarden.spki import pin_of
from pinwarden.status import Status, rollout_of
from pinwarden.trust import TrustState, absorb
from pinwarden.uncovered import tell, uncovered_libraries
from pinwarden.update import Updater
from pinwarden.witness import Witness

if TYPE_CHECKING:
    from pinwarden.cache_redis.fleet import Fleet
    from pinwarden.cache_redis.hints import Hints
    from pinwarden.reports import Reporter
    from pinwarden.servers import PinServers

# How long the end of a client, and that of the process, wait for reports to be taken.
FLUSH_SECONDS = 2.0


class PinClient:
    """
    Fetches, verifies and caches one pin set, and enforces it on TLS connections.

    The constructor reads the cache, and never asks the pin server. Use it as a context manager, or call :meth:`start`,
    to keep the pins fresh in the background; without that, a handshake that finds the last refresh older than
    *poll_seconds* asks for one in passing and does not wait for it. All methods may be called from any thread.

    Args:
        url: the pin server, ``https://pins.example.com``, or up to four addresses of it in the order of preference:
            what one does not answer, or answers wrongly, the next one is asked for.
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
        url: str | Sequence[str],
        *,
        pinset: str,
        root: str | os.PathLike[str] | bytes,
        cache: str | os.PathLike[str] | Cache | None = None,
        bootstrap: str | os.PathLike[str] | bytes | None = None,
        **options: Unpack[Options],
    ) -> None:
        # Here, and not in a thread later: a child forked meanwhile would wait for that thread's import for ever. With
        # reports comes what other rooms import inside functions.
        from pinwarden.fetch import Fetcher
        from pinwarden.reports import Reporter
        from pinwarden.servers import PinServers

        check_options(options)
        tls.check_platform()
        trust = begin_with(root, pinset)
        shipped = read_bootstrap(bootstrap, trust)
        self.url = url
        self._clock = options.get("clock", present)
        poll_seconds = options.get("poll_seconds", POLL_SECONDS)
        self._events = Events(options.get("on_event"), authority=trust.authority, pinset=trust.name)
        self._telemetry, self._reports = options.get("telemetry", True), options.get("reports", True)
        instance, ca_file = self._draw_instance(), options.get("ca_file")
        make = partial(Fetcher, ca_file=ca_file, allow_http=options.get("allow_http", False), instance=instance)
        self._servers = PinServers(url, make, self._events)
        certificates = options.get("report_certificates", False)
        self._reporter = Reporter(self._events, instance=instance, ca_file=ca_file, certificates=certificates)
        self._cache = open_cache(cache, authority=trust.authority, name=trust.name, root=trust.root.version)
        trust = absorb(absorb(trust, shipped), self._cache.load())
        self._health = Health(self._cache, self._events)
        self._testimony = Testimony(self._cache, self._events, self._note_contradiction)
        fleet = self._join_fleet()
        updater = Updater(
            self._servers,
            fleet.near if fleet else self._cache,
            adopt=self._adopt,
            health=self._health,
            testimony=self._testimony,
        )
        self._refresher = Refresher(
            updater, self._servers, self._events, self._clock, poll_seconds=poll_seconds, adopt=self._adopt
        )
        self._refresher.fleet = fleet
        self._guard = ClientGuard(
            self._snapshot_of(trust, None),
            Rules(self._clock, options.get("unpinned", "allow"), options.get("when_empty", "refuse")),
            events=self._events,
            witness=Witness(self._events, clock=self._clock, report=self._reporter.note if self._reports else None),
            refresh=self._refresher.refresh_for_handshake,
            refresh_soon=self._refresher.refresh_soon,
            refresh_if_due=self._refresher.refresh_if_due,
        )
        self._refresher.guard = self._guard
        self._process_wide = False
        _alive.add(self)
        hints = fleet.hints if fleet else None
        weakref.finalize(self, _let_go, self._refresher.background, self._servers, self._reporter, hints).atexit = False

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
        self._refresher.refresh()
        return self.status()

    def status(self) -> Status:
        """Return what is trusted and how the last refresh went; touches neither network nor disk."""
        self._refresher.resume()
        snapshot = self._guard.snapshot
        trust, policy, pinset = snapshot.trust, snapshot.policy, snapshot.trust.pinset
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
            rollout=rollout_of(policy) if policy else (),
            last_refresh=self._refresher.last_refresh,
            last_error=self._refresher.last_error,
            failures=self._refresher.failures,
            server=self._servers.served_by,
            cache=self._cache.describe,
            persist_failed=self._health.failed,
            split_views=self._testimony.count,
            refused=self._guard.witness.refused,
            reported=self._guard.witness.reported,
            reports_sent=self._reporter.sent,
            reports_dropped=self._reporter.dropped,
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
        Servers are left alone. ``status().not_covered`` names loaded libraries that bring a TLS stack of their own; the
        log names those that are loaded now.

        Raises:
            ConfigError: another client enforces already.
        """
        tls.enforce_process(self._guard)
        self._process_wide = True
        tell(uncovered_libraries())

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
        self._refresher.start()
        return self

    def close(self) -> None:
        """
        Stop the background refresh, close idle connections to the pin server, and send the reports that wait.

        The cache stays, and so does enforcement, with its refreshes in passing: a service that shuts down must not
        lose its pins on the way. :meth:`start` starts again. No part waits longer than two seconds for a server.
        """
        self._refresher.close()
        self._reporter.flush(FLUSH_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a PinClient belongs to one process and cannot be pickled. Make one in each process that is not forked "
            "from this one; clients of one cache folder share what they trust."
        )

    def __repr__(self) -> str:
        status = self.status()
        return f"<PinClient {status.authority}/{status.name} {status.state} {status.epoch}.{status.version}>"

    @once
    def _installation(self) -> bytes:
        """Only a staged roll-out asks for the id, since making one costs a file."""
        return self._cache.installation_id()

    def _snapshot_of(self, trust: TrustState, previous: Snapshot | None) -> Snapshot:
        pinset = trust.pinset
        if previous and previous.policy and previous.policy.pinset == pinset:
            return Snapshot(trust, previous.policy)
        if pinset is None:
            return Snapshot(trust, None)
        drawn = any(map(is_drawn, pinset.hosts))
        return Snapshot(trust, Policy(pinset, self._installation if drawn else b""))

    def _adopt(self, trust: TrustState) -> None:
        self._guard.adopt(self._snapshot_of(trust, self._guard.snapshot))

    def _join_fleet(self) -> "Fleet | None":
        # The classes first: to compare with a protocol takes 20 us of each start.
        if isinstance(self._cache, DiskCache | MemoryCache) or not isinstance(self._cache, SharedCache):
            return None
        return self._cache.join(
            trust=lambda: self._guard.snapshot.trust,
            take=lambda found: self._refresher.take(found),  # noqa: PLW0108 - which is made after the fleet
            health=self._health,
            testimony=self._testimony,
        )

    def _note_contradiction(self, outcome: str, envelopes: tuple[bytes, bytes]) -> None:
        from pinwarden.findings import Finding

        pinset = self._guard.snapshot.trust.pinset
        if pinset is not None and pinset.report_to and self._reports:
            self._reporter.note(Finding.of_contradiction(pinset, outcome, envelopes, self._clock()))

    def _draw_instance(self) -> str | None:
        return os.urandom(8).hex() if self._telemetry else None

    def _reset_after_fork(self) -> None:
        instance = self._draw_instance()
        self._guard.reset_after_fork()
        self._reporter.reset_after_fork(instance)
        self._refresher.reset_after_fork(instance)


_alive: weakref.WeakSet[PinClient] = weakref.WeakSet()


def _reset_in_child() -> None:
    for client in list(_alive):
        client._reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)  # once, because nothing can be taken back from there


@atexit.register
def _end_with_process() -> None:
    end = elapsed.seconds() + FLUSH_SECONDS
    for client in list(_alive):
        client._reporter.flush(max(end - elapsed.seconds(), 0.0))
        client._refresher.let_go()


def _let_go(background: BackgroundRefresh, servers: "PinServers", reporter: "Reporter", hints: "Hints | None") -> None:
    background.stop()
    servers.close()
    reporter.stop()
    if hints is not None:
        hints.stop()
