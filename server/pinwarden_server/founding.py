"""
The authority's first root, and the published tree made from the store.

It may import the store, the tree and the bell. It signs nothing: roots come from a ceremony, documents from publishing.
"""

from collections.abc import Callable, Iterable

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints, trust
from pinwarden.documents import Root, Timestamp
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden_server import audit
from pinwarden_server.errors import BadDraft, Conflict, Tag, Violation
from pinwarden_server.public_files import pinset_files, root_files, version_address, version_file
from pinwarden_server.published_tree import PublicFile
from pinwarden_server.site import Act, Site

failpoints.register("reconcile.first-file-renamed", "reconcile.tree-renamed", "reconcile.tree-synced")

_ROOTS_LOCK = "_roots"  # no pin set can have this name


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

    Args:
        rebuild: write every file, whatever stands there.

    Raises:
        StoreUnavailable: the database or the disk is away; the tree serves what it has.
    """
    site.tree.sweep()
    roots = site.store.reader.roots()
    written = _write(site, _ROOTS_LOCK, lambda: root_files(roots), rebuild=rebuild)
    for current in site.store.reader.all_current():
        written |= _reconcile_versions(
            site, current.name, site.store.reader.version_tags(current.name), rebuild=rebuild
        )
        written |= _reconcile_current(site, current.name, roots, rebuild=rebuild)
    site.bell.ring(None)
    return len(written)


def reconcile_pinset(site: Site, name: str, *, versions: Iterable[Tag] = ()) -> int:
    """
    Make the files of one pin set what the store says, ring its bell, and return how many files were written.

    Args:
        versions: those that may be missing, besides the one in force.
    """
    written = _reconcile_versions(site, name, versions, rebuild=False)
    written |= _reconcile_current(site, name, site.store.reader.roots(), rebuild=False)
    site.bell.ring(name)
    return len(written)


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
        return {**first, **pinset_files(known, current.timestamp, current.pinset)}

    return _write(site, name, files, rebuild=rebuild, whole=folder)


def _reconcile_versions(site: Site, name: str, tags: Iterable[Tag], *, rebuild: bool) -> set[str]:
    missing = {}
    for tag in tags:
        address = version_address(name, tag)
        if rebuild or not site.tree.path_of(address).is_file():
            missing[address] = version_file(site.store.reader.version(name, tag[1], tag[0]).envelope)
    return _write(site, name, lambda: missing, rebuild=True) if missing else set()


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
