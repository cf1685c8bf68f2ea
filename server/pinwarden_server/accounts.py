"""
Local accounts with a password, for the day when no administrator and no issuer lets anybody in.

It may import libsodium, the store, ``audit``, ``sessions`` and ``turns``. A password is hashed by Argon2id, as many at
a time as memory is meant for; a name that does not exist costs the same work as one that does.
"""

from datetime import datetime, timedelta

from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id
from sqlalchemy.exc import IntegrityError

from pinwarden_server import audit
from pinwarden_server.errors import Conflict, NotFound, Unauthenticated
from pinwarden_server.sessions import Grant, Session, begin_session
from pinwarden_server.site import Act
from pinwarden_server.store import Store
from pinwarden_server.store.logins import (
    AccountRow,
    append_account,
    find_account,
    is_account,
    remove_account,
    revoke_sessions_of,
    set_password_hash,
    withdraw_links_of,
)
from pinwarden_server.turns import Turns

# RFC 9106's choice for little memory: 3 passes over 64 MiB. A stored hash keeps the work that it was made with.
PASSES, MEMORY_BYTES = 3, 64 * 1024 * 1024
HASHES_AT_ONCE = 2  # in all workers of a node: strangers decide how many passwords come
MAX_PASSWORD_BYTES = 1024
# Of a password that was thrown away, with the work of today.
_NOBODYS = b"$argon2id$v=19$m=65536,t=3,p=1$URTTPCEOe8MLWEofxFHBBA$1LSLyRBjNFzCjMA3tBcLLdYvrnDImPwtn20tMz6kWDA"


def add_account(store: Store, name: str, password: bytes, grant: tuple[str, tuple[str, ...]], by: Act) -> AccountRow:
    """
    Make an account.

    Args:
        grant: role and pin sets of its sessions.

    Raises:
        Conflict: there is one of that name.
    """
    role, names = grant
    row = AccountRow(name, _hashed(password), role, names, by.at.replace(microsecond=0), by.actor)
    try:
        with store.writer.transaction() as transaction:
            append_account(transaction, row)
            detail = {"role": role, "names": list(names)}
            audit.append(transaction, at=by.at, actor=by.actor, action="account.add", subject=name, detail=detail)
    except IntegrityError as error:
        raise Conflict(f"there is an account {name!r}", hint="Remove it first, or choose another name.") from error
    return row


def delete_account(store: Store, name: str, by: Act) -> int:
    """Remove an account and end its sessions; return how many that were. NotFound when there is none."""
    with store.writer.transaction() as transaction:
        if not remove_account(transaction, name):
            raise _not_found(name)
        ended = revoke_sessions_of(transaction, name, by.at, way="account")
        detail = {"sessions": ended}
        audit.append(transaction, at=by.at, actor=by.actor, action="account.remove", subject=name, detail=detail)
    return ended


def change_password(store: Store, name: str, password: bytes, by: Act) -> tuple[int, int]:
    """
    Give an account another password, or the same one anew, and let nobody stay in who may have had the old one.

    Role and pin sets stay. Every session of the name is revoked however it began, so approvals of theirs do not count
    any more; open one-time links for the name, or made by such a session, are withdrawn.

    Returns:
        How many sessions were revoked, and how many links withdrawn.

    Raises:
        NotFound: there is no such account.
    """
    hashed = _hashed(password)
    with store.writer.transaction() as transaction:
        if not set_password_hash(transaction, name, hashed):
            raise _not_found(name)
        links = withdraw_links_of(transaction, name, by.at)
        ended = revoke_sessions_of(transaction, name, by.at)
        detail = {"sessions": ended, "links": links}
        audit.append(transaction, at=by.at, actor=by.actor, action="account.password", subject=name, detail=detail)
    return ended, links


def log_in(store: Store, name: str, password: str, now: datetime, *, lifetime: timedelta, turns: Turns) -> Session:
    """
    Return a session of the account *name*; *turns* are those of the node for hashing.

    Raises:
        Unauthenticated: no such account, or not its password; which of them is not told.
        TooManyAttempts: other passwords are being judged; nothing was hashed.
    """
    account = find_account(store.reader, name)
    given = password.encode("utf-8", "surrogatepass")
    with turns.one("other passwords are being judged"):
        right = _verifies(account.password_hash.encode("ascii") if account else _NOBODYS, given)
    if not right or account is None:
        raise _no_account()
    grant = Grant(account.name, "account", account.role, account.names, lifetime)
    with store.writer.transaction() as transaction:
        if not is_account(transaction, account):  # removed, or given another password, while this one was judged
            raise _no_account()
        return begin_session(transaction, grant, now, {})


def _hashed(password: bytes) -> str:
    return argon2id.str(password, opslimit=PASSES, memlimit=MEMORY_BYTES).decode("ascii")


def _not_found(name: str) -> NotFound:
    return NotFound(f"no account {name[:40]!r}", hint="`pinwarden server account list` lists those that exist.")


def _no_account() -> Unauthenticated:
    return Unauthenticated(
        "no account with that password",
        expected="the name and the password of a local account",
        hint="`pinwarden server account list`, on the server, shows the names.",
    )


def _verifies(hashed: bytes, password: bytes) -> bool:
    if len(password) > MAX_PASSWORD_BYTES:
        password = b""  # no account has an empty one; the work is the same
    try:
        return bool(argon2id.verify(hashed, password))
    except InvalidkeyError:
        return False
