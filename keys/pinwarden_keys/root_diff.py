"""
What changes from one root to the next, as lines that a signer reads before signing.

It may import the documents and the spelling of keys. It leaves nothing out: two roots without a difference here differ
in their version and dates at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pinwarden.documents import Grant, Role, Root, TimestampRole
from pinwarden.strict_json import format_time
from pinwarden_keys.ceremony_files import spell_key


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; *mark* is ``+`` for what is new, ``-`` for what goes, ``~`` for what has another value."""

    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.mark} {self.text}"


def differences(previous: Root, root: Root, names: Mapping[str, str]) -> tuple[Change, ...]:
    """Return every difference between two roots; *names* maps keyids to people and is not signed."""
    return (
        *_value("authority", previous.authority, root.authority),
        *_value("version", previous.version, root.version),
        *_value("expires", format_time(previous.expires), format_time(root.expires)),
        *_role("root", previous.root, root.root, names),
        *_role("timestamp", previous.timestamp, root.timestamp, names),
        *_grants(previous.pinset, root.pinset, names),
    )


def spell_life(seconds: int) -> str:
    """Return a longest life in days, or in seconds when it is no whole number of days."""
    days, rest = divmod(seconds, 86400)
    return f"{seconds} seconds" if rest else f"{days} days"


def _value(what: str, before: object, after: object) -> Iterator[Change]:
    if before != after:
        yield Change("~", f"{what} {before} -> {after}")


def _role(where: str, before: Role, after: Role, names: Mapping[str, str]) -> Iterator[Change]:
    key = f"{where} key"
    yield from (Change("-", f"{key} {spell_key(gone, names)}") for gone in before.keyids if gone not in after.keyids)
    yield from (Change("+", f"{key} {spell_key(new, names)}") for new in after.keyids if new not in before.keyids)
    yield from _value(f"{where} threshold", before.threshold, after.threshold)
    if isinstance(before, TimestampRole) and isinstance(after, TimestampRole):
        yield from _value(f"{where} epoch", before.epoch, after.epoch)
        yield from _value(
            f"{where} longest life", spell_life(before.max_lifetime_seconds), spell_life(after.max_lifetime_seconds)
        )


def _grants(before: Sequence[Grant], after: Sequence[Grant], names: Mapping[str, str]) -> Iterator[Change]:
    partners = _paired(before, after)
    for place, grant in enumerate(before):
        if place not in partners.values():
            yield Change("-", _spell_grant(grant, names))
    for place, grant in enumerate(after):
        if place not in partners:
            yield Change("+", _spell_grant(grant, names))
            continue
        old = before[partners[place]]
        where = f"pinset {', '.join(grant.names)}:"
        yield from (Change("-", f"{where} name {name}") for name in old.names if name not in grant.names)
        yield from (Change("+", f"{where} name {name}") for name in grant.names if name not in old.names)
        yield from _role(where, old, grant, names)
    if list(partners.items()) != [(place, place) for place in range(len(before))] and len(after) > 1:
        order = " | ".join(", ".join(grant.names) for grant in after)
        yield Change("~", f"order of the grants, the first that covers a name decides alone: {order}")


def _paired(before: Sequence[Grant], after: Sequence[Grant]) -> dict[int, int]:
    """Return the place of each new grant with that of the old one that it continues: same names, else some of them."""
    partners: dict[int, int] = {}
    for alike in (_same_names, _some_names):
        for place, grant in enumerate(after):
            free = (old for old in range(len(before)) if old not in partners.values() and alike(before[old], grant))
            found = None if place in partners else next(free, None)
            if found is not None:
                partners[place] = found
    return dict(sorted(partners.items()))


def _same_names(one: Grant, other: Grant) -> bool:
    return set(one.names) == set(other.names)


def _some_names(one: Grant, other: Grant) -> bool:
    return not set(one.names).isdisjoint(other.names)


def _spell_grant(grant: Grant, names: Mapping[str, str]) -> str:
    keys = ", ".join(spell_key(keyid, names) for keyid in grant.keyids)
    limits = f"epoch {grant.epoch}, longest life {spell_life(grant.max_lifetime_seconds)}"
    return f"pinset {', '.join(grant.names)}: {grant.threshold} of {keys}; {limits}"
