"""What a cache may do: raise what is trusted and bind floors, whoever wrote it (spec C1, C2, V9, V10)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE
from pinwarden.errors import EquivocationError, ExpiredError, RollbackError
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey, sign
from pinwarden.trust import KeptDocuments, State, TrustState, absorb

HOSTS = {"api.example.com": [b"1" * 32, b"2" * 32]}
BURNT = 2**53 - 1


def kept(*parts: Bundle, roots: Any = ()) -> KeptDocuments:
    """Everything that *parts* hold, as a cache that nobody judged would give it."""
    return KeptDocuments(tuple(roots), tuple(one.timestamp for one in parts), tuple(one.pinset for one in parts))


def in_force(state: TrustState) -> tuple[int | None, int | None]:
    """The versions of the timestamp and the pin set in force."""
    return (
        state.timestamp.version if state.timestamp else None,
        state.pinset.version if state.pinset else None,
    )


def floors(state: TrustState) -> tuple[Any, Any]:
    return (
        state.floor_timestamp.tag if state.floor_timestamp else None,
        state.floor_pinset.tag if state.floor_pinset else None,
    )


def test_what_was_kept_gives_the_same_state_after_a_restart(
    fresh: Any, holding: Any, authority: Any, forge: Any
) -> None:
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    reached = trust.advance_root(newer, authority.rotate_root())
    for state in (holding, newer, reached):
        assert absorb(fresh, state.kept()) == state


def test_what_is_known_already_is_no_news(holding: Any, authority: Any) -> None:
    assert absorb(holding, holding.kept()) is holding
    assert absorb(holding, kept(authority.bundle())) is holding
    assert absorb(holding, KeptDocuments()) is holding


def test_the_state_that_went_in_is_left_alone(fresh: Any, holding: Any, authority: Any, forge: Any) -> None:
    newer = forge.next()
    before = repr(fresh), repr(holding)
    for state in (fresh, holding):
        assert in_force(absorb(state, kept(newer, roots=[authority.rotate_root()]))) == (2, 2)
    assert (repr(fresh), repr(holding)) == before


def test_an_older_cache_lowers_nothing(fresh: Any, holding: Any, authority: Any, forge: Any) -> None:
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    assert absorb(newer, holding.kept()) is newer
    assert absorb(newer, fresh.kept()) is newer


def test_a_cache_that_another_process_raised_raises_this_one(holding: Any, forge: Any) -> None:
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    assert absorb(holding, newer.kept()) == newer


def test_the_highest_pair_wins_in_whatever_order_they_lie(fresh: Any, authority: Any, forge: Any) -> None:
    parts = [authority.bundle(), forge.next(), forge.next()]
    for order in (parts, parts[::-1], [parts[1], parts[2], parts[0]]):
        assert in_force(absorb(fresh, kept(*order))) == (3, 3)


def test_a_pin_set_without_its_timestamp_is_not_in_force_but_binds(
    refuses: Any, fresh: Any, authority: Any, forge: Any
) -> None:
    old, new = authority.bundle(), forge.next()
    state = absorb(fresh, KeptDocuments(pinsets=(new.pinset,)))
    assert (in_force(state), floors(state)) == ((None, None), (None, (1, 2)))
    with refuses(RollbackError, "V7", state):
        trust.advance_bundle(state, old, now=forge.now)
    assert in_force(trust.advance_bundle(state, new, now=forge.now)) == (2, 2)


def test_a_timestamp_without_its_pin_set_is_not_in_force_but_binds(
    refuses: Any, fresh: Any, holding: Any, authority: Any, forge: Any
) -> None:
    old, new = authority.bundle(), forge.next()
    state = absorb(holding, KeptDocuments(timestamps=(new.timestamp,)))
    assert (in_force(state), floors(state)) == ((1, 1), ((1, 2), (1, 1)))
    with refuses(RollbackError, "V6", state):
        trust.advance_bundle(state, old, now=forge.now)
    assert absorb(fresh, state.kept()) == state


def test_a_timestamp_and_a_pin_set_that_do_not_name_each_other_are_not_in_force(fresh: Any, forge: Any) -> None:
    second, third = forge.next(), forge.next()
    for timestamp, pinset in ((second.timestamp, third.pinset), (third.timestamp, second.pinset)):
        state = absorb(fresh, KeptDocuments((), (timestamp,), (pinset,)))
        assert in_force(state) == (None, None)
        assert None not in floors(state)


def test_a_pair_that_two_sources_hold_by_halves_comes_into_force_in_either_order(
    fresh: Any, holding: Any, forge: Any
) -> None:
    bundle = forge.next()
    halves = [KeptDocuments(timestamps=(bundle.timestamp,)), KeptDocuments(pinsets=(bundle.pinset,))]
    for state in (fresh, holding):
        for first, second in (halves, halves[::-1]):
            assert in_force(absorb(absorb(state, first), second)) == (2, 2)


def test_a_cache_can_equivocate_no_more_than_a_server(refuses: Any, fresh: Any, authority: Any, forge: Any) -> None:
    shown = authority.sign_pinset({"api.example.com": [b"x" * 32]}, version=1)
    other = Bundle((), authority.sign_timestamp(shown, version=1), shown)
    state = absorb(fresh, kept(authority.bundle(), other))
    assert state == absorb(fresh, kept(authority.bundle()))
    with refuses(EquivocationError, "V6", state):
        trust.advance_bundle(state, other, now=forge.now)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda envelope: replace(envelope, signatures=()), id="signatures stripped"),
        pytest.param(lambda envelope: replace(envelope, payload=envelope.payload + b" "), id="a byte added"),
        pytest.param(lambda envelope: replace(envelope, payload=b"not JSON"), id="another payload"),
        pytest.param(
            lambda envelope: sign(envelope.payload_type, envelope.payload, [ThrowawayKey("x")]), id="a stranger's"
        ),
    ],
)
def test_what_proves_nothing_is_passed_over(fresh: Any, holding: Any, authority: Any, forge: Any, change: Any) -> None:
    bundle = forge.next()
    for part in ("timestamp", "pinset"):
        damaged = replace(bundle, **{part: change(getattr(bundle, part))})
        state = absorb(holding, kept(damaged))
        assert (in_force(state), floors(state).count((1, 2))) == ((1, 1), 1)
    root = change(authority.rotate_root())
    assert absorb(holding, kept(roots=[root])) is holding
    assert absorb(fresh, kept(roots=[root])) is fresh


@pytest.mark.parametrize("changes", [{"authority": "test-0123456789abcdef"}, {"name": "payments"}])
def test_documents_from_elsewhere_bind_nothing(holding: Any, forge: Any, changes: dict[str, Any]) -> None:
    foreign = forge.next(changes, changes)
    assert absorb(holding, kept(foreign)) is holding


def test_documents_of_another_epoch_than_their_roots_bind_nothing(holding: Any, forge: Any) -> None:
    assert absorb(holding, kept(forge.next({"epoch": 9}, {"epoch": 9}))) is holding


def test_roots_in_a_cache_are_climbed_one_by_one_and_a_foreign_one_is_passed_over(
    fresh: Any, holding: Any, authority: Any, now: Any
) -> None:
    chain = [authority.rotate_root() for _ in range(10)]
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        foreign = ThrowawayAuthority(now=now, seed="foreign").rotate_root()
    assert absorb(fresh, kept(roots=[*authority.roots[:1], *chain])).root.version == 11
    assert absorb(fresh, kept(roots=[foreign, *chain])).root.version == 11
    assert absorb(fresh, kept(roots=[*chain[:3], *chain[4:]])).root.version == 4
    state = absorb(holding, kept(roots=chain))
    assert (state.root.version, in_force(state)) == (11, (1, 1))


def test_times_never_refuse_what_a_cache_holds(fresh: Any, forge: Any) -> None:
    long_ago = {"issued": forge.at(days=-400), "expires": forge.at(days=-399)}
    state = absorb(fresh, kept(forge.next(long_ago, long_ago)))
    assert (in_force(state), state.state_at(forge.now)) == ((2, 2), State.EXPIRED)
    assert state.state_at(forge.at(days=-400, hours=1)) is State.FRESH


# Keys that were retired by a root, in the hands of someone who can write the cache.


@pytest.fixture
def retired(authority: ThrowawayAuthority, holding: Any, forge: Any) -> Any:
    """
    Return ``retired(*roles, **epochs)``: root 2 replaces the keys of these roles, and a good pair 2 exists under it.

    It gives the client that trusts root 2 and pair 2, and a forger with the keys that were retired.
    """

    def rotate(*roles: str, **epochs: int) -> tuple[TrustState, "Forger"]:
        forger = Forger(authority, list(authority.timestamp_keys), list(authority.pinset_keys))
        for role in roles:
            setattr(authority, f"{role}_keys", [ThrowawayKey(f"new {role}")])
        root = authority.rotate_root(**epochs)
        return trust.advance_bundle(trust.advance_root(holding, root), forge.next(), now=forge.now), forger

    return rotate


class Forger:
    """Signs documents with keys that were retired, in the epoch of root 1."""

    def __init__(self, authority: Any, timestamp_keys: list[Any], pinset_keys: list[Any]) -> None:
        self.authority, self.timestamp_keys, self.pinset_keys = authority, timestamp_keys, pinset_keys

    def pinset(self, version: int, **changes: Any) -> Any:
        changes = {"version": version, "epoch": 1, **changes}
        payload = self.authority.sign_pinset({"api.example.com": [b"evil" * 8]}, **changes).payload
        return sign(PINSET_TYPE, payload, self.pinset_keys)

    def timestamp(self, pinset: Any, version: int, **changes: Any) -> Any:
        payload = self.authority.sign_timestamp(pinset, version=version, epoch=1, **changes).payload
        return sign(TIMESTAMP_TYPE, payload, self.timestamp_keys)

    def pair(self, version: int, **changes: Any) -> Bundle:
        pinset = self.pinset(version, **changes)
        return Bundle((), self.timestamp(pinset, version, **changes), pinset)


def test_a_pair_of_retired_keys_displaces_nothing_that_is_good(
    refuses: Any, fresh: Any, retired: Any, forge: Any
) -> None:
    good, forger = retired("timestamp", "pinset")
    forged, held = kept(forger.pair(9)), good.kept()
    after_restart = absorb(
        fresh,
        KeptDocuments(held.roots, held.timestamps + forged.timestamps, held.pinsets + forged.pinsets),
    )
    for state in (absorb(good, forged), after_restart, absorb(absorb(fresh, held), forged)):
        assert (in_force(state), state.state_at(forge.now)) == ((2, 2), State.FRESH)
        assert floors(state) == ((1, 9), (1, 9))  # whoever holds a signature of the chain may bind floors
        with refuses(RollbackError, "V6", state):
            trust.advance_bundle(state, forge.next(), now=forge.now)


def test_a_pair_of_retired_keys_alone_is_never_in_force(fresh: Any, retired: Any, authority: Any, forge: Any) -> None:
    _, forger = retired("timestamp", "pinset")
    state = absorb(fresh, kept(forger.pair(9), roots=authority.roots))
    assert (in_force(state), state.state_at(forge.now)) == ((None, None), State.EMPTY)
    assert floors(state) == ((1, 9), (1, 9))


def test_a_cache_with_a_forged_pair_read_before_the_good_one_hides_nothing(
    fresh: Any, retired: Any, authority: Any, forge: Any
) -> None:
    good, forger = retired("timestamp", "pinset")
    poisoned = absorb(fresh, kept(forger.pair(9), roots=authority.roots))
    assert in_force(absorb(poisoned, good.kept())) == (2, 2)


def test_a_retired_timestamp_key_does_not_turn_a_fresh_client_stale(fresh: Any, retired: Any, forge: Any) -> None:
    good, forger = retired("timestamp")
    naming = Bundle((), forger.timestamp(good.adopted_pinset.envelope, 9), good.adopted_pinset.envelope)
    held = good.kept()
    together = KeptDocuments(held.roots, (naming.timestamp, *held.timestamps), held.pinsets)
    for state in (absorb(good, kept(naming)), absorb(fresh, together), absorb(absorb(fresh, held), kept(naming))):
        assert (in_force(state), state.state_at(forge.now)) == ((2, 2), State.FRESH)
        assert floors(state) == ((1, 9), (1, 2))


def test_a_retired_timestamp_key_hides_no_good_timestamp_that_is_read_after_it(
    fresh: Any, retired: Any, authority: Any, forge: Any
) -> None:
    good, forger = retired("timestamp")
    naming = Bundle((), forger.timestamp(good.adopted_pinset.envelope, 9), good.adopted_pinset.envelope)
    stale = absorb(fresh, kept(naming, roots=authority.roots))
    assert (in_force(stale), stale.state_at(forge.now)) == ((None, 2), State.STALE)
    assert in_force(absorb(stale, good.kept())) == (2, 2)


def test_an_honest_pair_whose_timestamp_key_was_replaced_leaves_the_client_stale_after_a_restart_too(
    fresh: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.timestamp_keys = [ThrowawayKey("new timestamp")]
    reached = trust.advance_root(holding, authority.rotate_root())
    restarted = absorb(fresh, reached.kept())
    assert restarted == reached
    assert (in_force(restarted), restarted.state_at(forge.now)) == ((None, 1), State.STALE)


def test_a_pair_whose_pin_set_key_was_replaced_binds_after_a_restart_though_nothing_is_in_force(
    refuses: Any, fresh: Any, holding: Any, authority: Any, forge: Any
) -> None:
    older = authority.bundle()
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    authority.pinset_keys = [ThrowawayKey("new pinset")]
    reached = trust.advance_root(newer, authority.rotate_root())
    restarted = absorb(fresh, reached.kept())
    for state in (reached, restarted):
        assert (state.pinset, floors(state)) == (None, ((1, 2), (1, 2)))
        resigned = sign(PINSET_TYPE, older.pinset.payload, authority.pinset_keys)
        naming = authority.sign_timestamp(resigned)
        with refuses(RollbackError, "V7", state):
            trust.advance_bundle(state, Bundle((), naming, resigned), now=forge.now)


def test_a_running_client_takes_no_older_pin_set_from_a_cache_after_its_own_was_dropped(
    holding: Any, authority: Any, forge: Any
) -> None:
    # Version 2 was signed by a key that root 2 drops, version 1 by one that it keeps.
    keeper, dropped = authority.pinset_keys[0], ThrowawayKey("dropped")
    authority.pinset_keys = [keeper, dropped]
    reached = trust.advance_root(holding, authority.rotate_root())
    authority.pinset_keys = [dropped]
    newer = trust.advance_bundle(reached, forge.next(), now=forge.now)
    authority.pinset_keys = [keeper]
    emptied = trust.advance_root(newer, authority.rotate_root())
    assert emptied.pinset is None
    renewed = authority.sign_timestamp(holding.adopted_pinset.envelope)
    assert in_force(absorb(emptied, kept(Bundle((), renewed, holding.adopted_pinset.envelope)))) == (2, None)


def test_a_floor_binds_under_any_root_of_the_chain(refuses: Any, holding: Any, authority: Any, forge: Any) -> None:
    newer = trust.advance_bundle(holding, forge.next(), now=forge.now)
    authority.timestamp_keys = [ThrowawayKey("new timestamp")]
    authority.pinset_keys = [ThrowawayKey("new pinset")]
    roots = [authority.rotate_root(), authority.rotate_root()]
    state = absorb(trust.begin(authority.root_json, name="app"), replace(newer.kept(), roots=tuple(roots)))
    assert (in_force(state), floors(state)) == ((None, None), ((1, 2), (1, 2)))
    authority.timestamp_version = authority.pinset_version = 0
    with refuses(RollbackError, "V6", state):
        trust.advance_bundle(state, forge.next(), now=forge.now)


def test_an_epoch_raised_by_a_root_frees_a_client_from_burnt_versions(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.pinset_version = authority.timestamp_version = BURNT - 1
    burnt = trust.advance_bundle(holding, forge.next(), now=forge.now)
    assert floors(burnt) == ((1, BURNT), (1, BURNT))
    authority.pinset_version = authority.timestamp_version = 1
    with refuses(RollbackError, "V6", burnt):
        trust.advance_bundle(burnt, forge.next(), now=forge.now)
    reached = trust.advance_root(burnt, authority.rotate_root(timestamp_epoch=2, pinset_epoch=2))
    authority.pinset_version = authority.timestamp_version = 0
    recovered = trust.advance_bundle(reached, forge.next(), now=forge.now)
    assert (in_force(recovered), floors(recovered)) == ((1, 1), ((2, 1), (2, 1)))
    assert absorb(recovered, burnt.kept()) is recovered


def test_a_key_that_is_added_without_a_new_epoch_frees_nobody(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.timestamp_version = BURNT - 1
    burnt = trust.advance_bundle(holding, forge.next(), now=forge.now)
    authority.timestamp_keys = [*authority.timestamp_keys, ThrowawayKey("added")]
    reached = trust.advance_root(burnt, authority.rotate_root())
    authority.timestamp_version = 1
    with refuses(RollbackError, "V6", reached):
        trust.advance_bundle(reached, forge.next(), now=forge.now)


def test_a_lower_epoch_in_a_cache_does_not_bind(fresh: Any, authority: Any, retired: Any, forge: Any) -> None:
    good, forger = retired("timestamp", "pinset", timestamp_epoch=2, pinset_epoch=2)
    poisoned = absorb(good, kept(forger.pair(BURNT, issued=forge.at(days=999), expires=forge.at(days=1000))))
    assert poisoned is good
    restarted = absorb(fresh, kept(forger.pair(BURNT), roots=authority.roots))
    assert trust.advance_bundle(restarted, forge.next(), now=forge.now).state_at(forge.now) is State.FRESH


# Time that someone with a signature pushed forward, and the way back.


def test_what_was_issued_moves_the_effective_present_and_roots_do_not(
    fresh: Any, holding: Any, authority: Any, forge: Any
) -> None:
    early = forge.at(days=-1)
    assert trust.read_clock(fresh, early) == trust.Clock(early, early)
    assert trust.read_clock(holding, early) == trust.Clock(early, forge.now)
    assert trust.read_clock(holding, forge.at(days=1)) == trust.Clock(forge.at(days=1), forge.at(days=1))
    authority.now = forge.at(days=30)
    reached = trust.advance_root(holding, authority.rotate_root())
    assert reached.newest_issue == forge.now


@pytest.mark.parametrize("part", ["timestamps", "pinsets"])
def test_poisoned_time_in_a_cache_expires_everything_until_an_epoch_is_raised(
    refuses: Any, holding: Any, authority: Any, forge: Any, part: str
) -> None:
    far = {"issued": forge.at(days=4000), "expires": forge.at(days=4001)}
    poison = kept(forge.next(far, far))
    poisoned = absorb(holding, replace(KeptDocuments(), **{part: getattr(poison, part)}))
    assert (poisoned.newest_issue, poisoned.state_at(forge.now)) == (forge.at(days=4000), State.EXPIRED)
    authority.timestamp_version, authority.pinset_version = 9, 9
    with refuses(ExpiredError, "V4", poisoned):  # the root is past its end at that time, too
        trust.advance_bundle(poisoned, forge.next(), now=forge.now)
    epochs = {"timestamp_epoch": 2} if part == "timestamps" else {"pinset_epoch": 2}
    reached = trust.advance_root(poisoned, authority.rotate_root(**epochs))
    assert reached.newest_issue == forge.now
    assert trust.advance_bundle(reached, forge.next(), now=forge.now).state_at(forge.now) is State.FRESH


def test_the_bundle_that_brings_the_new_epoch_is_judged_by_the_time_that_it_freed(
    holding: Any, authority: Any, forge: Any
) -> None:
    far = {"issued": forge.at(days=4000), "expires": forge.at(days=4001)}
    poisoned = absorb(holding, KeptDocuments(timestamps=(forge.next(timestamp_changes=far).timestamp,)))
    root, bundle = authority.rotate_root(timestamp_epoch=2), forge.next()
    recovered = trust.advance_bundle(poisoned, replace(bundle, roots=(root,)), now=forge.now)
    assert recovered.state_at(forge.now) is State.FRESH


def test_a_timestamp_from_ahead_ends_a_pin_set_whose_time_has_then_passed(holding: Any, forge: Any) -> None:
    ahead = forge.at(days=30)
    times = {"issued": ahead, "expires": ahead + timedelta(days=1)}
    state = absorb(holding, KeptDocuments(timestamps=(forge.next(timestamp_changes=times).timestamp,)))
    assert [state.state_at(moment) for moment in (forge.now, forge.at(days=31))] == [State.EXPIRED, State.EXPIRED]


# Any order, any subset, any duplication of what was ever signed.


@pytest.fixture(scope="module")
def history() -> Any:
    """Two generations of keys with four pairs each, and what a forger made of the retired keys."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        authority = ThrowawayAuthority(now=datetime(2026, 11, 24, 12, tzinfo=UTC), seed="history")
    pairs = [authority.publish(HOSTS) for _ in range(4)]
    old = list(authority.pinset_keys)
    authority.pinset_keys = [ThrowawayKey("next pinset")]
    root = authority.rotate_root()
    pairs += [authority.publish(HOSTS) for _ in range(4)]
    stolen = sign(PINSET_TYPE, authority.sign_pinset(HOSTS, version=99).payload, old)
    pairs.append(Bundle((), authority.sign_timestamp(stolen), stolen))
    return authority, root, pairs


