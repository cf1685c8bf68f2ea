"""
What clients refuse, and histories that do not hang together, as findings.

It may import layer 0 and the comparison. It judges nothing: the refusal was made by the client's own verifier.
"""

from collections.abc import Iterator
from hashlib import sha256

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import EquivocationError, FetchError, RollbackError, UntrustedError
from pinwarden_ops.history_compare import Finding, Kind, Side, spell
from pinwarden_ops.history_fetch import Sighting
from pinwarden_ops.history_view import View, digest_of

THIS_MACHINE = "this machine, before"


def refusals(source: str, sighting: Sighting) -> Iterator[Finding]:
    """Yield what was refused of *sighting*."""
    if sighting.refused is not None:
        yield _bundle_refused(source, sighting.refused, sighting.body)
    if sighting.broken is not None:
        error = sighting.broken
        yield Finding(Kind.BROKEN, error.what, None, Side(source, str(error)), Side(THIS_MACHINE, "expected a chain"))


def denied(source: str, before: View, error: FetchError) -> Finding:
    """Return the finding that *source* says 404 where this machine saw something *before*."""
    here = Side(source, f"denies it: {error.what}")
    there = Side(THIS_MACHINE, f"saw {spell(before.head.tag)}", before.head, before.head.sha256)
    return Finding(Kind.SHORTENED, "what this machine saw is denied", before.head.tag, here, there)


def _bundle_refused(source: str, error: UntrustedError, body: bytes) -> Finding:
    if isinstance(error, EquivocationError):
        return _equivocation(source, error)
    is_older = isinstance(error, RollbackError) and error.step in ("V6", "V7")
    here = Side(source, str(error), None, sha256(body).hexdigest(), body=body)
    there = Side(THIS_MACHINE, f"expected {error.expected}" if error.expected else "refuses it")
    return Finding(Kind.ROLLBACK if is_older else Kind.REFUSED, error.what, None, here, there)


def _equivocation(source: str, error: EquivocationError) -> Finding:
    expect, kind = (TIMESTAMP_TYPE, Timestamp) if error.step == "V6" else (PINSET_TYPE, PinSet)
    shown, held = (Envelope.parse(data, expect=expect) for data in (error.shown, error.held))
    document = kind.parse(shown.payload)
    here = Side(source, "serves it", None, digest_of(shown), shown)
    there = Side(THIS_MACHINE, "verified it", None, digest_of(held), held)
    return Finding(Kind.EQUIVOCATION, error.what, (document.epoch, document.version), here, there)
