"""
The shipped files on this machine: gunicorn and nginx as an installation runs them, below one temporary folder.

Ports and paths are replaced by one table, everything else in the files stays. As root, nginx runs as another user in
the server's group, as in the container: what it may open is part of what is tested.
"""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from pinwarden_server.installation import Installation, init_development

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
BIN = Path(sys.executable).parent
START_SECONDS = 30.0
# Numbers of the container's users: nginx's own user, in the group of the server.
NGINX_USER, SERVER_GROUP = 101, 10001
IS_ROOT = os.geteuid() == 0


def substitutions(base: Path, public: int, admin: int) -> dict[str, str]:
    """Return what is replaced in the nginx files: loopback and free ports for all addresses, *base* for the system."""
    return {
        "listen 443 ssl;": f"listen 127.0.0.1:{public} ssl;",
        "listen 8443 ssl;": f"listen 127.0.0.1:{admin} ssl;",
        # Not every machine that tests has IPv6.
        "listen [::]:443 ssl;": "",
        "listen [::]:8443 ssl;": "",
        "unix:/run/pinwarden/gunicorn.sock": f"unix:{base}/run/gunicorn.sock",
        "root /var/lib/pinwarden/published;": f"root {base}/state/published;",
        " /etc/nginx/tls/": f" {base}/tls/",
        " /etc/nginx/conf.d/": f" {base}/conf.d/",
        " /var/log/nginx/": f" {base}/log/",
        " /run/nginx/": f" {base}/nginx/",
    }


