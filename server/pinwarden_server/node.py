"""
One worker's share of the node: what it serves, what it may sign with, what runs beside the requests.

It may import everything but the HTTP side. It starts with the database and the signers away, says so in the log, and
serves what is published all the same.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from time import monotonic

from pinwarden.errors import PinwardenError
from pinwarden_keys import KeeperAwayError, passphrase_file
from pinwarden_server.alerts import Alert, AlertLog, current_alerts
from pinwarden_server.bell import Bell
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.fetch_counter import FetchCounter
from pinwarden_server.following import Follower
from pinwarden_server.founding import reconcile
from pinwarden_server.limits import AttemptLimits
from pinwarden_server.measured_renewal import MeasuredRenewer
from pinwarden_server.pending import Pending, pending_of
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.settings import Settings
from pinwarden_server.signers import Signers
from pinwarden_server.site import Policy, Site
from pinwarden_server.store import check_schema, open_store
from pinwarden_server.store.copying import unsettled_names

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0
_LOOK_SECONDS = 2.0
_AFTER_REPAIR = "What is published is served on. Restart the server once this is mended: keys are read at its start."
log = logging.getLogger("pinwarden.server")


def system_clock() -> datetime:
    """Return now, aware."""
    return datetime.now(UTC)


class Node:
    """
    What the views of one worker share.

    Attributes:
        site: for use cases.  table: what is served.  clock: aware now.
        fetches: counts who fetches it.  limits: how often who may be wrong.
        signers_trouble: why no signer is open, None when they are, or when none is set.
        keepers_away: that is because an HSM or a key service was away; start() tries again.
    """

    signers_trouble: str | None = None
    keepers_away = False

    def __init__(self, settings: Settings, site: Site, *, clock: Callable[[], datetime] = system_clock) -> None:
        self.settings = settings
        self.site = site
        self.clock = clock
        self.table = PublicTable(site.tree, site.bell)
        self.fetches = FetchCounter()
        self.limits = AttemptLimits(
            settings.run_dir / "limits",
            per_minute=settings.wrong_attempts_per_minute,
            clock=lambda: clock().timestamp(),
        )
        # Containers may share their name and the number of their only process.
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        interval = float(settings.renewal_interval_seconds)
        alerts = AlertLog(lambda now: self.alerts(now, self._pending(now)))
        self.renewer = MeasuredRenewer(site, holder=holder, clock=clock, interval_seconds=interval, alerts=alerts)
        self.follower = Follower(site, settings.run_dir / "following.lock") if site.store.is_shared else None
        self._stopping = Event()
        self._catching_up: Thread | None = None
        self._looked_at: tuple[float, str | None, bool] = (-_LOOK_SECONDS, None, False)
        self._looking = Lock()

    def start(self) -> None:
        """Bring the published tree up to the store and begin to renew; returns at once, the work has its own thread."""
        self._catching_up = Thread(target=self._catch_up, name="catch-up", daemon=True)
        self._catching_up.start()
        self.fetches.start()
        if self.keepers_away:
            Thread(target=self._open_signers_later, name="open-signers", daemon=True).start()

    def stop(self) -> None:
        """End what start() began, forget the keys, close the database; a publication under way is not waited for."""
        self._stopping.set()
        self.fetches.stop()
        if self._catching_up is not None:
            self._catching_up.join(timeout=LAST_RETRY_SECONDS)
        if self.follower is not None:
            self.follower.stop()
        self.renewer.stop()
        self.site.signers.close()
        self.site.store.close()

    def store_trouble(self) -> str | None:
        """Return why the database cannot be used, or None; asked at most every two seconds, whoever asks."""
        return self._look()[0]

    def waits_for_floors(self) -> bool:
        """Tell whether names wait for a floor after a restore, as far as the database can be asked; as often."""
        return self._look()[1]

    def _look(self) -> tuple[str | None, bool]:
        with self._looking:
            if monotonic() - self._looked_at[0] >= _LOOK_SECONDS:
                self._looked_at = (monotonic(), *_trouble(self.site))
            return self._looked_at[1:]

    def pending(self) -> Pending | None:
        """Return what waits for people, None while the database is away, for which nobody waits here twice."""
        return self._pending(self.clock()) if self.store_trouble() is None else None

    def alerts(self, now: datetime, pending: Pending | None) -> list[Alert]:
        """Return what must be done in time; without *pending*, what the published documents say."""
        return [*current_alerts(self.table, self.site.signers, now), *(pending.alerts(now) if pending else ())]

    def _pending(self, now: datetime) -> Pending | None:
        try:
            return pending_of(self.site, now)
        except StoreUnavailable:
            return None

    def _catch_up(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            try:
                seen = self.site.store.reader.audit_head()[0]  # before: what is committed meanwhile is followed after
                reconcile(self.site)
                break
            except PinwardenError as error:
                log.warning("the published tree is served as it is: %s", error)
            except Exception:
                log.exception("the published tree is served as it is")
            self._stopping.wait(pause)
            pause = min(pause * 2, LAST_RETRY_SECONDS)
        if self._stopping.is_set():
            return
        if self.follower is not None:
            self.follower.start(seen)
        self.renewer.start()

    def _open_signers_later(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while not self._stopping.wait(pause):
            pause = min(pause * 2, LAST_RETRY_SECONDS)
            try:
                self.site.signers.take_over(_signers(self.settings))
            except KeeperAwayError as error:
                self.signers_trouble = str(error)
                log.warning("still nothing can be published or renewed: %s", error)
            except PinwardenError as error:
                # A wrong PIN, tried again and again, would lock the token.
                self.signers_trouble = f"{error} {_AFTER_REPAIR}"
                log.error("nothing can be published or renewed, and that is not tried again: %s", self.signers_trouble)
                return
            else:
                self.signers_trouble = None
                log.info("the signers are open")
                return


def open_site(settings: Settings, *, with_signers: bool) -> Site:
    """
    Return the site that *settings* describe; the database is not touched, and no key is opened unless asked for.

    Raises:
        KeysError: a signer cannot be opened.
        StoreUnavailable: the run directory cannot be used.
    """
    signers = _signers(settings) if with_signers else Signers()
    policy = Policy(
        own_hosts=settings.own_hosts,
        pinset_lifetime=timedelta(seconds=settings.pinset_lifetime_seconds),
        timestamp_lifetime=timedelta(seconds=settings.timestamp_lifetime_seconds),
        checkpoint_interval=timedelta(seconds=settings.checkpoint_interval_seconds),
        approvals_required=settings.approvals_required_default,
    )
    bell = Bell.open(settings.run_dir / "bell")
    return Site(open_store(settings.database_url), PublishedTree(settings.tree_dir), bell, signers, policy)


def open_node(settings: Settings) -> Node:
    """Return the node of a worker; without signers, and with a line in the log, when they cannot be opened now."""
    try:
        return Node(settings, open_site(settings, with_signers=True))
    except PinwardenError as error:
        site = open_site(settings, with_signers=False)  # a missing run directory is refused here again
        node = Node(settings, site)
        node.keepers_away = isinstance(error, KeeperAwayError)
        node.signers_trouble = str(error) if node.keepers_away else f"{error} {_AFTER_REPAIR}"
        log.error("nothing can be published or renewed: %s", node.signers_trouble)
        return node


def _signers(settings: Settings) -> Signers:
    passphrase = passphrase_file(settings.passphrase_file) if settings.passphrase_file else None
    return Signers.open(settings.signers, passphrase=passphrase)


def _trouble(site: Site) -> tuple[str | None, bool]:
    try:
        check_schema(site.store)
        site.store.check_writable()
        return None, bool(unsettled_names(site.store.reader))
    except PinwardenError as error:
        return str(error), False
