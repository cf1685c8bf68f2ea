"""
The verdict on one connection: which keys its chain holds against which keys the pin set allows (spec E2 to E9).

It may import documents, hosts and errors. It never opens a connection, reads a clock or parses a certificate: a chain
arrives here as pins, and the time as a row of the state table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Literal, NamedTuple

from pinwarden.documents import Host, Pin, PinSet
from pinwarden.errors import PinMismatchError, PinsUnavailableError
from pinwarden.hosts import PatternIndex, canonical_host
from pinwarden.strict_json import encode_base64, format_time
from pinwarden.trust import State

Unpinned = Literal["allow", "refuse"]
MAX_REMEMBERED_NAMES = 4096
REFUSED = "The connection was refused before any application byte was sent or read."


class Outcome(StrEnum):
    """Why a connection may go on."""

    MATCHED = "matched"
    BACKUP_USED = "backup-used"
    REPORTED = "reported"
    PLATFORM = "platform"
    UNPINNED = "unpinned"


# Before Python 3.12 every look at a member of an enum is a function call.
_FRESH, _MATCHED, _UNPINNED = State.FRESH, Outcome.MATCHED, Outcome.UNPINNED


class Chain(NamedTuple):
    """
    The keys of one peer.

    Attributes:
        pins: 32-byte pins, leaf first; the whole *verified* chain, root included, never the chain as it was sent.
        verified: False when the chain was not validated in this handshake (no verification asked for, or a resumed
            session): *pins* is then the leaf alone (spec E5, E6).
        certificates: in DER, those that the pins are of, where they are known; no verdict looks at them.
    """

    pins: tuple[bytes, ...]
    verified: bool
    certificates: tuple[bytes, ...] = ()


class Verdict(NamedTuple):
    """
    Evidence that a connection may go on.

    Attributes:
        outcome: why.
        host: the canonical name that was judged, or None for a handshake without a name.
        pattern: the host pattern that decided, or None when nothing covers the name.
        pin: the base64 pin that matched, or None.
        problem: what would have refused this connection if the host were enforced, or None.
    """

    outcome: Outcome
    host: str | None
    pattern: str | None = None
    pin: str | None = None
    problem: PinMismatchError | None = None


@dataclass(slots=True)
class HostRule:
    """
    One host entry by its pins, with this installation's share of the roll-out decided.

    Attributes:
        decisive: the pins of which one key of a peer decides a connection in the state FRESH, whatever else it shows:
            each is a match of any chain (spec E2); none where a deny list makes the other keys matter (spec E3).
        depth: how far above the leaf the key stood that matched last. Whoever asks for one key begins there; a wrong
            guess costs a second look, and never decides.
    """

    entry: Host
    pins: Mapping[bytes, Pin]
    backups: Mapping[bytes, Pin]
    enforced: bool
    decisive: Mapping[bytes, Pin]
    depth: int = 0

    def remember(self, chain: Chain) -> None:
        """Note where the first pinned key of *chain* stands."""
        self.depth = next((depth for depth, pin in enumerate(chain.pins) if pin in self.decisive), 0)


class Policy:
    """
    A pin set made ready for look-ups by one installation.

    Attributes:
        names: the canonical spelling of each name, as an application gives it, and its rule or None.
        staged: the rules that not every installation enforces (spec E7).

    Args:
        pinset: a document in force.
        installation: the 16 random bytes that decide on ``enforce_percent`` (spec E7); empty where nothing is drawn.
    """

    __slots__ = ("_index", "deny", "label", "names", "pinset", "staged")

    def __init__(self, pinset: PinSet, installation: bytes) -> None:
        self.pinset = pinset
        self.label = f"{pinset.authority}/{pinset.name} {pinset.epoch}.{pinset.version}"
        self.deny = frozenset(pinset.deny)
        rules = [_rule_for(pinset, host, installation) for host in pinset.hosts]
        self._index = PatternIndex((rule.entry.host, rule) for rule in rules)
        self.staged = tuple(rule for rule in rules if rule.entry.mode != "enforce" or is_drawn(rule.entry))
        self.names: Mapping[str, tuple[str, HostRule | None]] = _Names(self._index)

    def find(self, host: str) -> HostRule | None:
        """Return the rule for a canonical host name, or None."""
        return self._index.find(host)


class _Names(dict[str, tuple[str, HostRule | None]]):
    """Remembers what names, as applications give them, stand for: a look-up that finds needs no call."""

    def __init__(self, index: PatternIndex[HostRule]) -> None:
        self._index = index

    def __missing__(self, name: str) -> tuple[str, HostRule | None]:
        if len(self) >= MAX_REMEMBERED_NAMES:  # a crawler must not fill the memory
            self.clear()
        host = canonical_host(name)
        found = self[name] = (host, self._index.find(host))
        return found


def is_drawn(host: Host) -> bool:
    """Tell whether each installation draws for itself whether it enforces *host* (spec E7)."""
    return host.mode == "enforce" and host.enforce_percent != 100


def is_enforced_here(pinset: PinSet, host: Host, installation: bytes) -> bool:
    """Tell whether this installation belongs to the share that enforces *host*, or only reports (spec E7)."""
    if not is_drawn(host):
        return host.mode == "enforce"
    lot = f"{pinset.authority}\n{pinset.name}\n{host.host}\n{installation.hex()}"
    drawn = sha256(lot.encode()).digest()
    return int.from_bytes(drawn[:8], "big") % 100 < host.enforce_percent


def judge(policy: Policy, host: str | None, chain: Chain, *, state: State, unpinned: Unpinned = "allow") -> Verdict:
    """
    Return the evidence that a connection to *host* may go on.

    Chain and host-name validation are not done here and not replaced: pins come on top (spec E1).

    Args:
        policy: the pin set in force.
        host: canonical name, or None for a handshake without one, which finds no pin.
        chain: the peer's keys.
        state: the row of the state table; EMPTY has no policy and never comes here.
        unpinned: what to do with hosts that the pin set does not cover (spec E9).

    Raises:
        PinMismatchError: no allowed key in the chain, a denied one, or an unpinned host where that refuses.
        PinsUnavailableError: the pin set has ended, or is stale, and says that this refuses.
    """
    rule = policy.find(host) if host is not None else None
    if rule is None or host is None:
        return judge_unpinned(policy, host, unpinned)
    return judge_rule(policy, rule, host, chain, state)


def judge_unpinned(policy: Policy, host: str | None, unpinned: Unpinned) -> Verdict:
    """As :func:`judge`, for a caller that has found no rule for *host*."""
    if unpinned == "refuse":
        raise _unpinned_error(policy, host)
    return Verdict(_UNPINNED, host)


def judge_rule(policy: Policy, rule: HostRule, host: str, chain: Chain, state: State) -> Verdict:
    """As :func:`judge`, for a caller that has looked up *rule* for *host* already."""
    if state is not _FRESH:
        if rule.enforced:
            _check_in_time(policy, rule, host, state)
        elif state is State.EXPIRED:
            return Verdict(Outcome.PLATFORM, host, rule.entry.host)
    try:
        return _match(policy, rule, host, chain, state)
    except PinMismatchError as problem:
        if rule.enforced:
            raise
        return Verdict(Outcome.REPORTED, host, rule.entry.host, problem=problem.with_traceback(None))


def _rule_for(pinset: PinSet, host: Host, installation: bytes) -> HostRule:
    pins = {pin.sha256: pin for pin in host.pins}
    return HostRule(
        host,
        pins,
        {pin.sha256: pin for pin in host.backups},
        is_enforced_here(pinset, host, installation),
        decisive={} if pinset.deny else pins,
    )


def _check_in_time(policy: Policy, rule: HostRule, host: str, state: State) -> None:
    pinset = policy.pinset
    if state is State.STALE and pinset.on_stale == "enforce":
        return
    if state is State.EXPIRED and pinset.on_stale == "enforce" and rule.entry.on_expiry == "platform":
        return
    reason = f"has expired on {format_time(pinset.expires)}" if state is State.EXPIRED else "is stale"
    raise PinsUnavailableError(
        f"pin set {policy.label} {reason}, and for {host} that means to refuse",
        expected="a fresh pin set",
        got=state.value,
        holds=REFUSED,
        hint="Look at `pinwarden status` for what keeps the refresh from succeeding.",
    )


def _match(policy: Policy, rule: HostRule, host: str, chain: Chain, state: State) -> Verdict:
    # Under E5 and E6 only the leaf is certain; whoever built the chain may have put anything behind it.
    candidates = chain.pins if chain.verified else chain.pins[:1]
    if not policy.deny.isdisjoint(candidates):  # spec E3: before any match
        denied = next(pin for pin in candidates if pin in policy.deny)
        raise _mismatch(policy, rule, host, chain, denied)
    if state is State.EXPIRED:
        return Verdict(Outcome.PLATFORM, host, rule.entry.host)
    for pin in candidates:  # spec E2
        if pin in rule.pins:
            return Verdict(_MATCHED, host, rule.entry.host, str(rule.pins[pin]))
    for pin in candidates:
        if pin in rule.backups:
            return Verdict(Outcome.BACKUP_USED, host, rule.entry.host, str(rule.backups[pin]))
    raise _mismatch(policy, rule, host, chain, None)


def _mismatch(policy: Policy, rule: HostRule, host: str, chain: Chain, denied: bytes | None) -> PinMismatchError:
    what = f"a key of {host} is denied" if denied else f"no key of {host} is pinned"
    if not chain.verified:
        what += " (unverified or resumed: only the leaf counts)"
    return PinMismatchError(
        what,
        host=host,
        presented=tuple(encode_base64(pin) for pin in chain.pins),
        expected_pins=tuple(str(pin) for pin in (*rule.entry.pins, *rule.entry.backups)),
        document=policy.label,
        denied=encode_base64(denied) if denied else None,
        holds=f"{REFUSED} Judged by pin set {policy.label}.",
        hint="Either the connection is intercepted, or the service changed its key before a pin for it was published: "
        f"compare with `pinwarden pin {host}` from another network.",
        step="E3" if denied else "E2",
    )


def _unpinned_error(policy: Policy, host: str | None) -> PinMismatchError:
    return PinMismatchError(
        f"{host or 'a handshake without a host name'} has no pins, and this client refuses unpinned hosts",
        host=host or "",
        presented=(),
        expected_pins=(),
        document=policy.label,
        expected="a host that the pin set covers",
        got=host or "no name",
        holds=REFUSED,
        hint="Add the host to the pin set, or construct the client without unpinned='refuse'.",
        step="E9",
    )
