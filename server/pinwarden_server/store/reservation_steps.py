"""
The steps that give out numbers and times of issue, each of them once (spec S1).

It may import ``tables`` and SQLAlchemy. None of the steps commits; what was given out is never given out again, whether
it is used or not.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from pinwarden_server.errors import FloorMissing
from pinwarden_server.store.steps import Steps
from pinwarden_server.store.tables import EVERY_OTHER, reservations, unsettled


@dataclass(frozen=True, slots=True)
class Reservation:
    """Numbers and a time of issue that were never given out before and never will be again (spec S1)."""

    pinset_version: int
    timestamp_version: int
    issued: datetime


_NOTHING = Reservation(0, 0, datetime.fromtimestamp(0, UTC))


class ReservationSteps(Steps):
    """The steps that count."""

    def reserve(self, name: str, now: datetime, *, pinset: bool) -> Reservation:
        """Raise the counters of *name* and return what they were raised to."""
        now = now.replace(microsecond=0)
        waits = select(unsettled.c.name).where(unsettled.c.name == name).exists().label("waits")
        query = select(reservations, waits).where(reservations.c.name == name)
        row = self._connection.execute(query).first()
        if row is None:
            return self._reserve_first(name, now, pinset=pinset)
        if row.waits:
            raise _no_floor(name)
        reservation = Reservation(row.pinset_version + pinset, row.timestamp_version + 1, max(row.issued, now))
        self.run(
            update(reservations)
            .where(reservations.c.name == name)
            .values(
                pinset_version=reservation.pinset_version,
                timestamp_version=reservation.timestamp_version,
                issued=reservation.issued,
            )
        )
        return reservation

    def _reserve_first(self, name: str, now: datetime, *, pinset: bool) -> Reservation:
        if self.exists(select(unsettled.c.name).where(unsettled.c.name.in_((name, EVERY_OTHER)))):
            raise _no_floor(name)
        # After a restore, names that the backup does not know begin above what they may have reached before.
        floor = self._connection.execute(select(reservations).where(reservations.c.name == EVERY_OTHER)).first()
        before = Reservation(floor.pinset_version, floor.timestamp_version, floor.issued) if floor else _NOTHING
        first = Reservation(before.pinset_version + pinset, before.timestamp_version + 1, max(now, before.issued))
        self.run(
            insert(reservations).values(
                name=name,
                pinset_version=first.pinset_version,
                timestamp_version=first.timestamp_version,
                issued=first.issued,
            )
        )
        return first


def _no_floor(name: str) -> FloorMissing:
    return FloorMissing(
        f"pin set {name!r} may not be published yet: the store was restored from a backup",
        expected="a floor: a version that no client holds a higher one than",
        hint=f"Set it with `pinwarden server restore --floor {name}=VERSION`; docs/backup.md says which.",
    )
