"""
The commands of ``pinwarden root``: files in, files out, nothing else.

It may import click and everything in this package. A command shows what it is about to sign or found; it never signs
what the person at the keyboard did not name by its version.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.strict_json import parse_object
from pinwarden_keys.ceremony import assemble, first_root, next_root, roles_of, sign_draft, tally, verify_root
from pinwarden_keys.ceremony_files import MAX_DRAFT_BYTES, MAX_SIGNATURE_BYTES, DetachedSignature, RootDraft
from pinwarden_keys.errors import CeremonyError, KeyFileError
from pinwarden_keys.files import read_public, write_new
from pinwarden_keys.founding import authority_id
from pinwarden_keys.prompts import FILE, passphrase_from
from pinwarden_keys.refusals import RefusingGroup
from pinwarden_keys.root_lint import POLICY_CODES, Finding, lint
from pinwarden_keys.root_plan import EXAMPLE, MAX_PLAN_BYTES, RootPlan, parse_plan
from pinwarden_keys.root_view import as_json, as_table, digest_groups
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import file_uri

_PREVIOUS = click.option("--previous", type=FILE, help="The root before, as an envelope file.")


@click.group(cls=RefusingGroup)
def root() -> None:
    """Draft, sign and assemble the root: who may sign what."""


# Click re-wraps each paragraph that does not begin with this mark.
_EXAMPLE = "\b\nExample of a plan:\n\n\b\n" + EXAMPLE.replace("\n\n", "\n\n\b\n")


@root.command("draft", epilog=_EXAMPLE)
@click.option("--plan", type=FILE, help="TOML file with keys and roles; without it only the dates change.")
@_PREVIOUS
@click.option("--lifetime-days", type=click.IntRange(1, 10_000), help="Overrides the plan's lifetime_days.")
@click.option("--allow", multiple=True, type=click.Choice(POLICY_CODES), help="Accept this finding; may be repeated.")
@click.option("--out", type=FILE, help="New file; default: root.VERSION.draft.")
def draft_root(
    plan: Path | None, previous: Path | None, lifetime_days: int | None, allow: tuple[str, ...], out: Path | None
) -> None:
    """Draft the first root, or the one that follows --previous."""
    if plan is None and previous is None:
        raise click.UsageError("a first root needs --plan, the next one needs --previous")
    now = datetime.now(UTC)
    parsed = parse_plan(read_public(plan, limit=MAX_PLAN_BYTES, what="plan"), where=str(plan)) if plan else RootPlan()
    before = _read_envelope(previous) if previous else None
    draft = _draft(parsed, before, now, timedelta(days=lifetime_days or parsed.lifetime_days))
    findings = lint(draft.root, previous=draft.previous_root, now=now)
    _refuse_findings(findings, allow)
    click.echo(as_table(draft.root, draft.payload, draft.names, findings), err=True)
    _write(out or Path(f"root.{draft.root.version}.draft"), draft.to_bytes(), "draft")


@root.command("show")
@click.argument("file", type=FILE)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def show_root(file: Path, json_wanted: bool) -> None:
    """Print a draft or root as a table.

    Signatures in FILE are listed, not judged: `verify` does that.
    """
    draft, signed_by = _read_either(file)
    # A signed root does not carry the one before it, so its place in the chain is not judged here.
    judged = draft.root.version == 1 or not signed_by
    findings = lint(draft.root, previous=draft.previous_root, now=datetime.now(UTC)) if judged else ()
    if json_wanted:
        click.echo(json.dumps(as_json(draft.root, draft.payload, draft.names, findings, signed_by)))
        return
    click.echo(as_table(draft.root, draft.payload, draft.names, findings))
    click.echo(f"  signatures by: {', '.join(keyid[:16] for keyid in signed_by) or 'nobody yet'}")


@root.command("sign")
@click.argument("file", type=FILE)
@click.option("--key", required=True, help="Your key: a path, or a signer URI.")
@click.option("--passphrase-file", type=FILE, help="Take the passphrase from this private file; default: ask for it.")
@_PREVIOUS
@click.option("--out", type=FILE, help="New file; default: root.VERSION.KEYID.sig.")
def sign_root(file: Path, key: str, passphrase_file: Path | None, previous: Path | None, out: Path | None) -> None:
    """Sign a draft: one file per person.

    Shows FILE, asks for its version, and writes your detached signature.
    """
    draft = _read_draft(file)
    _check_previous(draft, previous)
    findings = lint(draft.root, previous=draft.previous_root, now=datetime.now(UTC))
    _refuse_findings(findings, POLICY_CODES)
    click.echo(as_table(draft.root, draft.payload, draft.names, findings), err=True)
    typed: str = click.prompt("Type the version to sign it", err=True)
    if typed.strip() != str(draft.root.version):
        raise CeremonyError(
            "not signed",
            expected=f"version {draft.root.version} typed",
            got=repr(typed[:40]),
            holds="Nothing was written.",
        )
    uri = key if ":" in key else file_uri(key)
    signer = open_signer(uri, passphrase=passphrase_from(passphrase_file, what=uri))
    try:
        signature = sign_draft(draft, signer, name=signer.label)
    finally:
        signer.close()
    _write(out or Path(f"root.{draft.root.version}.{signature.keyid[:16]}.sig"), signature.to_bytes(), "signature")


@root.command("assemble")
@click.argument("file", type=FILE)
@click.argument("signatures", type=FILE, nargs=-1)
@_PREVIOUS
@click.option("--out", type=FILE, help="New file; default: root.VERSION.json.")
def assemble_root(file: Path, signatures: tuple[Path, ...], previous: Path | None, out: Path | None) -> None:
    """Put draft and signatures together.

    Writes the root once the SIGNATURES over the draft in FILE meet the thresholds of the old and of the new root;
    else says who is missing and exits with 5.
    """
    draft = _read_draft(file)
    _check_previous(draft, previous)
    findings = lint(draft.root, previous=draft.previous_root, now=datetime.now(UTC))
    _refuse_findings(findings, POLICY_CODES)
    detached = [_read_signature(path) for path in signatures]
    envelope = assemble(draft, detached)
    if draft.previous and not previous:
        shown = digest_groups(draft.previous.payload)
        click.echo(f"warning: the previous root was taken from the draft itself; its digest is {shown}", err=True)
    click.echo(", ".join(each.spell(draft.names) for each in tally(draft, detached)), err=True)
    _write(out or Path(f"root.{draft.root.version}.json"), envelope.to_bytes(), "root")


@root.command("verify")
@click.argument("file", type=FILE)
@_PREVIOUS
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def verify_file(file: Path, previous: Path | None, json_wanted: bool) -> None:
    """Judge a root as a client would.

    The root in FILE by itself, or as the one that follows --previous.
    """
    envelope = _read_envelope(file)
    before = _read_envelope(previous) if previous else None
    judged = verify_root(envelope, previous=before)
    expired = judged.expires <= datetime.now(UTC)
    link = f"follows root {judged.version - 1}" if before else "is signed by its own threshold"
    if json_wanted:
        answer = {"authority": judged.authority, "version": judged.version, "expired": expired}
        click.echo(json.dumps({**answer, "previous_checked": before is not None}))
    else:
        click.echo(f"root {judged.version} of {judged.authority} {link}")
    if expired:
        click.echo("warning: it is past its end; clients refuse newer documents under it", err=True)
    if before is None and judged.version > 1:
        click.echo("warning: that it follows the root before was not checked; name that with --previous", err=True)


def _draft(plan: RootPlan, before: Envelope | None, now: datetime, lifetime: timedelta) -> RootDraft:
    if before is not None:
        previous = verify_root(before, previous=None)
        kept = None if plan.root and plan.timestamp and plan.pinset is not None else roles_of(previous)
        following = next_root(previous, plan.roles(kept), now=now, lifetime=lifetime)
        return RootDraft(following.encode(), before, plan.names)
    if plan.label is None:
        raise CeremonyError("the plan of a first root must state its label", hint='Add a line such as: label = "acme"')
    authority = authority_id(plan.label, os.urandom)
    return RootDraft(first_root(authority, plan.roles(None), now=now, lifetime=lifetime).encode(), None, plan.names)


def _refuse_findings(findings: tuple[Finding, ...], allowed: tuple[str, ...]) -> None:
    refused = [finding for finding in findings if not finding.policy or finding.code not in allowed]
    if refused:
        policy = all(finding.policy for finding in refused)
        raise CeremonyError(
            "this root must not be made: " + "; ".join(f"{each.code} {each.message}" for each in refused),
            holds="Nothing was written.",
            hint=" ".join(dict.fromkeys(each.hint for each in refused))
            + (" For a trial, accept a finding by --allow CODE." if policy else ""),
        )


def _check_previous(draft: RootDraft, previous: Path | None) -> None:
    """The draft carries the previous root for convenience; what the person brings is what counts."""
    if previous is None:
        return
    held = _read_envelope(previous).payload
    if draft.previous is None or draft.previous.payload != held:
        raise CeremonyError(
            f"the draft does not follow {previous}",
            expected=digest_groups(held),
            got=digest_groups(draft.previous.payload) if draft.previous else "a draft that founds an authority",
            hint="Ask whoever drafted it which root they started from.",
        )


def _read_envelope(path: Path) -> Envelope:
    content = read_public(path, limit=MAX_DRAFT_BYTES, what="root")
    return Envelope.parse(content, expect=ROOT_TYPE)


def _read_draft(path: Path) -> RootDraft:
    return RootDraft.parse(read_public(path, limit=MAX_DRAFT_BYTES, what="draft"), where=str(path))


def _read_signature(path: Path) -> DetachedSignature:
    return DetachedSignature.parse(read_public(path, limit=MAX_SIGNATURE_BYTES, what="signature"), where=str(path))


def _read_either(path: Path) -> tuple[RootDraft, list[str]]:
    """Return a draft, or a signed root as if it were one, and the keyids of its signatures."""
    content = read_public(path, limit=MAX_DRAFT_BYTES, what="root or draft")
    if "format" in parse_object(content, limit=MAX_DRAFT_BYTES, what=str(path)):
        return RootDraft.parse(content, where=str(path)), []
    envelope = Envelope.parse(content, expect=ROOT_TYPE)
    return RootDraft(envelope.payload, None, {}), [entry.keyid for entry in envelope.signatures]


def _write(path: Path, content: bytes, what: str) -> None:
    try:
        write_new(path, content, mode=0o644, what=what)
    except KeyFileError as error:
        raise CeremonyError(error.what, holds=error.holds, hint=error.hint) from None
    click.echo(str(path))
