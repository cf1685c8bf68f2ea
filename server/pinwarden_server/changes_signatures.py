"""
Which signatures count for a change: those over exactly its bytes, by keys that the newest root names.

It may import the keys' package and the errors. It stores nothing, and it asks both crypto libraries.
"""

from pinwarden.documents import Grant
from pinwarden.envelope import PINSET_TYPE, Envelope, Signature, pae
from pinwarden.errors import SignatureError
from pinwarden_keys import KeysError, check_envelope, check_signature
from pinwarden_server.errors import PublicationRefused, SignatureRefused, Violation
from pinwarden_server.site import Act
from pinwarden_server.store import ChangeRow, ChangeSignature


def checked_signature(row: ChangeRow, grant: Grant, signature: Signature, by: Act) -> ChangeSignature:
    """Return the signature as it is kept, once the grant names its key and both libraries accept it."""
    public = grant.keys.get(signature.keyid)
    if public is None:
        raise _refused(
            f"key {signature.keyid[:16]} may not sign pin set {row.name!r}",
            "/keyid",
            "Sign with a key that the newest root names for this pin set; `pinwarden root show` lists them.",
            expected=f"one of {', '.join(keyid[:16] for keyid in grant.keys)}",
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


def signed_envelope(row: ChangeRow, signatures: list[ChangeSignature], grant: Grant) -> Envelope:
    """Return the pin set as people signed it, each signature judged once more by both libraries (spec S2)."""
    entries = [Signature(entry.keyid, entry.sig) for entry in signatures]
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
