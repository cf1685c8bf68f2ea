"""Libraries that need an environment or a process of their own: niquests, pip with what it carries, gevent."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pinned_dialogues import Http
from pinned_environments import environment, run_pytest, surroundings
from pinned_libraries import APART, LOCKS, WAYS, Apart
from pinned_service import WRONG

CASES = [pytest.param(row, way, id=f"{name}-{way}") for name, row in APART.items() for way in row.ways]


@pytest.fixture(scope="session")
def interpreter() -> Callable[[Apart], Path]:
    """Return a function that finds the interpreter a library runs in, and makes its environment the first time."""

    def find(row: Apart) -> Path:
        if not row.lock:
            return Path(sys.executable)
        lock = LOCKS.joinpath(f"{row.lock}.txt").read_text()
        return environment(row.lock, lock, [sys._base_executable]) / "python"

    return find


@pytest.fixture
def run(world: Any, pin: Any, serve: Any, interpreter: Any, tmp_path: Path) -> Callable[..., tuple[Any, Any]]:
    """Return a function that runs a client in a process of its own, and tells what it talked to and what it reports."""

    def start(
        row: Apart, way: str, pins: list[bytes], *, patch: str | None = None, peer: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        served = pin({"localhost": pins})
        peer = peer or serve(dialogue=Http())
        root, bundle = tmp_path / "root.json", tmp_path / "bundle.json"
        root.write_bytes(served.authority.root_json)
        bundle.write_bytes(served.authority.bundle().to_bytes())
        order = {
            "client": row.client,
            "way": way,
            "patch": patch or row.patch,
            "port": peer.port,
            "server": f"https://localhost:{served.peer.port}",
            "root": str(root),
            "bootstrap": str(bundle),
            "cache": str(tmp_path / "cache-of-the-child"),
            "cafile": str(world.cafile),
        }
        child = subprocess.run(
            [interpreter(row), Path(__file__).with_name("pinned_child.py")],
            input=json.dumps(order),
            env=surroundings(SSL_CERT_FILE=str(world.cafile), REQUESTS_CA_BUNDLE=str(world.cafile)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert child.returncode == 0, child.stderr
        return peer, json.loads(child.stdout)

    return start


@pytest.mark.parametrize(("row", "way"), CASES)
def test_with_the_right_pin_the_data_flows(world: Any, run: Any, row: Apart, way: str) -> None:
    peer, report = run(row, way, [world.intermediate.pin])
    assert (report.get("answer"), report["refused"], report.get("raised")) == ("hello", 0, None)
    assert peer.finish().startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(("row", "way"), CASES)
def test_with_a_wrong_pin_no_byte_arrives_and_the_error_is_the_librarys_own(run: Any, row: Apart, way: str) -> None:
    peer, report = run(row, way, [WRONG])
    assert (report.get("raised"), report.get("found")) == (row.raises, ["PinMismatchError", "localhost"])
    assert (peer.finish(), peer.connections, report["refused"]) == (b"", row.connections, row.connections)


def test_gevent_that_patches_after_enforcement_is_named_by_the_selftest_and_covered_by_the_next_call(run: Any) -> None:
    # Contexts that were made before the patch raise TypeError under gevent, with Pinwarden or without.
    peer, report = run(APART["gevent, urllib.request"], WAYS[2], [WRONG], patch="after")
    assert "context classes escape process-wide enforcement: got gevent.ssl.SSLContext" in report["selftest"]
    assert (report.get("raised"), peer.finish()) == ("urllib.error.URLError", b"")


def test_under_gevent_the_attacks_fail_as_they_do_without_it(tmp_path: Path) -> None:
    # One test puts a class of its own in the place of gevent's, and truststore knows no gevent.
    files = ("test_hole_1_2_bytes.py", "test_hole_5_6_7_checks.py", "test_chains.py")
    command = [sys.executable, "-m", "gevent.monkey", "--module", "pytest"]
    run_pytest(command, files, "-p", "no:xdist", "-k", "not whatever_the_class_beneath", folder=tmp_path / "under")


class Http3Server:
    """A server of HTTP/3 as a program; ``paths`` are the requests that it got until it was stopped."""

    def __init__(self, python: Path, chain: Path) -> None:
        command = [python, Path(__file__).with_name("serving_http3.py"), chain]
        self._process = subprocess.Popen(command, env=surroundings(), stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())

    def stop(self) -> list[str]:
        self._process.terminate()
        return self._process.communicate(timeout=30)[0].split()


def test_http3_goes_around_pythons_ssl_and_the_status_says_so(world: Any, run: Any, interpreter: Any) -> None:
    row = Apart("niquests_http3", "", "niquests", "niquests")
    server = Http3Server(interpreter(row), world.bought.write_into(world.folder))
    try:
        _, report = run(row, WAYS[2], [WRONG], peer=server)
    finally:
        paths = server.stop()
    assert (report.get("answer"), report["refused"], paths) == ("hello", 0, ["/"])  # docs/enforcement.md warns of it
    assert "qh3" in report["not_covered"]
    _, report = run(replace(row, client="niquests"), WAYS[2], [WRONG])  # with disable_http3
    assert (report.get("found"), report["not_covered"]) == (["PinMismatchError", "localhost"], [])
