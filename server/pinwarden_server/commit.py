"""
The last steps of every publication: staged, committed, renamed, rung, in this order.

It may import the store, the tree and the bell. The commit is the publication; whoever returns from here may tell the
world, and whoever dies on the way leaves either nothing, or a commit that ``reconcile`` brings to the tree.
"""

from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints
from pinwarden.strict_json import encode
from pinwarden_server import audit, history
from pinwarden_server.approvals_checked import approval_detail, check_vouched_for
from pinwarden_server.changes_closed import closed
from pinwarden_server.errors import (
    ApprovalsMissing,
    IdempotencyMismatch,
    NotServedYet,
    StaleVersion,
    StoreUnavailable,
    Tag,
)
from pinwarden_server.public_files import pinset_files
from pinwarden_server.publication import Change, audit_detail, review_row, timestamp_row, version_row
from pinwarden_server.published_tree import PublicFile
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.signing import Ground, Pair
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeApproval, ChangeRow, Transaction, person_of
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


class TimestampMoved(Exception):
    """The expected pin set is still in force, under a new timestamp or a new root: survey and sign again, repeat."""


def bring_into_force(site: Site, ground: Ground, pair: Pair, change: Change, by: Act) -> Published:
    """
    Publish *pair* in place of the one that *ground* was surveyed with.

    Raises:
        StaleVersion: another version is in force. TimestampMoved: only another timestamp is, or another root.
        ChangeClosed: what was signed does not wait any more. Unauthenticated, Conflict: whoever asks, or whoever alone
        stands for what was scheduled, was revoked meanwhile.
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


def move(transaction: Transaction, ground: Ground, pair: Pair, change: Change, *, approvals_required: int = 0) -> None:
    """
    Put *pair* in force in place of the one that *ground* was surveyed with.

    Args:
        approvals_required: by a pin set that is new.

    Raises:
        StaleVersion: another version is in force. TimestampMoved: only another timestamp is.
    """
    tag, row = (pair.document.epoch, pair.document.version), timestamp_row(pair)
    if ground.current is None:
        if not transaction.create_pinset(ground.name, tag, row, approvals_required=approvals_required):
            found = transaction.pair_of(ground.name)
            raise stale(ground.name, None, found and found[0])
        return
    expected, expected_timestamp = ground.current.tag, ground.current.timestamp_tag
    if transaction.move_pinset(
        ground.name,
        expected=expected,
        expected_timestamp=expected_timestamp,
        tag=tag,
        timestamp=row,
        same_content=change.same_content,
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
    detail = audit_detail(ground, pair, change)
    seq = audit.append(transaction, at=by.at, actor=by.actor, action=change.action, subject=ground.name, detail=detail)
    if change.only_timestamp:
        return
    transaction.append_version(version_row(ground.name, pair, change, by), audit_seq=seq)
    last = transaction.last_entry(ground.name)
    end = history.end_of([last] if last else [], ground.root.authority, ground.name)
    transaction.append_entry(ground.name, history.next_entry(end, pair.pinset, by.at))
    if change.broke_glass:
        transaction.append_change(review_row(seq, ground, pair, change, by))


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


def keep_approval(transaction: Transaction, row: ChangeRow, new: ChangeApproval, by: Act) -> None:
    """Keep and audit *new* as an approval of *row*, in the transaction of whatever comes of it."""
    transaction.put_approval(row.id, new)
    detail = approval_detail(row, new)
    audit.append(transaction, at=by.at, actor=by.actor, action="change.approve", subject=row.name, detail=detail)


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
            check_unrevoked(transaction, by)
            required = transaction.lock_policy(ground.name)
            if required is None:
                required = site.policy.approvals_required
            change = _close(site, transaction, change, pair, by)  # before the move, which outdates whatever still waits
            _check_approvals(ground.name, change, max(required, change.approvals_asked))
            move(transaction, ground, pair, change, approvals_required=required)
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


def _close(site: Site, transaction: Transaction, change: Change, pair: Pair, by: Act) -> Change:
    """Close the change that *change* publishes, if any, and return *change* with the approvals that this one has."""
    if change.waited is None:
        return change
    found, tag = transaction.lock_change(change.waited), (pair.document.epoch, pair.document.version)
    reason = f"version {format_tag(tag)}"
    if found is None or not transaction.close_change(
        found.id, "published", at=by.at, by=by.actor, reason=reason, published_as=tag
    ):
        raise closed(site, change.waited, by.at)
    approvers = set(found.approvers)
    if change.last_signature:
        transaction.append_change_signature(found.id, change.last_signature)
    if change.last_approval:
        keep_approval(transaction, found, change.last_approval, by)
        approvers.add(person_of(change.last_approval.owner))
    check_vouched_for(found, approvers, transaction.is_revoked)
    return replace(change, approvers=tuple(sorted(approvers)), approvals_asked=found.approvals_required)


def _check_approvals(name: str, change: Change, required: int) -> None:
    """
    Return when *change* may be published with the approvals it has: the last gate, whichever way something came.

    Raises:
        ApprovalsMissing: more are required by now.
    """
    if change.exempt or change.broke_glass or len(change.approvers) >= required:
        return
    raise ApprovalsMissing(
        f"pin set {name!r} requires approvals",
        expected=f"{required} approvals",
        got=len(change.approvers),
        hint="Repeat the request: it waits as a change for those that are missing.",
    )


def _not_served(outcome: Published, error: StoreUnavailable) -> NotServedYet:
    return NotServedYet(
        f"version {format_tag(outcome.tag)} of {outcome.name!r} is stored and cannot be served yet: {error.what}",
        version=format_tag(outcome.tag),
        got=error.got,
        holds="The version is published; it will be served as soon as the tree can be written.",
        hint="Repair the disk, then run `pinwarden server publish-tree`, or repeat with the same Idempotency-Key.",
    )
