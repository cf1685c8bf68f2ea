"""
Sessions, one-time links, local accounts and spent ID tokens, as the store keeps them.

It may import the tables and SQLAlchemy. Secrets come as digests and leave as digests; a link is spent in the statement
that finds it unspent, so two redeemers at once cannot both have it.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, and_, delete, exists, insert, literal, or_, select, update

from pinwarden.strict_json import format_time
from pinwarden_server.store.change_queries import unrevoked
from pinwarden_server.store.change_tables import change_approvals
from pinwarden_server.store.columns import Words, is_text
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.login_tables import accounts, one_time_links, sessions, used_id_tokens
from pinwarden_server.store.reader import Reader
from pinwarden_server.store.writer import Transaction

# Longer than a change waits for its time: what a session scheduled is published while the session is known.
KEPT_AFTER_THE_END = timedelta(days=62)
# No ID token is taken that has more than this to live, leeway included: so long it matters which were exchanged.
ID_TOKENS_MATTER = timedelta(days=1, seconds=30)
_RESTORED = "restored"  # among the digests of ID tokens; none is spelt so


@dataclass(frozen=True, slots=True)
class SessionRow:
    """
    A login that holds for some hours, without its secret.

    Attributes:
        owner: the person or job.
        way: ``link``, ``account`` or ``oidc``.
        revoked_at: when it was ended before its time.
    """

    id: str
    owner: str
    way: str
    role: str
    names: tuple[str, ...]
    authenticated_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def to_json(self) -> dict[str, object]:
        """Return the row as the admin API shows it; nothing in it helps to get in."""
        return {
            "id": self.id,
            "owner": self.owner,
            "way": self.way,
            "role": self.role,
            "names": list(self.names),
            "authenticated_at": format_time(self.authenticated_at),
            "expires_at": format_time(self.expires_at),
            "revoked_at": self.revoked_at and format_time(self.revoked_at),
        }


@dataclass(frozen=True, slots=True)
class LinkRow:
    """
    A one-time link without its secret.

    Attributes:
        expires_at: not after *created_at* when it was withdrawn: so no node lets anybody in, whatever its clock.
    """

    id: str
    owner: str
    role: str
    names: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    redeemed_at: datetime | None = None

    def to_json(self) -> dict[str, object]:
        """Return the row as the admin API shows it; nothing in it helps to get in."""
        return {
            "id": self.id,
            "owner": self.owner,
            "role": self.role,
            "names": list(self.names),
            "created_at": format_time(self.created_at),
            "created_by": self.created_by,
            "expires_at": format_time(self.expires_at),
            "redeemed_at": self.redeemed_at and format_time(self.redeemed_at),
        }


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A local account; *password_hash* is Argon2id with its parameters and salt, in PHC form."""

    name: str
    password_hash: str
    role: str
    names: tuple[str, ...]
    created_at: datetime
    created_by: str


def find_session(reader: Reader, identity: str) -> tuple[SessionRow, bytes] | None:
    """Return a session and the digest of its secret, or None."""
    row = _first(reader, select(sessions).where(is_text(sessions.c.id, identity)))
    return None if row is None else (_session(row), row.secret_sha256)


def list_sessions(reader: Reader) -> list[SessionRow]:
    """Return every session that was not forgotten yet, ended ones included, the oldest login first."""
    query = select(sessions).order_by(sessions.c.authenticated_at, sessions.c.id)
    with store_failures(), reader.engine.begin() as connection:
        return [_session(row) for row in connection.execute(query)]


def find_link(reader: Reader, identity: str) -> tuple[LinkRow, bytes] | None:
    """Return a one-time link and the digest of its secret, or None."""
    row = _first(reader, select(one_time_links).where(is_text(one_time_links.c.id, identity)))
    return None if row is None else (_link(row), row.secret_sha256)


