"""
Sessions: what a login is answered with, for some hours, and how that ends.

It may import the store and ``audit``. Whether somebody may have a session is judged by the way in; a secret is shown
once and kept as a digest, and beginning and ending are audited in the transaction itself.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden_server import audit
from pinwarden_server.auth import Principal
from pinwarden_server.errors import NotFound
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act
from pinwarden_server.store import Store, Transaction
from pinwarden_server.store.logins import SessionRow, append_session, end_early, find_session, revoke_session


@dataclass(frozen=True, slots=True)
class Grant:
    """What a way in gives: to whom, by which *way*, as what, on which pin sets, and for how long."""

    owner: str
    way: str
    role: str
    names: tuple[str, ...]
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has just begun; *token* is shown this once."""

    row: SessionRow
    token: str


def begin_session(transaction: Transaction, grant: Grant, at: datetime, detail: Mapping[str, object]) -> Session:
    """
    Let somebody in, in the transaction that spends what they got in by.

    Args:
        detail: what the audit log shall say of the way in besides the grant itself.
    """
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    now = at.replace(microsecond=0)
    row = SessionRow(identity, grant.owner, grant.way, grant.role, grant.names, now, now + grant.lifetime)
    append_session(transaction, row, sha256(secret.encode()).digest())
    told = {"session": identity, "way": grant.way, "role": grant.role, "names": list(grant.names), **detail}
    actor = f"session:{identity}"
    audit.append(transaction, at=at, actor=actor, action="session.begin", subject=grant.owner, detail=told)
    return Session(row, f"pws_{identity}_{secret}")


def end_session(store: Store, identity: str, by: Act) -> SessionRow:
    """
    End a session at once, and take back the approvals that it gave; one that was ended before stays so.

    Raises:
        NotFound: there is none of that id. Unauthenticated: whoever asks was revoked meanwhile.
    """
    return _end(store, identity, by, revoke_session)


def end_own_session(store: Store, principal: Principal, by: Act) -> SessionRow:
    """
    End the session that asks; what it approved stays approved.

    Raises:
        NotFound: it is a token that an administrator issued, which only an administrator ends.
    """
    if principal.session is None:
        raise NotFound("this is no session", hint="An administrator ends tokens: DELETE /admin/v1/tokens/{id} does it.")
    return _end(store, principal.session.id, by, end_early)


def _end(store: Store, identity: str, by: Act, end: Callable[[Transaction, str, datetime], bool]) -> SessionRow:
    with store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        if end(transaction, identity, by.at):
            audit.append(transaction, at=by.at, actor=by.actor, action="session.end", subject=identity, detail={})
    found = find_session(store.reader, identity)
    if found is None:
        raise NotFound(f"no session {identity[:40]!r}", hint="GET /admin/v1/sessions lists those that exist.")
    return found[0]
