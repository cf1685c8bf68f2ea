"""
Who may do what: tokens, roles, and the pin sets that each covers.

It may import the store and ``audit``. Secrets are shown once and kept as digests only; a token is judged at every
request, so a revoked or expired one fails at its next.
"""

import hmac
import json
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from sqlalchemy.exc import IntegrityError

from pinwarden.strict_json import encode
from pinwarden_server import audit
from pinwarden_server.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    StoreUnavailable,
    Unauthenticated,
)
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act
from pinwarden_server.store import Reader, Store, TokenRow
from pinwarden_server.store.logins import SessionRow, find_session
from pinwarden_server.token_drafts import TokenDraft

log = logging.getLogger("pinwarden.server")

LAST_USE_GRAIN = timedelta(minutes=1)  # last use is recorded this coarsely: reading must not become writing
_TOKEN = re.compile(r"(pws?)_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SESSION = "pws"
_NOBODY = sha256(b"no token has this secret").digest()


class Role(StrEnum):
    """What a token is for."""

    READER = "reader"
    EDITOR = "editor"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


class Right(StrEnum):
    """What a request needs."""

    READ = "read"
    PREVIEW = "preview"
    PUBLISH = "publish"
    SIGN = "sign"
    APPROVE = "approve"
    BREAK_GLASS = "break glass"
    POLICY = "policy"
    AUDIT = "audit"
    TOKENS = "tokens"
    METRICS = "metrics"
    ROOTS = "roots"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.READER: frozenset({Right.READ}),
    # Handing in a signature needs a right so that strangers cannot fill the table; what it is worth, the key decides.
    Role.EDITOR: frozenset({Right.READ, Right.PREVIEW, Right.PUBLISH, Right.SIGN}),
    Role.APPROVER: frozenset({Right.READ, Right.PREVIEW, Right.SIGN, Right.APPROVE, Right.AUDIT}),
    # Who may break the glass may approve as well: it is the lesser of the two. How many must, admins alone say.
    Role.OPERATOR: frozenset(
        {
            Right.READ,
            Right.PREVIEW,
            Right.PUBLISH,
            Right.SIGN,
            Right.APPROVE,
            Right.BREAK_GLASS,
            Right.AUDIT,
            Right.METRICS,
        }
    ),
    Role.ADMIN: frozenset(Right),
}
# The audit log, tokens, metrics and roots belong to no single pin set: a token for some of them does not reach these.
WIDE_RIGHTS = frozenset({Right.AUDIT, Right.TOKENS, Right.METRICS, Right.ROOTS})


