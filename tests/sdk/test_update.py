"""One update against a simulated source: what is fetched, kept, adopted and survived (spec section 4, V10, C3, C5)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pinwarden import CacheError, ExpiredError, FetchError, RollbackError, SignatureError, UntrustedError
from pinwarden.cache import MemoryCache
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey
from pinwarden.trust import KeptDocuments, TrustState, absorb, begin
from pinwarden.update import MAX_ROOT_WALK, Updater

HOST = "api.example.com"
GOOD, BACKUP = b"1" * 32, b"2" * 32


@dataclass
class Answer:
    body: bytes
    etag: str | None = None


@dataclass
class Source:
    """What a pin server would answer for *authority*, and what it was asked."""

    authority: ThrowawayAuthority
    asked: list[str] = field(default_factory=list)
    etag: str | None = None
    failing: dict[str, Exception] = field(default_factory=dict)

    def bundle(self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None) -> Answer | None:
        path = f"bundle {root_version}"
        self.asked.append(f"{path} held {held} etag {etag}")
        if path in self.failing:
            raise self.failing[path]
        if len(self.authority.roots) - root_version > 8 or root_version > len(self.authority.roots):
            raise FetchError("no such bundle", status=404)
        if etag and etag == self.etag:
            return None
        return Answer(self.authority.bundle(root=root_version).to_bytes(), self.etag)

    def root(self, version: int) -> bytes | None:
        self.asked.append(f"root {version}")
        if f"root {version}" in self.failing:
            raise self.failing[f"root {version}"]
        if version > len(self.authority.roots):
            return None
        return self.authority.roots[version - 1].to_bytes()


class Journal:
    """A cache and an adopter that write down what happened, in order."""

    def __init__(self) -> None:
        self.cache = MemoryCache()
        self.steps: list[str] = []
        self.states: list[TrustState] = []
        self.describe = "journal"
        self.failure: CacheError | None = None

    def adopt(self, state: TrustState) -> None:
        self.states.append(state)
        self.steps.append(f"adopt {spell(state)}")

    def load(self) -> KeptDocuments:
        return self.cache.load()

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        self.cache.update(merge)
        roots, pinsets = self.load().roots, self.load().pinsets
        self.steps.append(f"persist {len(roots)} roots, {len(pinsets)} pin sets")
        if self.failure:
            raise self.failure

    def installation_id(self) -> bytes:
        return self.cache.installation_id()


def spell(state: TrustState) -> str:
    return f"root {state.root.version} pin set {state.pinset.version if state.pinset else None}"


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def source(authority: Any) -> Source:
    return Source(authority)


@pytest.fixture
def empty(authority: Any) -> TrustState:
    return begin(authority.root_json, name="app")


@pytest.fixture
def update(source: Source, journal: Journal, authority: Any) -> Callable[[TrustState], TrustState]:
    updater = Updater(source, journal, adopt=journal.adopt)
    return lambda state: updater.update(state, authority.now)


def test_an_update_is_adopted_before_it_is_persisted(update: Any, journal: Journal, empty: TrustState) -> None:
    assert spell(update(empty)) == "root 1 pin set 1"
    assert journal.steps == ["adopt root 1 pin set 1", "persist 1 roots, 1 pin sets"]


def test_a_cache_that_fails_is_counted_and_the_update_stays_in_force(
    source: Source, journal: Journal, empty: TrustState, authority: Any, caplog: Any
) -> None:
    journal.failure = CacheError("cache is full")
    updater = Updater(source, journal, adopt=journal.adopt)
    assert spell(updater.update(empty, authority.now)) == "root 1 pin set 1"
    assert updater.health.failed == 1
    assert "update is in force but could not be kept for the next start: cache is full." in caplog.text


@pytest.mark.parametrize("behind", [9, 12])
def test_more_than_eight_roots_behind_it_walks_one_by_one_and_persists_each(
    behind: int, update: Any, source: Source, journal: Journal, empty: TrustState, authority: Any
) -> None:
    for _ in range(behind):
        authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]})
    last = behind + 1
    assert spell(update(empty)) == f"root {last} pin set 2"
    assert source.asked == [
        "bundle 1 held None etag None",
        *(f"root {version}" for version in range(2, last + 2)),
        f"bundle {last} held None etag None",
    ]
    assert journal.steps == [
        *(
            step
            for version in range(2, last + 1)
            for step in (f"adopt root {version} pin set None", f"persist {version} roots, 0 pin sets")
        ),
        f"adopt root {last} pin set 2",
        f"persist {last} roots, 1 pin sets",
    ]


def test_eight_roots_behind_takes_one_request(update: Any, source: Source, empty: TrustState, authority: Any) -> None:
    for _ in range(8):
        authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]})
    assert spell(update(empty)) == "root 9 pin set 2"
    assert source.asked == ["bundle 1 held None etag None"]


def test_at_most_256_roots_are_walked_per_refresh_and_the_next_one_goes_on(
    update: Any, source: Source, journal: Journal, empty: TrustState, authority: Any
) -> None:
    for _ in range(MAX_ROOT_WALK + 20):
        authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]})
    with pytest.raises(FetchError):
        update(empty)
    assert len([path for path in source.asked if path.startswith("root")]) == MAX_ROOT_WALK == 256
    reached = journal.states[-1]
    assert spell(reached) == "root 257 pin set None"
    assert spell(update(reached)) == "root 277 pin set 2"


def test_what_was_walked_stays_when_the_walk_breaks_off(
    update: Any, source: Source, journal: Journal, empty: TrustState, authority: Any
) -> None:
    for _ in range(11):
        authority.rotate_root()
    source.failing["root 6"] = FetchError("gone")
    with pytest.raises(FetchError, match="gone"):
        update(empty)
    assert spell(journal.states[-1]) == "root 5 pin set None"
    assert len(journal.load().roots) == 5


def test_a_root_that_its_predecessor_did_not_sign_ends_the_walk(
    update: Any, journal: Journal, empty: TrustState, authority: Any
) -> None:
    for _ in range(4):
        authority.rotate_root()
    authority.rotate_root(signers=[ThrowawayKey("thief"), ThrowawayKey("thief 2")])
    for _ in range(6):
        authority.roots.append(authority.roots[-1])
    with pytest.raises(SignatureError):
        update(empty)
    assert spell(journal.states[-1]) == "root 5 pin set None"


def test_404_for_an_unknown_name_asks_for_one_root_and_says_so(
    update: Any, source: Source, journal: Journal, empty: TrustState
) -> None:
    source.failing["bundle 1"] = FetchError("no such pin set", status=404)
    with pytest.raises(FetchError, match="no such pin set"):
        update(empty)
    assert source.asked == ["bundle 1 held None etag None", "root 2"]
    assert journal.steps == []


@pytest.mark.parametrize("status", [None, 400, 403, 410, 429, 500, 503])
def test_only_404_starts_a_walk(status: int | None, update: Any, source: Source, empty: TrustState) -> None:
    source.failing["bundle 1"] = FetchError("not now", status=status)
    with pytest.raises(FetchError, match="not now"):
        update(empty)
    assert source.asked == ["bundle 1 held None etag None"]


def test_a_refused_bundle_keeps_its_newer_roots_and_nothing_else(
    update: Any, journal: Journal, empty: TrustState, authority: Any
) -> None:
    held = update(empty)
    authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]}, expires=authority.now)
    journal.steps.clear()
    with pytest.raises(ExpiredError):
        update(held)
    assert journal.steps == ["adopt root 2 pin set 1", "persist 2 roots, 1 pin sets"]
    assert journal.states[-1].adopted_timestamp == held.adopted_timestamp


def test_a_refused_bundle_without_newer_roots_touches_nothing(
    update: Any, journal: Journal, empty: TrustState, authority: Any
) -> None:
    held = update(empty)
    authority.publish({HOST: [GOOD, BACKUP]}, expires=authority.now)
    journal.steps.clear()
    with pytest.raises(ExpiredError):
        update(held)
    assert journal.steps == []


def test_what_another_process_kept_meanwhile_wins_when_it_is_higher(
    update: Any, journal: Journal, empty: TrustState, authority: Any
) -> None:
    older = authority.bundle()
    authority.publish({HOST: [GOOD, BACKUP]})
    newer = authority.bundle()
    journal.cache.update(lambda _: KeptDocuments((), (newer.timestamp,), (newer.pinset,)))
    authority.current = (older.timestamp, older.pinset)
    assert spell(update(empty)) == "root 1 pin set 2"
    assert journal.steps == [
        "adopt root 1 pin set 1",
        "persist 1 roots, 1 pin sets",
        "adopt root 1 pin set 2",
    ]
    with pytest.raises(RollbackError):
        update(journal.states[-1])


def test_an_etag_goes_out_only_with_the_state_that_it_was_given_for(
    update: Any, source: Source, empty: TrustState, authority: Any
) -> None:
    source.etag = '"a"'
    first = update(empty)
    assert update(first) is first
    restarted = absorb(empty, first.kept())
    update(restarted)
    assert source.asked == [
        "bundle 1 held None etag None",
        'bundle 1 held (1, 1) etag "a"',
        "bundle 1 held (1, 1) etag None",
    ]


def test_304_changes_no_state_and_persists_nothing(
    update: Any, source: Source, journal: Journal, empty: TrustState
) -> None:
    source.etag = '"a"'
    held = update(empty)
    journal.steps.clear()
    assert update(held) is held
    assert journal.steps == []


class TestApplicationsThatEmbedDifferentRoots:
    """Two clients of one cache, the older of which embeds root 1 and the newer root 3."""

    @pytest.fixture
    def rotated(self, authority: Any) -> Any:
        for _ in range(3):
            authority.rotate_root()
        authority.publish({HOST: [GOOD, BACKUP]})
        return authority

    def younger(self, authority: Any) -> TrustState:
        return begin(authority.roots[2], name="app")

    def test_the_newer_one_keeps_the_roots_that_the_older_one_needs(
        self, update: Any, journal: Journal, empty: TrustState, rotated: Any
    ) -> None:
        update(empty)
        rotated.publish({HOST: [GOOD, BACKUP]})
        update(absorb(self.younger(rotated), journal.load()))
        assert spell(absorb(empty, journal.load())) == "root 4 pin set 3"

    def test_the_older_one_keeps_what_only_the_newer_roots_vouch_for_until_it_reaches_them(
        self, update: Any, journal: Journal, empty: TrustState, rotated: Any
    ) -> None:
        stale = rotated.bundle()
        rotated.pinset_keys = [ThrowawayKey("second pin set key")]
        rotated.rotate_root()
        rotated.publish({HOST: [GOOD, BACKUP]})
        roots, current = rotated.roots, rotated.current
        newer = begin(roots[3], name="app")
        assert spell(update(newer)) == "root 5 pin set 3"
        rotated.roots, rotated.current = roots[:2], (stale.timestamp, stale.pinset)
        with pytest.raises(UntrustedError):
            update(empty)  # a server that withholds the newer roots
        reached = journal.states[-1]
        assert spell(reached) == "root 2 pin set None"
        assert spell(absorb(newer, journal.load())) == "root 5 pin set 3"
        assert spell(absorb(empty, journal.load())) == "root 2 pin set None"
        rotated.roots, rotated.current = roots, current
        assert spell(update(reached)) == "root 5 pin set 3"
        assert len(journal.load().pinsets) == 1

    def test_garbage_beside_the_chain_does_not_pile_up(
        self, update: Any, journal: Journal, empty: TrustState, rotated: Any, authority: Any
    ) -> None:
        with pytest.warns(UserWarning, match="anyone can compute"):
            forger = ThrowawayAuthority(seed="forger")
        forger.authority = authority.authority
        for _ in range(20):
            forger.rotate_root()
        forged = forger.publish({HOST: [GOOD, BACKUP]})
        garbage = KeptDocuments(tuple(forger.roots[9:]), (forged.timestamp,), (forged.pinset,))
        journal.cache.update(lambda _: garbage)
        state = update(empty)
        size = [len(kept) for kept in (journal.load().roots, journal.load().timestamps, journal.load().pinsets)]
        for _ in range(5):
            rotated.publish({HOST: [GOOD, BACKUP]})
            state = update(state)
        assert [len(kept) for kept in (journal.load().roots, journal.load().timestamps, journal.load().pinsets)] == size
        assert spell(absorb(empty, journal.load())) == "root 4 pin set 7"
