"""
How an admin API says no, as errors of ours.

It may import layer 0's errors. Each carries the problem document, so that commands can print all of it.
"""

from collections.abc import Mapping
from typing import Any

from pinwarden.errors import PinwardenError


class OpsError(PinwardenError):
    """
    Base of what goes wrong between an operator and a server.

    Attributes:
        status: the HTTP status, or None when there was no answer.
        problem: the problem document (RFC 9457), or an empty mapping.
    """

    def __init__(
        self, what: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None, **values: Any
    ) -> None:
        super().__init__(what, **values)
        self.status = status
        self.problem = dict(problem or {})


class OpsRefused(OpsError):
    """The server understood, and refuses: a right is missing, lint blocks, the body is not what it should be."""


class OpsConflict(OpsError):
    """Someone was faster: fetch again, look at what changed, and repeat."""


class OpsUnavailable(OpsError):
    """No answer, or none now; a retry is safe when it carries the same Idempotency-Key."""


class DraftRefused(PinwardenError):
    """
    A file cannot be a pin set; nothing was sent.

    Attributes:
        line, pointer: where in the file, as far as that is known; the pointer is RFC 6901.
        others: refusals of further files that were read with it.
    """

    others: tuple[PinwardenError, ...] = ()

    def __init__(self, what: str, *, line: int | None = None, pointer: str = "", **values: Any) -> None:
        super().__init__(what, **{"holds": "Nothing was sent.", **values})
        self.line = line
        self.pointer = pointer


class AuditRefused(PinwardenError):
    """The audit log of a server does not hold together: treat it as an incident."""
