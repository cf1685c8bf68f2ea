"""
What logging in takes: the bodies of logins and one-time links as values.

It may import ``bodies``. No message repeats what may be a secret: of those members only the type is judged here.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pinwarden_server.bodies import NameText, RequestBody, check_names, convert_body
from pinwarden_server.errors import BadDraft, Violation

LINK_SECONDS, MAX_LINK_SECONDS = 15 * 60, 24 * 3600
OWNER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._@+:/-]{0,99}"
_PASSWORD: Meta = Meta(extra_json_schema={"format": "password", "maxLength": 1024})


class _LinkBody(RequestBody):
    owner: Annotated[str, Meta(pattern=rf"^{OWNER_PATTERN}\Z")]
    role: Literal["reader", "editor", "approver", "operator", "admin"]
    names: Annotated[list[NameText], Meta(min_length=1, max_length=32)] = msgspec.field(default_factory=lambda: ["*"])
    lifetime_seconds: Annotated[int, Meta(ge=60, le=MAX_LINK_SECONDS)] = LINK_SECONDS


class _LoginBody(RequestBody):
    link: Annotated[str, Meta(extra_json_schema={"pattern": "^pwl_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$"})] | None = None
    account: str | None = None
    password: Annotated[str, _PASSWORD] | None = None
    oidc_token: Annotated[str, Meta(extra_json_schema={"maxLength": 16384})] | None = None


LOGIN_BODIES = (_LinkBody, _LoginBody)


@dataclass(frozen=True, slots=True)
class LinkDraft:
    """A one-time link that somebody wants to hand to *owner*."""

    owner: str
    role: str
    names: tuple[str, ...] = ("*",)
    lifetime_seconds: int = LINK_SECONDS


@dataclass(frozen=True, slots=True)
class LinkLogin:
    """The code of a one-time link; nothing about it is verified yet."""

    code: str


@dataclass(frozen=True, slots=True)
class AccountLogin:
    """A name and a password; nothing about them is verified yet."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class OidcLogin:
    """An ID token; nothing about it is verified yet."""

    token: str


Login = LinkLogin | AccountLogin | OidcLogin


def parse_link_draft(body: bytes) -> LinkDraft:
    """Return the one-time link that *body* asks for; BadDraft."""
    raw = convert_body(body, _LinkBody)
    return LinkDraft(raw.owner, raw.role, check_names(raw.names, what="link"), raw.lifetime_seconds)


def parse_login(body: bytes) -> Login:
    """Return the one way in that *body* takes; BadDraft: none, or several."""
    raw = convert_body(body, _LoginBody)
    given = {name for name in ("link", "account", "password", "oidc_token") if getattr(raw, name) is not None}
    if given == {"link"} and raw.link is not None:
        return LinkLogin(raw.link)
    if given == {"oidc_token"} and raw.oidc_token is not None:
        return OidcLogin(raw.oidc_token)
    if given == {"account", "password"} and raw.account is not None and raw.password is not None:
        return AccountLogin(raw.account, raw.password)
    what = "a login takes one way in"
    expected = "link; or account and password; or oidc_token"
    got = ", ".join(sorted(given)) or "none of them"
    raise BadDraft(what, expected=expected, got=got, violations=[Violation("DRAFT", "", what, f"Send {expected}.")])


def is_owner(text: str) -> bool:
    """Tell whether *text* may name a person or a job."""
    return re.fullmatch(OWNER_PATTERN, text, re.ASCII) is not None
