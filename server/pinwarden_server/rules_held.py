"""
What lint finds by the arithmetic of ``safety``: whom a draft would lock out of which host, and until when.

It may import layer 0, drafts and safety; it opens nothing and asks no clock. It finds the words, and counts nothing
itself.
"""

from collections.abc import Iterator
from datetime import datetime

from pinwarden.documents import PinSet
from pinwarden.strict_json import encode_base64, format_time
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Violation
from pinwarden_server.rules_draft import Rule, Surroundings
from pinwarden_server.safety import HeldVersion, LockOut, Trouble, lock_outs
from pinwarden_server.tags import format_tag

_SHOWN = 4  # versions and keys that a sentence names


def _removal(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    current = around.current
    if not around.held or (current is not None and _says_the_same(draft, current)):
        return
    in_force = _in_force(current, around) if current else None
    shown = [evidence.keys for evidence in draft.evidence]
    for found in lock_outs(_as_held(draft, around), around.held, in_force, shown):
        pointer = "/hosts" if found.number is None else f"/hosts/{found.number}"
        is_refusal = found.trouble in (Trouble.REMOVED, Trouble.DIVIDED)
        message, hint = _words_at_the_end(found, current, around.now) or _words(found)
        yield Violation("PIN009", pointer, message, hint, blocking=is_refusal, forceable=is_refusal)


def _words_at_the_end(found: LockOut, current: PinSet | None, now: datetime | None) -> tuple[str, str] | None:
    """Return the words where it is the end of a version that cuts its holders off, and not the draft; else None."""
    if now is None or current is None:
        return None
    holders, until = f"holders of {_versions(found.held)} accept no key of {found.name} in this draft", found.until
    if found.trouble is Trouble.APART and current.expires <= now:
        since = f"nor in the version in force, which expired at {format_time(current.expires)}"
        return (
            f"{holders}, {since}: they are cut off already, whatever this draft does",
            f"Publish, so that they have something to refresh to; until then, or {format_time(until)}, they refuse.",
        )
    if found.trouble is Trouble.REMOVED and found.expired <= now:
        ended = f"these expired at {format_time(found.expired)} and hold for late clocks alone"
        return (
            f"{holders}; but {ended}: for all others their end has come already, whatever this draft does",
            f"Force PIN009 with a reason, which lets them in again; or keep their key until {format_time(until)}.",
        )
    return None


def _words(found: LockOut) -> tuple[str, str]:
    holders, until = f"holders of {_versions(found.held)}", format_time(found.until)
    match found.trouble:
        case Trouble.REMOVED:
            return (
                f"{holders} accept no key of {found.name} in this draft: whatever the host shows, some refuse it",
                f"Keep a key that they have until {until}, as a pin or a backup; replace one key at a time.",
            )
        case Trouble.DIVIDED:
            return (
                f"no one key of {found.name} is accepted by this draft and by all {holders}",
                f"Keep a key that all of them have until {until}, or wait until the oldest of them has expired.",
            )
        case Trouble.APART:
            return (
                f"{holders} accept no key of {found.name} in this draft, nor in the version in force",
                f"They refuse the host until they refresh, at the latest until {until}.",
            )
        case Trouble.UNKNOWN:
            return (
                f"{holders} accept no key that {found.name} has in service by this draft",
                f"Let the host show {_keys(found.safe)} until {until}, and only then a key that is new to them.",
            )
        case Trouble.RELEASED:
            return (
                f"{found.name} is not pinned any more, and {holders} go on enforcing their pins",
                f"Do not change its keys before {until}, unless to one that they have.",
            )


def _versions(held: tuple[HeldVersion, ...]) -> str:
    named = ", ".join(format_tag(each.tag) for each in held[:_SHOWN])
    return named if len(held) <= _SHOWN else f"{named} and {len(held) - _SHOWN} more versions"


def _keys(keys: frozenset[bytes]) -> str:
    named = sorted(map(encode_base64, keys))
    return " or ".join(named[:_SHOWN]) if named else "a key that they have"


def _says_the_same(draft: Draft, current: PinSet) -> bool:
    return (draft.hosts, draft.deny) == (current.hosts, current.deny) and not draft.evidence


def _in_force(current: PinSet, around: Surroundings) -> HeldVersion:
    """Return the version in force, which nobody holds any more when it expired long ago."""
    tag = (current.epoch, current.version)
    return next((each for each in around.held if each.tag == tag), None) or HeldVersion.of(current)


def _as_held(draft: Draft, around: Surroundings) -> HeldVersion:
    newest = max(around.held, key=lambda each: each.tag)
    return HeldVersion.made_of(draft.hosts, draft.deny, tag=(newest.tag[0], newest.tag[1] + 1), until=newest.until)


RULES: tuple[Rule, ...] = (_removal,)
