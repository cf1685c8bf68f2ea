"""
Public test support for applications, and for Pinwarden itself: an authority, pins and a TLS server for one test.

It may import all of layer 0; ``plugin`` and ``contracts`` import pytest, and nothing else here loads them. Everything
here listens on loopback only and announces itself: nothing of it may protect a real connection.
"""

from pinwarden.testing.authority import (
    DAY,
    InsecureForProductionWarning,
    ThrowawayAuthority,
    ThrowawayKey,
    pinned,
    sign,
)
from pinwarden.testing.pins import ThrowawayPins
from pinwarden.testing.server import LocalServer

__all__ = [
    "DAY",
    "InsecureForProductionWarning",
    "LocalServer",
    "ThrowawayAuthority",
    "ThrowawayKey",
    "ThrowawayPins",
    "pinned",
    "sign",
]