def list_links(reader: Reader) -> tuple[list[LinkRow], set[str]]:
    """Return every link that was not forgotten yet, the oldest first, and those of their makers not revoked since."""
    query = select(one_time_links).order_by(one_time_links.c.created_at, one_time_links.c.id)
    with store_failures(), reader.engine.begin() as connection:
        rows = [_link(row) for row in connection.execute(query)]
        return rows, unrevoked(connection, {row.created_by for row in rows})


def find_account(reader: Reader, name: str) -> AccountRow | None:
    """Return the account *name*, or None."""
    row = _first(reader, select(accounts).where(is_text(accounts.c.name, name)))
    return None if row is None else _account(row)


def list_accounts(reader: Reader) -> list[AccountRow]:
    """Return every account, by name."""
    with store_failures(), reader.engine.begin() as connection:
        return [_account(row) for row in connection.execute(select(accounts).order_by(accounts.c.name))]


def append_session(transaction: Transaction, row: SessionRow, secret_sha256: bytes) -> None:
    """Add a session."""
    values = {**_values(row, "id", "owner", "way", "role", "authenticated_at", "expires_at"), "names": _names(row)}
    transaction.run(insert(sessions).values(secret_sha256=secret_sha256, **values))


def revoke_session(transaction: Transaction, identity: str, at: datetime) -> bool:
    """End a session; False when it does not exist or was ended before."""
    which = and_(is_text(sessions.c.id, identity), sessions.c.revoked_at.is_(None))
    return transaction.count(update(sessions).where(which).values(revoked_at=at)) == 1


def end_early(transaction: Transaction, identity: str, at: datetime) -> bool:
    """Let a session expire at *at*; False when it had ended. Unlike a revocation, this puts no doubt on what it did."""
    going_on = and_(is_text(sessions.c.id, identity), sessions.c.revoked_at.is_(None), sessions.c.expires_at > at)
    return transaction.count(update(sessions).where(going_on).values(expires_at=at)) == 1


def revoke_sessions_of(transaction: Transaction, owner: str, at: datetime, *, way: str | None = None) -> int:
    """End every session of *owner*, or those that began that *way*; return how many."""
    which = and_(_sessions_of(owner, way), sessions.c.revoked_at.is_(None))
    return transaction.count(update(sessions).where(which).values(revoked_at=at))


def append_link(transaction: Transaction, row: LinkRow, secret_sha256: bytes) -> None:
    """Add a one-time link."""
    values = {**_values(row, "id", "owner", "role", "created_at", "created_by", "expires_at"), "names": _names(row)}
    transaction.run(insert(one_time_links).values(secret_sha256=secret_sha256, **values))


def redeem_link(transaction: Transaction, identity: str, at: datetime) -> bool:
    """Spend a link; False when it was spent, has expired or is not there: then nobody may be let in for it."""
    which = is_text(one_time_links.c.id, identity), _is_open(at)
    return transaction.count(update(one_time_links).where(*which).values(redeemed_at=at)) == 1


def withdraw_link(transaction: Transaction, identity: str) -> bool:
    """
    Take the life of a link; False when it was spent, was withdrawn before or is not there.

    One that has expired is withdrawn too: by the clock of another node it may be open.
    """
    is_alive = and_(one_time_links.c.redeemed_at.is_(None), one_time_links.c.expires_at > one_time_links.c.created_at)
    return transaction.count(_withdrawing().where(is_text(one_time_links.c.id, identity), is_alive)) == 1


def withdraw_links_of(transaction: Transaction, owner: str, at: datetime) -> int:
    """Take the life of all links open at *at* that are for *owner* or made by a session of *owner*; return how many."""
    makers = select(literal("session:", Words()).concat(sessions.c.id)).where(_sessions_of(owner))
    theirs = or_(is_text(one_time_links.c.owner, owner), one_time_links.c.created_by.in_(makers))
    return transaction.count(_withdrawing().where(theirs, _is_open(at)))


def append_account(transaction: Transaction, row: AccountRow) -> None:
    """Add an account; IntegrityError when there is one of that name."""
    values = {**_values(row, "name", "password_hash", "role", "created_at", "created_by"), "names": _names(row)}
    transaction.run(insert(accounts).values(**values))


