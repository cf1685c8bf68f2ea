"""Processes that are killed at a named point of a use case, as ``kill -9`` would, and the server that they leave."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from pinwarden import failpoints
from pinwarden.testing import pinned
from pinwarden_server.changes import submit
from pinwarden_server.drafts import AT_ONCE, Draft, Manner
from pinwarden_server.planning import plan_publication
from pinwarden_server.site import Act, Site
from tests.server.domain.conftest import KEPT


def die_at(point: str, open_site: Callable[[], Site], work: Callable[[Site], object]) -> None:
    """Run *work* on a site of its own in a child, which must be killed at *point*."""
    child = os.fork()
    if child == 0:
        try:
            site = open_site()
            failpoints.arm(point)
            work(site)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{point} was never reached"
    assert os.WTERMSIG(status) == signal.SIGKILL


@dataclass
class MortalStage:
    """A server that is opened anew for each process, and a clock that tests push."""

    now: datetime

    def site(self) -> Site:
        """Return the server on connections of its own."""
        raise NotImplementedError

    @contextmanager
    def opened(self) -> Iterator[Site]:
        """Yield the server, and close it after use: no connection may live through a fork."""
        site = self.site()
        try:
            yield site
        finally:
            site.store.close()
            site.bell.close()

    def use(self, work: Callable[[Site], Any]) -> Any:
        with self.opened() as site:
            return work(site)

    def die_at(self, point: str, work: Callable[[Site], object]) -> None:
        """Run *work* in a child that must be killed at *point*."""
        die_at(point, self.site, work)

    def submit_next(self, site: Site, by: Act, manner: Manner = AT_ONCE) -> Any:
        """Ask for pins that no version had before, those of this second."""
        current = site.store.reader.find_current("payments")
        host = pinned("api.example.com", sha256(str(self.now).encode()).digest(), KEPT)
        draft, tag = Draft((host,), reason="drill", manner=manner), current.tag if current else None
        return submit(site, lambda: plan_publication(site, "payments", draft, tag, by), by)

    def pass_on(self, **amount: float) -> None:
        self.now += timedelta(**(amount or {"seconds": 1}))
