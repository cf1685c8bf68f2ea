"""
What people say of changes: approvals, reviews, and how many of them a pin set requires.

It may import ``drafts``, which has the one way in for bodies. Who may say it is ``auth``'s concern, and what it is
worth ``approvals``'.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from pinwarden_server.drafts import WITHOUT_NUL, Keyid, RequestBody, Text, bad_field, convert_body
from pinwarden_server.settings import MAX_APPROVALS

_Said = Annotated[str, Meta(min_length=1, max_length=1000, pattern=WITHOUT_NUL)]
_Approvals = Annotated[int, Meta(ge=0, le=MAX_APPROVALS)]


class _ApprovalBody(RequestBody):
    sha256: Keyid
    reason: Text = ""


class _ReviewBody(RequestBody):
    verdict: Literal["approved", "objected"]
    reason: _Said


class _PolicyBody(RequestBody):
    approvals_required: _Approvals
    replaces: _Approvals
    reason: Text = ""


CHANGE_BODIES = (_ApprovalBody, _ReviewBody, _PolicyBody)


@dataclass(frozen=True, slots=True)
class ApprovalDraft:
    """An approval of the payload with this SHA-256, in hex."""

    sha256: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReviewDraft:
    """What somebody says of a publication that nobody had approved."""

    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """How many approvals shall be required, in place of how many."""

    approvals_required: int
    replaces: int
    reason: str = ""


def parse_approval(body: bytes) -> ApprovalDraft:
    """Return what is approved; BadDraft."""
    raw = convert_body(body, _ApprovalBody)
    return ApprovalDraft(raw.sha256, raw.reason)


def parse_review(body: bytes) -> ReviewDraft:
    """Return a verdict with its reason; BadDraft."""
    raw = convert_body(body, _ReviewBody)
    if not raw.reason.strip():
        raise bad_field("/reason", "a review needs a reason", "Say what you looked at; it is audited.")
    return ReviewDraft(raw.verdict, raw.reason)


def parse_policy(body: bytes) -> PolicyDraft:
    """Return how many approvals shall be required; BadDraft."""
    raw = convert_body(body, _PolicyBody)
    return PolicyDraft(raw.approvals_required, raw.replaces, raw.reason)
