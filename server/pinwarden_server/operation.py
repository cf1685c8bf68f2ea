"""
What is said of one operation of the HTTP API, and which refusals follow from that.

It may import ``auth`` and the kinds of problems. It describes, and serves nothing.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from pinwarden_server.auth import RIGHTS, Right, Role
from pinwarden_server.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    KEY_REUSED,
    MALFORMED_JSON,
    NOT_FOUND,
    NOT_JSON,
    PRECONDITION_REQUIRED,
    STALE_VERSION,
    STEP_UP_NEEDED,
    STORE_UNAVAILABLE,
    TOO_LARGE,
    TOO_MANY_ATTEMPTS,
    UNAUTHENTICATED,
    Kind,
)

_PARAMETER = re.compile(r"\{([a-z_]+)\}")


class Reach(StrEnum):
    """Which of a token's names an operation minds."""

    EVERYONE = "no token is needed"
    WHATEVER = "any names"
    SHOWN = "lists what the names match"
    PINSET = "names that match the pin set"
    CHANGE = "names that match the pin set of the change; for others it is not there (404)"
    ALL = "tokens for `*` only"


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method of one address.

    Attributes:
        path: with its parameters in braces.
        right: what a token must have for it; None: open to everyone.
        step_up: a person must have logged in recently (RFC 9470); the views read it here.
        metrics_token: the token of the setting ``metrics_token_file`` opens it as well.
        answers: status and schema of what is not refused.
        query: names of the query parameters.
        body: schema of the body; None: there is none.
        replaces: ``If-Match`` names what a change replaces. creates: or ``If-None-Match: *`` that there is nothing.
        repeatable: an ``Idempotency-Key`` is honoured.
        refusals: problems beside those that follow from all the other members.
    """

    id: str
    method: str
    path: str
    summary: str
    answers: tuple[tuple[int, str], ...]
    right: Right | None = None
    reach: Reach = Reach.EVERYONE
    step_up: bool = False
    metrics_token: bool = False
    query: tuple[str, ...] = ()
    body: str | None = None
    replaces: bool = False
    creates: bool = False
    repeatable: bool = False
    refusals: tuple[Kind, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def is_published(self) -> bool:
        """Whether it answers with published documents, which caches may keep."""
        return self.path.startswith("/v1/")

    @property
    def problems(self) -> tuple[Kind, ...]:
        """Every problem that it may be refused with, by status."""
        kinds = {INTERNAL, *self.refusals}
        if self.right is not None:
            kinds |= {UNAUTHENTICATED, FORBIDDEN, STORE_UNAVAILABLE, TOO_MANY_ATTEMPTS}
        if self.step_up:
            kinds |= {STEP_UP_NEEDED}
        if self.right is not None and not self.metrics_token:
            kinds |= {BAD_REQUEST}
        if self.parameters:
            kinds |= {NOT_FOUND}
        if self.body:
            kinds |= {MALFORMED_JSON, TOO_LARGE, NOT_JSON, INVALID}
        if self.replaces:
            kinds |= {STALE_VERSION, PRECONDITION_REQUIRED}
        if self.repeatable:
            kinds |= {KEY_REUSED}
        return tuple(sorted(kinds, key=lambda kind: (kind.status, kind.slug)))

    def is_open_to(self, role: Role | None) -> bool:
        """Tell whether a token of *role* that reaches everything may do this; None: a request without a token."""
        return self.right is None or (role is not None and self.right in RIGHTS[role])