def is_account(transaction: Transaction, row: AccountRow) -> bool:
    """Tell whether that very account is there, as this transaction sees it."""
    same = and_(accounts.c.name == row.name, accounts.c.password_hash == row.password_hash)
    return transaction.exists(select(accounts.c.name).where(same))


def set_password_hash(transaction: Transaction, name: str, password_hash: str) -> bool:
    """Give an account another password; False when there is none of that name."""
    which = is_text(accounts.c.name, name)
    return transaction.count(update(accounts).where(which).values(password_hash=password_hash)) == 1


def remove_account(transaction: Transaction, name: str) -> bool:
    """Remove an account; False when there is none."""
    return transaction.count(delete(accounts).where(is_text(accounts.c.name, name))) == 1


def spend_id_token(transaction: Transaction, digest: str, expires_at: datetime) -> None:
    """Remember that an ID token was exchanged; IntegrityError when it was before."""
    transaction.run(insert(used_id_tokens).values(digest=digest, expires_at=expires_at))


def doubt_id_tokens(transaction: Transaction, restored_at: datetime) -> None:
    """Remember that nobody knows which ID tokens were exchanged before *restored_at*, until none of them lives."""
    spend_id_token(transaction, _RESTORED, restored_at + ID_TOKENS_MATTER)


def id_tokens_doubted_until(reader: Reader) -> datetime | None:
    """Return the moment of a restore before which ID tokens may have been exchanged without a trace, or None."""
    row = _first(reader, select(used_id_tokens.c.expires_at).where(used_id_tokens.c.digest == _RESTORED))
    return None if row is None else row.expires_at - ID_TOKENS_MATTER


def forget_logins(transaction: Transaction, now: datetime) -> None:
    """
    Drop what ended long ago, and the ID tokens that nobody would take any more; the audit log keeps the logins.

    A session that approved something is kept: its approval counts while it is known and was not revoked.
    """
    mine = change_approvals.c.actor == literal("session:") + sessions.c.id
    approved = exists(select(change_approvals.c.change_id).where(mine))
    for table, *which in (
        (sessions, sessions.c.expires_at < now - KEPT_AFTER_THE_END, ~approved),
        (one_time_links, one_time_links.c.expires_at < now - KEPT_AFTER_THE_END),
        (used_id_tokens, used_id_tokens.c.expires_at < now),
    ):
        transaction.run(delete(table).where(*which))


def _is_open(at: datetime) -> ColumnElement[bool]:
    return and_(one_time_links.c.redeemed_at.is_(None), one_time_links.c.expires_at > at)


def _withdrawing() -> Update:
    return update(one_time_links).values(expires_at=one_time_links.c.created_at)


def _sessions_of(owner: str, way: str | None = None) -> ColumnElement[bool]:
    theirs = is_text(sessions.c.owner, owner)
    return theirs if way is None else and_(theirs, sessions.c.way == way)


def _first(reader: Reader, query: Select[Any]) -> Row[Any] | None:
    with store_failures(), reader.engine.begin() as connection:
        return connection.execute(query).first()


def _session(row: Row[Any]) -> SessionRow:
    columns = {name: value for name, value in row._mapping.items() if name not in ("secret_sha256", "names")}
    return SessionRow(**columns, names=tuple(json.loads(row.names)))


def _link(row: Row[Any]) -> LinkRow:
    columns = {name: value for name, value in row._mapping.items() if name not in ("secret_sha256", "names")}
    return LinkRow(**columns, names=tuple(json.loads(row.names)))


def _account(row: Row[Any]) -> AccountRow:
    columns = {name: value for name, value in row._mapping.items() if name != "names"}
    return AccountRow(**columns, names=tuple(json.loads(row.names)))


def _names(row: SessionRow | LinkRow | AccountRow) -> str:
    return json.dumps(list(row.names))


def _values(row: object, *columns: str) -> dict[str, Any]:
    return {column: getattr(row, column) for column in columns}
