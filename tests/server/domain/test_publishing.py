"""Publishing, rolling back and previewing: what is promised, and what a refusal leaves behind."""

import json
import os
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.drafts import Draft, RollbackDraft
from pinwarden_server.errors import (
    BadDraft,
    Conflict,
    IdempotencyMismatch,
    LintRefused,
    NotFound,
    NotServedYet,
    PublicationRefused,
    ServerError,
    SignerUnavailable,
    StaleVersion,
    StoreUnavailable,
)
from pinwarden_server.founding import found, reconcile
from pinwarden_server.preview import preview
from pinwarden_server.publishing import publish, rollback
from pinwarden_server.site import Act, Attempt

if TYPE_CHECKING:
    from conftest import House


def client(house: "House") -> trust.TrustState:
    return trust.begin(house.founding.root_json, name="payments")


def served(house: "House", path: str = "/v1/bundles/payments/1") -> bytes:
    entry = house.table().get(path)
    assert entry is not None
    return entry.body


def test_a_client_trusts_what_was_published_as_soon_as_publish_returns(house: "House") -> None:
    table = house.table()
    draft = house.draft("api.example.com", "*.pay.example.com", report_to="https://reports.example.net/in")
    outcome = publish(house.site, "payments", draft, None, house.act())
    entry = table.get("/v1/bundles/payments/1")
    assert entry is not None
    state = trust.advance_bundle(client(house), Bundle.parse(entry.body), now=house.now)
    assert (outcome.tag, outcome.created, outcome.etag) == ((1, 1), True, '"1.1"')
    assert state.pinset is not None
    assert (state.pinset.hosts, state.pinset.report_to) == (draft.hosts, draft.report_to)
    assert entry.tag == "1.1"


def test_a_second_publication_replaces_the_first_and_both_versions_stay_readable(house: "House") -> None:
    house.publish()
    first = served(house, "/v1/pinsets/payments/versions/1.1")
    assert house.publish().tag == (1, 2)
    assert served(house, "/v1/pinsets/payments/versions/1.1") == first
    rows = house.site.store.reader.versions("payments")
    assert [row.tag for row in rows] == [(1, 2), (1, 1)]
    assert [row.tag for row in house.site.store.reader.versions("payments", before=2)] == [(1, 1)]
    assert house.site.store.reader.version("payments", 1).envelope.to_bytes() == first


def test_documents_live_as_long_as_the_policy_and_the_draft_say(house: "House") -> None:
    outcome = house.publish()
    assert outcome.expires - outcome.issued == timedelta(days=30)
    stamp = house.site.store.reader.pinsets()[0].timestamp_expires
    assert stamp - outcome.issued == timedelta(days=3)
    assert house.publish(lifetime_seconds=86_400).expires == outcome.issued + timedelta(days=1)


REFUSED: list[tuple[str, type[ServerError], Any]] = [
    ("no backup", LintRefused, lambda h: Draft((replace(pinned("a.example.com", b"1" * 32), backups=()),))),
    ("no pin", BadDraft, lambda h: Draft((replace(h.draft().hosts[0], pins=()),))),
    ("a placeholder pin", LintRefused, lambda h: Draft((pinned("a.example.com", b"\0" * 32, b"\1\2" * 16),))),
    ("forced without a reason", LintRefused, lambda h: h.draft("pins.example.com", force=("PIN008",))),
    ("the pin server itself", LintRefused, lambda h: h.draft("**.example.com")),
    ("longer than the grant", LintRefused, lambda h: h.draft(lifetime_seconds=91 * 86_400)),
    ("one host twice", BadDraft, lambda h: h.draft("a.example.com", "a.example.com")),
    ("a pinned key that is denied", BadDraft, lambda h: _denied(h.draft())),
    ("reports over http", BadDraft, lambda h: h.draft(report_to="http://reports.example.net")),
]


def _denied(draft: Draft) -> Draft:
    return replace(draft, deny=(draft.hosts[0].pins[0].sha256,))


