"""
The commands ``pinwarden root sign`` and ``pinwarden root assemble``: from a draft to a root.

It may import click and everything in this package. It never signs what the person at the keyboard was not shown, or did
not name by its version.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden.cli.teaching import examples
from pinwarden_keys.ceremony import assemble, check_shown, sign_draft, tally
from pinwarden_keys.ceremony_files import MAX_DRAFT_BYTES, RootDraft
from pinwarden_keys.ceremony_transcript import FileDigest, Transcript, software
from pinwarden_keys.cli_root_files import (
    ALLOW,
    DIGEST_WORDS,
    PREVIOUS,
    PUBLISHED,
    PUBLISHED_IN,
    check_previous,
    judged,
    read_draft,
    read_published,
    read_signatures,
    write_all,
)
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE, passphrase_from
from pinwarden_keys.root_view import as_table, digest_groups
from pinwarden_keys.root_words import check_words
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import file_uri


@click.command("sign", epilog=examples("pinwarden root sign root.2.draft --key alice.key --previous root.1.json"))
@click.argument("file", type=FILE)
@click.option("--key", required=True, help="Your key: a path, or a signer URI.")
@click.option("--passphrase-file", type=FILE, help="Take the passphrase from this private file; default: ask for it.")
@PREVIOUS
@DIGEST_WORDS
@PUBLISHED
@PUBLISHED_IN
@ALLOW
@click.option("--output", "--out", "out", type=FILE, help="New file; default: root.VERSION.KEYID.sig.")
def sign_root(
    file: Path,
    key: str,
    passphrase_file: Path | None,
    previous: Path | None,
    digest_words: str | None,
    published: tuple[str, ...],
    published_in: tuple[Path, ...],
    allow: tuple[str, ...],
    out: Path | None,
) -> None:
    """Sign a draft: one file per person.

    Shows FILE and what changes since the root that you bring, asks for its version, and writes your detached signature.
    """
    draft, names, now = read_draft(file), read_published(published, published_in), datetime.now(UTC)
    if previous is None and draft.root.version > 1:
        raise CeremonyError(
            f"root {draft.root.version} follows another one, and you brought none to compare it with",
            expected="--previous with the root that you know",
            holds="Nothing was signed.",
            hint=f"Take root.{draft.root.version - 1}.json from the last ceremony, not from whoever sent this draft.",
        )
    before = check_previous(draft, previous)
    check_shown(draft)
    if digest_words is not None:
        check_words(digest_words, draft.digest)
    findings = judged(draft, before, now, allow, names)
    click.echo(as_table(draft.root, draft.payload, draft.names, findings, previous=before), err=True)
    _ask_for_version(draft.root.version)
    uri = key if ":" in key else file_uri(key)
    signer = open_signer(uri, passphrase=passphrase_from(passphrase_file, what=uri))
    try:
        signature = sign_draft(draft, signer, name=signer.label, made=now)
    finally:
        signer.close()
    path = out or Path(f"root.{draft.root.version}.{signature.keyid[:16]}.sig")
    write_all({path: signature.to_bytes()}, "signature")
    click.echo(str(path))


@click.command("assemble", epilog=examples("pinwarden root assemble root.2.draft root.2.*.sig --previous root.1.json"))
@click.argument("file", type=FILE)
@click.argument("signatures", type=FILE, nargs=-1)
@PREVIOUS
@PUBLISHED
@PUBLISHED_IN
@ALLOW
@click.option(
    "--output", "--out", "out", type=FILE, help="New file; default: root.VERSION.json. The transcript stands beside it."
)
def assemble_root(
    file: Path,
    signatures: tuple[Path, ...],
    previous: Path | None,
    published: tuple[str, ...],
    published_in: tuple[Path, ...],
    allow: tuple[str, ...],
    out: Path | None,
) -> None:
    """Put draft and signatures together.

    Writes the root and a transcript once the SIGNATURES over the draft in FILE meet the thresholds of the old and of
    the new root; else says who is missing and exits with 5. May be run again with more signatures, in any order.
    """
    content, names = read_public(file, limit=MAX_DRAFT_BYTES, what="draft"), read_published(published, published_in)
    draft = RootDraft.parse(content, where=str(file))
    before = check_previous(draft, previous)
    check_shown(draft)
    findings = judged(draft, before, datetime.now(UTC), allow, names)
    detached, digests = read_signatures(signatures)
    envelope = assemble(draft, detached)
    if draft.previous and not previous:
        shown = digest_groups(draft.previous.payload)
        click.echo(f"warning: the previous root was taken from the draft itself; its digest is {shown}", err=True)
    path = out or Path(f"root.{draft.root.version}.json")
    files = (FileDigest.of(file, content), *digests, FileDigest.of(path, envelope.to_bytes()))
    accepted = tuple(finding.code for finding in findings)
    transcript = Transcript(draft, envelope, detached, files, accepted, software())
    told, readable = (path.with_name(f"transcript.{draft.root.version}.{kind}") for kind in ("json", "txt"))
    write_all({told: transcript.to_bytes(), readable: transcript.to_text().encode(), path: envelope.to_bytes()}, "root")
    click.echo(", ".join(each.spell(draft.names) for each in tally(draft, detached)), err=True)
    click.echo(f"transcript: {readable} and {told}", err=True)
    click.echo(str(path))


def _ask_for_version(version: int) -> None:
    typed: str = click.prompt("Type the version to sign it", err=True)
    if typed.strip() != str(version):
        raise CeremonyError(
            "not signed", expected=f"version {version} typed", got=ascii(typed[:40]), holds="Nothing was written."
        )
