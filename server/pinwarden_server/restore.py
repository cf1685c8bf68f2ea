"""
Bring a backup into an empty store, and settle which versions must never be given out again.

It may import the store, the audit chain and the client's verifier. Nothing of a backup enters the store before all of
it was judged beside; and after a restore no pin set is published before its floor is set.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import Envelope
from pinwarden.errors import ExpiredError, PinwardenError, UntrustedError
from pinwarden_server import audit
from pinwarden_server.backup import read_backup
from pinwarden_server.checkpoints import verify_store
from pinwarden_server.errors import BackupRefused, Conflict, Tag, Unstorable
from pinwarden_server.site import Act
from pinwarden_server.store import (
    Current,
    Reader,
    Store,
    Transaction,
    VersionRow,
    check_schema,
    migrate,
    open_store,
    schema_of,
)
from pinwarden_server.store.copying import (
    Floor,
    count_rows,
    highest_numbers,
    is_empty,
    raise_floor,
    read_everything,
    unsettle,
    unsettled_names,
    write_row,
)
from pinwarden_server.store.logins import doubt_id_tokens
from pinwarden_server.store.tables import EVERY_OTHER
from pinwarden_server.tags import format_tag, parse_tag

# Nobody counts timestamps, and they are signed far more often than pin sets: this many are decades of renewals.
TIMESTAMPS_AHEAD = 1_000_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: the names, and the end of the audit chain as it was in the backup."""

    names: tuple[str, ...]
    chain: audit.ChainReport


def restore_backup(store: Store, path: Path, by: Act) -> Restored:
    """
    Judge the backup *path* whole, and bring it into *store*, which must be empty; then every name waits for a floor.

    Raises:
        BackupRefused: damaged, or something in it that our own verifier refuses. Conflict: the store is not empty.
        StoreUnavailable: the database is away. The store is as it was in each case.
    """
    if schema_of(store) is None:
        migrate(store.url)
    check_schema(store)
    with store.writer.transaction() as transaction:
        _check_empty(transaction)
    with tempfile.TemporaryDirectory(prefix="pinwarden-restore-") as folder:
        url = f"sqlite:///{folder}/rehearsal.db"
        migrate(url)
        rehearsal = open_store(url)
        try:
            _rehearse(rehearsal, path)
            chain = judge(rehearsal.reader)
            _bring_over(store, rehearsal.reader, chain, by)
            return Restored(tuple(line.name for line in rehearsal.reader.pinsets()), chain)
        finally:
            rehearsal.close()


def judge(reader: Reader) -> audit.ChainReport:
    """
    Return the end of the audit chain when it holds, and every document is one that clients accept or accepted once.

    That somebody replaced the backup as a whole by an older one is not judged here: compare the end of its audit chain.

    Raises:
        BackupRefused: the row that is wrong, by name. AuditBroken: the chain is.
    """
    chain = verify_store(reader).chain
    try:
        _judge_documents(reader)
    except UntrustedError as error:
        raise BackupRefused(f"a document that no client could read: {error.what}", step=error.step) from error
    return chain


def set_floors(store: Store, floors: Mapping[str, Floor], by: Act) -> list[str]:
    """
    Set the floor of each name, ``*`` for every name that has none yet, and return the names that still wait.

    A floor never lowers what was given out already.

    Raises:
        StoreUnavailable: none of them was set.
    """
    waiting = unsettled_names(store.reader)
    with store.writer.transaction() as transaction:
        for name, floor in sorted(floors.items()):
            names = [*(each for each in waiting if each not in floors), name] if name == EVERY_OTHER else [name]
            for each in names:
                raise_floor(transaction, each, floor)
            detail = {"pinset_version": floor.pinset_version, "timestamp_version": floor.timestamp_version}
            audit.append(transaction, at=by.at, actor=by.actor, action="store.floor", subject=name, detail=detail)
    return unsettled_names(store.reader)


def floor_at(version: int, timestamp_version: int | None, known: Floor | None) -> Floor:
    """Return the floor that an operator names; without a timestamp's version, one that none can have reached."""
    if timestamp_version is None:
        timestamp_version = max(version, known.timestamp_version if known else 0) + TIMESTAMPS_AHEAD
    return Floor(version, timestamp_version)


def floor_of(roots: tuple[Envelope, ...], name: str, body: bytes) -> Floor:
    """
    Return the floor that a bundle proves, which our newest root's clients are served now.

    Raises:
        UntrustedError: it is not signed by whom the roots name.
    """
    bundle = Bundle.parse(body)
    stamp = Timestamp.parse(bundle.timestamp.payload)
    # What has ended was signed by the right ones all the same, and clients may hold it.
    with suppress(ExpiredError):
        trust.advance_bundle(trust.begin(roots[-1], name=name), bundle, now=stamp.issued)
    return Floor(stamp.pinset.version, stamp.version, stamp.issued)


