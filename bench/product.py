"""
A real installation of the server in a folder of this run, and gunicorn on it with the settings of the product.

It may start this interpreter and import the server. Servers listen on loopback only and end with the block that asked
for them.
"""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.local_server import STOP_SECONDS
from pinwarden.testing import pinned
from pinwarden_server.drafts import Draft
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.node import open_site
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act

NAME = "payments"
BUNDLE_ADDRESS = f"/v1/bundles/{NAME}/1"
START_SECONDS = 30.0
HOOKS, ENTRY = "python:pinwarden_server.gunicorn_hooks", "pinwarden_server.wsgi:serve()"


@dataclass(frozen=True, slots=True)
class Served:
    """A gunicorn with one worker: where it listens, and the process that answers."""

    port: int
    worker: int


def install(folder: Path, *, hosts: int = 10, database_url_file: Path | None = None) -> Installation:
    """Found a throw-away authority in *folder* and publish one pin set with *hosts* hosts; in SQLite, or elsewhere."""
    installation = init_development(
        folder, bind="127.0.0.1:0", label="bench", now=datetime.now(UTC), database_url_file=database_url_file
    )
    site = open_site(installation.settings(), with_signers=True)
    try:
        publish(site, NAME, draft(hosts), None, Act("bench", datetime.now(UTC)))
    finally:
        site.signers.close()
        site.store.close()
    return installation


def draft(hosts: int, *, seed: int = 0) -> Draft:
    """Return a draft with two pins and a backup for each host; another *seed* gives other pins and the same backup."""
    draw, kept = random.Random(seed), b"a backup that holders of any have"[:32]
    pins = ((draw.randbytes(32), draw.randbytes(32), kept) for _ in range(hosts))
    entries = (pinned(f"host-{number}.example.com", *each) for number, each in enumerate(pins))
    return Draft(tuple(entries))


@contextmanager
def gunicorn(
    installation: Installation, run_dir: Path, *, hooks: str = HOOKS, entry: str = ENTRY, workers: int = 1
) -> Iterator[Served]:
    """Run *entry* under gunicorn with one worker or more and otherwise the product's settings, until the block ends."""
    environment = {
        **os.environ,
        "PINWARDEN_SERVER_CONFIG": str(installation.config),
        "PINWARDEN_SERVER_RUN_DIR": str(run_dir),
        "PINWARDEN_SERVER_WORKERS": str(workers),
        "BENCH_ADDRESS": BUNDLE_ADDRESS,
        "BENCH_TREE": str(installation.settings().tree_dir),
    }
    log_file = run_dir.with_suffix(".log")
    with log_file.open("wb") as log:
        command = [sys.executable, "-m", "gunicorn", "-c", hooks, entry]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield _served(process, run_dir / "addresses.json", log_file)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _served(process: "subprocess.Popen[bytes]", addresses: Path, log_file: Path) -> Served:
    deadline = time.monotonic() + START_SECONDS
    while True:
        booted = re.findall(r"Booting worker with pid: (\d+)", log_file.read_text())
        if addresses.exists() and booted:
            return Served(int(json.loads(addresses.read_text())[0].rpartition(":")[2]), int(booted[-1]))
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"gunicorn did not start:\n{log_file.read_text()}")
        time.sleep(0.02)
