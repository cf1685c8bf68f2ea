"""
The authority's first root, and the published tree made from the store.

It may import the store, the tree and the bell. It signs nothing: roots come from a ceremony, documents from publishing.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import count

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints, trust
from pinwarden.checkpoint import CHECKPOINT_ADDRESS, Checkpoint
from pinwarden.documents import Root, Timestamp
from pinwarden.envelope import CHECKPOINT_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden.history import SEGMENT_ENTRIES
from pinwarden_server import audit, history
from pinwarden_server.errors import BadDraft, Conflict, Tag, Violation
from pinwarden_server.public_files import (
    checkpoint_file,
    pinset_files,
    root_files,
    segment_address,
    version_address,
    version_file,
)
from pinwarden_server.published_tree import PublicFile, PublishedTree
from pinwarden_server.site import Act, Site
from pinwarden_server.store import Current
from pinwarden_server.store.copying import unsettled_names

log = logging.getLogger("pinwarden.server")
failpoints.register("reconcile.first-file-renamed", "reconcile.tree-renamed", "reconcile.tree-synced")

_ROOTS_LOCK, _CHECKPOINT_LOCK = "_roots", "_checkpoint"  # no pin set can have these names


def found(site: Site, root_json: bytes, by: Act) -> Root:
    """
    Store and serve *root_json* as root version 1 of this server's authority; the same one again changes nothing.

    Raises:
        BadDraft: not a root that its own keys signed, or not version 1. Conflict: the server has another authority.
    """
    envelope, root = _judge_first(root_json)
    stored = site.store.reader.roots()
    if not stored:
        try:
            with site.store.writer.transaction() as transaction:
                transaction.append_root(1, envelope, by.at)
                detail = {"authority": root.authority, "version": 1, "keyids": list(root.root.keyids)}
                audit.append(
                    transaction, at=by.at, actor=by.actor, action="root.publish", subject=root.authority, detail=detail
                )
        except IntegrityError:
            pass  # someone founded it meanwhile; whether with the same root is judged below
        stored = site.store.reader.roots()
    if stored[0].payload != envelope.payload:
        raise Conflict(
            "this server serves another authority already",
            expected=Root.parse(stored[0].payload).authority,
            got=root.authority,
            hint="Each authority has a database of its own.",
        )
    _write(site, _ROOTS_LOCK, lambda: root_files(site.store.reader.roots()), rebuild=False)
    site.bell.ring(None)
    return root


def reconcile(site: Site, *, rebuild: bool = False) -> int:
    """
    Make the published tree what the store says, ring the bell for everything, and return how many files were written.

    What is newer in the tree than in a store that was restored stays there until the floor of its name is set: the tree
    knows what clients have seen.

    Args:
        rebuild: write every file, whatever stands there.

    Raises:
        StoreUnavailable: the database or the disk is away; the tree serves what it has.
    """
    site.tree.sweep()
    roots, waiting = site.store.reader.roots(), unsettled_names(site.store.reader)
    written = _write(site, _ROOTS_LOCK, lambda: root_files(roots), rebuild=rebuild)
    written |= serve_checkpoint(site, rebuild=rebuild)
    for current in site.store.reader.all_current():
        tags = site.store.reader.version_tags(current.name)
        written |= _reconcile_versions(site, current.name, tags, rebuild=rebuild)
        if current.name in waiting and is_newer_in_tree(site.tree, current):
            log.warning("the published files of %s are newer than the restored store, and stay", current.name)
            continue
        written |= _reconcile_history(site, current.name, _authority(roots), rebuild=rebuild)
        written |= _reconcile_current(site, current.name, roots, rebuild=rebuild)
    site.bell.ring(None)
    return len(written)


def withheld(site: Site) -> list[str]:
    """Return the pin sets whose published files are newer than the store, which was restored and waits for floors."""
    waiting = unsettled_names(site.store.reader)
    if not waiting:
        return []
    return [
        one.name for one in site.store.reader.all_current() if one.name in waiting and is_newer_in_tree(site.tree, one)
    ]


def is_newer_in_tree(tree: PublishedTree, current: Current) -> bool:
    """Tell whether the tree has a newer timestamp of a name than *current*, the one in force in the store."""
    try:
        body = tree.path_of(f"/v1/pinsets/{current.name}/timestamp").read_bytes()
        stamp = Timestamp.parse(Envelope.parse(body, expect=TIMESTAMP_TYPE).payload)
    except (OSError, UntrustedError):
        return False  # nothing there that a client could have seen
    return (stamp.epoch, stamp.version) > current.timestamp_tag


def _is_longer_in_tree(site: Site) -> bool:
    newest = site.store.reader.newest_checkpoint()
    try:
        body = site.tree.path_of(CHECKPOINT_ADDRESS).read_bytes()
        size = Checkpoint.parse(Envelope.parse(body, expect=CHECKPOINT_TYPE).payload).size
    except (OSError, UntrustedError):
        return False
    return newest is None or size > newest.size


def reconcile_pinset(site: Site, name: str, *, versions: Iterable[Tag] = ()) -> int:
    """
    Make the files of one pin set what the store says, ring its bell, and return how many files were written.

    Args:
        versions: those that may be missing, besides the one in force.
    """
    roots = site.store.reader.roots()
    written = _reconcile_versions(site, name, versions, rebuild=False)
    if name in unsettled_names(site.store.reader) and is_newer_in_tree(site.tree, site.store.reader.current(name)):
        return len(written)
    written |= _add_segments(site, name, _authority(roots))
    written |= _reconcile_current(site, name, roots, rebuild=False)
    site.bell.ring(name)
    return len(written)


def serve_checkpoint(site: Site, *, rebuild: bool = False) -> set[str]:
    """
    Make the file of the newest checkpoint what the store says; nothing before the first.

    As for documents, one that covers more than a restored store knows stays until floors are set.
    """
    if _is_longer_in_tree(site) and unsettled_names(site.store.reader):
        return set()

    def files() -> dict[str, PublicFile]:
        newest = site.store.reader.newest_checkpoint()
        return {CHECKPOINT_ADDRESS: checkpoint_file(newest.envelope)} if newest else {}

    return _write(site, _CHECKPOINT_LOCK, files, rebuild=rebuild)


def _reconcile_current(site: Site, name: str, roots: tuple[Envelope, ...], *, rebuild: bool) -> set[str]:
    """Make the changing files of *name* what the store says, without those that are not served any more."""
    folder = f"/v1/bundles/{name}"

    def files() -> dict[str, PublicFile]:
        # Read under the lock: no commit can come between this and the rename.
        current = site.store.reader.current(name)
        known, first = roots, {}
        if Timestamp.parse(current.timestamp.payload).root_version > len(roots):
            # A root was published since; its own file goes before the bundles that carry it.
            known = site.store.reader.roots()
            first = root_files(known)
        end = site.store.reader.history_end(name)
        head = history.head_files(_authority(known), name, end)
        return {**first, **head, **pinset_files(known, current.timestamp, current.pinset)}

    return _write(site, name, files, rebuild=rebuild, whole=folder)


def _reconcile_versions(site: Site, name: str, tags: Iterable[Tag], *, rebuild: bool) -> set[str]:
    missing = {}
    for tag in tags:
        address = version_address(name, tag)
        if rebuild or not site.tree.path_of(address).is_file():
            missing[address] = version_file(site.store.reader.version(name, tag[1], tag[0]).envelope)
    return _write(site, name, lambda: missing, rebuild=True) if missing else set()


def _reconcile_history(site: Site, name: str, authority: str, *, rebuild: bool) -> set[str]:
    """Make the full segments of *name* what the store says; the newest one is made with what is in force."""
    written: set[str] = set()
    for number in count(1):
        entries = site.store.reader.history(name, after=(number - 1) * SEGMENT_ENTRIES)
        if len(entries) < SEGMENT_ENTRIES:
            break
        file = {segment_address(name, number): history.segment_file(authority, name, entries)}
        written |= _write(site, name, file.copy, rebuild=rebuild)
    return written


def _add_segments(site: Site, name: str, authority: str) -> set[str]:
    """Write the full segments of *name* that were filled since the newest one that is here; none is read again."""
    end = site.store.reader.history_end(name)
    written: set[str] = set()
    for number in range(end[-1].seq // SEGMENT_ENTRIES if end else 0, 0, -1):
        address = segment_address(name, number)
        if site.tree.path_of(address).is_file():
            break
        entries = site.store.reader.history(name, after=(number - 1) * SEGMENT_ENTRIES)
        file = {address: history.segment_file(authority, name, entries)}
        written |= _write(site, name, file.copy, rebuild=True)
    return written


def _authority(roots: tuple[Envelope, ...]) -> str:
    return Root.parse(roots[0].payload).authority


def _write(
    site: Site, lock: str, make: Callable[[], dict[str, PublicFile]], *, rebuild: bool, whole: str | None = None
) -> set[str]:
    """Write what differs; files below the address *whole* that were not made are removed."""
    with site.tree.locked(lock):
        made = make()
        wanted = {path: file for path, file in made.items() if rebuild or not site.tree.is_same(path, file)}
        if wanted:
            with site.tree.staged(wanted) as staged:
                staged.rename("reconcile")
        if whole is not None:
            site.tree.keep_only(whole, made.keys())
    return set(wanted)


def _judge_first(root_json: bytes) -> tuple[Envelope, Root]:
    try:
        envelope = Envelope.parse(root_json, expect=ROOT_TYPE)
        root = trust.begin(envelope, name="any").root
    except UntrustedError as error:
        violation = Violation(error.step or "V4", "", str(error.what), "Give the root.json of the ceremony.")
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation]) from error
    if root.version != 1:
        what = "a server is founded with root version 1"
        violation = Violation("V4", "", what, "Give root version 1, with which the authority began.")
        raise BadDraft(what, expected=1, got=root.version, violations=[violation])
    return envelope, root