@dataclass(frozen=True, slots=True)
class Principal:
    """
    Who makes a request, as the token says.

    Attributes:
        owner: the person or program, who may have several tokens and sessions.
        session: for a login's token: who logged in, how, and since when; None for a token that an administrator issued.
    """

    token_id: str
    role: Role
    names: tuple[str, ...]
    label: str
    owner: str = ""
    session: SessionRow | None = None

    @property
    def actor(self) -> str:
        """How the audit log names this one."""
        return f"{'session' if self.session else 'token'}:{self.token_id}"

    def allows(self, right: Right, name: str | None = None) -> bool:
        """Tell whether the role has *right*, on the pin set *name* when one is given; for lists, not for guarding."""
        if right not in RIGHTS[self.role]:
            return False
        if right in WIDE_RIGHTS:
            return "*" in self.names
        return name is None or covers(self.names, name)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token; *token* is None when an Idempotency-Key repeats: the secret was shown once."""

    row: TokenRow
    token: str | None


def verify_token(store: Store, authorization: str | None, now: datetime) -> Principal:
    """
    Return whom the value of an ``Authorization`` header stands for.

    What that one may do is not judged here; :func:`require` does.

    Raises:
        Unauthenticated: no bearer token, or none that is valid at *now*. StoreUnavailable: it cannot be looked up.
    """
    scheme, _, text = (authorization or "").partition(" ")
    match = _TOKEN.fullmatch(text.strip())
    if scheme.lower() != "bearer" or match is None:
        raise _unauthenticated()
    kind, identity, secret = match.groups()
    found = find_session(store.reader, identity) if kind == _SESSION else store.reader.token(identity)
    if not matches(secret, found and found[1]) or found is None:
        raise _unauthenticated()
    row = found[0]
    if row.revoked_at is not None or now >= row.expires_at:
        raise _unauthenticated()
    if isinstance(row, SessionRow):
        return Principal(row.id, Role(row.role), row.names, row.owner, row.owner, row)
    _record_use(store, row, now)
    return Principal(row.id, Role(row.role), row.names, row.label, row.owner)


def matches(secret: str, digest: bytes | None) -> bool:
    """
    Tell whether *digest* is that of *secret*; False when there is none.

    Compared all the same then: the time taken says nothing about which ids exist.
    """
    return hmac.compare_digest(sha256(secret.encode()).digest(), digest or _NOBODY) and digest is not None


def require(principal: Principal, right: Right, name: str | None = None) -> Principal:
    """
    Return *principal* when it has *right*, on the pin set *name* when one is given.

    Raises:
        Forbidden: its role, or its names, do not allow that.
    """
    if principal.allows(right, name):
        return principal
    if right not in RIGHTS[principal.role]:
        roles = [role.value for role in Role if right in RIGHTS[role]]
        raise Forbidden(
            f"this token may not {right.value}", expected=f"role {' or '.join(roles)}", got=principal.role.value
        )
    what = f"this token does not reach pin set {name!r}" if name else f"this token may not {right.value}"
    wanted = name if name and right not in WIDE_RIGHTS else "*"
    raise Forbidden(what, expected=f"a name or pattern for {wanted}", got=", ".join(principal.names))


def covers(patterns: tuple[str, ...], name: str) -> bool:
    """Tell whether a pattern, exact or ending in one ``*``, matches *name*."""
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def issue_token(store: Store, draft: TokenDraft, by: Act) -> IssuedToken:
    """
    Make a token and return it with its secret, which is shown this once.

    Raises:
        IdempotencyMismatch: the key stood for another request. Unauthenticated: whoever asks was revoked meanwhile.
        StoreUnavailable. Nothing was made.
    """
    answered = _issued_before(store.reader, by)
    if answered:
        return answered
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    row = TokenRow(
        id=token_id,
        label=draft.label,
        owner=draft.owner or token_id,
        role=draft.role,
        names=draft.names,
        created_at=by.at,
        created_by=by.actor,
        expires_at=by.at + timedelta(seconds=draft.lifetime_seconds),
        last_used_at=None,
        revoked_at=None,
    )
    try:
        _store_token(store, row, sha256(secret.encode()).digest(), by)
    except IntegrityError as error:
        answered = _issued_before(store.reader, by)
        if answered is None:
            raise Conflict("the token could not be stored", hint="Repeat the request.") from error
        return answered
    return IssuedToken(row, f"pw_{token_id}_{secret}")


def revoke_token(store: Store, token_id: str, by: Act) -> TokenRow:
    """End a token at once; one that was revoked before stays so. NotFound, Unauthenticated."""
    with store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        if transaction.revoke_token(token_id, by.at):
            audit.append(transaction, at=by.at, actor=by.actor, action="token.revoke", subject=token_id, detail={})
    return _token(store.reader, token_id)


def _store_token(store: Store, row: TokenRow, digest: bytes, by: Act) -> None:
    detail = {
        "label": row.label,
        "owner": row.owner,
        "role": row.role,
        "names": list(row.names),
        "lifetime_seconds": int((row.expires_at - row.created_at).total_seconds()),
    }
    with store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        transaction.append_token(row, digest)
        audit.append(transaction, at=by.at, actor=by.actor, action="token.issue", subject=row.id, detail=detail)
        if by.attempt:
            answer = encode({"token": row.id}).decode("ascii")
            fingerprint = by.attempt.fingerprint
            transaction.append_attempt(by.actor, by.attempt.key, fingerprint=fingerprint, answer=answer, at=by.at)


def _issued_before(reader: Reader, by: Act) -> IssuedToken | None:
    kept = by.attempt and reader.attempt(by.actor, by.attempt.key)
    if not kept or by.attempt is None:
        return None
    if kept[0] != by.attempt.fingerprint:
        raise IdempotencyMismatch(
            f"the Idempotency-Key {by.attempt.key!r} was used for another request",
            hint="Send a fresh key with each new change.",
        )
    return IssuedToken(_token(reader, json.loads(kept[1])["token"]), None)


def _token(reader: Reader, token_id: str) -> TokenRow:
    found = reader.token(token_id)
    if found is None:
        raise NotFound(f"no token {token_id[:40]!r}", hint="GET /admin/v1/tokens lists those that exist.")
    return found[0]


def _record_use(store: Store, row: TokenRow, now: datetime) -> None:
    if row.last_used_at is not None and now - row.last_used_at < LAST_USE_GRAIN:
        return
    try:
        with store.writer.transaction() as transaction:
            transaction.touch_token(row.id, now)
    except StoreUnavailable as error:
        log.warning("last use of token %s was not recorded: %s", row.id, error.what)


def _unauthenticated() -> Unauthenticated:
    # One sentence for every reason: which tokens exist, and how far a guess got, is nobody's business.
    return Unauthenticated(
        "no valid token",
        expected="Authorization: Bearer pw_<id>_<secret>",
        hint="Tokens end by themselves and can be revoked; ask an administrator for a new one, or `pinwarden login`.",
    )
