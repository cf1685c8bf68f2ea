"""
What a client trusts, and how a document may change that (spec V3 to V10, C2).

``state`` holds it, ``advance`` judges what is fetched, ``floors`` what was kept. Nothing here touches a clock, a file
or a socket.
"""

from pinwarden.trust.advance import (
    MAX_CLOCK_SKEW,
    advance_bundle,
    advance_pinset,
    advance_root,
    advance_timestamp,
    begin,
)
from pinwarden.trust.floors import absorb, is_recognised
from pinwarden.trust.state import Clock, Held, KeptDocuments, State, TrustState, read_clock

__all__ = [
    "MAX_CLOCK_SKEW",
    "Clock",
    "Held",
    "KeptDocuments",
    "State",
    "TrustState",
    "absorb",
    "advance_bundle",
    "advance_pinset",
    "advance_root",
    "advance_timestamp",
    "begin",
    "is_recognised",
    "read_clock",
]
