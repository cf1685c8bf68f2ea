"""
Real programs under ``pinwarden run``, none of which knows of pins: servers, workers, test runs, scripts.

Each makes the same HTTPS request, and what reaches the other end decides.
"""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WRONG, BACKUP = b"1" * 32, b"2" * 32
BIN = Path(sys.executable).parent

# One request, by the standard library: what it says is the service's "hi", or the name of the error.
CALLING = """
import http.client, ssl, sys
HOST, CAFILE = {target!r}, {ca_file!r}

def call(number=0):
    connection = http.client.HTTPSConnection(HOST, context=ssl.create_default_context(cafile=CAFILE), timeout=10)
    try:
        connection.request("GET", "/secret")
        return connection.getresponse().read().decode()
    except ssl.SSLError as error:
        return type(error).__name__
    finally:
        connection.close()
"""

FILES = {
    "plain.py": "from calling import call\nif __name__ == '__main__':\n    print(call())\n",
    "package/__init__.py": "",
    "package/__main__.py": "from calling import call\nprint(call())\n",
    "script": f"#!{sys.executable}\nfrom calling import call\nprint(call())\n",
    "through_env": "#!/usr/bin/env python3\nfrom calling import call\nprint(call())\n",
    "shell": f'#!/bin/sh\nexec "{sys.executable}" plain.py\n',
    "spawned.py": (
        "import multiprocessing, sys\nfrom calling import call\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:\n"
        "        print(*set(pool.map(call, [1, 2])))\n"
    ),
    "cleaned.py": (
        "import os, subprocess, sys\n"
        "kept = {name: value for name, value in os.environ.items() if name.startswith(('PINWARDEN_', 'PYTHONPATH'))}\n"
        "sys.exit(subprocess.call([sys.executable, 'plain.py'], env=kept))\n"
    ),
    "test_calling.py": "from calling import call\ndef test_call():\n    print(call())\n",
    "threads.py": (
        "import asyncio\nfrom calling import call\nasync def main():\n    print(await asyncio.to_thread(call))\n"
        "asyncio.run(main())\n"
    ),
    "wsgi.py": (
        "from calling import call\ndef app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [call().encode()]\n"
    ),
    "asgi.py": (
        "import asyncio\nfrom calling import call\nasync def app(scope, receive, send):\n"
        "    body = (await asyncio.to_thread(call)).encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    ),
    "tasks.py": (
        "import sys\nfrom celery import Celery\nfrom calling import call\n"
        "app = Celery('tasks', broker='filesystem://', backend='file://{folder}/results')\n"
        "app.conf.broker_transport_options = dict.fromkeys(('data_folder_in', 'data_folder_out'), '{folder}/queue')\n"
        "app.conf.broker_transport_options['control_folder'] = '{folder}/control'\n"
        "app.conf.broker_connection_retry_on_startup = False\n"
        "@app.task\ndef work():\n    return call()\n"
    ),
}

# What ends by itself and prints the answer.
PROGRAMS = {
    "a file": (sys.executable, "plain.py"),
    "a module": (sys.executable, "-m", "package"),
    "a shebang": ("./script",),
    "a shell that starts Python": ("./shell",),
    "children by fork": (sys.executable, "spawned.py", "fork"),
    "children by spawn": (sys.executable, "spawned.py", "spawn"),
    "children by forkserver": (sys.executable, "spawned.py", "forkserver"),
    "a child with few variables": (sys.executable, "cleaned.py"),
    "asyncio": (sys.executable, "threads.py"),
    "pytest": (str(BIN / "pytest"), "-q", "-s", "-p", "no:cacheprovider", "test_calling.py"),
    "an odd line": (sys.executable, "-Xutf8", "-W", "ignore", "-u", "plain.py"),
}

# What serves until it is told to end, and with which code it then ends: uvicorn lets the signal end it at last.
SERVERS = {
    "gunicorn": (("--bind", "127.0.0.1:0", "--no-control-socket", "--workers", "2", "wsgi:app"), 0),
    "uvicorn": (("--port", "0", "asgi:app"), 128 + signal.SIGTERM),
}
LISTENS = re.compile(r"(?:Listening at: |running on )(http://127\.0\.0\.1:\d+)")


@pytest.fixture
def folder(tmp_path: Path, tls_server: Any) -> Path:
    """The folder of the programs."""
    folder = tmp_path / "programs"
    (folder / "package").mkdir(parents=True)
    calling = CALLING.format(target=tls_server.target, ca_file=str(tls_server.ca_file))
    for name, content in {**FILES, "calling.py": calling}.items():
        (folder / name).write_text(content.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(params=["right", "wrong"])
def answer(request: pytest.FixtureRequest, publish: Any, tls_server: Any) -> str:
    """Publish the right pin or a wrong one, and return what every program must say."""
    publish({"localhost": [tls_server.leaf_pin if request.param == "right" else WRONG, BACKUP]})
    return {"right": "hi", "wrong": "PinMismatchError"}[request.param]


def assert_bytes_agree(tls_server: Any, answer: str) -> None:
    received = b"".join(tls_server.stop())
    assert (received != b"") == (answer == "hi")


@pytest.mark.parametrize("words", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_pinned_as_it_is(
    command: Any, folder: Path, tls_server: Any, answer: str, words: tuple[str, ...]
) -> None:
    ended = command.process("run", "--", *words, cwd=folder)
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (0, answer), ended.stderr
    assert_bytes_agree(tls_server, answer)


@pytest.fixture
def start(command: Any, folder: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Return a function that starts a server under ``run``, and returns its address and the process."""
    processes: list[subprocess.Popen[bytes]] = []
    log = folder / "log"

    def started(*words: str) -> tuple[str, subprocess.Popen[bytes]]:
        with log.open("wb") as file:
            process = subprocess.Popen(**command.words("run", "--", *words), cwd=folder, stdout=file, stderr=file)
        processes.append(process)
        while (found := LISTENS.search(log.read_text())) is None:
            with pytest.raises(subprocess.TimeoutExpired):  # it has not ended
                process.wait(0.05)
        return found[1], process

    yield started
    for process in processes:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_and_its_workers_are_pinned_and_end_by_their_signal(
    start: Any, tls_server: Any, answer: str, name: str
) -> None:
    words, code = SERVERS[name]
    url, process = start(str(BIN / name), *words)
    with urllib.request.urlopen(url, timeout=20) as response:
        assert response.read().decode() == answer
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == code
    assert_bytes_agree(tls_server, answer)


def test_a_celery_worker_and_its_children_are_pinned(command: Any, folder: Path, tls_server: Any, answer: str) -> None:
    words = (str(BIN / "celery"), "-A", "tasks", "worker", "-c", "1", "-P", "prefork", "-l", "WARNING")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--max-tasks-per-child", "1")
    with subprocess.Popen(
        **command.words("run", "--", *words, *quiet),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as worker:
        ask = "from tasks import work; print(work.delay().get(timeout=25))"
        asked = subprocess.run([sys.executable, "-c", ask], cwd=folder, capture_output=True, text=True, timeout=40)
        worker.send_signal(signal.SIGTERM)
        told, _ = worker.communicate(timeout=20)
    assert (asked.stdout, worker.returncode) == (f"{answer}\n", 0), (asked.stderr, told)
    assert_bytes_agree(tls_server, answer)