def _judge_documents(reader: Reader) -> None:
    published, roots, highest = _audited(reader), reader.roots(), highest_numbers(reader)
    judged = Counter[str]()
    for current in reader.all_current():
        states = _states(roots, current.name)
        for tag in reader.version_tags(current.name):
            _judge_version(reader.version(current.name, tag[1], tag[0]), states, published)
            judged["versions"] += 1
        _judge_current(current, roots)
        judged["pinsets"] += 1
        known = highest.get(current.name, Floor(0, 0))
        if known.pinset_version < current.tag[1] or known.timestamp_version < current.timestamp_version:
            raise BackupRefused(f"the counters of pin set {current.name!r} are behind its versions")
    for table, number in count_rows(reader).items():
        if table in ("versions", "pinsets") and judged[table] != number:
            raise BackupRefused(
                f"rows of {table} that belong to no pin set in force", expected=number, got=judged[table]
            )


def _check_empty(transaction: Transaction) -> None:
    if not is_empty(transaction):
        raise Conflict(
            "the store is not empty",
            expected="a new database, or none",
            hint="Name another database in the settings: a restore never mixes with what is there.",
        )


def _rehearse(rehearsal: Store, path: Path) -> None:
    try:
        with rehearsal.writer.transaction() as transaction:
            for table, values in read_backup(path):
                write_row(transaction, table, values)
    except (KeyError, ValueError, TypeError, OverflowError, UntrustedError, Unstorable, IntegrityError) as error:
        raise BackupRefused(f"{path} has rows that no store could have: {type(error).__name__}") from error


def _bring_over(store: Store, judged: Reader, chain: audit.ChainReport, by: Act) -> None:
    """Add what was judged, not what the file says by now; names then wait for floors, and jobs need new ID tokens."""
    with store.writer.transaction() as transaction:
        _check_empty(transaction)
        for table, values in read_everything(judged, tokens=True):
            write_row(transaction, table, values)
        unsettle(transaction)
        doubt_id_tokens(transaction, by.at)
        detail = {"rows": chain.rows, "head": chain.head}
        audit.append(transaction, at=by.at, actor=by.actor, action="store.restore", subject="store", detail=detail)


def _audited(reader: Reader) -> dict[tuple[str, Tag], str]:
    """Return the SHA-256 that the audit log has for each version."""
    found: dict[tuple[str, Tag], str] = {}
    after = 0
    while rows := reader.audit(after=after, limit=500):
        for row in rows:
            detail = row.to_json()["detail"]
            if row.action.startswith("pinset.") and isinstance(detail, dict) and "sha256" in detail:
                found[row.subject, parse_tag(detail["version"])] = detail["sha256"]
        after = rows[-1].seq
    return found


def _states(roots: tuple[Envelope, ...], name: str) -> list[trust.TrustState]:
    """Return what a client trusts after each root, from the first to the newest."""
    if not roots:
        raise BackupRefused("pin sets without a root")
    try:
        states = [trust.begin(roots[0], name=name)]
        for root in roots[1:]:
            states.append(trust.advance_root(states[-1], root))
    except UntrustedError as error:
        raise BackupRefused(f"clients would not follow the roots: {error.what}", step=error.step) from error
    return states


def _judge_version(
    row: VersionRow, states: Iterable[trust.TrustState], published: Mapping[tuple[str, Tag], str]
) -> None:
    where = f"version {format_tag(row.tag)} of {row.name!r}"
    if published.get((row.name, row.tag)) != sha256(row.envelope.payload).hexdigest():
        raise BackupRefused(f"{where} is not what the audit log says was published")
    refusals: list[PinwardenError] = []
    for state in states:
        try:
            document = PinSet.parse(row.envelope.verified_by(state.root.grant_for(row.name)))
        except UntrustedError as error:
            refusals.append(error)
            continue
        if (document.name, (document.epoch, document.version)) != (row.name, row.tag):
            raise BackupRefused(f"{where} is another one")
        return
    raise BackupRefused(f"no root vouches for {where}: {refusals[-1].what}") from refusals[-1]


def _judge_current(current: Current, roots: tuple[Envelope, ...]) -> None:
    stamp = Timestamp.parse(current.timestamp.payload)
    held = trust.begin(roots[stamp.root_version - 1], name=current.name) if stamp.root_version <= len(roots) else None
    if held is None:
        raise BackupRefused(f"the timestamp of {current.name!r} names a root that is not there")
    if stamp.pinset.sha256 != sha256(current.pinset.payload).digest():
        raise BackupRefused(f"the timestamp of {current.name!r} names another version than the one in force")
    try:
        trust.advance_bundle(held, Bundle((), current.timestamp, current.pinset), now=stamp.issued)
    except ExpiredError:
        return  # nobody renewed it; each of its signatures was verified with its version
    except UntrustedError as error:
        raise BackupRefused(f"clients would refuse what is in force for {current.name!r}: {error.what}") from error
