"""
Changes as the admin API shows them: who signed, who is missing, and the bytes that are to be signed.

It may import the store's values, documents and the ceremony's arithmetic. Whoever signs believes none of this but the
payload, and judges that by their own root.
"""

from datetime import datetime
from typing import Any

from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import WrongPinSetError
from pinwarden.strict_json import encode_base64, format_time
from pinwarden_keys import Approvers
from pinwarden_keys.ceremony import Tally
from pinwarden_server.changes_signatures import Gates
from pinwarden_server.store import ChangeRow
from pinwarden_server.tags import format_tag

STATES = ("waiting", "published", "rejected", "stale", "expired")


def summary(row: ChangeRow, root: Root, gates: Gates | None, now: datetime) -> dict[str, Any]:
    """Return a change without its payload; *gates* is None while a signer process does not say whom it asks."""
    return {
        "id": row.id,
        "name": row.name,
        "action": row.action,
        "state": row.state_at(now),
        "version": format_tag(row.tag),
        "base": row.base and format_tag(row.base),
        "issued": format_time(row.issued),
        "expires": format_time(row.expires),
        "proposed_at": format_time(row.proposed_at),
        "actor": row.actor,
        "reason": row.reason,
        "forced": list(row.forced),
        "warnings": list(row.warnings),
        "wait_for": list(row.wait_for),
        "tally": tally(row, root),
        "approvals": None if gates is None else [approvals(row, keyid, gates[keyid]) for keyid in gates],
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


def _closed(row: ChangeRow) -> dict[str, Any] | None:
    if row.closed_at is None:
        return None
    return {"at": format_time(row.closed_at), "actor": row.closed_by, "reason": row.closed_reason}
