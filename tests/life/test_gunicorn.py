"""Gunicorn with real workers: a client made before the fork, one made after it, reloads, and a clean end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.life.conftest import PROGRAM_SECONDS, Stage, end
from tests.waiting import until

APPLICATION = """
import os
from application import call, context_of, make, refresh_threads

pins = make().start()
context = context_of(pins)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    status = pins.status()
    return [f"{os.getpid()} {status.version} {call(context)} {refresh_threads()}".encode()]
"""

LAZY = APPLICATION.replace(
    """pins = make().start()
context = context_of(pins)
""",
    "pins = None\n",
).replace(
    """    start_response(""",
    """    global pins, context
    if pins is None:
        pins = make().start()
        pins.refresh()
        context = context_of(pins)
    start_response(""",
)


class Gunicorn:
    """A master with three workers on loopback."""

    def __init__(self, stage: Stage, module: str, *options: str) -> None:
        (stage.folder / "served.py").write_text(module)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.log = stage.folder / "gunicorn.log"
        command = [sys.executable, "-m", "gunicorn", "served:application", "--workers", "3", "--bind", self._address]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--no-control-socket", "--chdir", str(stage.folder), *options],
                env={**stage.environ, "PYTHONWARNINGS": ""},  # gunicorn itself leaves its listening socket open
                stdout=log,
                stderr=log,
            )

    def ask(self) -> list[str]:
        """Return what one worker says: its number, the version in force, what a connection gave, its threads."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self._address}/", timeout=10) as answer:
            return answer.read().decode().split()

    def every_worker(self) -> dict[str, list[str]]:
        """Ask until three workers have answered; return the last answer of each."""
        found: dict[str, list[str]] = {}
        with contextlib.suppress(OSError):  # it starts, or a worker ends
            for _ in range(60):
                worker, *answer = self.ask()
                found[worker] = answer
        return found


@pytest.fixture
def gunicorn(stage: Stage) -> Iterator[Callable[..., Gunicorn]]:
    """Return a function that starts gunicorn with an application."""
    started: list[Gunicorn] = []

    def start(module: str, *options: str) -> Gunicorn:
        started.append(Gunicorn(stage, module, *options))
        return started[-1]

    yield start
    for one in started:
        end(one.process)


@contextmanager
def said_at_failure(log: Path) -> Iterator[None]:
    """Add the log to a failure."""
    try:
        yield
    except AssertionError as error:
        error.add_note(log.read_text())
        raise


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (APPLICATION, ["--preload"]),
        (APPLICATION, []),
        (LAZY, ["--preload"]),
        (APPLICATION, ["--preload", "--threads=4"]),
    ],
    ids=["before the fork", "after the fork", "at the first request", "with threads"],
)
def test_every_worker_is_pinned_learns_of_new_pins_and_survives_a_reload(
    module: str, options: list[str], stage: Any, gunicorn: Any
) -> None:
    server = gunicorn(module, *options)

    def every_worker_says(*answer: str) -> Any:
        return lambda: list(server.every_worker().values()) == [list(answer)] * 3

    with said_at_failure(server.log):
        until(every_worker_says("1", "ok", "1"))
        before = set(server.every_worker())
        stage.publish(b"x" * 32)
        until(every_worker_says("2", "PinMismatchError", "1"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not before & set(server.every_worker()))
        until(every_worker_says("2", "PinMismatchError", "1"))
        stage.publish(stage.service.pin)
        os.kill(int(next(iter(server.every_worker()))), signal.SIGKILL)
        until(every_worker_says("3", "ok", "1"))
        server.process.terminate()
        assert server.process.wait(PROGRAM_SECONDS) == 0
        complaints = ("Traceback", "Exception", "hangs", "WORKER TIMEOUT")
        assert [word for word in complaints if word in server.log.read_text()] == []
