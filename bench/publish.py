"""
The writing side, for information: a publication through the admin API, a renewal, and the verification of a bundle.

It may start the server and use its rooms. The store is SQLite with every commit synced to the disk, as it is by
default, so these figures are those of the disk as much as of the code.
"""

import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from bench.lookup import published
from bench.measure import Effort, microseconds, thread_cpu, wall
from bench.product import NAME, draft, gunicorn, install
from bench.rows import Row
from pinwarden.bundle import Bundle
from pinwarden.trust import advance_bundle, begin
from pinwarden_server.drafts import Draft
from pinwarden_server.installation import Installation
from pinwarden_server.node import open_site
from pinwarden_server.publishing import renew_timestamp


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    number = effort.pick(full=200, quick=40, smoke=1)
    rows = [_verification(hosts, pins, number) for hosts, pins in ((10, 4), (2000, 2))]
    effort.progress(1, 3)
    with tempfile.TemporaryDirectory() as folder:
        installation = install(Path(folder, "server"))
        seconds = _publications(installation, Path(folder, "run"), number)
        effort.progress(2, 3)
        renewals = _renewals(installation, number)
        effort.progress(3, 3)
    slow = f"p95 {statistics.quantiles(seconds, n=20)[-1] * 1e3:.1f} ms" if len(seconds) > 1 else ""
    return [
        *rows,
        Row("publish, admin API, p50", statistics.median(seconds) * 1e3, "ms", slow),
        Row("renew a timestamp, p50", statistics.median(renewals) * 1e3, "ms"),
    ]


def _verification(hosts: int, pins: int, number: int) -> Row:
    """Parse the bytes of a bundle, verify every signature, judge it, and make the state that trusts it."""
    authority, bundle = published(hosts, pins=pins)
    content, state = bundle.to_bytes(), begin(authority.root_json, name="app")

    def verify() -> None:
        assert advance_bundle(state, Bundle.parse(content), now=authority.now).pinset is not None

    seconds = [thread_cpu(verify) for _ in range(max(1, number * 10 // hosts))]
    return Row(f"verify a bundle, {hosts} hosts", microseconds(seconds), "us CPU", f"{len(content) / 1000:.1f} kB")


def _publications(installation: Installation, run_dir: Path, number: int) -> list[float]:
    """Return the seconds of each PUT, from sending it to having read its answer; every one changes every pin."""
    token = installation.admin_token.read_text().strip()
    with gunicorn(installation, run_dir) as served, urllib3.PoolManager(retries=False, timeout=30) as http:
        address, etag = f"http://127.0.0.1:{served.port}/admin/v1/pinsets/{NAME}", '"1.1"'
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        taken = []
        for seed in range(1, number + 2):
            body = json.dumps(_body(draft(10, seed=seed)))
            start = time.perf_counter()
            answer = http.request("PUT", address, body=body, headers={**headers, "If-Match": etag})
            taken.append(time.perf_counter() - start)
            if answer.status != 200:
                raise RuntimeError(f"the server answered {answer.status}: {answer.data!r}")
            etag = answer.headers["ETag"]
    return taken[1:]  # the first one opens the connection and what the worker opens late


def _body(content: Draft) -> dict[str, object]:
    hosts = [
        {
            "host": host.host,
            "pins": [{"sha256": str(pin)} for pin in host.pins],
            "backups": [{"sha256": str(pin)} for pin in host.backups],
        }
        for host in content.hosts
    ]
    return {"hosts": hosts, "reason": "bench"}


def _renewals(installation: Installation, number: int) -> list[float]:
    site = open_site(installation.settings(), with_signers=True)
    try:
        return [wall(lambda: renew_timestamp(site, NAME, datetime.now(UTC))) for _ in range(number)]
    finally:
        site.signers.close()
        site.store.close()
