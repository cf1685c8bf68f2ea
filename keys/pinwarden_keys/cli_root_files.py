"""
What the commands of ``pinwarden root`` share: their options, and the files that they read and write.

It may import click and everything in this package but the commands. Nothing is overwritten: a file that is there with
the same bytes is as good as written, so that every command may be run again.
"""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import click

from pinwarden.bundle import MAX_BUNDLE_BYTES, Bundle
from pinwarden.documents import PinSet, Root, check_name
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import parse_object
from pinwarden_keys.ceremony import verify_root
from pinwarden_keys.ceremony_files import MAX_DRAFT_BYTES, MAX_SIGNATURE_BYTES, DetachedSignature, RootDraft
from pinwarden_keys.ceremony_transcript import FileDigest
from pinwarden_keys.errors import CeremonyError, KeyFileError
from pinwarden_keys.files import read_public, write_new
from pinwarden_keys.prompts import FILE
from pinwarden_keys.root_draft_lint import ALLOWED_CODES, lint_draft
from pinwarden_keys.root_lint import Finding
from pinwarden_keys.root_view import digest_groups

PREVIOUS = click.option("--previous", type=FILE, help="The root before, as an envelope file that you trust.")
ALLOW = click.option(
    "--allow", multiple=True, type=click.Choice(ALLOWED_CODES), help="Accept this finding. Repeatable."
)
PUBLISHED = click.option(
    "--published", multiple=True, metavar="NAME", help="A pin set that is published, whose epoch must not fall."
)
PUBLISHED_IN = click.option(
    "--published-in",
    multiple=True,
    type=FILE,
    help="The same from a file: one name in each line, or a bundle or pin set as it is served.",
)
DIGEST_WORDS = click.option(
    "--digest-words", metavar="WORDS", help="Compare the words that somebody reads to you with the digest of FILE."
)


def read_envelope(path: Path) -> Envelope:
    """Return the root in *path*; its signatures are not judged."""
    return Envelope.parse(read_public(path, limit=MAX_DRAFT_BYTES, what="root"), expect=ROOT_TYPE)


def read_draft(path: Path) -> RootDraft:
    """Return the draft in *path*."""
    return RootDraft.parse(read_public(path, limit=MAX_DRAFT_BYTES, what="draft"), where=str(path))


def read_signatures(paths: Iterable[Path]) -> tuple[tuple[DetachedSignature, ...], list[FileDigest]]:
    """Return the detached signature in each of *paths*, and the digests of these files; a stray file is named."""
    contents = [(path, read_public(path, limit=MAX_SIGNATURE_BYTES, what="signature")) for path in paths]
    detached = tuple(DetachedSignature.parse(content, where=str(path)) for path, content in contents)
    return detached, [FileDigest.of(path, content) for path, content in contents]


def read_either(path: Path) -> tuple[RootDraft, list[str]]:
    """Return a draft, or a signed root as if it were one, and the keyids of its signatures."""
    content = read_public(path, limit=MAX_DRAFT_BYTES, what="root or draft")
    if "format" in parse_object(content, limit=MAX_DRAFT_BYTES, what=str(path)):
        return RootDraft.parse(content, where=str(path)), []
    envelope = Envelope.parse(content, expect=ROOT_TYPE)
    return RootDraft(envelope.payload, None, {}), [entry.keyid for entry in envelope.signatures]


def read_published(names: tuple[str, ...], files: tuple[Path, ...]) -> tuple[str, ...]:
    """
    Return the names of published pin sets, given by themselves or in files; signatures are not judged.

    Raises:
        CeremonyError: a name that no pin set can have, or a file without any.
    """
    found = [*names]
    for path in files:
        content = read_public(path, limit=MAX_BUNDLE_BYTES, what="list of names")
        try:
            inside = _names_in(content)
        except (UntrustedError, UnicodeDecodeError) as error:
            raise CeremonyError(f"{path} holds no names of pin sets: {error}") from None
        if not inside:
            raise CeremonyError(f"{path} holds no names of pin sets", got="an empty file")
        found += inside
    try:
        return tuple(check_name(name) for name in found)
    except UntrustedError as error:
        raise CeremonyError(error.what, expected=error.expected, got=error.got) from None


def check_previous(draft: RootDraft, path: Path | None) -> Root | None:
    """
    Return the root that *draft* follows: the one that the person brings, not the one that the draft carries along.

    Raises:
        CeremonyError: they differ. UntrustedError: the root that was brought is not signed by its own threshold.
    """
    if path is None:
        return draft.previous_root
    envelope = read_envelope(path)
    held = verify_root(envelope, previous=None)
    if draft.previous is None or draft.previous.payload != envelope.payload:
        raise CeremonyError(
            f"the draft does not follow {path}",
            expected=digest_groups(envelope.payload),
            got=digest_groups(draft.previous.payload) if draft.previous else "a draft that founds an authority",
            hint="Ask whoever drafted it which root they started from.",
        )
    return held


def judged(
    draft: RootDraft, previous: Root | None, now: datetime, allowed: tuple[str, ...], names: tuple[str, ...]
) -> tuple[Finding, ...]:
    """
    Return the findings about *draft* that *allowed* accepts.

    Raises:
        CeremonyError: there are others.
    """
    findings = lint_draft(draft.root, previous=previous, now=now, names=names)
    refused = [finding for finding in findings if not finding.policy or finding.code not in allowed]
    if refused:
        policy = all(finding.policy for finding in refused)
        raise CeremonyError(
            "this root must not be made: " + "; ".join(f"{each.code} {each.message}" for each in refused),
            holds="Nothing was written.",
            hint=" ".join(dict.fromkeys(each.hint for each in refused))
            + (" Whoever knows better accepts a finding by --allow CODE." if policy else ""),
        )
    return findings


def write_all(files: Mapping[Path, bytes], what: str) -> None:
    """
    Write new files; those that are there with the same bytes count as written.

    Raises:
        CeremonyError: one of them is there with other bytes, and none was written; or it cannot be created.
    """
    missing = [path for path, content in files.items() if not _holds(path, content, what)]
    try:
        for path in missing:
            write_new(path, files[path], mode=0o644, what=what)
    except KeyFileError as error:
        raise CeremonyError(error.what, holds=error.holds, hint=error.hint) from None


def _holds(path: Path, content: bytes, what: str) -> bool:
    if not os.path.lexists(path):
        return False
    try:
        if path.is_file() and read_public(path, limit=len(content), what=what) == content:
            return True
    except KeyFileError as error:  # larger, or not readable: another one in any case
        raise CeremonyError(f"{what} {path} exists already: {error.what}", holds="It was not touched.") from None
    raise CeremonyError(
        f"{what} {path} exists already, with another content",
        holds="It was not touched.",
        hint="Choose another name, or move the old file away yourself.",
    )


def _names_in(content: bytes) -> list[str]:
    if not content.lstrip().startswith(b"{"):
        lines = (line.partition("#")[0].strip() for line in content.decode("utf-8").splitlines())
        return [line for line in lines if line]
    value = parse_object(content, limit=MAX_BUNDLE_BYTES, what="bundle")
    pinset = Bundle.parse(content).pinset if "pinset" in value else Envelope.from_json(value, expect=PINSET_TYPE)
    return [PinSet.parse(pinset.payload).name]
