"""What a node does when it hears that something was committed, step by step and on both stores."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pinwarden.testing import pinned
from pinwarden_server.bell import Bell
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.following import Follower
from pinwarden_server.founding import reconcile
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.publishing import publish, renew_timestamp
from pinwarden_server.site import Act, Site
from pinwarden_server.store import open_store
from tests.server.domain.conftest import KEPT
from tests.server.store.rows import NOW, audited


@pytest.fixture
def other(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A second node on the same store: own connections, own tree, own bell, and up to date."""
    node = replace(
        site,
        store=open_store(site.store.url),
        tree=PublishedTree(tmp_path / "other"),
        bell=Bell.open(tmp_path / "other-run/bell"),
    )
    reconcile(node)
    yield node
    node.store.close()
    node.bell.close()


@pytest.fixture
def follower(other: Site, tmp_path: Path) -> Follower:
    following = Follower(other, tmp_path / "following.lock")
    following._seen = other.store.reader.audit_head()[0]
    return following


def put(site: Site, name: str) -> None:
    current = site.store.reader.find_current(name)
    draft = Draft((pinned("api.example.com", os.urandom(32), KEPT),))
    publish(site, name, draft, current.tag if current else None, Act("tester", NOW))


def public(site: Site) -> dict[str, bytes]:
    """Return every public file of a node."""
    folder = site.tree.folder / "v1"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_another_node_published_is_in_the_tree_and_in_the_memory_of_this_one(
    site: Site, other: Site, follower: Follower
) -> None:
    table = PublicTable(other.tree, other.bell)
    put(site, "payments")
    put(site, "payments")
    put(site, "orders")
    assert follower.follow() == 2
    assert public(other) == public(site)
    entry = table.get("/v1/bundles/payments/1")
    assert entry is not None
    assert entry.tag == "1.2"
    assert table.names() == ["orders", "payments"]


def test_a_renewed_timestamp_is_followed_too(site: Site, other: Site, follower: Follower) -> None:
    put(site, "payments")
    follower.follow()
    renew_timestamp(site, "payments", NOW)
    assert follower.follow() == 1
    assert public(other) == public(site)


def test_nothing_is_done_when_nothing_was_committed_or_nothing_that_is_served(
    site: Site, other: Site, follower: Follower
) -> None:
    put(site, "payments")
    follower.follow()
    rung = other.bell.generation
    assert follower.follow() == 0
    with site.store.writer.transaction() as transaction:
        audited(transaction, "a token, for instance")
    assert follower.follow() == 0
    assert other.bell.generation == rung


@pytest.mark.parametrize("seen", [None, 10_000])
def test_who_cannot_tell_what_was_missed_compares_everything(
    site: Site, other: Site, follower: Follower, seen: int | None
) -> None:
    put(site, "payments")
    shutil.rmtree(other.tree.folder / "v1")
    follower._seen = seen
    assert follower.follow() == 1
    assert public(other) == public(site)
    assert follower.follow() == 0


def test_after_more_commits_than_are_looked_at_one_by_one_nothing_is_missed(
    site: Site, other: Site, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinwarden_server import following

    monkeypatch.setattr(following, "_AT_MOST", 3)
    for number in range(5):
        put(site, f"name-{number}")
    assert follower.follow() == 5
    assert public(other) == public(site)


def test_what_could_not_be_written_is_followed_at_the_next_look(
    site: Site, other: Site, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    put(site, "payments")
    with monkeypatch.context() as full:
        full.setattr("os.replace", refuse)
        with pytest.raises(StoreUnavailable):
            follower.follow()
    assert follower.follow() == 1
    assert public(other) == public(site)


def test_of_two_workers_one_follows_and_the_other_takes_over(other: Site, tmp_path: Path) -> None:
    workers = [Follower(other, tmp_path / "following.lock") for _ in range(2)]
    with workers[0]._elected() as first:
        assert first
        with workers[1]._elected() as second:
            assert not second
    with workers[1]._elected() as second:
        assert second


def test_publications_of_both_nodes_end_in_the_same_files(site: Site, other: Site, follower: Follower) -> None:
    here = Follower(site, other.tree.folder / "unused.lock")
    here._seen = site.store.reader.audit_head()[0]
    for number in range(6):
        put((site, other)[number % 2], "payments")
    follower.follow()
    here.follow()
    assert public(site) == public(other)
