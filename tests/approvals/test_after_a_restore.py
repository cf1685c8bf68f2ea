"""What sessions did before a restore: sessions are in no backup, so nobody knows which of them were revoked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinwarden_server.backup import make_backup
from pinwarden_server.restore import floor_at, restore_backup, set_floors
from pinwarden_server.schedule import publish_due
from pinwarden_server.site import Act, Site
from pinwarden_server.store import open_store
from tests.approvals.test_sessions import log_in, log_out, revoke, scheduled

if TYPE_CHECKING:
    from conftest import Desk


@contextmanager
def restored(desk: "Desk", folder: Path) -> Iterator[Site]:
    """Yield the server of *desk* on a new store that its backup, tokens included, was brought into."""
    site, by, file = desk.node.site, Act("system:command", desk.clock()), folder / "backup.jsonl"
    make_backup(site.store.reader, file, now=desk.clock(), tokens=True)
    store = open_store(f"sqlite:///{folder}/restored.db")
    try:
        restore_backup(store, file, by)
        set_floors(store, {"*": floor_at(100, None, None)}, by)
        yield Site(store, site.tree, site.bell, site.signers, site.policy)
    finally:
        store.close()


@pytest.mark.parametrize("end", [log_out, revoke])
def test_no_approval_by_a_session_counts_after_a_restore(
    desk: "Desk", tmp_path: Path, end: Callable[["Desk", str], None]
) -> None:
    by_session, by_token, session = desk.propose("next", "spare"), desk.propose("other", "spare"), log_in(desk, "anna")
    assert desk.approve(by_session, "anna", token=session).status_code == 202
    assert desk.approve(by_token, "anna").status_code == 202
    end(desk, session)
    with restored(desk, tmp_path) as site:
        standing = {number: site.store.reader.change(number).approvers for number in (by_session, by_token)}
        assert standing == {by_session: frozenset(), by_token: {"anna"}}


@pytest.mark.parametrize("end", [log_out, revoke])
def test_nothing_that_a_session_scheduled_is_published_unseen_after_a_restore(
    desk: "Desk", tmp_path: Path, end: Callable[["Desk", str], None]
) -> None:
    number = scheduled(desk, end)
    with restored(desk, tmp_path) as site:
        blocked = publish_due(site, desk.clock())
        assert list(blocked) == [number]
        assert "is not known any more" in blocked[number]
        assert (site.store.reader.current("orders").tag, site.store.reader.change(number).state) == ((1, 1), "waiting")
