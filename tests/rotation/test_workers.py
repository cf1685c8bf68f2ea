"""A root that is published to real gunicorn workers while pin sets are published and clients refresh."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from pinwarden.bundle import Bundle
from pinwarden.documents import Timestamp
from pinwarden.strict_json import parse_object
from tests.rotation.stage import House, looks, pin_json, verdict

START_SECONDS = 30.0
COMMAND = [sys.executable, "-P", "-c", "from pinwarden_server.cli import server; server()"]
ROOTS = 4


@contextmanager
def gunicorn(house: House) -> Iterator[Path]:
    """Serve the house by ``pinwarden server run`` instead of in this process; yield its log."""
    house.stop()
    house.clock = _Now()
    log, addresses = house.installation.folder / "log", house.installation.settings().run_dir / "addresses.json"
    with log.open("wb") as stream:
        command = [*COMMAND, "--config", str(house.installation.config), "run"]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=house.installation.folder)
    try:
        _wait_until(lambda: addresses.exists() and log.read_text().count("Booting worker") == 2, process, log)
        house.elsewhere = parse_object(b'{"a": ' + addresses.read_bytes() + b"}", limit=4096, what="addresses")["a"][0]
        yield log
    finally:
        process.terminate()
        assert process.wait(START_SECONDS) == 0, log.read_text()


class _Now:
    """The clock of this machine, where others have one that tests push."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def test_every_worker_serves_a_root_and_its_documents_before_the_answer(house_now: House) -> None:
    house_now.publish()
    with gunicorn(house_now) as log:
        house_now.rotate()
        workers = [int(line.rpartition(": ")[2].strip('"},')) for line in _booted(log)]
        for worker in workers:
            with _silenced(worker):
                for _ in range(10):
                    bundle = Bundle.parse(_get(house_now, "/v1/bundles/payments/1"))
                    assert Timestamp.parse(bundle.timestamp.payload).root_version == 2
                    assert _get(house_now, "/v1/roots/2") == house_now.roots[1].to_bytes()
                    assert Bundle.parse(_get(house_now, "/v1/bundles/payments/2")).roots == ()


def test_publishers_and_clients_go_on_while_roots_are_published(house_now: House) -> None:
    house = house_now
    house.publish()
    with gunicorn(house):
        client = house.client()
        client.refresh()
        stop, failures, acknowledged = threading.Event(), [], []

        def publish() -> None:
            while not stop.is_set():
                host = {"host": "api.example.com", "pins": [pin_json("live")], "backups": [pin_json("spare")]}
                there = house.ask("GET", "/pinsets/payments")
                answer = house.ask("PUT", "/pinsets/payments", {"hosts": [host]}, If_Match=there.headers["ETag"])
                if answer.status == 200:
                    acknowledged.append(answer.json()["version"])
                elif answer.status != 412:
                    failures.append(answer.data)

        def refresh() -> None:
            while not stop.is_set():
                try:
                    client.refresh()
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=each) for each in (publish, refresh)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(ROOTS):
                seen = len(acknowledged)
                house.rotate()
                _wait_until(lambda seen=seen: len(acknowledged) > seen or bool(failures))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        client.refresh()
        assert looks(client)[:2] == ("fresh", ROOTS + 1)
        assert verdict(client, "live") == "accepted"
        versions = house.ask("GET", "/pinsets/payments/versions?limit=500").json()["versions"]
        assert set(acknowledged) <= {row["version"] for row in versions}


def _get(house: House, path: str) -> bytes:
    """GET on a connection of its own, so that any worker may answer."""
    with urllib3.PoolManager(retries=False, timeout=20) as http:
        answer = http.request("GET", f"{house.url}{path}", headers={"Connection": "close"})
    assert answer.status == 200, path
    return bytes(answer.data)


def _booted(log: Path) -> list[str]:
    lines = [line for line in log.read_text().splitlines() if "Booting worker with pid" in line]
    return [str(parse_object(line.encode(), limit=4096, what="log line")["event"]) for line in lines]


@contextmanager
def _silenced(pid: int) -> Iterator[None]:
    """Stop one worker: only the other one can answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{pid}/stat")
        _wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _wait_until(holds: Any, process: "subprocess.Popen[bytes] | None" = None, log: Path | None = None) -> None:
    """Return when *holds*; another process has no event to wait for."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        said = log.read_text() if log else ""
        assert process is None or process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.02)
