"""
What people say of changes: signatures, approvals, reviews, rejections, and how many approvals a pin set requires.

It may import ``bodies``, which has the one way in, and layer 0. Who may say it is ``auth``'s concern, and what it is
worth ``approvals``' and ``changes_signatures``'.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from pinwarden.envelope import Signature
from pinwarden.errors import MalformedError
from pinwarden.strict_json import decode_base64
from pinwarden_server.bodies import WITHOUT_NUL, Keyid, RequestBody, Text, bad_field, convert_body
from pinwarden_server.errors import BadDraft, Violation
from pinwarden_server.settings import MAX_APPROVALS

SIGNATURE_BYTES = 64
_Said = Annotated[str, Meta(min_length=1, max_length=1000, pattern=WITHOUT_NUL)]
# Judged below, in better words; msgspec only says it in the description of the API.
_SigText = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9+/]{85}[AQgw]==$"})]
_Approvals = Annotated[int, Meta(ge=0, le=MAX_APPROVALS)]


class _ApprovalBody(RequestBody):
    sha256: Keyid
    reason: Text = ""


class _ReviewBody(RequestBody):
    verdict: Literal["approved", "objected"]
    reason: _Said


class _SignatureBody(RequestBody):
    keyid: Keyid
    sig: _SigText


class _RejectionBody(RequestBody):
    reason: _Said


class _PolicyBody(RequestBody):
    approvals_required: _Approvals
    replaces: _Approvals
    reason: Text = ""


CHANGE_BODIES = (_ApprovalBody, _ReviewBody, _SignatureBody, _RejectionBody, _PolicyBody)


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


def parse_signature(body: bytes) -> Signature:
    """Return the signature that *body* hands in, of which only the form is judged; BadDraft."""
    raw = convert_body(body, _SignatureBody)
    try:
        return Signature(raw.keyid, decode_base64(raw.sig, what="sig", length=SIGNATURE_BYTES))
    except MalformedError as error:
        violation = Violation("DRAFT", "/sig", str(error.what), "Send the 64 bytes in padded standard base64.")
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation]) from error


def parse_rejection(body: bytes) -> str:
    """Return why a change is rejected; BadDraft."""
    reason = convert_body(body, _RejectionBody).reason
    if not reason.strip():
        what = "a rejection needs a reason"
        raise BadDraft(what, violations=[Violation("DRAFT", "/reason", what, "Say it to whoever proposed the change.")])
    return reason


def parse_policy(body: bytes) -> PolicyDraft:
    """Return how many approvals shall be required; BadDraft."""
    raw = convert_body(body, _PolicyBody)
    return PolicyDraft(raw.approvals_required, raw.replaces, raw.reason)
