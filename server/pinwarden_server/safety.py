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
from itertools import chain as chained
from typing import NamedTuple

from pinwarden.documents import Host, PinSet
from pinwarden.hosts import PatternIndex
from pinwarden.trust import MAX_CLOCK_SKEW

Tag = tuple[int, int]


class HostKeys(NamedTuple):
    """
    What a document wants of one host.

    Attributes:
        keys: those of which holders want one; None: they only report.
        authorities: those that may be a CA's; of these a chain can show several.
    """

    host: Host
    keys: frozenset[bytes] | None
    authorities: frozenset[bytes]

    @classmethod
    def of(cls, host: Host) -> "HostKeys":
        """Return *host* with its keys; a backup satisfies like a pin."""
        authorities = frozenset(pin.sha256 for pin in (*host.pins, *host.backups) if pin.kind == "ca")
        return cls(host, keys_of(host) if host.mode == "enforce" else None, authorities)


# Versions of one pin set say the same of most hosts; they share it.
_keys_at = lru_cache(maxsize=16 * 1024)(HostKeys.of)


@dataclass(frozen=True, slots=True, eq=False)
class HeldVersion:
    """
    A document as its holders enforce it.

    Attributes:
        tag: epoch and version.
        until: from then on no client takes it any more: its expiry, and what spec V5 allows a late clock.
        every_key: of all its hosts, whether they are enforced or not.
        fingerprint: alike for versions that say the same, and nearly always another for those that do not.
    """

    tag: Tag
    until: datetime
    hosts: tuple[Host, ...]
    deny: frozenset[bytes]
    index: PatternIndex[HostKeys]
    every_key: frozenset[bytes]
    fingerprint: int

    @classmethod
    def of(cls, document: PinSet) -> "HeldVersion":
        """Return *document* made ready for look-ups."""
        tag, until = (document.epoch, document.version), document.expires + MAX_CLOCK_SKEW
        return cls.made_of(document.hosts, document.deny, tag=tag, until=until)

    @classmethod
    def made_of(cls, hosts: tuple[Host, ...], deny: Iterable[bytes], *, tag: Tag, until: datetime) -> "HeldVersion":
        """Return what holders of that content would enforce."""
        denied, entries = frozenset(deny), [_keys_at(host) for host in hosts]
        hosts = tuple(each.host for each in entries)
        index = PatternIndex((each.host.host, each) for each in entries)
        every_key = frozenset[bytes]().union(*map(keys_of, hosts))
        return cls(tag, until, hosts, denied, index, every_key, hash((hosts, denied)))

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
        shown = frozenset(chain)
        return all(_accepts(stance, shown) for stance in _enforcing([self], name))

    def says_the_same(self, other: "HeldVersion") -> bool:
        """Tell whether holders of *other* enforce the same."""
        return self.fingerprint == other.fingerprint and (self.hosts, self.deny) == (other.hosts, other.deny)


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

    @property
    def expired(self) -> datetime:
        """When the last of their versions expires, or expired, by a clock that is right."""
        return self.until - MAX_CLOCK_SKEW


def keys_of(host: Host) -> frozenset[bytes]:
    """Return every key that satisfies *host*; a backup satisfies like a pin."""
    return frozenset(pin.sha256 for pin in (*host.pins, *host.backups))


def common_keys(documents: Iterable[HeldVersion], name: str) -> frozenset[bytes] | None:
    """
    Return the keys that *name* can show so that holders of all *documents* connect; None: some refuse them all.

    A chain has one leaf and may have any of the CAs; keys that somebody denies are in none. Where the CAs that are
    pinned already satisfy everybody, those are the answer, and the leaf is free.
    """
    return _common(_enforcing(documents, name))


class _Stance(NamedTuple):
    """A version whose holders enforce pins at the name in question, and which."""

    held: HeldVersion
    keys: frozenset[bytes]
    authorities: frozenset[bytes]


def _enforcing(documents: Iterable[HeldVersion], name: str) -> list[_Stance]:
    found = ((each, each.index.find(name)) for each in documents)
    return [_Stance(each, at.keys, at.authorities) for each, at in found if at is not None and at.keys is not None]


def _common(stances: Sequence[_Stance]) -> frozenset[bytes] | None:
    denied = _denied(stances)
    authorities = frozenset[bytes]().union(*(each.authorities for each in stances)) - denied
    unsatisfied = [each.keys for each in stances if each.keys.isdisjoint(authorities)]
    if not unsatisfied:
        return authorities
    leaves = frozenset.intersection(*unsatisfied) - denied
    return leaves | authorities if leaves else None


def _denied(stances: Iterable[_Stance]) -> frozenset[bytes]:
    return frozenset[bytes]().union(*(each.held.deny for each in stances))


