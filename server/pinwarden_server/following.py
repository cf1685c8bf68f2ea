"""
How a node keeps up with the others: it hears of their commits, and makes its published tree and its bell follow.

It may import the store, the tree and ``founding``. It publishes nothing, and what it serves is what it read under the
lock of its own tree; one worker of each node does it, and another one when that worker is gone.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from pinwarden.errors import PinwardenError
from pinwarden_server.errors import Tag
from pinwarden_server.founding import reconcile, reconcile_pinset, serve_checkpoint
from pinwarden_server.site import Site
from pinwarden_server.store import AuditRow
from pinwarden_server.tags import parse_tag

log = logging.getLogger("pinwarden.server")

# Whoever misses a notification, behind a pooler for instance, looks this often all the same.
LOOK_SECONDS = 0.5
RETRY_SECONDS = 1.0
_AT_MOST = 500  # changes that are followed one by one; after more, everything is compared


class Follower:
    """
    Follows the audit log of a store that several nodes share, from a thread of its own.

    The audit log has every change, in the order of the commits: what comes after the last row that was seen is what
    there is to do, whether a notification came, was lost, or was about something else.

    Args:
        lock: a file in the run directory of the node; whoever holds it follows.
    """

    def __init__(self, site: Site, lock: Path) -> None:
        self._site = site
        self._lock = lock
        self._seen: int | None = None
        self._checkpoint: int | None = None
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self, seen: int) -> None:
        """Begin after audit row *seen*, up to which the published tree is what the store says."""
        self._seen = seen
        self._stop.clear()
        self._thread = Thread(target=self._run, name="pinwarden-following", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the look under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def follow(self) -> int:
        """
        Bring to this node what was committed since the last look; return how many pin sets that were.

        Raises:
            StoreUnavailable: the database or the disk is away; the next look begins where this one did.
        """
        head, checkpoint = self._site.store.reader.audit_ends()
        if checkpoint != self._checkpoint:  # no audit row tells of it
            serve_checkpoint(self._site)
            self._checkpoint = checkpoint
        if self._seen == head:
            return 0
        if self._seen is None or not 0 <= head - self._seen <= _AT_MOST:
            reconcile(self._site)  # far behind, or the store is another one than before
            self._seen = head
            return len(self._site.store.reader.pinsets())
        rows = self._site.store.reader.audit(after=self._seen, limit=_AT_MOST)
        published = _published(rows)
        if any(row.action.startswith("root.") for row in rows):
            reconcile(self._site)
        else:
            for name, versions in published.items():
                reconcile_pinset(self._site, name, versions=versions)
        self._seen = rows[-1].seq  # at or after the head: rows have no gaps
        return len(published)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                with self._elected() as is_elected:
                    if is_elected:
                        self._listen()
            except OSError as error:
                log.error("whether this worker follows the other nodes cannot be told: %s", error)

    def _listen(self) -> None:
        """Follow until told to stop, over as many connections as that takes."""
        is_away = False
        while not self._stop.is_set():
            try:
                with self._site.store.listen() as listener:
                    while not self._stop.is_set():
                        self.follow()
                        if is_away:
                            is_away = False
                            log.info("this node follows the others again")
                        listener.wait(LOOK_SECONDS)
            except PinwardenError as error:
                if not is_away:
                    log.warning("this node does not follow the others for now: %s", error)
                is_away = True
            except Exception:
                log.exception("following the other nodes failed")  # this thread is all that does it
            self._stop.wait(RETRY_SECONDS)

    @contextmanager
    def _elected(self) -> Iterator[bool]:
        """Yield whether this worker is the one that follows; the kernel takes the lock from one that dies."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)


def _published(rows: Iterable[AuditRow]) -> dict[str, list[Tag]]:
    """Return the versions that came into force, by pin set; each has a file of its own, the outdated ones too."""
    found: dict[str, list[Tag]] = {}
    for row in rows:
        if row.action.startswith(("pinset.", "timestamp.")):
            version = json.loads(row.detail).get("version")
            found.setdefault(row.subject, []).extend([parse_tag(version)] if version else [])
    return found
