"""
What ``pinwarden audit verify`` says: findings with their evidence, for people and for programs.

It may import click and this package. It decides nothing, and writes evidence through the memory alone.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_facts
from pinwarden.cli.refusals import say
from pinwarden.errors import CacheError
from pinwarden.strict_json import format_time
from pinwarden_ops.audit_chain import Place
from pinwarden_ops.audit_judge import Finding, Kept
from pinwarden_ops.audit_memory import AuditMemory
from pinwarden_ops.audit_words import MEANS

EVIDENCE_FORMAT = "pinwarden-audit-finding-1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a log was found to be.

    Attributes:
        served: how many checkpoints the server has, None for a file.
        before: the row up to which this machine had seen it.  kept: checkpoints that it was held against.
        findings: what is wrong, as JSON values.  left_out: how many more of the same kinds.
    """

    authority: str
    end: Place
    newest: Kept | None
    kept: int
    served: int | None
    unjudged: int
    before: Place
    findings: tuple[dict[str, Any], ...]
    left_out: int

    def to_json(self) -> dict[str, Any]:
        """Return it as programs read it."""
        newest = self.newest
        return {
            "result": "found something" if self.findings else "holds",
            "authority": self.authority,
            "rows": self.end.seq,
            "end": str(self.end),
            "checkpoints": self.kept,
            "served": self.served,
            "newest": newest and {"size": newest.size, "issued": newest.checkpoint.issued, "source": newest.source},
            "older_than_your_root": self.unjudged,
            "seen_before": self.before.seq or None,
            "findings": list(self.findings),
            "left_out": self.left_out,
        }


def keep_finding(found: Finding, memory: AuditMemory, authority: str, now: datetime) -> dict[str, Any]:
    """Write *found* down with what proves it, and return it without that, but with the name of the file."""
    told: dict[str, Any] = {
        "kind": str(found.kind),
        "what": found.what,
        "row": found.row or None,
        "expected": found.expected,
        "got": found.got,
    }
    about = {"format": EVIDENCE_FORMAT, "found_at": format_time(now), "authority": authority}
    key = sha256(f"{found.kind}\n{found.what}\n{found.got}".encode()).hexdigest()[:12]
    means, do = MEANS[found.kind]
    told |= {"means": means, "do": do, "evidence": None, "not_kept": None}
    try:
        told["evidence"] = str(memory.keep_evidence(str(found.kind), key, {**told, **about, **found.proof}))
    except CacheError as error:
        told["not_kept"] = str(error)  # a full disk must not keep a finding from being told
    return told


def print_verdict(verdict: Verdict) -> None:
    """Print it for people: facts to stdout, what is wrong to stderr."""
    newest = verdict.newest
    print_facts(
        [
            ("authority", verdict.authority),
            ("audit log", f"{verdict.end.seq} rows"),
            ("end", str(verdict.end)),
            ("checkpoints", f"{verdict.kept} verified" if verdict.kept else "none"),
            ("newest", f"row {newest.size}, {newest.when} ({newest.source})" if newest else None),
            ("seen before", f"{verdict.before.seq} rows" if verdict.before.seq else None),
        ]
    )
    if verdict.unjudged:
        say(
            "note",
            f"{verdict.unjudged} checkpoints are older than your root.json: give an older one to have them judged",
        )
    if not verdict.kept:
        say("note", "no checkpoint was held against the log: whoever rewrote all of it would not be found out")
    elif newest is not None and newest.size < verdict.end.seq:
        say("note", f"rows {newest.size + 1} to {verdict.end.seq} are not signed yet: they only hold together")
    for found in verdict.findings:
        _print_finding(found)
    if verdict.left_out:
        say("note", f"{verdict.left_out} more findings of these kinds are left out")
    if verdict.findings:
        say("hint", "docs/audit.md says how to read a finding; nothing that this machine remembers has moved")


def _print_finding(found: dict[str, Any]) -> None:
    say("error", f"{found['kind']}: {printable(found['what'])}")
    for name in ("expected", "got"):
        if found[name] is not None:
            click.echo(f"  {name:<8}  {printable(str(found[name]))}", err=True)
    click.echo(f"  means     {found['means']}", err=True)
    click.echo(f"  do        {found['do']}", err=True)
    click.echo(f"  evidence  {found['evidence'] or 'not kept: ' + found['not_kept']}", err=True)