@pytest.mark.parametrize(("reason", "error", "make"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_bad_draft_changes_nothing_stored(house: "House", reason: str, error: Any, make: Any) -> None:
    house.publish()
    before = house.dump()
    with pytest.raises(error) as refusal:
        publish(house.site, "payments", make(house), (1, 1), house.act())
    assert house.dump() == before
    assert refusal.value.violations != ()
    assert all(violation.message and violation.hint for violation in refusal.value.violations)


def test_a_stale_version_is_refused_with_the_current_one_and_changes_nothing(house: "House") -> None:
    house.publish()
    house.publish()
    before = house.dump()
    for expected in ((1, 1), None, (2, 2)):
        with pytest.raises(StaleVersion) as refusal:
            publish(house.site, "payments", house.draft(), expected, house.act())
        assert refusal.value.current == (1, 2)
    with pytest.raises(NotFound):
        publish(house.site, "other", house.draft(), (1, 1), house.act())
    with pytest.raises(NotFound):
        rollback(house.site, "payments", RollbackDraft(99), (1, 2), house.act())
    with pytest.raises(BadDraft):
        publish(house.site, "../etc", house.draft(), None, house.act())
    assert house.dump() == before


def test_a_forced_finding_is_published_and_audited_with_its_reason(house: "House") -> None:
    draft = house.draft("pins.example.com", force=("PIN008",), reason="migration, INC-7")
    outcome = publish(house.site, "payments", draft, None, house.act())
    row = house.site.store.reader.audit(after=1)[0].to_json()
    assert [warning.code for warning in outcome.warnings] == ["PIN004", "PIN008", "PIN017"]
    assert isinstance(row["detail"], dict)
    assert (row["detail"]["forced"], row["detail"]["reason"]) == (["PIN008"], "migration, INC-7")
    assert house.site.store.reader.version("payments", 1).forced == ("PIN008",)


def test_a_rollback_brings_old_content_back_as_a_new_version(house: "House") -> None:
    house.publish()
    house.publish()
    old = house.site.store.reader.version("payments", 1).document()
    outcome = rollback(house.site, "payments", RollbackDraft(1, reason="wrong pin"), (1, 2), house.act())
    new = house.site.store.reader.version("payments", 3).document()
    assert outcome.tag == (1, 3)
    assert (new.hosts, new.deny, new.expires - new.issued) == (old.hosts, old.deny, old.expires - old.issued)


def test_an_idempotency_key_gives_the_same_answer_and_publishes_once(house: "House") -> None:
    by = house.act(attempt=Attempt.of("key-1", "PUT", "/p", None, b"{}"))
    draft = house.draft()
    first = publish(house.site, "payments", draft, None, by)
    before = house.dump()
    again = publish(house.site, "payments", draft, None, by)
    assert again == replace(first, replayed=True)
    assert house.dump() == before


def test_an_idempotency_key_with_another_body_is_refused(house: "House") -> None:
    publish(house.site, "payments", house.draft(), None, house.act(attempt=Attempt.of("k", "PUT", "/p", None, b"1")))
    before = house.dump()
    other = house.act(attempt=Attempt.of("k", "PUT", "/p", None, b"2"))
    with pytest.raises(IdempotencyMismatch):
        publish(house.site, "payments", house.draft(), (1, 1), other)
    assert house.dump() == before


@pytest.mark.parametrize("keep", ["", "timestamp", "pinset"])
def test_without_its_keys_the_server_publishes_nothing_and_serves_on(house: "House", keep: str) -> None:
    house.publish()
    before = served(house)
    with pytest.raises(SignerUnavailable):
        publish(house.without_keys(keep=keep), "payments", house.draft(), (1, 1), house.act())
    assert served(house) == before
    assert house.site.store.reader.current("payments").tag == (1, 1)
    assert house.publish().tag == (1, 3)  # the number given out is not given out again


def test_nothing_is_published_that_a_client_would_refuse(house: "House") -> None:
    house.publish()
    before = served(house)
    house.pass_time(days=721)  # the root has ended meanwhile
    with pytest.raises(PublicationRefused) as refusal:
        house.publish()
    assert refusal.value.step == "V4"
    assert served(house) == before


def test_a_clock_that_went_back_issues_nothing_before_the_last_document(house: "House") -> None:
    first = house.publish()
    house.pass_time(hours=-5)
    second = house.publish()
    assert second.issued == first.issued
    house.pass_time(days=-3)
    with pytest.raises(PublicationRefused):
        house.publish()
    assert house.site.store.reader.current("payments").tag == second.tag


def test_a_missing_database_stops_writing_but_neither_start_nor_reading(house: "House") -> None:
    house.publish()
    before = served(house)
    house.site.store.close()
    database = house.folder / "store/pinwarden.db"
    database.rename(database.with_suffix(".away"))
    with pytest.raises(StoreUnavailable):
        house.publish()
    with pytest.raises(StoreUnavailable):
        reconcile(house.site)
    assert not database.exists()
    assert served(house) == before


def test_a_committed_version_that_cannot_be_served_says_so_and_is_served_after_repair(house: "House") -> None:
    house.publish()
    blocked = house.site.tree.folder / "v1/bundles/payments/1"
    blocked.unlink()
    blocked.mkdir()
    (blocked / "full").touch()  # a rename cannot replace a folder that is not empty
    by = house.act(attempt=Attempt.of("key", "PUT", "/p", None, b""))
    with pytest.raises(NotServedYet) as refusal:
        publish(house.site, "payments", house.draft(), (1, 1), by)
    assert refusal.value.version == "1.2"
    (blocked / "full").unlink()
    blocked.rmdir()
    assert publish(house.site, "payments", house.draft(), (1, 1), by).replayed
    entry = house.table().get("/v1/bundles/payments/1")
    assert entry is not None and entry.tag == "1.2"


def test_a_lost_tree_is_made_again_byte_for_byte_with_the_same_times(house: "House") -> None:
    house.publish()
    house.publish()
    public = house.site.tree.folder / "v1"
    before = {path: (path.read_bytes(), path.stat().st_mtime) for path in public.rglob("*") if path.is_file()}
    public.rename(public.with_name("lost"))
    assert reconcile(house.site) == len(before)
    after = {path: (path.read_bytes(), path.stat().st_mtime) for path in public.rglob("*") if path.is_file()}
    assert after == before
    assert reconcile(house.site) == 0


def test_no_two_documents_of_a_name_share_a_time_of_change(house: "House") -> None:
    path = house.site.tree.folder / "v1/bundles/payments/1"
    times = []
    for _ in range(5):
        house.publish()
        times.append(int(path.stat().st_mtime))
    assert len(set(times)) == len(times)  # nginx makes its ETag of size and whole seconds


def test_sixteen_publishers_lose_no_update(house: "House") -> None:
    house.publish()
    acknowledged: list[tuple[int, int]] = []
    refused: list[ServerError] = []

    def work() -> None:
        for _ in range(6):
            current = house.site.store.reader.current("payments").tag
            try:
                acknowledged.append(publish(house.site, "payments", house.draft(), current, house.act()).tag)
            except StaleVersion as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [row.tag for row in house.site.store.reader.versions("payments", limit=1000)]
    assert len(acknowledged) + len(refused) == 16 * 6
    assert sorted([(1, 1), *acknowledged]) == sorted(stored)
    assert audit.verify_chain(house.site.store.reader).rows == len(stored) + 1
    entry = house.table().get("/v1/bundles/payments/1")
    assert entry is not None and entry.tag == f"1.{max(stored)[1]}"


def test_only_one_of_many_creates_a_pin_set(house: "House") -> None:
    outcomes: list[str] = []

    def work() -> None:
        try:
            outcomes.append(publish(house.site, "new", house.draft(), None, house.act()).etag)
        except StaleVersion:
            outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 7


def test_a_preview_shows_difference_lint_and_reach_and_stores_nothing(house: "House") -> None:
    house.publish()
    old = house.site.store.reader.current("payments")
    before = house.dump()
    apart = Draft(tuple(pinned(f"{name}.example.com", os.urandom(32)) for name in ("api", "pins")))
    shown = preview(house.site, "payments", apart, house.now).to_json()
    assert house.dump() == before
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["current"], shown["publishable"]) == ("1.1", False)
    assert [violation["code"] for violation in shown["violations"]] == ["PIN008", "PIN009"]
    assert shown["diff"]["hosts_added"] == ["pins.example.com"]
    assert [change["host"] for change in shown["diff"]["hosts_changed"]] == ["api.example.com"]
    assert shown["blast_radius"]["unexpired_versions"] == ["1.1"]
    assert shown["blast_radius"]["hosts_without_common_pin"] == {"api.example.com": ["1.1"]}
    assert PinSet.parse(old.pinset.payload).hosts[0].host == "api.example.com"


def test_a_server_keeps_the_authority_that_it_was_founded_with(house: "House", tmp_path: Any) -> None:
    from os import urandom

    from pinwarden_keys import found_authority

    before = house.dump()
    assert found(house.site, house.founding.root_json, Act("again", house.now)).version == 1
    other = found_authority("other", now=house.now, entropy=urandom)
    with pytest.raises(Conflict):
        found(house.site, other.root_json, Act("again", house.now))
    with pytest.raises(BadDraft):
        found(house.site, house.founding.root_json.replace(b'"sig":"', b'"sig":"A', 1), Act("again", house.now))
    assert house.dump() == before
