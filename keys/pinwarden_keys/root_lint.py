"""
What a root must not say although its form is right (spec S7, S8; flow F9), each finding with a code.

It may import the documents. It judges values only: no file, no clock, no signature.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pinwarden.documents import Root
from pinwarden.errors import WrongPinSetError

# What a trial may do and production must not.
POLICY_CODES = ("ROOT006", "ROOT007", "ROOT008", "ROOT009", "ROOT010", "ROOT011")
LONGEST = timedelta(days=731)
SHORTEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that is wrong with a root.

    Attributes:
        doubtful: it harms only if something is published of which nothing is known here.
    """

    code: str
    message: str
    hint: str
    doubtful: bool = False

    @property
    def policy(self) -> bool:
        """True when a ceremony may allow it by naming its code; the others would break the chain for clients."""
        return self.doubtful or self.code in POLICY_CODES


def lint(root: Root, *, previous: Root | None, now: datetime, names: Iterable[str] = ()) -> tuple[Finding, ...]:
    """
    Return every finding about *root* as the successor of *previous*, or as the first one.

    Args:
        now: the time of the ceremony, aware.
        names: published pin sets, for which no epoch may fall and no grant may vanish (spec S7).

    Duplicate and small-order keys are no findings: no such root can be drafted or parsed.
    """
    return (*_lint_chain(root, previous, names), *_lint_custody(root), *_lint_lifetime(root, now))


def _lint_chain(root: Root, previous: Root | None, names: Iterable[str]) -> Iterator[Finding]:
    due = previous.version + 1 if previous else 1
    if root.version != due:
        yield Finding("ROOT001", f"version {root.version} where {due} is due", "Draft again from the newest root.")
    if previous is None:
        return
    if root.authority != previous.authority:
        message = f"authority {root.authority} where {previous.authority} was"
        yield Finding("ROOT002", message, "An authority never changes its name; clients would refuse.")
    if root.timestamp.epoch < previous.timestamp.epoch:
        message = f"timestamp epoch falls from {previous.timestamp.epoch} to {root.timestamp.epoch}"
        yield Finding("ROOT003", message, "Clients would refuse every timestamp: keep or raise it.")
    for name in names:
        yield from _lint_name(root, previous, name)


def _lint_name(root: Root, previous: Root, name: str) -> Iterator[Finding]:
    try:
        before = previous.grant_for(name)
    except WrongPinSetError:
        return
    try:
        after = root.grant_for(name)
    except WrongPinSetError:
        yield Finding("ROOT004", f"pin set {name!r} loses its grant", "Its clients could never be updated again.")
        return
    if after.epoch < before.epoch:
        message = f"epoch of pin set {name!r} falls from {before.epoch} to {after.epoch}"
        yield Finding("ROOT005", message, "Clients would refuse every pin set: keep or raise it.")


def _lint_custody(root: Root) -> Iterator[Finding]:
    role = root.root
    if role.threshold < 2:
        yield Finding("ROOT006", "one stolen root key is enough", "Use a threshold of 2 or more.")
    if len(role.keys) < role.threshold + 1:
        message = f"{len(role.keys)} root keys for a threshold of {role.threshold}: losing one ends the authority"
        yield Finding("ROOT007", message, f"Use {role.threshold + 1} keys or more.")
    pinset_keys = {keyid for grant in root.pinset for keyid in grant.keyids}
    shared = set(role.keyids) & ({*root.timestamp.keyids} | pinset_keys)
    if shared:
        message = f"root keys hold another role too: {_spell(shared)}"
        yield Finding("ROOT008", message, "A root key signs roots only, offline.")
    both = set(root.timestamp.keyids) & pinset_keys
    if both:
        message = f"timestamp keys may sign pin sets too: {_spell(both)}"
        yield Finding("ROOT009", message, "The online key must not be able to say what the pins are.")


def _lint_lifetime(root: Root, now: datetime) -> Iterator[Finding]:
    left = root.expires - now.replace(microsecond=0)
    if left > LONGEST:
        yield Finding("ROOT010", f"it lives {left.days} days", "Two years at most: a ceremony nobody remembers fails.")
    if left < SHORTEST:
        yield Finding("ROOT011", f"it ends in {left.days} days", "30 days at least: the next ceremony needs time.")


def _spell(keyids: Iterable[str]) -> str:
    return ", ".join(sorted(keyid[:16] for keyid in keyids))