def lock_outs(
    draft: HeldVersion,
    held: Sequence[HeldVersion],
    in_force: HeldVersion | None,
    shown: Sequence[frozenset[bytes]] = (),
) -> Iterator[LockOut]:
    """
    Yield what publishing *draft* means for holders of *held*, each host's worst.

    Args:
        held: every version that a client may hold, withdrawn ones included.
        in_force: the version in force, one of them unless it expired so long ago that nobody believes it any more; what
            it has cut off already is not the draft's doing.
        shown: for each host of the draft the keys of its live chain; empty where that is not known: then any of the
            draft's keys in service may be shown.
    """
    versions = _distinct(held)
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
        held_by = tuple(each.held for each in cut)
        told_of = (trouble, pattern if number is None else number, tuple(each.tag for each in held_by))
        if told_of not in told:
            told.add(told_of)
            safe = _common([*_enforcing([draft], name), *cut]) or frozenset()
            yield LockOut(trouble, host.host if host else pattern, number, held_by, safe)


def _at(
    draft: HeldVersion, versions: list[HeldVersion], in_force: HeldVersion | None, name: str, chain: frozenset[bytes]
) -> tuple[Trouble, list[_Stance]] | None:
    stances = _enforcing(versions, name)
    host = draft.host(name)
    if not stances:
        return None
    if host is None:
        return (Trouble.RELEASED, stances) if in_force and in_force.host(name) else None
    drafted = _enforcing([draft], name)
    # Nearly always some key suits everybody, and nobody has to be asked alone.
    if not frozenset.intersection(*(each.keys for each in (*drafted, *stances))) - _denied([*drafted, *stances]):
        found = _cut_off(drafted, stances, _enforcing([in_force], name) if in_force else None)
        if found is not None:
            return found
    if chain:
        unknown = [each for each in stances if not _accepts(each, chain)]
    else:
        authorities = frozenset(pin.sha256 for pin in host.pins if pin.kind == "ca")
        leaves = frozenset(pin.sha256 for pin in host.pins) - authorities
        unknown = [each for each in stances if not _accepts_some(each, leaves, authorities)]
    return (Trouble.UNKNOWN, unknown) if unknown else None


def _cut_off(
    drafted: list[_Stance], stances: list[_Stance], in_force: list[_Stance] | None
) -> tuple[Trouble, list[_Stance]] | None:
    removed, before, together = [], [], []
    for each in stances:
        if _common([each, *drafted]) is not None:
            together.append(each)
        elif in_force is not None and _common([each, *in_force]) is None:
            before.append(each)
        else:
            removed.append(each)
    if removed:
        return Trouble.REMOVED, removed
    divided = _divided(drafted, together, in_force or [])
    if divided:
        return Trouble.DIVIDED, divided
    return (Trouble.APART, before) if before else None


def _divided(drafted: list[_Stance], together: list[_Stance], in_force: list[_Stance]) -> list[_Stance]:
    """
    Return those of *together* whom one chain suits now, and none that suits the draft as well; empty: there are none.

    Where no chain suits all of them any more, each key that suits the holders of the version in force is looked at.
    """
    groups = [together]
    if together and _common(together) is None:
        chains = (frozenset({key}) for key in sorted(frozenset[bytes]().union(*(each.keys for each in together))))
        suiting = [chain for chain in chains if all(_accepts(each, chain) for each in in_force)]
        groups = [[each for each in together if _accepts(each, chain)] for chain in suiting]
    lost = (group for group in groups if group and _common([*group, *drafted]) is None)
    return max(lost, key=len, default=[])


def _accepts(stance: _Stance, chain: frozenset[bytes]) -> bool:
    return stance.held.deny.isdisjoint(chain) and not stance.keys.isdisjoint(chain)


def _accepts_some(stance: _Stance, leaves: frozenset[bytes], authorities: frozenset[bytes]) -> bool:
    """Tell whether holders accept one of *leaves*, if there are any, behind any of *authorities*."""
    # Nobody denies a key that he pins (spec V8), so a leaf that they want is not denied.
    return not stance.keys.isdisjoint(leaves | authorities) and not (leaves and leaves <= stance.held.deny)


def _distinct(held: Sequence[HeldVersion]) -> list[HeldVersion]:
    # A renewal says the same again: of versions that say the same, the one that lives longest speaks for all.
    kept: dict[int, list[HeldVersion]] = {}
    for each in sorted(held, key=lambda each: (each.until, each.tag), reverse=True):
        alike = kept.setdefault(each.fingerprint, [])
        if not any(map(each.says_the_same, alike)):
            alike.append(each)
    return sorted(chained.from_iterable(kept.values()), key=lambda each: each.tag, reverse=True)


def _names(documents: Iterable[HeldVersion]) -> Iterator[tuple[str, str]]:
    """
    Yield a name for every way in which *documents* can decide, with the pattern that it stands for.

    Below a wildcard no label is special but those that are named, so one that nobody can have stands for the others:
    ``*`` itself. ``**.`` covers its own name, one label more and any number more.
    """
    seen: set[str] = set()
    for pattern in dict.fromkeys(host.host for document in documents for host in document.hosts):
        base = pattern.removeprefix("**.")
        names = (base, f"*.{base}", f"*.*.{base}") if base != pattern else (pattern,)
        for name in names:
            if name not in seen:
                seen.add(name)
                yield name, pattern
