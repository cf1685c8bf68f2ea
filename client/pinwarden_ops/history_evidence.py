"""
A finding with all that proves it: both documents where they can be had, and whether the authority's keys signed them.

It may import this package and layer 0. It writes through the memory alone, and says nothing that it did not look up.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pinwarden.envelope import ENVELOPE_LIMITS, PINSET_TYPE, Envelope
from pinwarden.errors import CacheError, FetchError, UntrustedError
from pinwarden.history import Entry
from pinwarden.strict_json import encode_base64, format_time
from pinwarden.trust import TrustState, is_recognised
from pinwarden_ops.history_compare import Finding, Side, spell
from pinwarden_ops.history_fetch import Vantage
from pinwarden_ops.history_memory import Memory
from pinwarden_ops.history_view import digest_of
from pinwarden_ops.history_words import MEANS

FORMAT = "pinwarden-split-view-1"


@dataclass(frozen=True)
class Collector:
    """
    Completes findings.

    Attributes:
        state: what this machine trusts; its chain of roots says who signed.
        documents: those at hand.  places: where others can be asked for.
    """

    state: TrustState
    documents: tuple[Envelope, ...]
    places: tuple[Vantage, ...]

    def collect(self, found: Finding, memory: Memory, now: datetime) -> dict[str, Any]:
        """Write *found* down with its documents, and return it without them, but with the name of the file."""
        sides = {name: (side, self._find(side)) for name, side in (("here", found.here), ("there", found.there))}
        told: dict[str, Any] = {
            "kind": str(found.kind),
            "what": found.what,
            "version": spell(found.tag) if found.tag else None,
            **{name: self._told(*side) for name, side in sides.items()},
        }
        content = {
            **told,
            **{name: {**told[name], **_proof(*side)} for name, side in sides.items()},
            "format": FORMAT,
            "found_at": format_time(now),
            "authority": self.state.authority,
            "name": self.state.name,
        }
        means, do = MEANS[found.kind]
        told |= {"means": means, "do": do, "evidence": None, "not_kept": None}
        try:
            told["evidence"] = str(memory.keep_evidence(str(found.kind), _key(found), content))
        except CacheError as error:
            told["not_kept"] = str(error)  # a full disk must not keep a finding from being told
        return told

    def _told(self, side: Side, envelope: Envelope | None) -> dict[str, Any]:
        signed = is_recognised(self.state, envelope) if envelope else None
        return {"source": side.source, "says": side.says, "sha256": side.digest, "signed": signed}

    def _find(self, side: Side) -> Envelope | None:
        """Return the document of *side*: at hand, or from where the list that names it was shown."""
        if side.envelope is not None or side.digest is None:
            return side.envelope
        for document in self.documents:
            if digest_of(document) == side.digest:
                return document
        place = next((place for place in self.places if place.source == side.source), None)
        return None if side.entry is None or place is None else _fetched(place, self.state.name, side.entry)


def _fetched(place: Vantage, name: str, entry: Entry) -> Envelope | None:
    path = f"/v1/pinsets/{name}/versions/{spell(entry.tag)}"
    try:
        body = place.document(path, ENVELOPE_LIMITS[PINSET_TYPE])
        envelope = None if body is None else Envelope.parse(body, expect=PINSET_TYPE)
    except (FetchError, UntrustedError):
        return None  # the list is evidence without it
    return envelope if envelope and digest_of(envelope) == entry.sha256 else None


def _proof(side: Side, envelope: Envelope | None) -> dict[str, Any]:
    return {
        "entry": side.entry.to_json() if side.entry else None,
        "envelope": envelope.to_json() if envelope else None,
        "bundle": encode_base64(side.body) if side.body else None,
    }


def _key(found: Finding) -> str:
    """Return what makes this finding the same one in the next hour, whatever time it is then."""
    sides = (side.digest or (side.entry.hash if side.entry else side.says) for side in (found.here, found.there))
    return sha256("\n".join((found.kind, *sides)).encode()).hexdigest()[:12]
