"""
The tables of changes: what somebody proposed, and what people did about it.

Like ``tables``, with the types of ``columns``. A change is closed once; its payload, what was signed and who approved
never change.
"""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table

from pinwarden_server.store.columns import ACTOR, NAME, Moment, Whole, Words, metadata

# What somebody proposed and waits, or what was published and has to be reviewed; its number is that of the audit row
# that records it. The payload is kept whole: it is what is signed or approved.
changes = Table(
    "changes",
    metadata,
    Column("id", Whole, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    Column("name", NAME, nullable=False),
    Column("action", Words(64), nullable=False),
    Column("base_epoch", Whole),
    Column("base_version", Whole),
    Column("epoch", Whole, nullable=False),
    Column("version", Whole, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("issued", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("proposed_at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("owner", ACTOR, nullable=False),
    Column("reason", Words(), nullable=False),
    Column("forced", Words(), nullable=False),
    Column("warnings", Words(), nullable=False),
    Column("wait_for", Words(), nullable=False),
    Column("signer", Words(16), nullable=False),
    Column("not_before", Moment),
    Column("waits_until", Moment, nullable=False),
    Column("blocked", Words(), nullable=False),
    Column("approvals_required", Whole, nullable=False, server_default="0"),
    Column("state", Words(16), nullable=False),
    Column("closed_at", Moment),
    Column("closed_by", ACTOR),
    Column("closed_reason", Words()),
    Column("published_epoch", Whole),
    Column("published_version", Whole),
    Index("ix_changes_name_state", "name", "state"),
    Index("ix_changes_state", "state"),
)

change_signatures = Table(
    "change_signatures",
    metadata,
    Column("change_id", Whole, ForeignKey("changes.id"), primary_key=True, autoincrement=False),
    Column("keyid", Words(64), primary_key=True),
    Column("sig", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
)

# One approval for each person, whatever tokens that person has.
change_approvals = Table(
    "change_approvals",
    metadata,
    Column("change_id", Whole, ForeignKey("changes.id"), primary_key=True, autoincrement=False),
    Column("owner", ACTOR, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("reason", Words(), nullable=False),
)

# What another person said afterwards of a publication that broke the glass.
change_reviews = Table(
    "change_reviews",
    metadata,
    Column("change_id", Whole, ForeignKey("changes.id"), primary_key=True, autoincrement=False),
    Column("owner", ACTOR, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("verdict", Words(16), nullable=False),
    Column("reason", Words(), nullable=False),
)
