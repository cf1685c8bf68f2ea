"""
Renewal as the metrics see it.

It may import ``renewal`` and ``metrics``. It decides nothing.
"""

from pinwarden_server import metrics
from pinwarden_server.renewal import Renewer, Round


class MeasuredRenewer(Renewer):
    """A renewer whose rounds are counted."""

    def tick(self) -> Round:
        """Run one round and count what it did."""
        round_ = super().tick()
        if round_.renewed:
            metrics.RENEWALS.labels("renewed").inc(len(round_.renewed))
        if round_.failed:
            metrics.RENEWALS.labels("failed").inc(len(round_.failed))
        if self.last_success is not None:
            metrics.RENEWED_AT.set(self.last_success.timestamp())
        return round_
