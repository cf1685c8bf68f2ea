"""
Changes as the admin API shows them: who signed and approved, who is missing, and the bytes that it is all about.

It may import the store's values, documents and the ceremony's arithmetic. Whoever signs or approves believes none of
this but the payload, and judges that by their own root.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import WrongPinSetError
from pinwarden.strict_json import encode_base64, format_time
from pinwarden_keys import Approvers
from pinwarden_keys.ceremony import Tally
from pinwarden_server.changes_signatures import Gates, count
from pinwarden_server.planning import is_exempt
from pinwarden_server.store import ChangeReview, ChangeRow
from pinwarden_server.store.change_rows import BY_PEOPLE
from pinwarden_server.tags import format_tag

STATES = ("waiting", "published", "review", "rejected", "stale", "expired")


def summary(row: ChangeRow, root: Root, gates: Gates | None, required: int, now: datetime) -> dict[str, Any]:
    """
    Return a change without its payload.

    Args:
        gates: None while a signer process does not say whom it asks.
        required: how many approvals its pin set requires now.
    """
    by_people, state = row.signer == BY_PEOPLE, row.state_at(now)
    return {
        "id": row.id,
        "name": row.name,
        "action": row.action,
        "state": state,
        "waiting_for": list(waiting_for(row, root, gates, required, now)) if state == "waiting" else [],
        "version": None if row.is_policy else format_tag(row.tag),
        "published_as": row.published_as and format_tag(row.published_as),
        "base": row.base and format_tag(row.base),
        "issued": format_time(row.issued),
        "expires": format_time(row.expires),
        "proposed_at": format_time(row.proposed_at),
        "actor": row.actor,
        "owner": row.owner,
        "reason": row.reason,
        "forced": list(row.forced),
        "warnings": list(row.warnings),
        "wait_for": list(row.wait_for),
        "signer": row.signer,
        "not_before": row.not_before and format_time(row.not_before),
        "waits_until": format_time(row.waits_until),
        "blocked": row.blocked or None,
        "tally": tally(row, root) if by_people else None,
        "approvals": None if gates is None else [approvals(row, keyid, gates[keyid]) for keyid in gates if by_people],
        "approved": approved(row, required),
        "review": row.review and _reviewed(row.review),
        "closed": _closed(row),
    }


def whole(row: ChangeRow, shown: dict[str, Any], base: Envelope | None) -> dict[str, Any]:
    """Return *shown*, a summary, with the payload to be signed, the envelope that it replaces, and the signatures."""
    return {
        **shown,
        "payload": encode_base64(row.payload),
        "base_envelope": base and base.to_json(),
        "signatures": [
            {"keyid": entry.keyid, "sig": encode_base64(entry.sig), "at": format_time(entry.at), "actor": entry.actor}
            for entry in row.signatures
        ],
    }


def waiting_for(row: ChangeRow, root: Root, gates: Gates | None, required: int, now: datetime) -> Iterator[str]:
    """Yield what is missing: ``signatures``, ``approvals``, ``time``; nothing of it: the next look publishes it."""
    if row.signer == BY_PEOPLE and not _is_signed(row, root, gates):
        yield "signatures"
    if not is_exempt(row.action) and len(row.approvers) < required:
        yield "approvals"
    if row.not_before is not None and now < row.not_before:
        yield "time"


def _is_signed(row: ChangeRow, root: Root, gates: Gates | None) -> bool:
    try:
        grant = root.grant_for(row.name)
    except WrongPinSetError:
        return False
    return gates is not None and count(row.signatures, grant, gates).completes(row, grant)


def tally(row: ChangeRow, root: Root) -> dict[str, Any] | None:
    """
    Return who signed and who may still, as the newest root says now; None when it grants the name to nobody.

    ``says`` spells it: ``1 of 2: missing 0f3a... or 77c1...``, keyids cut to 16 digits.
    """
    try:
        grant = root.grant_for(row.name)
    except WrongPinSetError:
        return None
    signed = tuple(entry.keyid for entry in row.signatures if entry.keyid in grant.keys)
    missing = tuple(keyid for keyid in grant.keys if keyid not in signed)
    says = Tally("", grant.threshold, signed, missing).spell({}).strip()
    return {"threshold": grant.threshold, "signed": list(signed), "missing": list(missing), "says": says}


def approvals(row: ChangeRow, keyid: str, approvers: Approvers) -> dict[str, Any]:
    """Return who approved and who may still, as the process that holds the key *keyid* says; ``says`` names them."""
    given = {entry.keyid for entry in row.signatures}
    signed = tuple(each for each in approvers.keys if each in given)
    missing = tuple(each for each in approvers.keys if each not in given)
    says = Tally("", approvers.threshold, signed, missing).spell(approvers.labels).strip()
    return {
        "key": keyid,
        "threshold": approvers.threshold,
        "approved": list(signed),
        "missing": list(missing),
        "says": says,
    }


def approved(row: ChangeRow, required: int) -> dict[str, Any]:
    """Return which people approved and how many have to; ``says`` spells it: ``1 of 2 approvals``."""
    return {
        "required": required,
        "given": [
            {
                "owner": each.owner,
                "actor": each.actor,
                "at": format_time(each.at),
                "reason": each.reason,
                "counts": each.stands,
            }
            for each in row.approvals
        ],
        "says": f"{len(row.approvers)} of {required} approvals",
    }


def _reviewed(review: ChangeReview) -> dict[str, Any]:
    return {
        "owner": review.owner,
        "actor": review.actor,
        "at": format_time(review.at),
        "verdict": review.verdict,
        "reason": review.reason,
    }


def _closed(row: ChangeRow) -> dict[str, Any] | None:
    if row.closed_at is None:
        return None
    return {"at": format_time(row.closed_at), "actor": row.closed_by, "reason": row.closed_reason}
