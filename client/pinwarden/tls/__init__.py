"""
Pins on Python's ``ssl``: every connection is judged after its handshake and before its first byte.

``gate`` holds the judged sockets, ``contexts`` what a context carries, ``hooks`` the two ways in: one context or the
whole process. Nothing here weakens a context, and docs/enforcement.md tells what cannot be reached.
"""

from pinwarden.tls.contexts import Guard, check_platform, exempt
from pinwarden.tls.hooks import (
    arm_context,
    enforce_process,
    is_judged,
    lift_process,
    uncovered_context_classes,
)

__all__ = [
    "Guard",
    "arm_context",
    "check_platform",
    "enforce_process",
    "exempt",
    "is_judged",
    "lift_process",
    "uncovered_context_classes",
]
