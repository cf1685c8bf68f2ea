"""
What became of a transaction whose connection was lost during its COMMIT.

It may import SQLAlchemy and ``tables``. It only looks: whoever asked decides what the answer means.
"""

import logging
from time import monotonic, sleep

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store.rows import AuditRow
from pinwarden_server.store.tables import audit

FIND_OUT_SECONDS, PAUSE_SECONDS = 8.0, 0.1
log = logging.getLogger("pinwarden.server")


def was_committed(engine: Engine, audited: AuditRow | None, lost: DBAPIError) -> bool:
    """
    Tell whether the transaction that appended *audited* is in the store, asking for some seconds.

    Args:
        engine: of the writer, whose transactions take turns.
        audited: its last audit row; None: it gave out a number in vain, or took a lease that ends by itself.

    Raises:
        StoreUnavailable: the database is not back, so nobody knows.
    """
    if audited is None:
        return False
    deadline = monotonic() + FIND_OUT_SECONDS
    query = select(audit.c.seq).where(audit.c.seq == audited.seq, audit.c.hash == audited.hash)
    while True:
        try:
            # Whoever has the turn comes after the end of the lost transaction, which may outlive its connection.
            with engine.begin() as connection:
                found = connection.execute(query).first() is not None
        except SQLAlchemyError:
            if monotonic() > deadline:
                raise _unknown() from lost
            sleep(PAUSE_SECONDS)
        else:
            fate = "stored" if found else "not stored"
            log.warning("the connection was lost during COMMIT; audit row %d was %s", audited.seq, fate)
            return found


def _unknown() -> StoreUnavailable:
    return StoreUnavailable(
        "the connection was lost while the change was being stored, and the database is not back",
        holds="Whether the change was stored is not known. Published pins are served on.",
        hint="Repeat the request under the same Idempotency-Key when the database is back: it is done once.",
    )
