"""
One client's judgement of connections: state table, second look after a mismatch (spec E7 to E11).

It may import ``enforce``, ``trust``, ``witness``, ``elapsed`` and the standard library. It never lets a connection pass
because something failed: every path that does not end in evidence ends in an exception.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Literal, NamedTuple

from pinwarden import elapsed
from pinwarden.enforce import (
    REFUSED,
    Chain,
    Outcome,
    Policy,
    Unpinned,
    Verdict,
    judge_rule,
    judge_unpinned,
)
from pinwarden.errors import PinMismatchError, PinsUnavailableError, PinwardenError
from pinwarden.events import Events
from pinwarden.trust import State, TrustState
from pinwarden.witness import Witness

WhenEmpty = Literal["refuse", "platform"]

SECOND_LOOK_SECONDS = 10.0

present: Callable[[], datetime] = partial(datetime.now, UTC)


class Snapshot:
    """
    A trust state with its pins ready for look-ups; swapped as one reference, so no reader sees half an update.

    Attributes:
        fresh_until: as the trust state says, in seconds since 1970, because each handshake asks.
    """

    __slots__ = ("fresh_until", "policy", "trust")

    def __init__(self, trust: TrustState, policy: Policy | None) -> None:
        self.trust = trust
        self.policy = policy
        self.fresh_until = trust.fresh_until.timestamp()


class Rules(NamedTuple):
    """What the application chose, apart from the pin set."""

    clock: Callable[[], datetime]
    unpinned: Unpinned = "allow"
    when_empty: WhenEmpty = "refuse"


class ClientGuard:
    """
    Implements ``tls.Guard`` for one PinClient.

    Attributes:
        due: ``elapsed.seconds()`` after which a handshake asks for a refresh in passing.
        witness: counts, tells and reports what was decided.

    Args:
        snapshot: what is trusted at the start.
        rules: the application's choices.
        events: holds back what a refresh tells until no lock is held.
        witness: counts, tells and reports; default: one that tells *events*.
        refresh: fetches and adopts once, inline; raises PinwardenError when that fails.
        refresh_soon: asks for the same in the background and returns at once.
        refresh_if_due: the same, when the last refresh is long ago.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        rules: Rules,
        *,
        events: Events | None = None,
        witness: Witness | None = None,
        refresh: Callable[[], object],
        refresh_soon: Callable[[], object],
        refresh_if_due: Callable[[], object],
    ) -> None:
        self.adopt(snapshot)
        self.due = 0.0
        self.witness = witness or Witness(events, clock=rules.clock)
        self._clock, self._unpinned, self._when_empty = rules
        self._seconds = _seconds_of(rules.clock)
        self._events = events or Events()
        self._refresh = refresh
        self._refresh_soon = refresh_soon
        self._refresh_if_due = refresh_if_due
        self._look_lock = threading.Lock()
        self._last_look: float | None = None

    def adopt(self, snapshot: Snapshot) -> None:
        """Judge by *snapshot* from now on; open connections are judged again when its pins differ (spec E8)."""
        self.snapshot = snapshot
        self.token: object = _token_of(snapshot)

    def expects(self, host: str | None) -> bool:
        """Tell whether pins may decide about connections to *host*."""
        policy = self.snapshot.policy
        return policy is None or (host is not None and policy.names[host][1] is not None)

    def admit(
        self,
        host: str | None,
        chain: Callable[[], Chain],
        may_block: bool,
        key_at: Callable[[int], bytes | None] | None = None,
    ) -> object:
        """
        Return the token of the pins under which a connection may go on.

        Args:
            host: the name as the application gave it, or None.
            chain: returns the keys of the peer; called only when pins decide.
            may_block: False where a refresh must not delay the caller.
            key_at: returns the pin of one certificate of the peer, as ``tls.Guard`` says; asked before the chain, being
                cheaper.

        Raises:
            PinMismatchError, PinsUnavailableError: it may not go on.
        """
        snapshot = self.snapshot
        policy = snapshot.policy
        if policy is not None:
            if elapsed.seconds() >= self.due:
                self._refresh_if_due()
            # The two kinds that nearly all connections are of. verdict() says the same of both, and counts and tells
            # neither; it takes three times as long, which each handshake would pay.
            if key_at is not None and host is not None:
                _, rule = policy.names[host]
                if rule is None:
                    if self._unpinned == "allow":
                        return policy
                elif key_at(rule.depth) in rule.decisive and self._seconds() < snapshot.fresh_until:
                    return policy
        try:
            self.verdict(snapshot, host, chain)
        except (PinMismatchError, PinsUnavailableError) as refusal:
            newer = self._second_look(snapshot, refusal, may_block=may_block)
            if newer is None:
                self.witness.note_refusal(policy, host, refusal, chain)
                raise
            try:
                self.verdict(newer, host, chain)
            except PinwardenError as final:
                self.witness.note_refusal(newer.policy, host, final, chain)
                raise
            return _token_of(newer)
        return _token_of(snapshot)

    def verdict(self, snapshot: Snapshot, host: str | None, chain: Callable[[], Chain]) -> Verdict:
        """Judge once by *snapshot*, count and log what is noteworthy; refreshes nothing."""
        policy = snapshot.policy
        if policy is None:
            return self._without_pins(snapshot, host)
        name, rule = policy.names[host] if host is not None else (None, None)
        if rule is None or name is None:
            return judge_unpinned(policy, name, self._unpinned)
        state = snapshot.trust.state_at(self._clock())
        keys = chain()
        verdict = judge_rule(policy, rule, name, keys, state)
        rule.remember(keys)
        if verdict.outcome is not _MATCHED or state is not _FRESH:
            self.witness.note_verdict(policy, verdict, state, chain)
        return verdict

    def unavailable(self, host: str | None, snapshot: Snapshot) -> PinsUnavailableError:
        """Return the error for a connection in the state EMPTY."""
        trust = snapshot.trust
        return PinsUnavailableError(
            f"no pin set {trust.authority}/{trust.name} is trusted yet, "
            f"so {host or 'this connection'} cannot be judged",
            holds=REFUSED,
            hint="On an event loop call `await asyncio.to_thread(pins.refresh)` before the first connection; elsewhere "
            "look at `pinwarden status`. A bootstrap bundle shipped with the application avoids this state.",
        )

    def _without_pins(self, snapshot: Snapshot, host: str | None) -> Verdict:
        if self._when_empty == "platform":
            self.witness.note_empty(host)
            return Verdict(Outcome.PLATFORM, host)
        raise self.unavailable(host, snapshot)

    def _second_look(
        self, seen: Snapshot, refusal: PinMismatchError | PinsUnavailableError, *, may_block: bool
    ) -> Snapshot | None:
        """Spec E11, and the state EMPTY: one refresh, rate limited; return a newer snapshot when there is one."""
        if self.snapshot is not seen:
            return self.snapshot
        if isinstance(refusal, PinMismatchError) and not refusal.expected_pins:
            return None  # an unpinned host that the application refuses: no update is due
        if not may_block or is_event_loop_thread():
            self._refresh_soon()
            return None
        # What a refresh tells waits until the lock is free: a log handler may connect, and be judged, itself.
        with self._events.later(), self._look_lock:
            if self.snapshot is not seen:  # another thread waited for the same refresh
                return self.snapshot
            now = elapsed.seconds()
            if self._last_look is not None and now - self._last_look < SECOND_LOOK_SECONDS:
                return None
            self._last_look = now
            with suppress(PinwardenError):  # told of by the refresh; the refusal stands
                self._refresh()
        return self.snapshot if self.snapshot is not seen else None

    def reset_after_fork(self) -> None:
        """A lock that another thread held at the fork would never be released in the child."""
        self._look_lock = threading.Lock()


def _seconds_of(clock: Callable[[], datetime]) -> Callable[[], float]:
    """Return what tells the time of *clock* in seconds since 1970; the system's own tells them at once."""
    return time.time if clock is present else lambda: clock().timestamp()


_NOTHING = object()
# Before Python 3.12 every look at a member of an enum is a function call.
_MATCHED, _FRESH = Outcome.MATCHED, State.FRESH


def _token_of(snapshot: Snapshot) -> object:
    return snapshot.policy or _NOTHING


def is_event_loop_thread() -> bool:
    """Tell whether blocking this thread would stop an asyncio or trio event loop; imports neither."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
