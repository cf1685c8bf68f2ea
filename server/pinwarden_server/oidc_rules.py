"""
Which ID tokens of which issuer let a job in, and as what: the setting ``oidc`` as values.

It may import msgspec and the patterns of ``bodies``. It fetches and verifies nothing.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pinwarden_server.bodies import NAME_PATTERN
from pinwarden_server.login_drafts import OWNER_PATTERN

MAX_RULES = 64
# Of forges where anybody may sign up: the claims that say whose job it is, and how a pattern has to begin to say so.
# "example*" would also be example-of-a-thief.
_WHOSE = {
    "https://token.actions.githubusercontent.com": {
        "sub": r"repo:[^*/]+/",
        "repository": r"[^*/]+/",
        "repository_id": r"[0-9]+\Z",
        "repository_owner": r"[^*]+\Z",
        "repository_owner_id": r"[0-9]+\Z",
    },
    "https://gitlab.com": {
        "sub": r"project_path:[^*/]+/",
        "project_path": r"[^*/]+/",
        "project_id": r"[0-9]+\Z",
        "namespace_path": r"[^*/]+(/|\Z)",
        "namespace_id": r"[0-9]+\Z",
    },
}


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    issuer: Annotated[str, Meta(pattern=r"^https://[^\s?#@]+\Z")]
    audience: Annotated[str, Meta(min_length=1, max_length=200)]
    claims: Annotated[dict[str, Annotated[str, Meta(min_length=1, max_length=200)]], Meta(min_length=1, max_length=16)]
    role: Literal["reader", "editor", "approver", "operator", "admin"]
    names: Annotated[list[Annotated[str, Meta(pattern=rf"^(?:{NAME_PATTERN})\Z")]], Meta(min_length=1, max_length=32)]
    owner: Annotated[str, Meta(pattern=rf"^{OWNER_PATTERN}\Z")]


@dataclass(frozen=True, slots=True)
class OidcRule:
    """
    One rule.

    Attributes:
        issuer, audience: what ``iss`` and ``aud`` are, to the letter.
        claims: claim and what it must be; a ``*`` in it stands for any characters. All of them must fit.
        role, names: what the session is for.
        owner: whom the session belongs to, in the audit log.
    """

    issuer: str
    audience: str
    claims: tuple[tuple[str, str], ...]
    role: str
    names: tuple[str, ...]
    owner: str

    def misfit(self, claims: dict[str, Any]) -> str | None:
        """Return the name of the first claim that does not fit, None when all do; what is no text fits nothing."""
        for name, pattern in self.claims:
            value = claims.get(name)
            if not isinstance(value, str) or not _fits(pattern, value):
                return name
        return None

    def to_json(self) -> dict[str, object]:
        """Return the rule as the settings file spells it."""
        return {
            "issuer": self.issuer,
            "audience": self.audience,
            "claims": dict(self.claims),
            "role": self.role,
            "names": list(self.names),
            "owner": self.owner,
        }


def oidc_rules(value: Any) -> tuple[OidcRule, ...]:
    """
    Parse the setting: an array of tables in TOML, the same as a JSON array in a text.

    Raises:
        ValueError: what is expected instead, and where.
    """
    try:
        read = json.loads(value) if isinstance(value, str) else list(value)
        raw = msgspec.convert(read, list[_Rule], strict=True)
    except (ValueError, TypeError, msgspec.ValidationError) as error:
        raise ValueError(
            f"rules of issuer (https), audience, claims, role, names and owner, as JSON in a variable; {error}"
        ) from None
    if len(raw) > MAX_RULES:
        raise ValueError(f"at most {MAX_RULES} rules")
    for number, rule in enumerate(raw, 1):
        if not _says_whose(rule):
            # Anybody on a public forge can have a token for any audience, and call a branch main.
            named = _WHOSE.get(rule.issuer.rstrip("/"))
            which = f", one of {', '.join(named)}," if named else ""
            raise ValueError(f"a claim{which} that says who it is: rule {number} lets in everybody at {rule.issuer}")
    return tuple(
        OidcRule(each.issuer, each.audience, tuple(each.claims.items()), each.role, tuple(each.names), each.owner)
        for each in raw
    )


def _says_whose(rule: _Rule) -> bool:
    named = _WHOSE.get(rule.issuer.rstrip("/"))
    if named is None:
        return any(pattern.strip("*") for pattern in rule.claims.values())
    return any(re.match(named[claim], pattern) for claim, pattern in rule.claims.items() if claim in named)


def _fits(pattern: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None
