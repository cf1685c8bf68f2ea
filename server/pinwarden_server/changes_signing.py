"""
Signatures by people, handed in for a change that waits for them.

It may import what publishes a waiting change. The last signature is kept in the commit that publishes, so no change is
ever complete, due, and left lying.
"""

from pinwarden import failpoints
from pinwarden.envelope import Signature
from pinwarden_server import audit
from pinwarden_server.changes_answered import Outcome, Waiting, once, repeatedly, twice_at_once
from pinwarden_server.changes_closed import closed
from pinwarden_server.changes_publishing import Deed, ground_of, publish_change, standing_of
from pinwarden_server.changes_signatures import checked_signature, not_by_people, repeated
from pinwarden_server.commit import keep_answer
from pinwarden_server.grounds import grant_of
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeRow, ChangeSignature
from pinwarden_server.store.change_rows import BY_PEOPLE
from pinwarden_server.tags import format_tag

failpoints.register("sign.committing", "sign.committed")


def sign_change(site: Site, number: int, signature: Signature, by: Act) -> Outcome:
    """
    Add a person's signature to a change, and publish the change when nothing else is waited for.

    Raises:
        Unauthenticated: the token or session of *by* was revoked since it was let in.
        NotFound, ChangeClosed, SignatureRefused, IdempotencyMismatch, SignerUnavailable, SigningRefused,
        PublicationRefused, StoreUnavailable: the signature was not kept.
        NotServedYet: published, and cannot be served yet.
    """
    return once(site, by, lambda: repeatedly(number, lambda: _sign_once(site, number, signature, by)))


def _sign_once(site: Site, number: int, signature: Signature, by: Act) -> Outcome | None:
    """Judge, then keep or publish; None when someone signed or renewed meanwhile, and all has to be judged again."""
    row = site.store.reader.change(number)
    grant = grant_of(ground_of(site, row, by.at))
    if row.signer != BY_PEOPLE:
        raise not_by_people(row)
    new = checked_signature(row, grant, site.signers.gates(grant, row.name), signature, by)
    known = any(entry.keyid == new.keyid for entry in row.signatures)
    deed = Deed(signature=None if known else new)
    found = standing_of(site, row, by.at, deed)
    if found.is_complete:
        return publish_change(site, row, found, by, deed)
    if known:
        raise repeated(row, new)
    return Waiting(site.store.reader.change(number)) if _store(site, row, new, by) else None


def _store(site: Site, row: ChangeRow, new: ChangeSignature, by: Act) -> bool:
    """Keep a signature that does not complete the change; False when others did something since *row* was read."""
    with twice_at_once(), site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        found = transaction.lock_change(row.id)
        if found is None or found.state != "waiting":
            raise closed(site, row.id, by.at)
        if (found.signatures, found.approvals) != (row.signatures, row.approvals):
            return False
        transaction.append_change_signature(row.id, new)
        detail = {"change": row.id, "version": format_tag(row.tag), "keyid": new.keyid}
        audit.append(transaction, at=by.at, actor=by.actor, action="change.sign", subject=row.name, detail=detail)
        keep_answer(transaction, by, {"change": row.id})
        failpoints.hit("sign.committing")
    failpoints.hit("sign.committed")
    return True
