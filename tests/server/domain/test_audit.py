"""The audit chain: every tampering shows, and a change without its row is impossible."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from pinwarden_server.audit import verify_chain
from pinwarden_server.errors import AuditBroken, ServerError

if TYPE_CHECKING:
    from conftest import House

TAMPERINGS = {
    "an edited detail": "UPDATE audit SET detail = replace(detail, '1.1', '1.9') WHERE seq = 2",
    "another actor": "UPDATE audit SET actor = 'mallory' WHERE seq = 3",
    "another time": "UPDATE audit SET at = at + 1 WHERE seq = 2",
    "a row removed from the middle": "DELETE FROM audit WHERE seq = 3",
    "the first row removed": "DELETE FROM audit WHERE seq = 1",
    "the end cut off": "DELETE FROM audit WHERE seq = 5",
    "the end cut off and the head moved": ("DELETE FROM audit WHERE seq = 5; UPDATE audit_head SET seq = 4"),
    "two rows swapped": (
        "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;"
        "UPDATE audit SET seq = 3 WHERE seq = 99"
    ),
    "a row put in": (
        "INSERT INTO audit SELECT 6, at, actor, action, subject, detail, hash, 'abc' FROM audit WHERE seq = 5;"
        "UPDATE audit_head SET seq = 6, hash = 'abc'"
    ),
}


@pytest.mark.parametrize("statements", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_chain_is_found_out(house: "House", statements: str) -> None:
    for _ in range(4):
        house.publish()
    assert verify_chain(house.site.store.reader).rows == 5
    with create_engine(house.site.store.url).begin() as connection:
        for statement in statements.split(";"):
            connection.execute(text(statement))
    with pytest.raises(AuditBroken):
        verify_chain(house.site.store.reader)


def test_nothing_is_published_when_its_audit_row_cannot_be_written(house: "House") -> None:
    house.publish()
    before = house.dump()
    with create_engine(house.site.store.url).begin() as connection:
        connection.execute(
            text("CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no audit'); END")
        )
    with pytest.raises(ServerError):
        house.publish()
    after = house.dump()
    del before["reservations"], after["reservations"]  # numbers may have gaps
    assert after == before
