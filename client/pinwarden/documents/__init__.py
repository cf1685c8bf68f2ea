"""
The three documents as values: root, timestamp and pin set (spec section 3, steps V1, V2, V5's first half, V8).

These rooms may import the gate, ``envelope``'s key checks and ``hosts``. They never judge signatures, clocks or floors:
whoever holds one of these values knows its form, and nothing about who signed it.
"""

from pinwarden.documents.frame import SPEC, check_name
from pinwarden.documents.pinset import (
    MAX_DENIED,
    MAX_HOSTS,
    MAX_PINS_PER_HOST,
    MAX_REPORT_URL,
    PIN_BYTES,
    Host,
    Pin,
    PinSet,
)
from pinwarden.documents.root import Grant, Key, Role, Root, TimestampRole
from pinwarden.documents.timestamp import PinSetRef, Timestamp

__all__ = [
    "MAX_DENIED",
    "MAX_HOSTS",
    "MAX_PINS_PER_HOST",
    "MAX_REPORT_URL",
    "PIN_BYTES",
    "SPEC",
    "Grant",
    "Host",
    "Key",
    "Pin",
    "PinSet",
    "PinSetRef",
    "Role",
    "Root",
    "Timestamp",
    "TimestampRole",
    "check_name",
]