CHOICES = st.lists(st.integers(0, 8), max_size=4)


@given(reads=st.lists(st.tuples(CHOICES, CHOICES, st.booleans()), min_size=1, max_size=4))
def test_reading_caches_in_any_order_only_ever_raises(history: Any, reads: Any) -> None:
    authority, root, pairs = history
    state = trust.begin(authority.root_json, name="app")
    for timestamps, pinsets, with_root in reads:
        documents = KeptDocuments(
            (root,) if with_root else (),
            tuple(pairs[number].timestamp for number in timestamps),
            tuple(pairs[number].pinset for number in pinsets),
        )
        newer = absorb(state, documents)
        assert absorb(newer, documents) is newer
        assert absorb(newer, state.kept()) is newer
        for ours, theirs in zip(floors(state), floors(newer), strict=True):
            assert (ours or (0, 0)) <= (theirs or (0, 0))
        if state.pinset and newer.root.version == state.root.version:
            assert newer.pinset is not None
            assert newer.pinset.version >= state.pinset.version
        if newer.pinset is not None and newer.root.version == 2:
            assert 5 <= newer.pinset.version <= 8
        state = newer


def test_the_envelope_of_a_root_in_a_cache_need_not_be_the_one_that_is_known(holding: Any, authority: Any) -> None:
    padded = sign(ROOT_TYPE, authority.roots[0].payload, [ThrowawayKey("x"), *authority.root_keys])
    assert absorb(holding, kept(roots=[padded])) is holding
