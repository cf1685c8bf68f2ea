"""
The disk cache under damage: whatever stands there, a client starts, never below its floor, and mends it by one fetch.

Accepting means: loading and judging, as a client does at its start.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinwarden import CacheError, ConfigError, PinClient, State, owned_files
from pinwarden.arguments import open_cache
from pinwarden.cache import MAX_CACHE_BYTES, DiskCache, MemoryCache
from pinwarden.errors import UntrustedError
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import KeptDocuments, TrustState, absorb, begin
from tests.sdk.rival_writers import write_at_once

HOST = "api.example.com"
SOAK = os.environ.get("PINWARDEN_SOAK") == "1"


class Desk:
    """A cache folder, its client's embedded root, and what a start makes of them."""

    def __init__(self, folder: Path, authority: ThrowawayAuthority) -> None:
        self.cache = DiskCache(folder, authority.authority, authority.name)
        self.folder = folder
        self.path = Path(self.cache.describe)
        self.empty = begin(authority.root_json, name=authority.name)

    def keep(self, bundle: Any) -> TrustState:
        """Write what *bundle* holds, merged by maximum, as a refresh does."""
        kept = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
        self.cache.update(lambda found: absorb(absorb(self.empty, found), kept).kept())
        return self.start()

    def start(self) -> TrustState:
        """Load and judge."""
        return absorb(self.empty, self.cache.load())


@pytest.fixture
def desk(authority: Any, tmp_path: Path) -> Desk:
    """A cache that holds root 2 and version 2."""
    desk = Desk(tmp_path / "cache", authority)
    desk.keep(authority.bundle())
    authority.rotate_root()
    authority.publish({HOST: [b"3" * 32, b"2" * 32]})
    desk.keep(authority.bundle())
    return desk


def verdict(desk: Desk, content: bytes) -> tuple[object, ...]:
    """Return what a start with *content* trusts, as payload bytes."""
    desk.path.write_bytes(content)
    state = desk.start()
    held = (state.adopted_timestamp, state.adopted_pinset, state.floor_timestamp, state.floor_pinset)
    return (state.root_envelopes[-1].payload, *(one and one.envelope.payload for one in held))


def allowed(desk: Desk) -> list[set[object]]:
    """Return, per place of a verdict, the payloads that were ever signed; None is a document that is missing."""
    state = desk.start()
    places = (state.adopted_timestamp, state.adopted_pinset) * 2
    assert all(places)
    return [{e.payload for e in state.root_envelopes}, *({None, one.envelope.payload} for one in places if one)]


