"""
Tokens that people want to hand out, as values.

It may import ``bodies``. Who may hand out which is ``auth``'s concern, and no secret is made here.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pinwarden_server.bodies import WITHOUT_NUL, NameText, RequestBody, Seconds, check_names, convert_body


class _TokenBody(RequestBody):
    role: Literal["reader", "editor", "approver", "operator", "admin"]
    lifetime_seconds: Seconds
    names: Annotated[list[NameText], Meta(min_length=1, max_length=32)] = msgspec.field(default_factory=lambda: ["*"])
    label: Annotated[str, Meta(max_length=200, pattern=WITHOUT_NUL)] = ""
    # One spelling for each person: two would count as two people.
    owner: Annotated[str, Meta(max_length=200, pattern=r"^([a-z0-9][a-z0-9._@+-]*)?\Z")] = ""


TOKEN_BODIES = (_TokenBody,)


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """A token that someone wants to hand out; *owner* empty: nobody who has another one."""

    role: str
    lifetime_seconds: int
    names: tuple[str, ...] = ("*",)
    label: str = ""
    owner: str = ""


def parse_token_draft(body: bytes) -> TokenDraft:
    """Return the token that *body* asks for; BadDraft. Names are exact, or end in one ``*``."""
    raw = convert_body(body, _TokenBody)
    names = check_names(raw.names, what="token")
    return TokenDraft(raw.role, raw.lifetime_seconds, names, raw.label, raw.owner)
