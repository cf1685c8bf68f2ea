"""A log of any length is walked in shares: renewals, writers and the end of the server wait for a few rows at most."""

from datetime import timedelta

import pytest

from pinwarden_server import chain_walk
from pinwarden_server.audit import BEFORE_THE_FIRST, ChainReport
from pinwarden_server.chain_walk import ChainWalk
from pinwarden_server.checkpoints import make_checkpoint, verify_store
from pinwarden_server.errors import AuditBroken
from pinwarden_server.renewal import Round
from pinwarden_server.store import AuditRow, Reader
from tests.audit.conftest import Office

BEGIN = (0, BEFORE_THE_FIRST)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """After which row, and for how many, the store is asked; a look gives one row."""
    looks: list[tuple[int, int]] = []
    read = Reader.audit

    def audit(reader: Reader, *, after: int = 0, limit: int = 100) -> list[AuditRow]:
        looks.append((after, limit))
        return read(reader, after=after, limit=limit)

    monkeypatch.setattr(Reader, "audit", audit)
    monkeypatch.setattr(chain_walk, "PAGE", 1)
    return looks


def end_of(office: Office) -> ChainReport:
    return ChainReport(*office.site.store.reader.audit_head())


def test_a_log_that_is_longer_than_a_share_is_signed_in_the_round_that_comes_to_its_end(
    office: Office, asked: list[tuple[int, int]]
) -> None:
    office.renewer._walk = ChainWalk(rows_at_once=2)
    assert office.tick() == Round()
    assert office.rows("SELECT count(*) FROM checkpoints") == [(0,)]
    assert office.tick() == Round(checkpoint=3)
    assert asked == [(0, 1), (1, 1), (2, 1)]  # each row was read once, and alone
    assert verify_store(office.site.store.reader).checkpoints == 1


def test_what_is_due_is_renewed_in_a_round_that_walks_a_share(office: Office) -> None:
    office.renewer._walk = ChainWalk(rows_at_once=1)
    done = office.tick(days=3)
    assert (done.renewed, done.failed, done.checkpoint, office.renewer._walk.reached[0]) == (("payments",), {}, None, 1)


def test_a_walk_rests_before_the_next_rows_when_the_server_stops_and_nothing_is_signed(
    office: Office, asked: list[tuple[int, int]]
) -> None:
    walk = ChainWalk(is_stopping=lambda: len(asked) == 2)
    assert make_checkpoint(office.site, office.now, walk) is None
    assert ([after for after, _ in asked], walk.reached[0]) == ([0, 1], 2)
    assert office.rows("SELECT count(*) FROM checkpoints") == [(0,)]


def test_the_walk_of_a_renewer_rests_once_it_was_told_to_stop(office: Office, asked: list[tuple[int, int]]) -> None:
    office.renewer.stop()
    assert office.renewer._walk.to_end(office.site.store.reader, BEGIN) is None
    assert asked == []


def test_no_transaction_and_no_lock_is_held_between_the_rows_of_a_walk(
    office: Office, asked: list[tuple[int, int]]
) -> None:
    def publish() -> bool:
        with office.site.tree.locked_whole():
            pass
        if len(asked) == 1:
            office.put("orders")
        return False

    before = end_of(office)
    assert ChainWalk(is_stopping=publish).to_end(office.site.store.reader, BEGIN) == before
    assert end_of(office).rows == before.rows + 1


def test_rows_that_are_written_between_two_shares_are_walked_too(office: Office) -> None:
    walk, reader = ChainWalk(rows_at_once=2), office.site.store.reader
    assert walk.to_end(reader, BEGIN) is None
    office.put()
    assert walk.to_end(reader, BEGIN) == end_of(office)


@pytest.mark.parametrize("cut", [2, 1], ids=["behind what was walked", "before it"])
def test_a_log_that_was_cut_off_between_two_shares_is_refused(office: Office, cut: int) -> None:
    walk, reader = ChainWalk(rows_at_once=2), office.site.store.reader
    assert walk.to_end(reader, BEGIN) is None
    office.tamper(f"UPDATE versions SET audit_seq = 1; DELETE FROM audit WHERE seq > {cut}")
    with pytest.raises(AuditBroken):
        walk.to_end(reader, BEGIN)


def test_after_a_refusal_and_from_another_beginning_the_walk_begins_anew(
    office: Office, asked: list[tuple[int, int]]
) -> None:
    walk, reader = ChainWalk(rows_at_once=2), office.site.store.reader
    first, _, third = reader.audit(limit=3)
    assert walk.to_end(reader, BEGIN) is None
    office.tamper("UPDATE audit SET actor = 'mallory' WHERE seq = 3")
    with pytest.raises(AuditBroken, match="audit row 3 was changed"):
        walk.to_end(reader, BEGIN)
    office.tamper(f"UPDATE audit SET actor = '{third.actor.replace(':', chr(92) + ':')}' WHERE seq = 3")
    asked.clear()
    assert walk.to_end(reader, BEGIN) is None
    assert walk.to_end(reader, (1, first.hash)) == end_of(office)
    assert [after for after, _ in asked] == [0, 1, 1, 2]
    with pytest.raises(AuditBroken, match="audit row 2 does not follow"):
        walk.to_end(reader, (1, "f" * 64))
    assert walk.reached == (1, "f" * 64)


def test_a_checkpoint_that_another_worker_signed_meanwhile_is_walked_from_instead(office: Office) -> None:
    walk = ChainWalk(rows_at_once=1)
    assert make_checkpoint(office.site, office.now, walk) is None
    other = make_checkpoint(office.site, office.now)
    office.put()
    office.now += timedelta(hours=1)
    made = make_checkpoint(office.site, office.now, walk)
    assert other is not None and made is not None
    assert (other.size, made.size) == (3, 4)
