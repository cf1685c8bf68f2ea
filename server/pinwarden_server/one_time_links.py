"""
One-time links: an administrator hands one to a person, who redeems it for a session, once and soon.

It may import the store, ``audit`` and ``sessions``. The code is in the fragment of the link, which no browser and no
client sends along, so no access log has it; the store keeps a digest.
"""

import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from pinwarden.errors import ConfigError
from pinwarden.strict_json import format_time
from pinwarden_server import audit
from pinwarden_server.auth import matches
from pinwarden_server.errors import Conflict, NotFound, Unauthenticated
from pinwarden_server.login_drafts import LinkDraft
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.sessions import Grant, Session, begin_session
from pinwarden_server.settings import Settings
from pinwarden_server.site import Act
from pinwarden_server.store import Store
from pinwarden_server.store.logins import LinkRow, append_link, find_link, list_links, redeem_link, withdraw_link

_CODE = re.compile(r"pwl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


class LinkState(StrEnum):
    """What a one-time link is good for by now."""

    OPEN = "open"
    REDEEMED = "redeemed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    MAKER_REVOKED = "maker-revoked"


@dataclass(frozen=True, slots=True)
class ShownLink:
    """A one-time link as the admin API shows it: all but its code."""

    row: LinkRow
    state: LinkState

    def to_json(self) -> dict[str, object]:
        """Return what helps nobody to get in."""
        return {**self.row.to_json(), "state": self.state.value}


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """A new one-time link; *code* is shown this once."""

    row: LinkRow
    code: str

    def url(self, base: str) -> str:
        """Return the link for people, below the address *base* of the admin side."""
        return f"{base.rstrip('/')}/#{self.code}"


def issue_link(store: Store, draft: LinkDraft, by: Act) -> IssuedLink:
    """Make a one-time link and return it with its code; Unauthenticated: whoever asks was revoked meanwhile."""
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    now = by.at.replace(microsecond=0)
    ends = now + timedelta(seconds=draft.lifetime_seconds)
    row = LinkRow(identity, draft.owner, draft.role, draft.names, now, by.actor, ends)
    detail = {
        "owner": draft.owner,
        "role": draft.role,
        "names": list(draft.names),
        "lifetime_seconds": draft.lifetime_seconds,
    }
    with store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        append_link(transaction, row, sha256(secret.encode()).digest())
        audit.append(transaction, at=by.at, actor=by.actor, action="link.issue", subject=identity, detail=detail)
    return IssuedLink(row, f"pwl_{identity}_{secret}")


def redeem(store: Store, code: str, now: datetime, *, lifetime: timedelta) -> Session:
    """
    Return the session that the link with *code* stands for; nobody gets another one for it.

    Raises:
        Unauthenticated: no such link, or it was redeemed, has expired, or whoever made it was revoked since; which of
            them is not told.
    """
    match = _CODE.fullmatch(code)
    found = find_link(store.reader, match[1]) if match else None
    if match is None or not matches(match[2], found and found[1]) or found is None:
        raise _worthless()
    row = found[0]
    with store.writer.transaction() as transaction:
        # A thief's would outlive the token that it was made with.
        if transaction.is_revoked(row.created_by) or not redeem_link(transaction, row.id, now):
            raise _worthless()
        grant = Grant(row.owner, "link", row.role, row.names, lifetime)
        return begin_session(transaction, grant, now, {"link": row.id})


def shown_links(store: Store, now: datetime) -> list[ShownLink]:
    """Return every link that was not forgotten yet, the oldest first."""
    rows, good_makers = list_links(store.reader)
    return [_shown(row, now, is_maker_good=row.created_by in good_makers) for row in rows]


def withdraw(store: Store, identity: str, by: Act) -> ShownLink:
    """
    Let nobody in by a link any more; one that was withdrawn before stays so.

    Raises:
        NotFound: there is none of that id. Conflict: somebody is in by it already.
    """
    with store.writer.transaction() as transaction:
        if withdraw_link(transaction, identity):
            audit.append(transaction, at=by.at, actor=by.actor, action="link.withdraw", subject=identity, detail={})
    found = find_link(store.reader, identity)
    if found is None:
        raise NotFound(f"no one-time link {identity[:40]!r}", hint="GET /admin/v1/one-time-links lists them.")
    row = found[0]
    if row.redeemed_at is not None:
        raise Conflict(
            f"the link for {row.owner} was redeemed at {format_time(row.redeemed_at)}",
            expected="a link that nobody has redeemed",
            hint="End the session that it began; `pinwarden session list` shows it.",
        )
    return _shown(row, by.at, is_maker_good=not store.reader.is_revoked(row.created_by))


def _shown(row: LinkRow, now: datetime, *, is_maker_good: bool) -> ShownLink:
    if row.redeemed_at is not None:
        return ShownLink(row, LinkState.REDEEMED)
    if row.expires_at <= row.created_at:
        return ShownLink(row, LinkState.WITHDRAWN)
    if row.expires_at <= now:
        return ShownLink(row, LinkState.EXPIRED)
    return ShownLink(row, LinkState.OPEN if is_maker_good else LinkState.MAKER_REVOKED)


def admin_url(settings: Settings) -> str:
    """
    Return the address that people reach the admin side by, for links.

    Raises:
        ConfigError: no setting tells it.
    """
    if settings.admin_url is not None:
        return settings.admin_url
    # Without TLS in front the server listens on this machine alone; a running one has written where.
    for first in () if settings.tls_terminated_in_front else _listening(settings):
        if first.startswith("http://"):
            return first
    raise ConfigError(
        "nobody knows by which address people reach this server",
        hint="Set admin_url, such as https://pins.example.com:8443.",
    )


def _listening(settings: Settings) -> list[str]:
    try:
        return [str(address) for address in json.loads((settings.run_dir / "addresses.json").read_text("utf-8"))]
    except (OSError, ValueError):
        return [f"http://{address}" for address in settings.bind if not address.startswith("unix:")]


def _worthless() -> Unauthenticated:
    return Unauthenticated(
        "no link that can be redeemed",
        expected="the code of a one-time link, within its life, for the first time",
        hint="Ask for a new link. If nobody but you had this one and you never used it, tell your administrator.",
    )
