"""
What one client notices about connections: it counts, tells and reports, and decides nothing.

It may import ``enforce``, ``events``, ``findings`` and the trust state. It never raises into a handshake, and keeps of
a connection only the keys that it showed.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from pinwarden import elapsed
from pinwarden.enforce import Chain, HostRule, Outcome, Policy, Verdict
from pinwarden.errors import PinMismatchError, PinwardenError
from pinwarden.events import Events
from pinwarden.trust import State

if TYPE_CHECKING:
    from pinwarden.findings import Finding

NOTICE_SECONDS = 3600.0
MAX_NOTICES = 4096


class Witness:
    """
    Counts and tells what a guard decided.

    Attributes:
        refused, reported: connections refused, and let through in report mode, so far.

    Args:
        events: is told of each refusal, and once per hour and host of what was let through but is noteworthy.
        clock: the present, for reports.
        report: takes what the authority of the pin set wants to hear of; returns at once.
    """

    def __init__(
        self,
        events: Events | None = None,
        *,
        clock: Callable[[], datetime],
        report: "Callable[[Finding], object] | None" = None,
    ) -> None:
        self.refused = 0
        self.reported = 0
        self._events = events or Events()
        self._clock = clock
        self._report = report
        self._noticed: dict[tuple[str, str], float] = {}

    def note_refusal(
        self, policy: Policy | None, host: str | None, refusal: PinwardenError, chain: Callable[[], Chain]
    ) -> None:
        """Count and tell that a connection to *host* was refused, and report it when its keys were the reason."""
        self.refused += 1
        # Told here too, because some libraries (pymongo) replace the exception and would hide it; as text, because
        # whoever keeps log records would keep the traceback and with it the connection.
        pinset, reason = policy.pinset if policy else None, str(refusal)
        self._events.tell(
            "connection.refused",
            "connection to %s refused: %s",
            _named(host),
            reason,
            host=host,
            error=type(refusal).__name__,
            reason=reason,
            epoch=pinset.epoch if pinset else None,
            version=pinset.version if pinset else None,
        )
        if policy is not None and isinstance(refusal, PinMismatchError):
            self._file(policy, "denied" if refusal.denied else "blocked", refusal.host, chain)

    def note_verdict(self, policy: Policy, verdict: Verdict, state: State, chain: Callable[[], Chain]) -> None:
        """Count and tell what is noteworthy about a connection that was let through."""
        outcome, host = verdict.outcome, verdict.host
        if outcome is Outcome.REPORTED:
            self.reported += 1
            self._notice("reported", host, f"let through in report mode: {verdict.problem}")
            self._file(policy, "reported", host, chain)
        elif outcome is Outcome.PLATFORM:
            self._notice("platform", host, f"pin set {policy.label} has expired; ordinary CA checks only")
        elif outcome is Outcome.BACKUP_USED:
            self._notice("backup_used", host, f"matched a backup pin ({verdict.pin}); promote it")
            self._file(policy, "backup-used", host, chain)
        if state is State.STALE:
            self._notice("stale", host, f"judged by the stale pin set {policy.label}")

    def note_empty(self, host: str | None) -> None:
        """Tell that ordinary CA checks decide, because nothing is trusted and the application says so."""
        self._notice("empty", host, "no pin set is trusted; ordinary CA checks only, as when_empty='platform' says")

    def _notice(self, outcome: str, host: str | None, reason: str) -> None:
        """Tell *reason* once per outcome, host and hour: a busy service must not fill its disk with one fact."""
        key, now = (outcome, host or ""), elapsed.seconds()
        last = self._noticed.get(key)
        if last is None or now - last >= NOTICE_SECONDS:
            if len(self._noticed) >= MAX_NOTICES:
                self._noticed.clear()
            self._noticed[key] = now
            self._events.tell(f"connection.{outcome}", "%s: %s", _named(host), reason, host=host, reason=reason)

    def _file(self, policy: Policy, outcome: str, host: str | None, chain: Callable[[], Chain]) -> None:
        rule: HostRule | None = policy.find(host) if host else None
        if self._report is None or policy.pinset.report_to is None or rule is None:
            return  # nothing is known to anyone about hosts that the pin set does not name
        from pinwarden.findings import Finding

        self._report(Finding.of_connection(policy, rule, outcome, host, chain(), self._clock()))


def _named(host: str | None) -> str:
    return host or "a peer without a name"
