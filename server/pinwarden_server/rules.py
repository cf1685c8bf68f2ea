"""
Lint: what a signed document may say and still should not.

It may import layer 0 and drafts; it opens nothing and asks no clock. A rule that blocks can be forced by its code with
a reason, which is audited; what clients refuse (spec V8) cannot be forced by anyone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pinwarden_server import rules_draft, rules_held, rules_shown
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import LintRefused, Violation
from pinwarden_server.rules_draft import DAY, Rule, Surroundings

__all__ = ["DAY", "MAX_WARNINGS", "RULES", "Surroundings", "check", "lint", "settle"]

RULES: tuple[Rule, ...] = (*rules_draft.RULES, *rules_shown.RULES, *rules_held.RULES)
MAX_WARNINGS = 20  # of one code; they are kept with the answer, and a pin set may have 2,000 hosts


def check(draft: Draft, around: Surroundings) -> tuple[Violation, ...]:
    """
    Return the findings that do not block: warnings, and those that the draft forces.

    Raises:
        LintRefused: findings that block and were not forced, or were forced without a reason.
    """
    return settle(lint(draft, around), draft.force, draft.reason)


def settle(findings: tuple[Violation, ...], force: Sequence[str], reason: str) -> tuple[Violation, ...]:
    """
    Return *findings* when none of them blocks, or all that do are forced by their codes with a reason.

    Raises:
        LintRefused: findings that block and were not forced, or were forced without a reason.
    """
    blocking = [finding for finding in findings if not _passes(finding, force, reason)]
    if blocking:
        forced = [finding for finding in blocking if finding.code in force]
        raise LintRefused(
            "lint refuses this draft" if not forced else "forcing needs a reason",
            expected="no blocking finding" if not forced else "a reason, which is audited",
            got=", ".join(dict.fromkeys(finding.code for finding in blocking)),
            violations=blocking,
            hint=_hint(blocking),
        )
    return findings


def lint(draft: Draft, around: Surroundings) -> tuple[Violation, ...]:
    """Return every finding, the blocking ones included, in order of their codes; of one code at most 20 warnings."""
    found = sorted((finding for rule in RULES for finding in rule(draft, around)), key=lambda finding: finding.code)
    return tuple(_few(found))


def _few(found: list[Violation]) -> Iterator[Violation]:
    warnings = Counter(finding.code for finding in found if not finding.blocking)
    told: Counter[str] = Counter()
    for finding in found:
        if finding.blocking:
            yield finding
            continue
        told[finding.code] += 1
        if told[finding.code] <= MAX_WARNINGS:
            left = warnings[finding.code] - MAX_WARNINGS
            is_last = told[finding.code] == MAX_WARNINGS and left > 0
            yield replace(finding, message=f"{finding.message}; {left} more like this") if is_last else finding


def _passes(finding: Violation, force: Sequence[str], reason: str) -> bool:
    return not finding.blocking or (finding.forceable and finding.code in force and bool(reason.strip()))


def _hint(blocking: Sequence[Violation]) -> str:
    codes = list(dict.fromkeys(finding.code for finding in blocking if finding.forceable))
    if not codes:
        return "Correct the draft; none of this can be forced."
    return f'Correct the draft, or publish with "force": {codes} and a "reason"; both are audited.'.replace("'", '"')
