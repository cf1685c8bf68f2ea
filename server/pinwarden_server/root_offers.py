"""
Roots that people hand in, as values.

It may import ``bodies`` and layer 0. Only the form is judged here; what a root says is ``root_judging``'s concern.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden_server.bodies import RequestBody, Text, convert_body
from pinwarden_server.errors import BadDraft, Violation

_Force = Annotated[list[Annotated[str, Meta(pattern=r"^ROOT[0-9]{3}\Z")]], Meta(max_length=32)]


class _RootBody(RequestBody):
    root: dict[str, Any]
    reason: Text = ""
    force: _Force = msgspec.field(default_factory=list)


ROOT_BODIES = (_RootBody,)


@dataclass(frozen=True, slots=True)
class RootOffer:
    """A signed root that someone wants published; nothing about it is verified yet."""

    envelope: Envelope
    reason: str = ""
    force: tuple[str, ...] = ()


def parse_root_offer(body: bytes) -> RootOffer:
    """Return the root that *body* offers; BadDraft: it is no envelope of a root."""
    raw = convert_body(body, _RootBody)
    try:
        envelope = Envelope.from_json(raw.root, expect=ROOT_TYPE)
    except UntrustedError as error:
        hint = "Give the file that `pinwarden root assemble` wrote, as it is."
        violation = Violation(error.step or "V4", "/root", str(error.what), hint)
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation], hint=hint) from error
    return RootOffer(envelope, raw.reason, tuple(raw.force))