def flips(content: bytes) -> Iterator[int]:
    """Yield the bits to flip: each 5th in the frame, each 61st elsewhere, or all under PINWARDEN_SOAK=1 (90 s)."""
    value = json.loads(content)
    payloads = [e["payload"] for kind in ("roots", "timestamps", "pinsets") for e in value[kind]]
    signatures = [s["sig"] for kind in ("roots", "timestamps", "pinsets") for e in value[kind] for s in e["signatures"]]
    inside = bytearray(len(content))
    for text in (*payloads, *signatures):
        at = content.index(text.encode())
        inside[at : at + len(text)] = b"\1" * len(text)
    for bit in range(8 * len(content)):
        if SOAK or bit % 61 == 0 or (not inside[bit // 8] and bit % 5 == 0):
            yield bit


def test_whatever_bit_is_flipped_only_what_was_signed_is_accepted(desk: Desk) -> None:
    content, expected = desk.path.read_bytes(), allowed(desk)
    whole = verdict(desk, content)
    damaged = 0
    for bit in flips(content):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        found = verdict(desk, bytes(flipped))
        assert all(one in known for one, known in zip(found, expected, strict=True)), bit
        damaged += found != whole
    assert damaged > 500


def test_whatever_length_it_was_cut_to_nothing_is_accepted(desk: Desk) -> None:
    content = desk.path.read_bytes()
    nothing = verdict(desk, b"")
    for length in range(len(content)):
        if SOAK or length % 5 == 0 or length > len(content) - 64:
            assert verdict(desk, content[:length]) == nothing


def test_swapped_blocks_never_yield_what_was_not_signed(desk: Desk) -> None:
    content, expected = desk.path.read_bytes(), allowed(desk)
    size = 512
    blocks = [content[at : at + size] for at in range(0, len(content), size)]
    for first in range(len(blocks)):
        for second in range(first + 1, len(blocks)):
            swapped = blocks.copy()
            swapped[first], swapped[second] = swapped[second], swapped[first]
            found = verdict(desk, b"".join(swapped))
            assert all(one in known for one, known in zip(found, expected, strict=True)), (first, second)


def value_of(desk: Desk) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(desk.path.read_bytes())
    return value


def symlinked(desk: Desk) -> None:
    target = desk.folder / "elsewhere.json"
    desk.path.rename(target)
    desk.path.symlink_to(target)


def owned_by_a_stranger(desk: Desk) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(desk.path, 12345, 12345)


def as_a_directory(desk: Desk) -> None:
    desk.path.unlink()
    desk.path.mkdir()


def as_a_fifo(desk: Desk) -> None:
    desk.path.unlink()
    os.mkfifo(desk.path)


def of_another_pin_set(desk: Desk) -> None:
    with warnings.catch_warnings(action="ignore"):
        other = ThrowawayAuthority(name="other", seed="other")
    other.publish({HOST: [b"x" * 32, b"y" * 32]})
    stranger = Desk(desk.folder / "other", other)
    stranger.keep(other.bundle())
    stranger.path.rename(desk.path)


def of_an_older_release(desk: Desk) -> None:
    desk.path.write_text(json.dumps({**value_of(desk), "format": "pinwarden-cache-0"}))


def huge(desk: Desk) -> None:
    with desk.path.open("ab") as file:
        file.truncate(MAX_CACHE_BYTES + 1)


# What stands there: how it came there, and what the warning says; None for content that proves nothing and needs none.
UNUSABLE: dict[str, tuple[Callable[[Desk], object], str | None]] = {
    "a symbolic link": (symlinked, "is passed over: it is a symbolic link"),
    "a FIFO": (as_a_fifo, "is passed over: it is not a regular file"),
    "a stranger's file": (owned_by_a_stranger, "is passed over: it belongs to user 12345"),
    "a file that the group may write": (lambda desk: desk.path.chmod(0o620), "passed over: others may write to it"),
    "a file that the world may write": (lambda desk: desk.path.chmod(0o602), "passed over: others may write to it"),
    "a huge file": (huge, f"is passed over: it has {MAX_CACHE_BYTES + 1} bytes"),
    "an older release's file": (of_an_older_release, "is damaged (cache of another format)"),
    "another pin set's file": (of_another_pin_set, None),
    "nothing but zeros": (lambda desk: desk.path.write_bytes(bytes(5000)), "is damaged"),
    "an empty file": (lambda desk: desk.path.write_bytes(b""), "is damaged"),
    "a list": (lambda desk: desk.path.write_bytes(b"[]"), "is damaged"),
    "deep nesting": (lambda desk: desk.path.write_bytes(b'{"a":' * 9999), "is damaged (cache is nested too deeply)"),
    "lists of something else": (
        lambda desk: desk.path.write_text(json.dumps({**value_of(desk), "pinsets": {"a": 1}})),
        "is damaged (cache lacks a list of envelopes)",
    ),
    "envelopes in wrong places": (
        lambda desk: desk.path.write_text(json.dumps({**value_of(desk), "timestamps": value_of(desk)["pinsets"]})),
        "is damaged (envelope of the wrong type)",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_start_survives_and_one_fetch_mends_a_cache_that_is(
    case: str, desk: Desk, server: Any, authority: Any, make_client: Any, caplog: Any, nothing_left: Any
) -> None:
    spoil, warning = UNUSABLE[case]
    spoil(desk)
    server.serve(authority)
    with caplog.at_level(logging.WARNING, "pinwarden"), nothing_left():
        client = make_client()
        assert (client.status().state, client.status().root) == (State.EMPTY, 1)
        assert [record.getMessage() for record in caplog.records if warning and warning in record.getMessage()] != (
            [] if warning else None
        )
        caplog.clear()
        assert client.refresh().version == 2
        client.close()
        server.join()
    assert server.paths == ["/v1/bundles/app/1"]
    assert client.status().persist_failed == 0
    caplog.clear()
    assert make_client().status().version == 2
    assert caplog.records == []
    assert desk.path.lstat().st_mode & 0o777 == 0o600


def test_a_directory_where_the_cache_belongs_costs_a_warning_and_leaves_no_descriptor_open(
    desk: Desk, nothing_left: Any, caplog: Any
) -> None:
    as_a_directory(desk)
    with nothing_left():
        for _ in range(3):
            assert desk.start() is desk.empty
        with pytest.raises(CacheError, match="cannot be written"):
            desk.cache.update(lambda _: KeptDocuments(desk.empty.root_envelopes))
    assert "is passed over: it is not a regular file" in caplog.text
    assert [path.name for path in desk.folder.iterdir() if path.name.endswith(".new")] == []


class FailingOs:
    """Fails the i-th call of one function of ``os``, as a full disk would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, operation: str, number: int) -> None:
        self.calls = 0
        self.failed = False
        real = getattr(os, operation)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == number:
                self.failed = True
                if operation == "close":
                    real(*arguments, **options)
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        monkeypatch.setattr(os, operation, call)


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "replace", "unlink", "fstat", "close"])
def test_an_update_is_in_force_and_the_old_file_whole_when_a_step_of_writing_fails(
    operation: str, desk: Desk, server: Any, authority: Any, make_client: Any, monkeypatch: Any
) -> None:
    counts = []
    for number in range(1, 30):
        client = make_client()
        old = desk.path.read_bytes()
        if operation == "unlink":
            (desk.folder / f".{desk.path.name}.new").write_bytes(b"of a process that was killed")
        authority.publish({HOST: [os.urandom(32), b"2" * 32]})
        server.serve(authority)
        with monkeypatch.context() as patch:
            failing = FailingOs(patch, operation, number)
            try:
                status = client.refresh()
            finally:
                patch.undo()
        client.close()
        assert status.version == authority.pinset_version
        assert [p.name for p in desk.folder.iterdir() if p.suffix == ".new"] == []
        new = desk.start()
        assert new.adopted_pinset is not None
        if desk.path.read_bytes() == old:
            assert status.persist_failed == 1
        else:
            assert new.adopted_pinset.document.version == authority.pinset_version
        if not failing.failed:
            break
        counts.append(status.persist_failed)
    assert 0 < len(counts) < 29
    assert set(counts) == {1}


def test_a_system_that_takes_a_few_bytes_at_a_time_gets_the_whole_file(
    desk: Desk, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    authority.publish({HOST: [b"4" * 32, b"2" * 32]})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:100]))
        desk.keep(authority.bundle())
    kept = desk.start().adopted_pinset
    assert kept is not None
    assert kept.document.version == authority.pinset_version


def test_a_folder_that_cannot_be_made_costs_the_persistence_and_nothing_else(
    server: Any, authority: Any, make_client: Any, tmp_path: Path
) -> None:
    (tmp_path / "occupied").write_bytes(b"")
    client = make_client(cache=tmp_path / "occupied" / "cache")
    server.serve(authority)
    status = client.refresh()
    assert (status.version, status.persist_failed) == (authority.pinset_version, 1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["occupied"]


def run_apart(body: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run *body* in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(body), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_write_is_synced_then_renamed_then_its_folder_is_synced(
    desk: Desk, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(descriptor: int) -> None:
        steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def traced_replace(source: Path, target: Path) -> None:
        steps.append(f"rename {source.name} {target.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    authority.publish({HOST: [os.urandom(32), b"2" * 32]})
    desk.keep(authority.bundle())
    name = desk.path.name
    assert steps == [f"sync .{name}.new", f"rename .{name}.new {name}", f"sync {desk.folder.name}"]


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_file(desk: Desk, authority: Any) -> None:
    authority.publish({f"h{n}.example.com": [os.urandom(32), os.urandom(32)] for n in range(100)})
    bundle = authority.bundle().to_bytes()
    old = desk.path.read_bytes()
    (desk.folder.parent / "bundle").write_bytes(bundle)
    (desk.folder.parent / "root").write_bytes(authority.root_json)
    done = run_apart(
        """
        import resource, signal, sys
        from datetime import datetime
        from pathlib import Path
        from pinwarden.bundle import Bundle
        from pinwarden.cache import DiskCache
        from pinwarden.errors import CacheError
        from pinwarden.trust import KeptDocuments, absorb, begin
        folder = Path(sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        state = begin((folder.parent / "root").read_bytes(), name="app")
        bundle = Bundle.parse((folder.parent / "bundle").read_bytes())
        kept = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
        try:
            DiskCache(folder, state.authority, "app").update(lambda found: absorb(absorb(state, found), kept).kept())
        except CacheError as error:
            print(error)
        """,
        desk.folder,
    )
    assert "cannot be written: File too large. The pins in memory are in force" in done.stdout, done.stderr
    assert desk.path.read_bytes() == old
    assert sorted(path.suffix for path in desk.folder.iterdir()) == [".json", ".lock"]


def test_what_a_killed_process_left_is_replaced_and_does_not_pile_up(desk: Desk, authority: Any) -> None:
    for _ in range(3):
        (desk.folder / f".{desk.path.name}.new").write_bytes(b"half of a cach")
        authority.publish({HOST: [os.urandom(32), b"2" * 32]})
        assert desk.keep(authority.bundle()).adopted_pinset is not None
        assert sorted(path.suffix for path in desk.folder.iterdir()) == [".json", ".lock"]


def test_a_lock_that_a_stopped_process_holds_costs_the_persistence_and_not_the_refresh(
    desk: Desk, server: Any, authority: Any, make_client: Any, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(owned_files, "LOCK_SECONDS", 0.1)
    server.serve(authority)
    client = make_client(bootstrap=authority.bundle().to_bytes())
    authority.publish({HOST: [os.urandom(32), b"2" * 32]})
    server.serve(authority)
    with contextlib.ExitStack() as held:
        held.enter_context(owned_files.locked(desk.path))
        end = threading.Timer(10, held.close)  # whoever waits without an end shall fail here, not hang
        end.start()
        held.callback(end.cancel)
        status = client.refresh()
    end.join()
    assert (status.version, status.persist_failed) == (3, 1)
    assert "another process has held the lock for 0.1 s" in caplog.text


def test_a_child_forked_while_the_lock_was_held_does_not_keep_it(desk: Desk, monkeypatch: Any) -> None:
    monkeypatch.setattr(owned_files, "LOCK_SECONDS", 0.1)
    reading, writing = os.pipe()
    with owned_files.locked(desk.path):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    os.close(reading)
    try:
        with owned_files.locked(desk.path):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_two_processes_that_write_at_once_never_tear_or_lower_what_is_kept(desk: Desk, authority: Any) -> None:
    folder = desk.folder.parent
    (folder / "root").write_bytes(authority.root_json)
    for version in range(3, 23):
        (folder / f"{version}").write_bytes(authority.publish({HOST: [os.urandom(32), b"2" * 32]}).to_bytes())
    orders = ["3,5,7,9,11,13,15,17,19,21", "4,6,8,10,12,14,16,18,20,22", "22,3,21,4,20,5", "12,11,10,9,8,7,6,5"]
    highest = write_at_once(str(folder / "cache"), folder, orders)
    assert max(highest) == 22
    found = desk.start().adopted_pinset
    assert found is not None
    assert found.document.version == 22


@pytest.mark.parametrize("spoilt", [None, "garbage", "x" * 10000, "00" * 15, "link", "fifo", "\xff"])
def test_eight_processes_that_start_at_once_agree_on_one_installation_id(spoilt: str | None, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "installation-id"
    path.parent.mkdir()
    if spoilt == "link":
        path.symlink_to("/dev/zero")
    elif spoilt == "fifo":
        os.mkfifo(path)
    elif spoilt is not None:
        path.write_text(spoilt, "latin-1")
    reading, writing = os.pipe()
    barrier, open_barrier = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.close(open_barrier)
            os.read(barrier, 1)
            os.write(writing, DiskCache(path.parent, "a-12345678", "app").installation_id())
            os._exit(0)
        children.append(child)
    os.close(open_barrier)
    os.close(barrier)
    os.close(writing)
    with open(reading, "rb") as stream:
        told = stream.read()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    ids = {told[at : at + 16] for at in range(0, 128, 16)}
    assert ids == {bytes.fromhex(path.read_text())}
    assert DiskCache(path.parent, "b-12345678", "other").installation_id() in ids
    assert sorted(p.name for p in path.parent.iterdir()) == ["installation-id", "installation-id.lock"]


def test_an_installation_id_that_was_written_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / "installation-id").write_text("0123456789abcdef0123456789ABCDEF\n")
    cache = DiskCache(tmp_path, "a-12345678", "app")
    assert cache.installation_id().hex() == "0123456789abcdef0123456789abcdef"


def test_an_installation_id_that_cannot_be_kept_lives_as_long_as_the_process(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file" / "cache", "a-12345678", "app")
    assert len(cache.installation_id()) == 16
    assert "no installation id can be kept in" in caplog.text
    assert "using one for this process" in caplog.text


def test_a_folder_that_may_only_be_read_still_gives_pins_and_id(authority: Any) -> None:
    program = """
        import os, sys
        from pathlib import Path
        from pinwarden.cache import DiskCache
        from pinwarden.errors import CacheError
        from pinwarden.trust import KeptDocuments, absorb, begin
        if os.geteuid() == 0:
            os.setuid(65534)
        state = begin(Path(sys.argv[1], "root").read_bytes(), name="app")
        cache = DiskCache(sys.argv[1], state.authority, "app")
        print(cache.installation_id().hex(), absorb(state, cache.load()).pinset.version)
        try:
            cache.update(lambda found: KeptDocuments())
        except CacheError as error:
            print(error)
        """
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, whose parents another user may not enter
        desk = Desk(Path(folder), authority)
        desk.keep(authority.bundle())
        identity = desk.cache.installation_id().hex()
        Path(folder, "root").write_bytes(authority.root_json)
        for path in desk.folder.iterdir():
            path.chmod(0o444)
        desk.folder.chmod(0o555)
        done = run_apart(program, folder)
        desk.folder.chmod(0o755)
    assert done.stdout.startswith(f"{identity} 1\ncache {desk.path} cannot be written: Permission denied."), done.stderr


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"PINWARDEN_CACHE": "{}/one", "XDG_STATE_HOME": "{}/two"}, "{}/one/"),
        ({"PINWARDEN_CACHE": "", "XDG_STATE_HOME": "{}/two"}, "{}/two/pinwarden/"),
        ({"XDG_STATE_HOME": "{}/two"}, "{}/two/pinwarden/"),
        ({"XDG_STATE_HOME": ""}, "memory"),
        ({"HOME": ""}, "memory"),
        ({}, "memory"),
    ],
)
def test_without_a_cache_argument_the_environment_decides(
    environ: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Any
) -> None:
    for name in ("PINWARDEN_CACHE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = PinClient("http://localhost:1", pinset="app", root=authority.root_json)
    assert client.status().cache.startswith(place.format(tmp_path))
    if place == "memory":
        assert [(w.category, w.filename) for w in caught] == [(RuntimeWarning, __file__)]
        assert "Give cache= a folder, or set PINWARDEN_CACHE or XDG_STATE_HOME" in str(caught[0].message)
    else:
        assert caught == []


def test_a_redis_url_without_the_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    for module in [name for name in sys.modules if name.startswith(("redis.", "pinwarden.cache_redis"))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigError, match="Install it: pip install 'pinwarden\\[redis\\]'") as refused:
        open_cache("rediss://user:secret@localhost/0", authority="a-12345678", name="app")
    assert "secret" not in str(refused.value)


def test_an_empty_path_does_not_mean_the_working_directory() -> None:
    with pytest.raises(ConfigError, match="cache is empty: expected a folder"):
        open_cache("", authority="a-12345678", name="app")


@pytest.mark.parametrize(
    ("first", "second"),
    [(("authority", "app"), ("authority", "other")), (("authority", "app"), ("stranger", "app"))],
    ids=["another name", "another authority"],
)
def test_each_authority_and_name_has_a_file_of_its_own(
    first: tuple[str, str], second: tuple[str, str], authority: Any, tmp_path: Path
) -> None:
    bundle = authority.bundle()
    kept = KeptDocuments((), (bundle.timestamp,), (bundle.pinset,))
    DiskCache(tmp_path, *first).update(lambda _: kept)
    assert DiskCache(tmp_path, *second).load() == KeptDocuments()
    DiskCache(tmp_path, *second).update(lambda _: KeptDocuments((), (bundle.timestamp,)))
    assert DiskCache(tmp_path, *first).load() == kept


def test_a_cache_object_is_taken_as_it_is(make_client: Any, server: Any, authority: Any) -> None:
    server.serve(authority)
    cache = MemoryCache()
    make_client(cache=cache).refresh()
    assert make_client(cache=cache).status().version == 1


def test_the_gate_of_the_cache_raises_nothing_but_untrusted(desk: Desk) -> None:
    from pinwarden.cache import parse_kept

    for content in (b"", b"{}", b"\xff", b'{"format":"pinwarden-cache-1"}', b'{"format":1}'):
        with pytest.raises(UntrustedError):
            parse_kept(content)