def _of_unit(base: Path) -> dict[str, list[str]]:
    """Return the values of the unit by name, with its folders below *base* and the programs of this environment."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd/pinwarden.service").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            for shipped, ours in {
                "/opt/pinwarden/bin": str(BIN),
                "/etc/pinwarden/gunicorn.conf.py": str(DEPLOY / "gunicorn.conf.py"),
                "/var/lib/pinwarden": f"{base}/state",
                "/run/pinwarden": f"{base}/run",
                "%d/": f"{base}/credentials/",
            }.items():
                value = value.replace(shipped, ours)
            found.setdefault(name, []).append(value)
    return found


class Deployment:
    """Gunicorn behind nginx below *base*; ``public`` and ``admin`` are the URLs of the two sides."""

    def __init__(self, base: Path, nginx: Path, **settings: str) -> None:
        self.base = base
        self._settings = settings
        self.nginx: subprocess.Popen[bytes] | None = None
        self.gunicorn: subprocess.Popen[bytes] | None = None
        self.nginx_program = nginx
        self.installation: Installation = init_development(
            base / "state", bind=None, label="test", now=datetime.now(UTC)
        )
        self.socket = base / "run/gunicorn.sock"
        self._lay_folders()
        self._lay_passphrase()
        self._authority = trustme.CA()
        self._lay_certificate()
        self.http = urllib3.PoolManager(
            retries=False, timeout=20, ssl_context=ssl.create_default_context(cafile=str(self.ca_file))
        )

    def start(self) -> None:
        """Start gunicorn, then nginx; ``stop`` ends what was started, also when the other one was not."""
        self.gunicorn = self.start_gunicorn()
        self.nginx = self._start_nginx()

    @property
    def ca_file(self) -> Path:
        return self.base / "ca.pem"

    @property
    def token(self) -> str:
        return self.installation.admin_token.read_text().strip()

    def start_gunicorn(self) -> "subprocess.Popen[bytes]":
        """Start the application with the command and the variables of the unit, and return when it answers."""
        unit = _of_unit(self.base)
        environ = {**os.environ, **dict(line.split("=", 1) for line in unit["Environment"]), **self._settings}
        (command,), (umask,) = unit["ExecStart"], unit["UMask"]
        with (self.base / "log/gunicorn.log").open("ab") as log:
            options = {"cwd": self.base / "state", "stdout": log, "stderr": log, "umask": int(umask, 8), **_in_group()}
            process = subprocess.Popen(command.split(), env=environ, **options)
        self.gunicorn = process
        self._wait(process, lambda: self.behind("GET", "/livez").status == 200, "log/gunicorn.log")
        return process

    def behind(self, method: str, path: str, **headers: str) -> Any:
        """Ask gunicorn itself, through its socket."""
        with _SocketPool(self.socket) as pool:
            return pool.request(method, path, headers=_named(headers))

    def ask(self, method: str, url: str, *, body: bytes | None = None, **headers: str) -> Any:
        """Ask nginx; header names with underscores."""
        return self.http.request(method, url, body=body, headers=_named(headers))

    def publish(self, body: bytes, **condition: str) -> Any:
        """PUT the pin set ``payments`` on the admin side."""
        headers = {"Authorization": f"Bearer {self.token}", "Content_Type": "application/json", **condition}
        return self.ask("PUT", f"{self.admin}/admin/v1/pinsets/payments", body=body, **headers)

    def log(self, name: str) -> str:
        return (self.base / "log" / name).read_text()

    def stop(self) -> None:
        for process in (self.nginx, self.gunicorn):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(START_SECONDS)

    def _lay_folders(self) -> None:
        for name, mode in (("run", 0o710), ("log", 0o770), ("nginx", 0o700), ("conf.d", 0o755), ("tls", 0o750)):
            (self.base / name).mkdir()
            (self.base / name).chmod(mode)
        (self.base / "state").chmod(0o710)
        if IS_ROOT:
            for name in ("state", "run", "log", "tls"):
                os.chown(self.base / name, 0, SERVER_GROUP)
            os.chown(self.base / "nginx", NGINX_USER, SERVER_GROUP)

    def _lay_passphrase(self) -> None:
        """Put the passphrase where systemd puts a credential."""
        (self.base / "credentials").mkdir(mode=0o700)
        self.installation.passphrase.rename(self.base / "credentials/passphrase").chmod(0o400)

    def _lay_certificate(self) -> None:
        certificate = self._authority.issue_cert("127.0.0.1", "localhost")
        self._authority.cert_pem.write_to_path(self.ca_file)
        chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
        (self.base / "tls/pinwarden.crt").write_bytes(chain)
        key = self.base / "tls/pinwarden.key"
        key.touch(0o640)
        key.write_bytes(certificate.private_key_pem.bytes())
        if IS_ROOT:
            os.chown(key, 0, SERVER_GROUP)

    def _start_nginx(self) -> "subprocess.Popen[bytes]":
        # The port that was free a moment ago may be taken by another test: then two others are tried.
        for attempt in range(3):
            self.public, self.admin = self._write_nginx()
            checked = self.nginx_test()
            if checked.returncode == 0 or "Address already in use" not in checked.stderr or attempt == 2:
                break
        assert (checked.returncode, "[warn]" in checked.stderr) == (0, False), checked.stderr
        with (self.base / "log/nginx.log").open("ab") as log:
            process = subprocess.Popen(
                [*self._nginx_command(), "-g", "daemon off;"], stdout=log, stderr=log, **_as_nginx()
            )
        port = int(self.public.rpartition(":")[2])
        self._wait(process, lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, "log/nginx.log")
        return process

    def nginx_test(self) -> "subprocess.CompletedProcess[str]":
        """Run ``nginx -t`` on the files."""
        return subprocess.run([*self._nginx_command(), "-t"], capture_output=True, text=True, **_as_nginx())

    def _nginx_command(self) -> list[str]:
        return [str(self.nginx_program), "-p", str(self.base / "nginx"), "-c", str(self.base / "nginx.conf")]

    def _write_nginx(self) -> tuple[str, str]:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            public, admin = one.getsockname()[1], other.getsockname()[1]
        texts = {
            self.base / "nginx.conf": (DEPLOY / "nginx/nginx.conf").read_text(),
            self.base / "conf.d/pinwarden.conf": (DEPLOY / "nginx/pinwarden.conf").read_text(),
        }
        for shipped, ours in substitutions(self.base, public, admin).items():
            assert any(shipped in text for text in texts.values()), f"{shipped!r} is in neither file of nginx any more"
            texts = {file: text.replace(shipped, ours) for file, text in texts.items()}
        for file, text in texts.items():
            file.write_text(text)
        return f"https://127.0.0.1:{public}", f"https://127.0.0.1:{admin}"

    def _wait(self, process: "subprocess.Popen[bytes]", holds: Callable[[], bool], log: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, (self.base / log).read_text()
            assert time.monotonic() < deadline, (self.base / log).read_text()
            try:
                if holds():
                    return
            except (OSError, urllib3.exceptions.HTTPError):
                pass  # it does not listen yet
            time.sleep(0.02)


class _SocketConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class _SocketPool(HTTPConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", retries=False)
        self._path = path

    def _new_conn(self) -> Any:
        return _SocketConnection(self._path)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _in_group() -> dict[str, Any]:
    return {"group": SERVER_GROUP} if IS_ROOT else {}


def _as_nginx() -> dict[str, Any]:
    return {"user": NGINX_USER, "group": SERVER_GROUP, "extra_groups": []} if IS_ROOT else {}


@pytest.fixture(scope="module")
def deploy(program: Callable[[str], Path]) -> Iterator[Callable[..., Deployment]]:
    """Start deployments, with more variables in gunicorn's environment; they end with the module."""
    nginx, started = program("nginx"), []
    folders: list[Path] = []

    def start(**settings: str) -> Deployment:
        # Not pytest's own folder: another user has to get in here, and the path of a socket is short.
        folders.append(Path(tempfile.mkdtemp(prefix="pinwarden-")))
        folders[-1].chmod(0o711)
        started.append(Deployment(folders[-1], nginx, **settings))
        started[-1].start()
        return started[-1]

    yield start
    for deployment in started:
        deployment.stop()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """One deployment with the pin set ``payments``, for the tests of a module that leave it as it is."""
    running = deploy()
    assert running.publish(DRAFT, If_None_Match="*").status == 201
    return running


@pytest.fixture
def fresh(deploy: Callable[..., Deployment]) -> Iterator[Deployment]:
    """A deployment of a test's own, with the pin set ``payments``."""
    running = deploy()
    assert running.publish(DRAFT, If_None_Match="*").status == 201
    yield running
    running.stop()


DRAFT = (
    b'{"hosts": [{"host": "api.example.com", "pins": [{"sha256": "sVO4gX4o9WyqwTDq7FvJQ6SHoGlnqGo/4p1kVh8Vb3A="}],'
    b' "backups": [{"sha256": "zKrtoZKKAlJJsVSuSAxqHIs1V7yWRLXWd7Q7SmqEqUc="}]}]}'
)
