"""What keeps a server from starting, what a full disk must not end, and what its log then says."""

import mmap
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict

from pinwarden.errors import ConfigError
from pinwarden_server import starting
from pinwarden_server.bell import Bell
from pinwarden_server.errors import Conflict
from pinwarden_server.limits import AttemptLimits
from pinwarden_server.mapped_files import give_back_counters, reserve_counters
from pinwarden_server.starting import RunFolder, check_addresses
from tests.server.http.conftest import COMMAND


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_PAUSE_SECONDS", 0.01)


@pytest.fixture(params=["127.0.0.1", "::1", "unix"])
def taken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An address on which somebody listens, as gunicorn names it."""
    family = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6, "unix": socket.AF_UNIX}[request.param]
    with socket.socket(family) as listener:
        listener.bind(str(tmp_path / "socket") if request.param == "unix" else (request.param, 0))
        listener.listen()
        name = listener.getsockname()
        yield name if isinstance(name, str) else name[:2]


def test_a_taken_address_is_refused_with_the_command_that_names_its_holder(impatient: None, taken: Any) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_addresses([taken])
    shown = taken if isinstance(taken, str) else f"{taken[0]}:{taken[1]}"
    assert refusal.value.what.startswith(f"the server cannot listen on {shown}: ")
    assert refusal.value.hint.startswith("`ss -lnp")


def test_an_address_that_becomes_free_within_seconds_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, taken: Any, tmp_path: Path
) -> None:
    answers = iter(["Address already in use", "Address already in use", None])
    monkeypatch.setattr(starting, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(starting, "_trouble_with", lambda address: next(answers))
    check_addresses([taken])
    assert list(answers) == []


def test_a_socket_whose_server_is_gone_is_no_obstacle(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    check_addresses([path, str(tmp_path / "none"), 3])
    assert os.path.exists(path)


def test_a_run_folder_has_one_server_until_that_one_ends(tmp_path: Path) -> None:
    first = RunFolder(tmp_path)
    with pytest.raises(Conflict) as refusal:
        RunFolder(tmp_path)
    assert (refusal.value.got, refusal.value.holds) == (f"process {os.getpid()}", "That one goes on.")
    first.leave()
    RunFolder(tmp_path).leave()


def test_a_second_server_on_the_same_folders_ends_with_3_and_the_first_serves_on(start: Callable[..., Any]) -> None:
    server = start()
    addresses = (server.run_dir / "addresses.json").read_text()
    words = [*COMMAND, "--config", str(server.installation.config), "run"]
    second = subprocess.run(words, capture_output=True, text=True, timeout=30, cwd=server.installation.folder)
    assert second.returncode == 3, second.stderr
    assert f"another server runs with the run folder {server.run_dir}: expected none, got process" in second.stderr
    assert "Traceback" not in second.stderr
    assert (server.run_dir / "addresses.json").read_text() == addresses
    assert server.ask("GET", "/metrics").status == 200
    server.process.send_signal(signal.SIGKILL)  # its workers may still be there for a moment
    server.process.wait(10)
    (server.run_dir / "addresses.json").unlink()
    assert start().fetch("/readyz").status == 200


def on_disk(path: Path) -> bool:
    """Tell whether every byte of a file has its place on the disk."""
    status = path.stat()
    return status.st_blocks * 512 >= status.st_size > 0


def test_no_file_that_is_mapped_into_memory_has_a_hole_that_a_full_disk_could_not_fill(tmp_path: Path) -> None:
    bell, limits = Bell(tmp_path / "bell"), AttemptLimits(tmp_path / "limits", per_minute=10)
    reserve_counters(tmp_path, 17)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["bell", "counter_17.db", "gauge_mostrecent_17.db", "limits"]
    assert [name for name in files if not on_disk(tmp_path / name)] == []
    bell.close()
    limits.close()


def test_the_counters_of_a_worker_that_died_are_kept_and_their_space_is_not(tmp_path: Path) -> None:
    reserve_counters(tmp_path, 17)
    file = tmp_path / "counter_17.db"
    counted = MmapedDict(str(file))  # type: ignore[no-untyped-call]
    counted.write_value("fetches", 3.0, 1.0)  # type: ignore[no-untyped-call]
    counted.close()  # type: ignore[no-untyped-call]
    give_back_counters(tmp_path, 17)
    kept = [(key, value) for key, value, *_ in MmapedDict.read_all_values_from_file(str(file))]  # type: ignore[no-untyped-call]
    assert kept == [("fetches", 3.0)]
    assert file.stat().st_size < mmap.PAGESIZE


def test_where_counters_have_no_space_workers_serve_and_the_log_says_what_is_missing(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    server = start(PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "no such folder"))
    assert server.fetch("/readyz").status == 200
    assert server.ask("GET", "/metrics").status == 200
    said = [line for line in server.log.splitlines() if "/metrics lacks what this worker counts" in line]
    assert len(said) == 2, server.log
    assert "No such file or directory. Free space, then restart." in said[0]
