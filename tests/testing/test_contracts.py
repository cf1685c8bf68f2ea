"""The contract of caches: those that we ship fulfil it, and it notices each way to break it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pinwarden.cache import Cache, DiskCache, MemoryCache
from pinwarden.testing.contracts import CacheContract
from pinwarden.trust import KeptDocuments


class TestDiskCache(CacheContract):
    @pytest.fixture
    def open_cache(self, tmp_path: Path) -> Callable[[], Cache]:
        return lambda: DiskCache(tmp_path / "cache", "authority", "app")


class TestMemoryCache(CacheContract):
    """One process, one handle: it is what it keeps."""

    @pytest.fixture
    def open_cache(self) -> Callable[[], Cache]:
        cache = MemoryCache()
        return lambda: cache


# A cache that works, and one line in its place that breaks it: what must fail then.
WORKING = """
import os, threading, pytest
from pinwarden.testing.contracts import CacheContract
from pinwarden.trust import KeptDocuments

class Shared:
    def __init__(self):
        self.kept, self.id, self.lock = KeptDocuments(), os.urandom(16), threading.Lock()

class Own:
    describe = "shared memory"
    def __init__(self, shared):
        self.shared = shared
        self.first = shared.kept
    def load(self):
        return self.shared.kept
    def update(self, merge):
        with self.shared.lock:
            found = self.shared.kept
            self.shared.kept = merge(found)
    def installation_id(self):
        return self.shared.id

class TestOwn(CacheContract):
    @pytest.fixture
    def open_cache(self):
        shared = Shared()
        return lambda: Own(shared)
"""
BROKEN = {
    "nothing is broken": ("", "", set()),
    "it forgets": ("self.shared.kept = merge(found)", "merge(found)", {
        "what_was_kept_is_loaded", "a_merge_sees_what_another", "a_merge_that_fails", "writers_at_the_same_time",
        "what_is_older", "a_client_starts_from_it",
    }),
    "each handle remembers alone": ("found = self.shared.kept", "found = self.first", {
        "a_merge_sees_what_another", "writers_at_the_same_time",
    }),
    "no lock": ("with self.shared.lock:\n            found = self.shared.kept", (
        "if True:\n            found = self.shared.kept; __import__('time').sleep(0.001)"
    ), {"writers_at_the_same_time"}),
    "a lock that a failure keeps": ("with self.shared.lock:", "if self.shared.lock.acquire(timeout=0.01):", {
        "what_was_kept_is_loaded", "a_merge_sees_what_another", "a_merge_that_fails", "writers_at_the_same_time",
        "what_is_older",
    }),
    "an id that changes": ("return self.shared.id", "return os.urandom(16)", {"the_installation_id"}),
    "an id that is too long": ("return self.shared.id", "return bytes(17)", {"the_installation_id"}),
    "emptied by a failure": ("found = self.shared.kept\n", (
        "found = self.shared.kept; self.shared.kept = KeptDocuments()\n"
    ), {"a_merge_that_fails"}),
    "no description": ('describe = "shared memory"', "describe = None", {"it_is_a_cache_and_says_where"}),
    "no fixture": ("def open_cache(self):\n        shared", "def other(self):\n        shared", None),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_the_contract_notices_what_is_broken_and_nothing_else(tmp_path: Path, case: str) -> None:
    old, new, failing = BROKEN[case]
    assert old in WORKING
    (tmp_path / "test_own.py").write_text(WORKING.replace(old, new) if old else WORKING)
    words = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "test_own.py"]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # quicker
    ended = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    found = set(re.findall(r"^(?:FAILED|ERROR) \S+::test_(\w+)", ended.stdout, re.MULTILINE))
    names = {name.removeprefix("test_") for name in vars(CacheContract) if name.startswith("test_")}
    expected = names if failing is None else {name for name in names if name.startswith(tuple(failing))}
    assert found == expected, ended.stdout
    if failing is None:
        assert "TestOwn lacks a fixture open_cache" in ended.stdout


def test_a_forked_child_is_not_stuck_by_a_lock_that_a_thread_of_its_parent_held() -> None:
    cache = MemoryCache()

    def fork(found: KeptDocuments) -> KeptDocuments:
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            cache.update(lambda kept: kept)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        return found

    cache.update(fork)
