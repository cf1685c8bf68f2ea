"""
Renewal as the metrics see it, and as the log hears of what no renewal can do.

It may import ``renewal``, ``checkpoints``, ``metrics`` and ``alerts``. It decides nothing.
"""

from collections.abc import Callable
from datetime import datetime

from pinwarden_server import metrics
from pinwarden_server.alerts import AlertLog, late_checkpoint
from pinwarden_server.checkpoints import waits_since
from pinwarden_server.renewal import Renewer, Round
from pinwarden_server.site import Site


class MeasuredRenewer(Renewer):
    """A renewer whose rounds are counted; the worker that holds the lease looks for alerts too."""

    def __init__(
        self, site: Site, *, holder: str, clock: Callable[[], datetime], interval_seconds: float, alerts: AlertLog
    ) -> None:
        super().__init__(site, holder=holder, clock=clock, interval_seconds=interval_seconds)
        self._alerts = alerts

    def tick(self) -> Round:
        """Run one round and count what it did."""
        round_ = super().tick()
        if round_.renewed:
            metrics.RENEWALS.labels("renewed").inc(len(round_.renewed))
        if round_.failed:
            metrics.RENEWALS.labels("failed").inc(len(round_.failed))
        if self.last_success is not None:
            metrics.RENEWED_AT.set(self.last_success.timestamp())
        if round_.checkpoint is not None:
            metrics.CHECKPOINTS.labels("signed").inc()
        if round_.unsigned:
            metrics.CHECKPOINTS.labels("failed").inc()
        if round_.leased:
            now, since = self._clock(), waits_since(self._site.store.reader)
            metrics.AUDIT_WAITS.set((now - since).total_seconds() if since else 0.0)
            self._alerts.look(now, late_checkpoint(since, self._site.policy.checkpoint_interval, now))
        return round_
