"""
The commands ``pinwarden root draft`` and ``pinwarden root show``: before anybody signs.

It may import click and everything in this package. No key is opened here.
"""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pinwarden.cli.teaching import examples
from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden_keys.ceremony import first_root, next_root, roles_of, verify_root
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.ceremony_rehearsal import REHEARSAL
from pinwarden_keys.cli_root_files import (
    ALLOW,
    DIGEST_WORDS,
    PREVIOUS,
    PUBLISHED,
    PUBLISHED_IN,
    judged,
    read_either,
    read_envelope,
    read_published,
    write_all,
)
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.files import read_public
from pinwarden_keys.founding import authority_id
from pinwarden_keys.prompts import FILE
from pinwarden_keys.root_draft_lint import lint_draft
from pinwarden_keys.root_plan import EXAMPLE, MAX_PLAN_BYTES, RootPlan, parse_plan
from pinwarden_keys.root_view import as_json, as_table
from pinwarden_keys.root_words import check_words

# Click re-wraps each paragraph that does not begin with this mark.
_EXAMPLE = examples("pinwarden root draft --plan plan.toml", "pinwarden root draft --previous root.1.json")
_EXAMPLE += "\n\n\b\nExample of a plan:\n\n\b\n" + EXAMPLE.replace("\n\n", "\n\n\b\n")


@click.command("draft", epilog=_EXAMPLE)
@click.option("--plan", type=FILE, help="TOML file with keys and roles; without it only the dates change.")
@PREVIOUS
@click.option("--lifetime-days", type=click.IntRange(1, 10_000), help="Overrides the plan's lifetime_days.")
@PUBLISHED
@PUBLISHED_IN
@ALLOW
@click.option("--output", "--out", "out", type=FILE, help="New file; default: root.VERSION.draft.")
def draft_root(
    plan: Path | None,
    previous: Path | None,
    lifetime_days: int | None,
    published: tuple[str, ...],
    published_in: tuple[Path, ...],
    allow: tuple[str, ...],
    out: Path | None,
) -> None:
    """Draft the first root, or the one that follows --previous."""
    if plan is None and previous is None:
        raise click.UsageError("a first root needs --plan, the next one needs --previous")
    names, now = read_published(published, published_in), datetime.now(UTC)
    parsed = read_plan(plan) if plan else RootPlan()
    before = read_envelope(previous) if previous else None
    draft = make_draft(parsed, before, now, timedelta(days=lifetime_days or parsed.lifetime_days))
    findings = judged(draft, draft.previous_root, now, allow, names)
    click.echo(as_table(draft.root, draft.payload, draft.names, findings, previous=draft.previous_root), err=True)
    path = out or Path(f"root.{draft.root.version}.draft")
    write_all({path: draft.to_bytes()}, "draft")
    click.echo(str(path))


@click.command(
    "show",
    epilog=examples("pinwarden root show root.2.draft", "pinwarden root show root.2.json --previous root.1.json"),
)
@click.argument("file", type=FILE)
@PREVIOUS
@DIGEST_WORDS
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def show_root(file: Path, previous: Path | None, digest_words: str | None, json_wanted: bool) -> None:
    """Print a draft or root as a table, and what changes.

    A draft is compared with the root that it carries along, or with the one in --previous. Signatures in FILE are
    listed, not judged: `verify` does that.
    """
    draft, signed_by = read_either(file)
    before = verify_root(read_envelope(previous), previous=None) if previous else draft.previous_root
    if digest_words is not None:
        check_words(digest_words, draft.digest)
    # A signed root does not carry the one before it: without that, its place in the chain is not judged here.
    known = draft.root.version == 1 or before is not None or not signed_by
    findings = lint_draft(draft.root, previous=before, now=datetime.now(UTC)) if known else ()
    if draft.payload != draft.root.encode():
        click.echo(f"warning: {file} says more than this version of pinwarden shows; nobody should sign it", err=True)
    if json_wanted:
        click.echo(json.dumps(as_json(draft, findings, signed_by, previous=before)))
        return
    click.echo(as_table(draft.root, draft.payload, draft.names, findings, previous=before))
    click.echo(f"  signatures by: {', '.join(ascii(keyid[:16])[1:-1] for keyid in signed_by) or 'nobody yet'}")
    if digest_words is not None:
        click.echo("the words are those of this digest", err=True)


def read_plan(path: Path) -> RootPlan:
    """Return the plan in *path*; CeremonyError when it is none."""
    return parse_plan(read_public(path, limit=MAX_PLAN_BYTES, what="plan"), where=str(path))


def make_draft(plan: RootPlan, before: Envelope | None, now: datetime, lifetime: timedelta) -> RootDraft:
    """Return the draft of a first root, or of the one that follows *before*."""
    if before is not None:
        previous = verify_root(before, previous=None)
        _check_label(plan, previous)
        kept = None if plan.root and plan.timestamp and plan.pinset is not None else roles_of(previous)
        following = next_root(previous, plan.roles(kept), now=now, lifetime=lifetime)
        return RootDraft(following.encode(), before, plan.names)
    if plan.label is None:
        raise CeremonyError("the plan of a first root must state its label", hint='Add a line such as: label = "acme"')
    if plan.label.startswith(REHEARSAL):
        raise CeremonyError(
            f"a label that begins with {REHEARSAL} is kept for rehearsals",
            got=plan.label,
            hint="Rehearse with `pinwarden root rehearse`, which needs no other label.",
        )
    authority = authority_id(plan.label, os.urandom)
    return RootDraft(first_root(authority, plan.roles(None), now=now, lifetime=lifetime).encode(), None, plan.names)


def _check_label(plan: RootPlan, previous: Root) -> None:
    """An authority keeps its name; a plan with another one is a plan for another authority, or for an old root."""
    if plan.label is not None and not re.fullmatch(f"{re.escape(plan.label)}-[0-9a-f]{{16}}", previous.authority):
        raise CeremonyError(
            "the plan is for another authority than the previous root",
            expected=f"{plan.label}- and 16 hex digits",
            got=previous.authority,
            hint="Take the right root, or leave the label out: an authority never changes its name.",
        )
