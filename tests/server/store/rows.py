"""Rows as use cases would write them, with contents that only the store looks at."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pinwarden.envelope import CHECKPOINT_TYPE, PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature
from pinwarden_server import audit
from pinwarden_server.errors import Tag
from pinwarden_server.store import (
    ChangeApproval,
    ChangeReview,
    ChangeRow,
    ChangeSignature,
    CheckpointRow,
    Store,
    TokenRow,
    Transaction,
    VersionRow,
)
from pinwarden_server.store.logins import AccountRow, LinkRow, SessionRow
from pinwarden_server.store.publication_steps import TimestampRow

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
SIGNATURE = ChangeSignature("a" * 64, b"\0\xff" * 32, NOW, "token:alice")
APPROVAL = ChangeApproval("bob", "system:bob", NOW, "looked at it")
REVIEW = ChangeReview("bob", "token:bob", NOW, "objected", "the backup is not ours")


def envelope(kind: str, payload: bytes = b"{}") -> Envelope:
    return Envelope.of(kind, payload, [Signature("b" * 64, b"\0" * 64)])


def root(number: int) -> Envelope:
    return envelope(ROOT_TYPE, b'{"authority":"example","version":%d}' % number)


def version(name: str, tag: Tag, payload: bytes = b"{}", **changes: Any) -> VersionRow:
    fields: dict[str, Any] = {
        "name": name,
        "tag": tag,
        "envelope": envelope(PINSET_TYPE, payload),
        "issued": NOW,
        "expires": LATER,
        "published_at": NOW,
        "actor": "token:alice",
        "reason": "because",
        "forced": ("PIN005", "PIN007"),
    }
    return VersionRow(**(fields | changes))


def timestamp(tag: Tag, **changes: Any) -> TimestampRow:
    fields: dict[str, Any] = {
        "tag": tag,
        "envelope": envelope(TIMESTAMP_TYPE, b'{"version":%d}' % tag[1]),
        "expires": NOW + timedelta(days=3),
        "renew_after": NOW + timedelta(days=1),
        "renew_pinset_after": NOW + timedelta(days=15),
    }
    return TimestampRow(**(fields | changes))


def change(number: int, name: str, **changes: Any) -> ChangeRow:
    fields: dict[str, Any] = {
        "id": number,
        "name": name,
        "action": "pinset.publish",
        "base": (1, 1),
        "tag": (1, 2),
        "payload": b"\0 the bytes \xff",
        "issued": NOW,
        "expires": LATER,
        "proposed_at": NOW,
        "actor": "token:alice",
        "reason": "because",
        "forced": ("PIN005",),
        "warnings": ({"code": "PIN017", "pointer": "/hosts/0", "message": "m", "hint": "h"},),
        "wait_for": ("c" * 64,),
        "owner": "alice",
        "waits_until": LATER,
    }
    return ChangeRow(**(fields | changes))


def checkpoint(size: int, **changes: Any) -> CheckpointRow:
    fields: dict[str, Any] = {
        "size": size,
        "hash": "d" * 64,
        "issued": NOW,
        "root_version": 1,
        "envelope": envelope(CHECKPOINT_TYPE),
    }
    return CheckpointRow(**(fields | changes))


def token(name: str, **changes: Any) -> TokenRow:
    fields: dict[str, Any] = {
        "id": name,
        "label": "for tests",
        "owner": "alice",
        "role": "editor",
        "names": ("pay-*", "shop"),
        "created_at": NOW,
        "created_by": "system:init",
        "expires_at": LATER,
        "last_used_at": None,
        "revoked_at": None,
    }
    return TokenRow(**(fields | changes))


def session(name: str, **changes: Any) -> SessionRow:
    fields: dict[str, Any] = {
        "id": name,
        "owner": "alice",
        "way": "link",
        "role": "editor",
        "names": ("pay-*", "shop"),
        "authenticated_at": NOW,
        "expires_at": LATER,
    }
    return SessionRow(**(fields | changes))


def link(name: str, **changes: Any) -> LinkRow:
    fields: dict[str, Any] = {
        "id": name,
        "owner": "alice",
        "role": "editor",
        "names": ("pay-*", "shop"),
        "created_at": NOW,
        "created_by": "token:root",
        "expires_at": LATER,
    }
    return LinkRow(**(fields | changes))


def account(name: str, **changes: Any) -> AccountRow:
    fields: dict[str, Any] = {
        "name": name,
        "password_hash": "$argon2id$",
        "role": "admin",
        "names": ("*",),
        "created_at": NOW,
        "created_by": "system:command",
    }
    return AccountRow(**(fields | changes))


def audited(transaction: Transaction, subject: str = "payments", **detail: object) -> int:
    """Append an audit row and return its number."""
    return audit.append(transaction, at=NOW, actor="tester", action="test.row", subject=subject, detail=detail)


def publish(store: Store, name: str, tag: Tag = (1, 1), payload: bytes = b"{}", **changes: Any) -> VersionRow:
    """Commit a version over whatever is in force, as a publication does; keywords change the timestamp."""
    row = version(name, tag, payload)
    with store.writer.transaction() as transaction:
        pair = transaction.pair_of(name)
        stamp = timestamp((1, tag[1]), **changes)
        if pair is None:
            assert transaction.create_pinset(name, tag, stamp)
        else:
            assert transaction.move_pinset(name, expected=pair[0], expected_timestamp=pair[1], tag=tag, timestamp=stamp)
        transaction.append_version(row, audit_seq=audited(transaction, name))
    return row
