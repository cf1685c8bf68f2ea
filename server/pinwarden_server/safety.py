"""
Whom a draft would lock out: the arithmetic over every version that a client may still hold.

It may import layer 0. It opens nothing, asks no clock and knows no certificate: a service is the keys of its chain, and
what a client would say of them is what ``pinwarden.enforce`` says.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from pinwarden.documents import Host, PinSet
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden.hosts import PatternIndex
from pinwarden.trust import MAX_CLOCK_SKEW

Tag = tuple[int, int]
_REMEMBERED_BYTES = 16 * 1024  # a publication looks at every version that may be held, and most it has seen before


class HostKeys(NamedTuple):
    """A host entry, and the keys of which holders want one; None: they only report."""

    host: Host
    keys: frozenset[bytes] | None

    @classmethod
    def of(cls, host: Host) -> "HostKeys":
        """Return *host* with its keys; a backup satisfies like a pin."""
        return cls(host, keys_of(host) if host.mode == "enforce" else None)


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """
    A document as its holders enforce it.

    Attributes:
        tag: epoch and version.
        until: from then on no client takes it any more: its expiry, and what spec V5 allows a late clock.
    """

    tag: Tag
    until: datetime
    hosts: tuple[Host, ...]
    deny: frozenset[bytes]
    index: PatternIndex[HostKeys]

    @classmethod
    def of(cls, document: PinSet) -> "HeldVersion":
        """Return *document* made ready for look-ups."""
        tag, until = (document.epoch, document.version), document.expires + MAX_CLOCK_SKEW
        return cls.made_of(document.hosts, document.deny, tag=tag, until=until)

    @classmethod
    def made_of(cls, hosts: tuple[Host, ...], deny: Iterable[bytes], *, tag: Tag, until: datetime) -> "HeldVersion":
        """Return what holders of that content would enforce."""
        return cls(tag, until, hosts, frozenset(deny), PatternIndex((host.host, HostKeys.of(host)) for host in hosts))

    def keys(self, name: str) -> frozenset[bytes] | None:
        """Return the keys of which holders want one from *name*; None: they take any, or only report."""
        found = self.index.find(name)
        return found.keys if found is not None else None

    def host(self, name: str) -> Host | None:
        """Return the entry that decides for *name*, or None."""
        found = self.index.find(name)
        return found.host if found is not None else None

    def accepts(self, name: str, chain: Iterable[bytes]) -> bool:
        """Tell whether every holder connects to a *name* that shows the validated keys *chain* (spec E2, E3)."""
        keys, shown = self.keys(name), frozenset(chain)
        return keys is None or (self.deny.isdisjoint(shown) and not keys.isdisjoint(shown))


class Trouble(Enum):
    """What a draft means for holders of older versions, the worst first."""

    REMOVED = auto()  # the draft has no key that they accept
    DIVIDED = auto()  # it has one for each of them, and no one key for all
    APART = auto()  # as REMOVED, and it was so before this draft
    UNKNOWN = auto()  # they accept none of the keys said to be in service, only others of the draft
    RELEASED = auto()  # the draft does not pin the host any more, and they do


@dataclass(frozen=True, slots=True)
class LockOut:
    """
    Holders of some versions, and what they would meet at a host.

    Attributes:
        name: the host or pattern; for a name below a pattern, the pattern.
        number: which host of the draft decides for it; None: none does.
        held: whose holders, the newest first.
        safe: keys that all of them and the draft accept; empty where there is none.
    """

    trouble: Trouble
    name: str
    number: int | None
    held: tuple[HeldVersion, ...]
    safe: frozenset[bytes] = frozenset()

    @property
    def until(self) -> datetime:
        """When the last of them has to have fetched something newer."""
        return max(each.until for each in self.held)


def held_version(envelope: bytes) -> HeldVersion:
    """Return the stored pin set in *envelope* as its holders enforce it; remembers those that are not large."""
    return _small(envelope) if len(envelope) <= _REMEMBERED_BYTES else _read(envelope)


def _read(envelope: bytes) -> HeldVersion:
    return HeldVersion.of(PinSet.parse(Envelope.parse(envelope, expect=PINSET_TYPE).payload))


_small = lru_cache(maxsize=1024)(_read)


def keys_of(host: Host) -> frozenset[bytes]:
    """Return every key that satisfies *host*; a backup satisfies like a pin."""
    return frozenset(pin.sha256 for pin in (*host.pins, *host.backups))


def common_keys(documents: Iterable[HeldVersion], name: str) -> frozenset[bytes] | None:
    """
    Return the keys that *name* can show so that holders of all *documents* connect; None: some refuse them all.

    A chain has one leaf and may have any of the CAs; keys that somebody denies are in none. Where the CAs that are
    pinned already satisfy everybody, those are the answer, and the leaf is free.
    """
    enforcing = [each for each in documents if each.keys(name) is not None]
    denied = frozenset().union(*(each.deny for each in enforcing))
    authorities = _authorities(enforcing, name) - denied
    unsatisfied = [keys for each in enforcing if (keys := each.keys(name) or frozenset()).isdisjoint(authorities)]
    if not unsatisfied:
        return authorities
    leaves = frozenset.intersection(*unsatisfied) - denied
    return leaves | authorities if leaves else None


def _authorities(documents: Iterable[HeldVersion], name: str) -> frozenset[bytes]:
    hosts = (each.host(name) for each in documents)
    return frozenset(pin.sha256 for host in hosts if host for pin in (*host.pins, *host.backups) if pin.kind == "ca")


def lock_outs(
    draft: HeldVersion, held: Sequence[HeldVersion], current: Tag | None, shown: Sequence[frozenset[bytes]] = ()
) -> Iterator[LockOut]:
    """
    Yield what publishing *draft* means for holders of *held*, each host's worst.

    Args:
        held: every version that a client may hold, withdrawn ones included.
        current: which of them is in force; what it has cut off already is not the draft's doing.
        shown: for each host of the draft the keys of its live chain; empty where that is not known: then any of the
            draft's keys in service may be shown.
    """
    versions = _distinct(held)
    in_force = next((each for each in held if each.tag == current), None)
    numbers = {host.host: number for number, host in enumerate(draft.hosts)}
    told: set[tuple[Trouble, int | str, tuple[Tag, ...]]] = set()
    for name, pattern in _names([draft, *versions]):
        host = draft.host(name)
        number = numbers[host.host] if host else None
        chain = shown[number] if number is not None and shown else frozenset()
        found = _at(draft, versions, in_force, name, chain)
        if found is None:
            continue
        trouble, cut = found
        told_of = (trouble, pattern if number is None else number, tuple(each.tag for each in cut))
        if told_of not in told:
            told.add(told_of)
            safe = common_keys([draft, *cut], name) or frozenset()
            yield LockOut(trouble, host.host if host else pattern, number, tuple(cut), safe)


def _at(
    draft: HeldVersion, versions: list[HeldVersion], in_force: HeldVersion | None, name: str, chain: frozenset[bytes]
) -> tuple[Trouble, list[HeldVersion]] | None:
    enforcing = [each for each in versions if each.keys(name) is not None]
    host = draft.host(name)
    if not enforcing:
        return None
    if host is None:
        return (Trouble.RELEASED, enforcing) if in_force and in_force.host(name) else None
    without = [each for each in enforcing if not _meet(each, draft, name)]
    before = [each for each in without if in_force and not _meet(each, in_force, name)]
    if removed := [each for each in without if each not in before]:
        return Trouble.REMOVED, removed
    together = [each for each in enforcing if each not in before]
    if together and common_keys([*together, draft], name) is None and common_keys(together, name) is not None:
        return Trouble.DIVIDED, together
    if before:
        return Trouble.APART, before
    unknown = [each for each in enforcing if not _knows(each, name, host, chain)]
    return (Trouble.UNKNOWN, unknown) if unknown else None


def _meet(one: HeldVersion, other: HeldVersion, name: str) -> bool:
    mine, theirs = one.keys(name), other.keys(name)
    if mine is not None and theirs is not None and (mine & theirs) - one.deny - other.deny:
        return True  # nearly always, and CAs need not be looked at
    return common_keys([one, other], name) is not None


def _knows(holder: HeldVersion, name: str, host: Host, chain: frozenset[bytes]) -> bool:
    if chain:
        return holder.accepts(name, chain)
    authorities = [pin.sha256 for pin in host.pins if pin.kind == "ca" and pin.sha256 not in holder.deny]
    return any(holder.accepts(name, [pin.sha256, *authorities]) for pin in host.pins)


def _distinct(held: Sequence[HeldVersion]) -> list[HeldVersion]:
    # A renewal says the same again: of versions that say the same, the one that lives longest speaks for all.
    newest: dict[tuple[tuple[Host, ...], frozenset[bytes]], HeldVersion] = {}
    for each in held:
        known = newest.get((each.hosts, each.deny))
        if known is None or (each.until, each.tag) > (known.until, known.tag):
            newest[each.hosts, each.deny] = each
    return sorted(newest.values(), key=lambda each: each.tag, reverse=True)


def _names(documents: Iterable[HeldVersion]) -> Iterator[tuple[str, str]]:
    """
    Yield a name for every way in which *documents* can decide, with the pattern that it stands for.

    Below a wildcard no label is special but those that are named, so one that nobody can have stands for the others:
    ``*`` itself. ``**.`` covers its own name, one label more and any number more.
    """
    seen: set[str] = set()
    for pattern in (host.host for document in documents for host in document.hosts):
        base = pattern.removeprefix("**.")
        names = (base, f"*.{base}", f"*.*.{base}") if base != pattern else (pattern,)
        for name in names:
            if name not in seen:
                seen.add(name)
                yield name, pattern
