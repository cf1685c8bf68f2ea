"""
The last steps of every publication: staged, committed, renamed, rung, in this order.

It may import the store, the tree and the bell. The commit is the publication; whoever returns from here may tell the
world, and whoever dies on the way leaves either nothing, or a commit that ``reconcile`` brings to the tree.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints
from pinwarden.strict_json import encode
from pinwarden_server import audit, history
from pinwarden_server.errors import (
    ChangeClosed,
    IdempotencyMismatch,
    NotServedYet,
    StaleVersion,
    StoreUnavailable,
    Tag,
    Violation,
)
from pinwarden_server.public_files import pinset_files
from pinwarden_server.published_tree import PublicFile
from pinwarden_server.signing import Ground, Pair
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeSignature, Transaction, VersionRow
from pinwarden_server.store.writer import TimestampRow
from pinwarden_server.tags import format_tag

STEPS = (
    "checked",
    "reserving",
    "reserved",
    "pinset-signed",
    "timestamp-signed",
    "verified",
    "tree-staged",
    "locked",
    "moved",
    "appended",
    "committing",
    "committed",
    "first-file-renamed",
    "tree-renamed",
    "tree-synced",
    "rung",
)
TIMESTAMP_RENEWAL = 3  # part of its life after which a timestamp is signed again (spec S4)


@dataclass(frozen=True, slots=True)
class Change:
    """
    What is recorded about a publication.

    Attributes:
        room: ``publish``, ``renew``, ``change`` or ``root``, prefix of the failpoints.
        action: for the audit row.
        only_timestamp: the pin set stays as it is.
        waited: number of the change that people signed and that this publishes, or None.
        last_signature: the signature that completed it, to be kept with the others.
        approved_by: keys of the people whose approval a signer process asked for; the root need not name them.
    """

    room: str
    action: str
    reason: str = ""
    forced: tuple[str, ...] = ()
    warnings: tuple[Violation, ...] = ()
    only_timestamp: bool = False
    waited: int | None = None
    last_signature: ChangeSignature | None = None
    approved_by: tuple[str, ...] = ()


class TimestampMoved(Exception):
    """The expected pin set is still in force, under a new timestamp or a new root: survey and sign again, repeat."""


def bring_into_force(site: Site, ground: Ground, pair: Pair, change: Change, by: Act) -> Published:
    """
    Publish *pair* in place of the one that *ground* was surveyed with.

    Raises:
        StaleVersion: another version is in force. TimestampMoved: only another timestamp is, or another root.
        ChangeClosed: what was signed does not wait any more.
        NotServedYet: committed, and the tree could not be written. StoreUnavailable: not committed.
    """
    outcome = Published(
        name=ground.name,
        tag=(pair.document.epoch, pair.document.version),
        timestamp_version=pair.stamp.version,
        issued=pair.document.issued,
        expires=pair.document.expires,
        created=ground.current is None,
        warnings=change.warnings,
    )
    with site.tree.staged(files_of(site, ground, pair, change, by)) as staged:
        failpoints.hit(f"{change.room}.tree-staged")
        with site.tree.locked(ground.name):
            failpoints.hit(f"{change.room}.locked")
            _commit(site, ground, pair, change, outcome, by)
            failpoints.hit(f"{change.room}.committed")
            try:
                staged.rename(change.room)
            except StoreUnavailable as error:
                raise _not_served(outcome, error) from error
    site.bell.ring(ground.name)
    failpoints.hit(f"{change.room}.rung")
    return outcome


def files_of(site: Site, ground: Ground, pair: Pair, change: Change, by: Act) -> dict[str, PublicFile]:
    """
    Return the files of *pair*, by address: its place in the history before the bundles that carry it.

    The history is that of *ground*: if it grows before the commit, another pair is in force and nothing is committed.
    """
    files = pinset_files(ground.roots, pair.timestamp, pair.pinset)
    if change.only_timestamp:
        return files
    before = site.store.reader.history_end(ground.name)
    entry = history.next_entry(history.end_of(before, ground.root.authority, ground.name), pair.pinset, by.at)
    return {**history.head_files(ground.root.authority, ground.name, [*before, entry]), **files}


def move(transaction: Transaction, ground: Ground, pair: Pair) -> None:
    """
    Put *pair* in force in place of the one that *ground* was surveyed with.

    Raises:
        StaleVersion: another version is in force. TimestampMoved: only another timestamp is.
    """
    tag, row = (pair.document.epoch, pair.document.version), _timestamp_row(pair)
    if ground.current is None:
        if not transaction.create_pinset(ground.name, tag, row):
            found = transaction.pair_of(ground.name)
            raise stale(ground.name, None, found and found[0])
        return
    expected, expected_timestamp = ground.current.tag, ground.current.timestamp_tag
    if transaction.move_pinset(
        ground.name, expected=expected, expected_timestamp=expected_timestamp, tag=tag, timestamp=row
    ):
        return
    found = transaction.pair_of(ground.name)
    if found and found[0] == expected:
        raise TimestampMoved
    raise stale(ground.name, expected, found and found[0])


def record(transaction: Transaction, ground: Ground, pair: Pair, change: Change, by: Act) -> None:
    """
    Append the audit row of *pair*, and its version unless that is not new, with its place in the history.

    Other writers wait from here on.
    """
    seq = _append_audit(transaction, ground, pair, change, by)
    if change.only_timestamp:
        return
    transaction.append_version(_version_row(ground.name, pair, change, by), audit_seq=seq)
    last = transaction.last_entry(ground.name)
    end = history.end_of([last] if last else [], ground.root.authority, ground.name)
    transaction.append_entry(ground.name, history.next_entry(end, pair.pinset, by.at))


def replay(site: Site, by: Act) -> Published | None:
    """
    Return the answer that was given under the same Idempotency-Key, None when there was none.

    Raises:
        IdempotencyMismatch: the key stood for another request.
    """
    kept = kept_answer(site, by)
    return Published.of_answer(kept) if kept else None


def kept_answer(site: Site, by: Act) -> str | None:
    """Return the text that was kept as the answer under the same Idempotency-Key, or None; IdempotencyMismatch."""
    kept = by.attempt and site.store.reader.attempt(by.actor, by.attempt.key)
    if not kept or by.attempt is None:
        return None
    if kept[0] != by.attempt.fingerprint:
        raise IdempotencyMismatch(
            f"the Idempotency-Key {by.attempt.key!r} was used for another request",
            hint="Send a fresh key with each new change, and the old one only to repeat the same request.",
        )
    return kept[1]


def keep_answer(transaction: Transaction, by: Act, answer: dict[str, object]) -> None:
    """Keep *answer* under the Idempotency-Key of the request, when it has one, in the transaction of the change."""
    if by.attempt:
        text, fingerprint = encode(answer).decode("ascii"), by.attempt.fingerprint
        transaction.append_attempt(by.actor, by.attempt.key, fingerprint=fingerprint, answer=text, at=by.at)


def stale(name: str, expected: Tag | None, current: Tag | None) -> StaleVersion:
    """Return the error of a change that was made for another version than *current*."""
    if expected is None:
        what, hint = f"pin set {name!r} exists already", "To replace it, send If-Match with its current version."
    else:
        what = f"pin set {name!r} is not at the expected version"
        hint = "Fetch it again, look at what changed, and repeat the change on top of it."
    return StaleVersion(
        what,
        current=current,
        expected=format_tag(expected) if expected else "no pin set of that name",
        got=format_tag(current) if current else "no pin set of that name",
        hint=hint,
    )


def _commit(site: Site, ground: Ground, pair: Pair, change: Change, outcome: Published, by: Act) -> None:
    try:
        with site.store.writer.transaction() as transaction:
            _close(transaction, change, pair, by)  # before the move, which outdates whatever still waits
            move(transaction, ground, pair)
            failpoints.hit(f"{change.room}.moved")
            record(transaction, ground, pair, change, by)
            # Only now: writers queue on the audit log's end, so no root can come into force between look and commit.
            if transaction.newest_root() != ground.root.version:
                raise TimestampMoved
            failpoints.hit(f"{change.room}.appended")
            keep_answer(transaction, by, outcome.to_json())
            failpoints.hit(f"{change.room}.committing")
    except IntegrityError as error:
        # Someone wrote the same row between our look and our insert: the same name, or the same Idempotency-Key.
        current = site.store.reader.find_current(ground.name)
        raise stale(ground.name, ground.tag, current.tag if current else None) from error


def _close(transaction: Transaction, change: Change, pair: Pair, by: Act) -> None:
    if change.waited is None:
        return
    version = format_tag((pair.document.epoch, pair.document.version))
    if not transaction.close_change(change.waited, "published", at=by.at, by=by.actor, reason=f"version {version}"):
        found = transaction.lock_change(change.waited)
        raise closed(change.waited, found.state if found else "unknown")
    if change.last_signature:
        transaction.append_change_signature(change.waited, change.last_signature)


def closed(number: int, state: str) -> ChangeClosed:
    """Return the error of a change that does not wait any more."""
    hints = {
        "published": "Nothing is left to sign; look at the version that is in force.",
        "rejected": "Look at the reason, and propose it anew if it was wrong.",
        "stale": "Look at the version that is in force now, and propose the change again on top of it.",
        "expired": "Propose it again: a signed life that is over cannot be prolonged.",
    }
    return ChangeClosed(
        f"change {number} does not wait for signatures any more",
        state=state,
        expected="a waiting change",
        got=state,
        hint=hints.get(state),
    )


def _append_audit(transaction: Transaction, ground: Ground, pair: Pair, change: Change, by: Act) -> int:
    detail: dict[str, object] = {
        "version": format_tag((pair.document.epoch, pair.document.version)),
        "sha256": sha256(pair.pinset.payload).hexdigest(),
        "timestamp": format_tag((pair.stamp.epoch, pair.stamp.version)),
        "timestamp_sha256": sha256(pair.timestamp.payload).hexdigest(),
    }
    if ground.current:
        detail["replaces"] = format_tag(ground.current.tag)
    if change.reason:
        detail["reason"] = change.reason
    if change.forced:
        detail["forced"] = list(change.forced)
    if change.waited is not None:
        detail["change"] = change.waited
        detail["signed_by"] = [entry.keyid for entry in pair.pinset.signatures]
    if change.approved_by:
        detail["approved_by"] = list(change.approved_by)
    return audit.append(transaction, at=by.at, actor=by.actor, action=change.action, subject=ground.name, detail=detail)


def _version_row(name: str, pair: Pair, change: Change, by: Act) -> VersionRow:
    return VersionRow(
        name=name,
        tag=(pair.document.epoch, pair.document.version),
        envelope=pair.pinset,
        issued=pair.document.issued,
        expires=pair.document.expires,
        published_at=by.at,
        actor=by.actor,
        reason=change.reason,
        forced=change.forced,
    )


def _timestamp_row(pair: Pair) -> TimestampRow:
    stamp, document = pair.stamp, pair.document
    return TimestampRow(
        tag=(stamp.epoch, stamp.version),
        envelope=pair.timestamp,
        expires=stamp.expires,
        renew_after=stamp.issued + (stamp.expires - stamp.issued) / TIMESTAMP_RENEWAL,
        renew_pinset_after=_half_life(document.name, document.version, document.issued, document.expires),
    )


def _half_life(name: str, version: int, issued: datetime, expires: datetime) -> datetime:
    # Up to a tenth of the life earlier, the same on every node: sets published together do not all renew together.
    part = int.from_bytes(sha256(f"{name} {version}".encode()).digest()[:2]) / 65536
    life: timedelta = expires - issued
    return issued + life / 2 - life / 10 * part


def _not_served(outcome: Published, error: StoreUnavailable) -> NotServedYet:
    return NotServedYet(
        f"version {format_tag(outcome.tag)} of {outcome.name!r} is stored and cannot be served yet: {error.what}",
        version=format_tag(outcome.tag),
        got=error.got,
        holds="The version is published; it will be served as soon as the tree can be written.",
        hint="Repair the disk, then run `pinwarden server publish-tree`, or repeat with the same Idempotency-Key.",
    )
