"""
The findings about a draft: those about any root, and what is found where nobody knows everything that is published.

It may import the documents and ``root_lint``. A server knows every published name and asks for no more than
``root_lint``; on an offline machine, a name may be published that nobody mentioned.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from pinwarden.documents import Grant, Root
from pinwarden.errors import WrongPinSetError
from pinwarden.strict_json import format_time
from pinwarden_keys.root_lint import POLICY_CODES, Finding, lint

# What whoever drafts and whoever signs may accept by naming it.
ALLOWED_CODES = (*POLICY_CODES, "ROOT013", "ROOT014")
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def lint_draft(root: Root, *, previous: Root | None, now: datetime, names: Collection[str] = ()) -> tuple[Finding, ...]:
    """
    Return every finding about *root* as the successor of *previous*, or as the first one, before it is signed.

    Args:
        now: the time of the ceremony, aware.
        names: pin sets that are known to be published (spec S7). For all others the same is found by pattern, with
            codes that may be allowed.
    """
    by_pattern = () if previous is None else _lint_patterns(root, previous, names)
    return (*_lint_end(root, now), *lint(root, previous=previous, now=now, names=names), *by_pattern)


def _lint_end(root: Root, now: datetime) -> Iterator[Finding]:
    if root.expires <= now:
        yield Finding("ROOT012", f"it ended {format_time(root.expires)}", "Draft again: clients would accept nothing.")


def _lint_patterns(root: Root, previous: Root, names: Collection[str]) -> Iterator[Finding]:
    for pattern, name in _samples(root, previous).items():
        before, after = _grant(previous, name), _grant(root, name)
        if before is None or name in names:
            continue
        if after is None:
            message = f"pin set {pattern!r} loses its grant"
            hint = "If one is published, its clients could never be updated again."
            yield Finding("ROOT013", message, hint, doubtful=True)
        elif after.epoch < before.epoch:
            message = f"epoch of pin set {pattern!r} falls from {before.epoch} to {after.epoch}"
            hint = "If one is published, its clients would refuse every version: keep or raise it."
            yield Finding("ROOT014", message, hint, doubtful=True)


def _grant(root: Root, name: str) -> Grant | None:
    try:
        return root.grant_for(name)
    except WrongPinSetError:
        return None


def _samples(*roots: Root) -> dict[str, str]:
    """
    Return each pattern of *roots* with a name that it covers and no longer pattern does.

    These names stand for all others: the first grant that covers a name depends only on which patterns do.
    """
    patterns = {pattern for root in roots for grant in root.pinset for pattern in grant.names}
    return {pattern: _sample(pattern, patterns) for pattern in sorted(patterns)}


def _sample(pattern: str, patterns: Iterable[str]) -> str:
    if not pattern.endswith("*"):
        return pattern
    start = pattern[:-1]
    taken = {other[len(start) :][:1] for other in patterns if other.startswith(start)}
    return start + next((letter for letter in _LETTERS if letter not in taken), "")
