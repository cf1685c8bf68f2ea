"""
Every way in which the server says no.

The sentences are built as everywhere in Pinwarden: what happened, expected and got, what still holds, what to do.
This room imports ``pinwarden.errors`` only and knows no HTTP status: one table at the edge maps classes to statuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pinwarden.errors import PinwardenError

Tag = tuple[int, int]
NOTHING_CHANGED = "Nothing stored has changed."


@dataclass(frozen=True, slots=True)
class Violation:
    """
    One thing that is wrong with a draft, or that deserves a look.

    Attributes:
        code: ``PIN001`` and so on for lint, ``DRAFT`` for form, a step such as ``V8`` for what clients refuse.
        pointer: JSON pointer (RFC 6901) into the body; empty for the whole.
        blocking: publication is refused unless *forceable* and forced by its code with a reason.
    """

    code: str
    pointer: str
    message: str
    hint: str
    blocking: bool = True
    forceable: bool = False

    def to_json(self) -> dict[str, str]:
        """Return the four members of a problem document's violation."""
        return {"code": self.code, "pointer": self.pointer, "message": self.message, "hint": self.hint}


class ServerError(PinwardenError):
    """Base of all errors of this package."""

    def __init__(self, what: str, **values: Any) -> None:
        values.setdefault("holds", NOTHING_CHANGED)
        super().__init__(what, **values)


class BadDraft(ServerError):
    """
    A request body, key or version is malformed, or describes what no client would accept.

    Attributes:
        violations: what is wrong where; never empty.
        is_syntax: the body is no JSON object at all, so no pointer means anything.
    """

    def __init__(self, what: str, *, violations: Sequence[Violation], is_syntax: bool = False, **values: Any) -> None:
        super().__init__(what, **values)
        self.violations = tuple(violations)
        self.is_syntax = is_syntax


class LintRefused(ServerError):
    """
    Lint findings block the publication.

    Attributes:
        violations: the findings that block, those that were forced left out.
    """

    def __init__(self, what: str, *, violations: Sequence[Violation], **values: Any) -> None:
        super().__init__(what, **values)
        self.violations = tuple(violations)


class NotFound(ServerError):
    """No pin set, version or token of that name."""


class Conflict(ServerError):
    """The store holds something that this change cannot go together with."""


class StaleVersion(Conflict):
    """
    Someone published meanwhile, or the pin set that was to be created exists.

    Attributes:
        current: the (epoch, version) in force, or None when there is none.
    """

    def __init__(self, what: str, *, current: Tag | None, **values: Any) -> None:
        super().__init__(what, **values)
        self.current = current


class IdempotencyMismatch(Conflict):
    """An Idempotency-Key was used before, for another request."""


class ChangeClosed(Conflict):
    """
    The change does not wait any more.

    Attributes:
        state: ``published``, ``rejected``, ``stale`` or ``expired``.
    """

    def __init__(self, what: str, *, state: str, **values: Any) -> None:
        super().__init__(what, **values)
        self.state = state


class SignatureRefused(ServerError):
    """
    A signature does not count for a change: a stranger's, a repeated one, or over other bytes.

    Attributes:
        violations: one, that says which.
    """

    def __init__(self, what: str, *, violations: Sequence[Violation], **values: Any) -> None:
        super().__init__(what, **values)
        self.violations = tuple(violations)


class ApprovalRefused(ServerError):
    """
    An approval or a review does not count: the author's own, a repeated one, or one of other bytes.

    Attributes:
        violations: one, that says which.
    """

    def __init__(self, what: str, *, violations: Sequence[Violation], **values: Any) -> None:
        super().__init__(what, **values)
        self.violations = tuple(violations)


class ApprovalsMissing(Conflict):
    """What would be published needs more approvals than it has; a change waits for them instead."""


class FloorMissing(Conflict):
    """The store was restored from a backup, and which versions clients have seen since is not settled for this name."""


class BackupRefused(ServerError):
    """A backup is damaged, of another version, or holds what our own verifier refuses."""


class InstallationRefused(ServerError):
    """The folder of a server holds what this call does not go together with; it stays as it is."""


class Unstorable(ServerError):
    """A value that no database here can hold; drafts refuse it before, so whoever meets this has found a defect."""


class Unauthenticated(ServerError):
    """No token, or none that is valid now; which of the two is not told."""


class Forbidden(ServerError):
    """The token is valid, and its role or its pin-set names do not allow this."""


class StepUpNeeded(ServerError):
    """
    The session is valid, and its person authenticated too long ago for what is asked.

    Attributes:
        max_age: seconds that may have passed since.
    """

    def __init__(self, what: str, *, max_age: int, **values: Any) -> None:
        super().__init__(what, **values)
        self.max_age = max_age


class TooManyAttempts(ServerError):
    """
    Wrong tokens, links or passwords came too often.

    Attributes:
        retry_after: seconds after which another attempt is judged.
        first: it is the first refusal of this kind for a while, and so worth a line in the log.
    """

    def __init__(self, what: str, *, retry_after: int, first: bool = False, **values: Any) -> None:
        super().__init__(what, **values)
        self.retry_after = retry_after
        self.first = first


class IssuerUnavailable(ServerError):
    """The keys of an OIDC issuer cannot be had, so nothing that it signed can be judged; a retry is safe."""


class StoreUnavailable(ServerError):
    """The database cannot be reached, is locked for too long, or is not at this version's schema; a retry is safe."""


class StorageFull(StoreUnavailable):
    """The disk below the database or the published tree is full."""


class SignerUnavailable(ServerError):
    """Too few signers hold keys of the role, or one of them failed."""


class SigningRefused(Conflict):
    """
    A signer process judged what it was asked to sign, and refused; the same request will be refused again.

    Attributes:
        needs_people: it would sign with the approval of people.
    """

    def __init__(self, what: str, *, needs_people: bool, **values: Any) -> None:
        super().__init__(what, **values)
        self.needs_people = needs_people


class PublicationRefused(ServerError):
    """Our own verifier refused what was signed; it never left this process (spec S2)."""


class NotServedYet(ServerError):
    """
    The change is stored for good, but the published tree could not be written.

    Attributes:
        version: the ``epoch.version`` of a pin set, or the version of a root, that waits to be served.
    """

    def __init__(self, what: str, *, version: str, **values: Any) -> None:
        super().__init__(what, **values)
        self.version = version


class AuditBroken(ServerError):
    """
    A row of the audit chain is not what was written.

    Attributes:
        seq: number of the first row that does not fit.
    """

    def __init__(self, what: str, *, seq: int, **values: Any) -> None:
        super().__init__(what, **values)
        self.seq = seq
