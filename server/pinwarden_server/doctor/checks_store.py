"""Checks of what the database says. It may import the facts.

Each is a row of the table in ``checks``, which says what it looks at and when it warns. None does I/O.
"""

from datetime import timedelta

from pinwarden.strict_json import format_time
from pinwarden_server.auth import Role
from pinwarden_server.checkpoints import Verified
from pinwarden_server.doctor.facts import Facts
from pinwarden_server.doctor.facts_machine import NETWORK_FILE_SYSTEMS
from pinwarden_server.doctor.facts_store import MOST_FILES, StoreFacts
from pinwarden_server.doctor.finding import BAD, OK, WARN, Verdicts

UNASKED = (OK, "not judged: the database was not asked", "")
SKEW_WARN, SKEW_BAD = 5.0, 60.0
TOKEN_DAYS = timedelta(days=14)
SHOWN = 5
_RENEW = "Start the server; where it runs, its log says why it does not renew. Documents end unless they are renewed."


def _told(facts: Facts) -> StoreFacts | None:
    """Return what the database says when it has the schema of this version."""
    store = facts.store
    return store if isinstance(store, StoreFacts) and store.schema == store.head else None


def reachable(facts: Facts) -> Verdicts:
    store = facts.store
    if not isinstance(store, StoreFacts):
        yield BAD, f"it cannot be asked: {store.why}", f"{store.do} The rest is judged without it."
    elif store.schema != store.head:
        found = store.schema or "no schema"
        yield BAD, f"its schema is {found}, and this version needs {store.head}", store.schema_hint
    elif store.read_only:
        yield BAD, store.read_only, "Nothing can be published or renewed until it can; the server serves on meanwhile."
    else:
        yield OK, f"{'PostgreSQL' if store.is_shared else 'SQLite'}, schema {store.head}", ""


def durable(facts: Facts) -> Verdicts:
    store = facts.store
    if not isinstance(store, StoreFacts):
        yield UNASKED
        return
    wanted = {"fsync": "on", "full_page_writes": "on"} if store.is_shared else {"journal_mode": "wal"}
    wrong = [f"{name} is {store.durability[name]}" for name, value in wanted.items() if store.durability[name] != value]
    remote = [disk for disk in facts.disks if disk.what == "database" and disk.kind in NETWORK_FILE_SYSTEMS]
    if wrong:
        yield BAD, ", ".join(wrong), "Set it right: what was acknowledged could be lost with the power."
    if remote:
        yield (
            BAD,
            f"the database lies on {remote[0].kind}, where its locks may not hold",
            "Move it to a local disk, or use PostgreSQL (docs/stores.md).",
        )
    if store.durability.get("synchronous_commit") == "off":
        yield (
            WARN,
            "synchronous_commit is off; this program switches it on for itself",
            "Switch it on for everybody, so that no other program's writes can be lost.",
        )
    elif not wrong and not remote:
        told = ", ".join(f"{name} {value}" for name, value in store.durability.items())
        yield OK, told if store.is_shared else f"{told}, synchronous FULL wherever this program writes", ""


def clock(facts: Facts) -> Verdicts:
    store = facts.store
    ahead = store.ahead if isinstance(store, StoreFacts) else 0.0
    do = "Let both machines follow one time server."
    if abs(ahead) > SKEW_WARN:
        direction = "ahead of" if ahead > 0 else "behind"
        says = f"the database's clock is {abs(ahead):.0f} seconds {direction} this machine's"
        yield (BAD if abs(ahead) > SKEW_BAD else WARN), says, do
        return
    limit = facts.now + timedelta(seconds=SKEW_BAD)
    future = [each.timestamp for each in facts.documents if each.timestamp.issued > limit]
    if future:
        newest = max(stamp.issued for stamp in future)
        says = f"{len(future)} published timestamps are from the future, the newest of {format_time(newest)}"
        yield BAD, says, "This machine's clock is behind: set it right before anything is signed."
    elif isinstance(store, StoreFacts):
        yield OK, "this machine, the database and what was published agree", ""
    else:
        yield OK, "this machine and what was published agree; the database was not asked", ""


def tokens(facts: Facts) -> Verdicts:
    store = _told(facts)
    if store is None:
        yield UNASKED
        return
    valid = [row for row in store.tokens if row.revoked_at is None and row.expires_at > facts.now]
    ending = [row for row in valid if row.expires_at <= facts.now + TOKEN_DAYS]
    if not any(row.role == Role.ADMIN for row in valid):
        yield WARN, "no admin token is valid", "Issue one: `pinwarden server token --role admin --output FILE`."
    if ending:
        names = ", ".join(
            f"{row.id} ({row.label or row.role}, {format_time(row.expires_at)})" for row in ending[:SHOWN]
        )
        yield WARN, f"{len(ending)} end within {TOKEN_DAYS.days} days: {names}", "Issue new ones before they end."
    elif any(row.role == Role.ADMIN for row in valid):
        yield OK, f"{len(valid)} are valid", ""


def tree(facts: Facts) -> Verdicts:
    store = _told(facts)
    if store is None:
        yield UNASKED
        return
    if not store.roots:
        yield OK, "nothing is published yet", ""
        return
    if store.newer:
        names = ", ".join(store.newer[:SHOWN])
        yield (
            BAD,
            f"the files of {names} are newer than the database: it was restored, or is another one",
            f"Set floors from them: `pinwarden server restore --floor-from {facts.settings.tree_dir}`.",
        )
    if store.differing:
        number = f"{len(store.differing)}{' or more' if len(store.differing) >= MOST_FILES else ''}"
        says = f"{number} files are not what the database says: {', '.join(store.differing[:SHOWN])}"
        yield BAD, says, "Run `pinwarden server publish-tree`; find out who wrote there."
    elif not store.newer:
        yield OK, "every file is what the database says", ""


def floors(facts: Facts) -> Verdicts:
    store = _told(facts)
    if store is None:
        yield UNASKED
    elif store.unsettled:
        names = ", ".join("names that the backup does not know" if each == "*" else each for each in store.unsettled)
        do = "Set them: `pinwarden server restore --floor`; docs/backup.md says which."
        yield BAD, f"these wait for a floor, and cannot be published: {names}", do
    else:
        yield OK, "no name waits for one", ""


def renewal(facts: Facts) -> Verdicts:
    store = _told(facts)
    if store is None:
        yield UNASKED
    elif store.lease is None:
        yield WARN, "no worker holds the lease", _RENEW
    elif store.lease <= facts.now:
        yield WARN, f"the lease of the last worker ran out on {format_time(store.lease)}", _RENEW
    else:
        yield OK, f"a worker holds the lease until {format_time(store.lease)}", ""


def audit(facts: Facts) -> Verdicts:
    store = _told(facts)
    if store is None:
        yield UNASKED
        return
    found = store.audit
    if not isinstance(found, Verified):
        yield BAD, found, "Treat it as an incident; docs/audit.md says how to find out more."
        return
    late = facts.settings.checkpoint_interval_seconds * 2
    if found.newest is None:
        do = "A worker with a timestamp key signs the first one; the server's log says why none did."
        yield (
            (WARN if found.chain.rows else OK),
            f"{found.chain.rows} rows hold together, and no checkpoint is signed",
            do,
        )
    elif found.waits_since is not None and (facts.now - found.waits_since).total_seconds() > late:
        says = f"rows have waited for a checkpoint since {format_time(found.waits_since)}"
        yield WARN, says, "The server's log says why none was signed."
    else:
        newest = f"the newest of {found.checkpoints} checkpoints covers {found.newest.size}"
        yield OK, f"{found.chain.rows} rows hold together; {newest}", ""
