"""
The whole store as plain values, out of one database and into another, and the floors that a copy needs.

It may import ``tables`` and SQLAlchemy. Values come from one consistent look and go in within one transaction; what
they mean is judged elsewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, delete, func, insert, select, update

from pinwarden.strict_json import decode_base64, encode_base64
from pinwarden_server.store.columns import Moment, Words, metadata
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.login_tables import accounts, one_time_links, sessions, used_id_tokens
from pinwarden_server.store.reader import Reader
from pinwarden_server.store.tables import EVERY_OTHER, audit_head, leases, reservations, unsettled
from pinwarden_server.store.tables import tokens as tokens_table
from pinwarden_server.store.writer import Transaction

Values = dict[str, Any]
LONG_AGO = datetime.fromtimestamp(0, UTC)
# Who renews at the moment, and who has logged in for some hours, is nothing to keep.
_PASSING = (leases, one_time_links, sessions, used_id_tokens)
# In an order in which each row finds those that it refers to.
TABLES: Mapping[str, Table] = {table.name: table for table in metadata.sorted_tables if table not in _PASSING}
_WITH_DIGESTS = (tokens_table, accounts)


@dataclass(frozen=True, slots=True)
class Floor:
    """The highest numbers of a pin set that any client may have seen, and the newest time of issue."""

    pinset_version: int
    timestamp_version: int
    issued: datetime = LONG_AGO


def read_everything(reader: Reader, *, tokens: bool) -> Iterator[tuple[str, Values]]:
    """Yield every row of every table, as JSON values, from one look; StoreUnavailable at any of them."""
    with store_failures(), reader.engine.begin() as connection:
        for name, table in TABLES.items():
            if tokens or table not in _WITH_DIGESTS:
                yield from ((name, values) for values in _rows(connection, table))


def is_empty(transaction: Transaction) -> bool:
    """Tell whether nothing was ever written to the store of *transaction*."""
    return not any(transaction.exists(select(table)) for table in TABLES.values() if table is not audit_head) and (
        transaction.lock_audit_head()[0] == 0
    )


def write_row(transaction: Transaction, name: str, values: Values) -> None:
    """
    Add one row that :func:`read_everything` yielded; IntegrityError when it contradicts another.

    Raises:
        KeyError, ValueError, TypeError: no such table, or values that it cannot hold.
    """
    table = TABLES[name]
    if values.keys() != set(table.c.keys()):
        raise KeyError(f"columns of {name}")
    row = {column.name: _from_json(column.type, values[column.name]) for column in table.c}
    if table is audit_head:
        transaction.run(delete(audit_head))  # a new store has one already
    transaction.run(insert(table).values(**row))


def unsettle(transaction: Transaction) -> None:
    """Let no name be published before its floor is set, whether it is known here or not."""
    transaction.run(delete(unsettled))
    transaction.run(insert(unsettled).from_select(["name"], select(reservations.c.name).where(_is_name())))
    transaction.run(insert(unsettled).values(name=EVERY_OTHER))


def unsettled_names(reader: Reader) -> list[str]:
    """Return the names that wait for a floor, ``*`` for those that are not known here, in order."""
    with store_failures(), reader.engine.begin() as connection:
        return sorted(connection.execute(select(unsettled.c.name)).scalars())


def raise_floor(transaction: Transaction, name: str, floor: Floor) -> None:
    """Never give out *floor* or anything below it for *name* again, and let that name be published."""
    values = {
        "pinset_version": floor.pinset_version,
        "timestamp_version": floor.timestamp_version,
        "issued": floor.issued,
    }
    known = select(reservations.c.name).where(reservations.c.name == name)
    if transaction.exists(known):
        for column, least in values.items():
            behind = reservations.c.name == name, reservations.c[column] < least
            transaction.run(update(reservations).where(*behind).values({column: least}))
    else:
        transaction.run(insert(reservations).values(name=name, **values))
    transaction.run(delete(unsettled).where(unsettled.c.name == name))


def highest_numbers(reader: Reader) -> dict[str, Floor]:
    """Return the last numbers given out for each name, ``*`` included when it has a floor."""
    with store_failures(), reader.engine.begin() as connection:
        rows = connection.execute(select(reservations).order_by(reservations.c.name))
        return {row.name: Floor(row.pinset_version, row.timestamp_version, row.issued) for row in rows}


def count_rows(reader: Reader) -> dict[str, int]:
    """Return how many rows each table has."""
    with store_failures(), reader.engine.begin() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in TABLES.items()
        }


def _is_name() -> Any:
    return reservations.c.name != EVERY_OTHER


def _rows(connection: Connection, table: Table) -> Iterator[Values]:
    query = select(table).order_by(*table.primary_key)
    # A server-side cursor where there is one: all documents together may be larger than memory.
    for row in connection.execution_options(yield_per=200).execute(query).mappings():
        yield {column.name: _as_json(column.type, row[column]) for column in table.c}


def _as_json(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, Moment):
        return int(value.timestamp())
    return encode_base64(value) if isinstance(kind, LargeBinary) else value


def _from_json(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, Moment):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(kind, LargeBinary):
        return decode_base64(value, what="backup")
    wanted = str if isinstance(kind, Words) else int
    if type(value) is not wanted:
        raise TypeError(f"{type(value).__name__} where {wanted.__name__} belongs")
    return value
