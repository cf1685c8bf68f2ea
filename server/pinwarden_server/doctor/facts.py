"""
Everything that the doctor knows of an installation, gathered by reading.

It may import the store's reader, the files and the signers. It judges nothing; what cannot be read is a reason in place
of a value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pinwarden.documents import Root
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import PinwardenError, UntrustedError
from pinwarden_keys import Signer, open_signer, passphrase_file
from pinwarden_server.doctor.facts_machine import (
    BackupFact,
    DiskFact,
    FileFact,
    WorkerFact,
    look_at_backup,
    look_at_disks,
    look_at_files,
    look_at_leftovers,
    look_at_workers,
)
from pinwarden_server.doctor.facts_store import StoreFacts, look_at_store
from pinwarden_server.doctor.facts_tree import published_pairs
from pinwarden_server.public_files import root_address
from pinwarden_server.published_state import PublishedDocuments
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.settings import Settings
from pinwarden_server.signers import Signers
from pinwarden_server.store import open_store

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why something could not be asked, and what to do about it."""

    why: str
    do: str


@dataclass(frozen=True, slots=True)
class SignerFact:
    """One URI of the settings: the key that it holds, proved by a signature, or why it could not be opened."""

    uri: str
    keyid: str | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was found, at *now*.

    Attributes:
        store: or why the database could not be asked.
        roots, documents: as the published files have them, newest root last.
        gunicorn: what ``GUNICORN_CMD_ARGS`` of this environment says; it wins over our own configuration.
        open_signers: those that could be opened, until ``gather`` closed them: their keys still tell.
    """

    now: datetime
    settings: Settings
    store: StoreFacts | Unknown
    roots: tuple[Root, ...]
    documents: tuple[PublishedDocuments, ...]
    signers: tuple[SignerFact, ...]
    open_signers: Signers
    files: tuple[FileFact, ...]
    disks: tuple[DiskFact, ...]
    leftovers: tuple[str, ...]
    workers: tuple[WorkerFact, ...]
    gunicorn: str
    backup: BackupFact | None


def gather(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    config: Path | None,
    backup: Path | None,
) -> Facts:
    """Return everything about the installation that *settings* describe; nothing is raised for what is away."""
    tree = PublishedTree(settings.tree_dir)
    signers, opened = _signers(settings)
    try:
        return Facts(
            now=clock(),
            settings=settings,
            store=_store(settings, tree, clock),
            roots=tuple(_roots(tree)),
            documents=tuple(published_pairs(tree)),
            signers=signers,
            open_signers=opened,
            files=tuple(look_at_files(settings, config)),
            disks=tuple(look_at_disks(settings)),
            leftovers=tuple(look_at_leftovers(settings)),
            workers=tuple(look_at_workers(settings)),
            gunicorn=environ.get("GUNICORN_CMD_ARGS", ""),
            backup=look_at_backup(backup) if backup else None,
        )
    finally:
        opened.close()


def _store(settings: Settings, tree: PublishedTree, clock: Callable[[], datetime]) -> StoreFacts | Unknown:
    try:
        store = open_store(settings.database_url)
    except PinwardenError as error:
        return _unknown(error)
    try:
        return look_at_store(store, tree, clock)
    except PinwardenError as error:
        return _unknown(error)
    finally:
        store.close()


def _unknown(error: PinwardenError) -> Unknown:
    hint = error.hint or ""
    # What a request should do, be repeated, is no advice to somebody who looks at the machine.
    do = hint if hint and "Idempotency-Key" not in hint else "Start it, and see database_url."
    return Unknown(f"{error.what}: {error.got}." if error.got else f"{error.what}.", do)


def _signers(settings: Settings) -> tuple[tuple[SignerFact, ...], Signers]:
    """Open every signer by itself: one that is away must not hide another."""
    passphrase = passphrase_file(settings.passphrase_file) if settings.passphrase_file else None
    facts, opened = list[SignerFact](), list[Signer]()
    for uri in settings.signers:
        try:
            signer = open_signer(uri, passphrase=passphrase)
        except PinwardenError as error:
            facts.append(SignerFact(uri, None, str(error)))
        else:
            opened.append(signer)
            facts.append(SignerFact(uri, signer.keyid))
    return tuple(facts), Signers(opened)


def _roots(tree: PublishedTree) -> Iterator[Root]:
    version = 1
    while True:
        try:
            body = tree.path_of(root_address(version)).read_bytes()
            yield Root.parse(Envelope.parse(body, expect=ROOT_TYPE).payload)
        except (OSError, UntrustedError):
            return  # whether the files are right is compared with the store
        version += 1
