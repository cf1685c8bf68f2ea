"""Every refusal leaves memory and disk as they were: a real update over a real cache, fed with changed bundles."""

import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.cache import DiskCache
from pinwarden.errors import UntrustedError
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import TrustState, absorb
from pinwarden.update import Updater
from tests.soak.readers import NOW
from tests.soak.shapes import change_json

pytestmark = pytest.mark.filterwarnings("ignore::pinwarden.testing.InsecureForProductionWarning")


@dataclass
class Answer:
    """A 200 answer."""

    body: bytes
    etag: str | None = None


@dataclass
class Source:
    """A pin server that always gives the same answer."""

    body: bytes

    def bundle(self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None) -> Answer:
        return Answer(self.body)

    def root(self, version: int) -> bytes | None:
        return None


@cache
def world() -> tuple[TrustState, TrustState, Bundle]:
    """A client at version 1, the same at version 2 under a new root, and the bundle that leads there."""
    authority = ThrowawayAuthority(now=NOW, seed="disk")
    authority.publish({"api.example.com": [b"1" * 32, b"2" * 32]})
    holding = trust.advance_bundle(trust.begin(authority.root_json, name="app"), authority.bundle(), now=NOW)
    authority.rotate_root()
    bundle = authority.publish({"api.example.com": [b"3" * 32, b"4" * 32]})
    return holding, trust.advance_bundle(holding, bundle, now=NOW), bundle


@pytest.fixture
def disk(tmp_path: Path) -> tuple[DiskCache, Path, bytes]:
    """A cache that holds version 1, its file, and what stands there."""
    holding, _, _ = world()
    kept = DiskCache(tmp_path, holding.authority, "app")
    kept.update(lambda found: holding.kept())
    (file,) = tmp_path.glob("*.json")
    return kept, file, file.read_bytes()


def changed(bundle: Bundle, seed: int) -> bytes:
    """Return *bundle* with its frame changed, or with a payload that its signatures then do not fit."""
    chance = random.Random(seed)
    if chance.random() < 0.4:
        return change_json(bundle.to_bytes(), seed)
    part = chance.choice(("timestamp", "pinset"))
    envelope = getattr(bundle, part)
    return replace(bundle, **{part: replace(envelope, payload=change_json(envelope.payload, seed))}).to_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_a_refused_update_leaves_memory_and_disk_as_they_were_but_for_roots(
    disk: tuple[DiskCache, Path, bytes], seed: int
) -> None:
    kept, file, before = disk
    file.write_bytes(before)
    holding, whole, bundle = world()
    memory = repr(holding)
    adopted: list[TrustState] = []
    updater = Updater(Source(changed(bundle, seed)), kept, adopt=adopted.append)
    try:
        reached = updater.update(holding, NOW)
    except UntrustedError:
        assert repr(holding) == memory
        assert [(state.pinset, state.timestamp) for state in adopted] == [
            (holding.pinset, holding.timestamp) for _ in adopted
        ]
        again = absorb(holding, kept.load())
        assert (again.pinset, again.timestamp, again.root in whole.chain) == (holding.pinset, holding.timestamp, True)
        assert bool(adopted) == (again.root.version > holding.root.version) == (file.read_bytes() != before)
    else:
        assert reached.pinset == whole.pinset
        assert absorb(holding, kept.load()).pinset == whole.pinset


def test_only_the_root_of_a_refused_bundle_comes_to_the_disk(disk: tuple[DiskCache, Path, bytes]) -> None:
    kept, file, before = disk
    holding, whole, bundle = world()
    stripped = Bundle(bundle.roots, bundle.timestamp, world()[0].adopted_pinset.envelope)
    with pytest.raises(UntrustedError):
        Updater(Source(stripped.to_bytes()), kept, adopt=lambda state: None).update(holding, NOW)
    assert file.read_bytes() != before
    reached = absorb(holding, kept.load())
    assert (reached.root, reached.pinset, reached.floor_pinset) == (whole.root, holding.pinset, holding.floor_pinset)
