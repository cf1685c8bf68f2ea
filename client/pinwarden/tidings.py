"""
What one refresh has changed, spelt as events.

It may import ``events``, the trust state and errors. It changes nothing, and compares only what was trusted before with
what is trusted after.
"""

from datetime import datetime

from pinwarden.errors import PinwardenError
from pinwarden.events import Events
from pinwarden.trust import State, TrustState


def tell_success(events: Events, trust: TrustState, now: datetime, server: str | None) -> None:
    """Tell that a pin server's answer was accepted, and what is trusted now."""
    epoch, version = _tag(trust)
    state = trust.state_at(now)
    events.tell(
        "refresh.succeeded",
        "refreshed from %s: %s.%s, %s",
        server,
        epoch,
        version,
        state,
        server=server,
        state=str(state),
        root=trust.root.version,
        epoch=epoch,
        version=version,
    )


def tell_failure(events: Events, error: Exception, failures: int, *, level: int) -> None:
    """Tell why a refresh changed nothing; a defect is told by whoever catches it, with its traceback."""
    if isinstance(error, PinwardenError):
        events.tell(
            "refresh.failed",
            "refresh failed: %s",
            error,
            level=level,
            error=type(error).__name__,
            reason=str(error),
            failures=failures,
        )


def tell_change(events: Events, before: TrustState, after: TrustState, *, then: State, now: State) -> None:
    """
    Tell what is trusted that was not; a refused refresh may have brought a newer root (spec V10).

    Args:
        then, now: the row of the state table at the end of the refresh before, and of this one.
    """
    if before.root.version != after.root.version:
        events.tell(
            "root.updated",
            "root %d is trusted",
            after.root.version,
            root=after.root.version,
            previous_root=before.root.version,
        )
    old, new = _tag(before), _tag(after)
    if old != new:
        events.tell(
            "pins.updated",
            "pin set %s.%s is in force, before it %s.%s",
            *new,
            *old,
            epoch=new[0],
            version=new[1],
            previous_epoch=old[0],
            previous_version=old[1],
            hosts=len(after.pinset.hosts) if after.pinset else 0,
        )
    if then is not now:
        events.tell("state.changed", "the state is %s, before %s", now, then, state=str(now), previous=str(then))


def _tag(trust: TrustState) -> tuple[int | None, int | None]:
    return (trust.pinset.epoch, trust.pinset.version) if trust.pinset else (None, None)
