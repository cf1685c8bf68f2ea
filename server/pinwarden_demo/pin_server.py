"""
The real pin server: founded, started as `pinwarden server run`, asked over HTTP, stopped by its process id.

It may import the server's installation and urllib3. It reads the admin token from its file for each request and puts
it nowhere else.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from pinwarden import PinwardenError
from pinwarden_demo.environment import plain_environment
from pinwarden_demo.errors import CannotMeasure, CannotStart
from pinwarden_demo.names import LOOPBACK
from pinwarden_server.installation import Installation, init_development

ANY_PORT = f"{LOOPBACK}:0"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
KEEP = "To read its whole log, give `demo` the option --keep, or `dev` a --folder."
# What the command `pinwarden server` runs; by its name it might not be on PATH.
_COMMAND = (sys.executable, "-P", "-c", "from pinwarden_server.cli import server; server()")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the admin side said; *body* is its JSON."""

    status: int
    etag: str | None
    body: dict[str, Any]


class PinServer:
    """
    One server with its own throw-away authority.

    Attributes:
        installation: where its files are.
        url: its address; known once :meth:`wait` returned.

    Args:
        folder: for all its files; an installation that is there already is used again.
    """

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder.absolute())
        if not self.installation.config.exists():
            init_development(folder, bind=ANY_PORT, label="demo", now=datetime.now(UTC))
        self.log = folder / "server.log"
        self.url = ""
        self._addresses = self.installation.settings().run_dir / "addresses.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._http = urllib3.PoolManager(retries=False, timeout=START_SECONDS)

    def start(self, *, port: int = 0) -> None:
        """Start the processes, a group of their own, on loopback and on a free port or *port*; returns at once."""
        arguments = [*_COMMAND, "--config", str(self.installation.config), "run"]
        environment = {**plain_environment(), "PINWARDEN_SERVER_BIND": f"{LOOPBACK}:{port}"}
        self._addresses.unlink(missing_ok=True)  # of a run that was killed
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    arguments, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            except OSError as error:
                raise CannotStart(f"the pin server cannot be started: {error}") from error

    def wait(self) -> None:
        """Return when it answers; CannotStart when it ended instead, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not self._addresses.exists():
            self._check_alive(deadline)
            time.sleep(0.02)
        self.url = json.loads(self._addresses.read_text())[0]
        # The listener stands before its workers do; the first answer is the proof that they came up.
        while self._ask("GET", "/readyz", CannotStart).status != 200:
            self._check_alive(deadline)
            time.sleep(0.02)

    def wait_for_end(self) -> None:
        """Return never: raise CannotStart when the server ends by itself, and whatever interrupts the waiting."""
        if self._process is not None:
            self._process.wait()
        raise CannotStart(f"the pin server ended by itself: {self._last_words()}", hint=KEEP)

    def current(self, name: str) -> str | None:
        """Return the ETag of the pin set *name*, or None when there is none."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        answer = self._ask("GET", f"/admin/v1/pinsets/{name}", headers=headers)
        return answer.headers.get("ETag") if answer.status == 200 else None

    def put(self, name: str, draft: Mapping[str, Any], *, replaces: str | None, token: str | None = None) -> Answer:
        """
        Publish *draft*; the answer may be a refusal.

        Args:
            replaces: the ETag of the version to replace; None creates.
            token: None for the admin's, out of its file.
        """
        condition = {"If-Match": replaces} if replaces else {"If-None-Match": "*"}
        headers = {"Authorization": f"Bearer {token or self._token()}", "Content-Type": "application/json", **condition}
        body = json.dumps(draft).encode()
        answer = self._ask("PUT", f"/admin/v1/pinsets/{name}", body=body, headers=headers)
        return Answer(answer.status, answer.headers.get("ETag"), answer.json())

    def bundle(self, name: str) -> bytes:
        """Return the bundle of *name* as a fresh client would get it."""
        answer = self._ask("GET", f"/v1/bundles/{name}/1")
        if answer.status != 200:
            raise CannotMeasure(f"the pin server does not serve {name!r}", expected=200, got=answer.status)
        return answer.data

    @property
    def pid(self) -> int | None:
        """Number of its first process, or None before the start."""
        return self._process.pid if self._process is not None else None

    @property
    def is_killed(self) -> bool:
        """Tell whether :meth:`kill` was called."""
        return self._killed

    def kill(self) -> None:
        """End all its processes by SIGKILL, as a power cut would; once is enough."""
        self._killed = True
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        self._http.clear()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _check_alive(self, deadline: float) -> None:
        ended = self._process is None or self._process.poll() is not None
        if not ended and time.monotonic() < deadline:
            return
        what = "the pin server ended at once" if ended else f"the pin server does not answer for {START_SECONDS:g} s"
        raise CannotStart(f"{what}: {self._last_words()}", hint=KEEP)

    def _ask(
        self, method: str, path: str, failure: type[PinwardenError] = CannotMeasure, **request: Any
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(method, self.url + path, **request)
        except urllib3.exceptions.HTTPError as error:
            raise failure(f"the pin server cannot be asked ({error}): {self._last_words()}", hint=KEEP) from error

    def _token(self) -> str:
        return self.installation.admin_token.read_text().strip()

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
