"""
Which signatures count for a change: those over exactly its bytes, by keys that the newest root names, and by the people
whose approval such a key waits for.

It may import the keys' package and the errors. It stores nothing, and it asks both crypto libraries.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pinwarden.documents import Grant
from pinwarden.envelope import PINSET_TYPE, Envelope, Signature, pae
from pinwarden.errors import SignatureError
from pinwarden_keys import Approvers, KeysError, check_envelope, check_signature
from pinwarden_server.errors import PublicationRefused, SignatureRefused, Violation
from pinwarden_server.site import Act
from pinwarden_server.store import ChangeRow, ChangeSignature

Gates = Mapping[str, Approvers]


@dataclass(frozen=True, slots=True)
class Count:
    """
    Who signed a change, as far as it counts.

    Attributes:
        signed: signatures by keys of the grant, by keyid.
        approved: signatures by people whose approval keys of the grant wait for, by keyid.
        ready: those keys, behind signer processes, for which enough people have approved.
    """

    signed: Mapping[str, ChangeSignature]
    approved: Mapping[str, ChangeSignature]
    ready: tuple[str, ...]

    def completes(self, row: ChangeRow, grant: Grant) -> bool:
        """Tell whether the change can be published: the threshold is met, and whoever is waited for has signed."""
        together = {*self.signed, *self.ready}
        return len(together) >= grant.threshold and {keyid for keyid in row.wait_for if keyid in grant.keys} <= together


def count(signatures: Iterable[ChangeSignature], grant: Grant, gates: Gates) -> Count:
    """Return what *signatures*, each verified when it was handed in, come to under *grant* and *gates*."""
    given = {entry.keyid: entry for entry in signatures}
    signed = {keyid: entry for keyid, entry in given.items() if keyid in grant.keys}
    people = {keyid for approvers in gates.values() for keyid in approvers.keys}
    approved = {keyid: entry for keyid, entry in given.items() if keyid in people}
    ready = (
        keyid
        for keyid, approvers in gates.items()
        if len(approvers.keys.keys() & approved.keys()) >= approvers.threshold
    )
    return Count(signed, approved, tuple(keyid for keyid in ready if keyid not in signed))


def checked_signature(row: ChangeRow, grant: Grant, gates: Gates, signature: Signature, by: Act) -> ChangeSignature:
    """Return the signature as it is kept, once its key counts for this change and both libraries accept it."""
    keys = dict(grant.keys)
    for approvers in gates.values():
        keys.update(approvers.keys)
    public = keys.get(signature.keyid)
    if public is None:
        raise _refused(
            f"key {signature.keyid[:16]} may not sign pin set {row.name!r}",
            "/keyid",
            "Sign with a key that the newest root names for this pin set; `pinwarden root show` lists them.",
            expected=f"one of {', '.join(keyid[:16] for keyid in keys)}",
            got=signature.keyid,
        )
    try:
        sig = check_signature(signature.sig, pae(PINSET_TYPE, row.payload), public)
    except KeysError as error:
        raise _refused(
            f"the signature by key {signature.keyid[:16]} is not over the payload of change {row.id}",
            "/sig",
            "Sign the payload of this very change; signatures over other changes or versions do not count.",
            expected=error.expected,
            got=error.got,
        ) from error
    return ChangeSignature(signature.keyid, sig, by.at.replace(microsecond=0), by.actor)


def repeated(row: ChangeRow, new: ChangeSignature) -> SignatureRefused:
    """Return the error of a key that signs the same change twice."""
    return _refused(
        f"key {new.keyid[:16]} has signed change {row.id} already",
        "/keyid",
        "One key counts once; let another person sign.",
        expected="a key that has not signed yet",
        got=new.keyid,
    )


def not_by_people(row: ChangeRow) -> SignatureRefused:
    """Return the error of a signature over what this server signs by itself, once it is approved."""
    return _refused(
        f"nobody but the server signs change {row.id}",
        "/keyid",
        "Approve it instead: POST /admin/v1/changes/{id}/approvals.",
        expected="an approval",
        got="a signature",
    )


def signed_envelope(row: ChangeRow, entries: Iterable[Signature], grant: Grant) -> Envelope:
    """Return the pin set as *entries* sign it, each of them judged once more by both libraries (spec S2)."""
    try:
        return check_envelope(Envelope.of(PINSET_TYPE, row.payload, entries), grant)
    except (KeysError, SignatureError) as error:
        raise PublicationRefused(
            f"a stored signature of change {row.id} is not what was handed in: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Someone changed the database. Reject the change, and find out who.",
        ) from error


def _refused(what: str, pointer: str, hint: str, *, expected: object, got: object) -> SignatureRefused:
    violation = Violation("V3", pointer, what, hint)
    return SignatureRefused(what, violations=[violation], expected=expected, got=got, hint=hint)
