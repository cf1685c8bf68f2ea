"""
The steps of the Dockerfile, run by hand in a clean folder: what they build serves, and has everything it should.

No engine runs here. The build stage runs as written, with its four absolute folders moved below one; of the last
stage, what needs root in a container of its own (users, removing pip) is compared, and the rest is run.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("container")


KNOWN = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "CMD"}


@dataclass
class Stage:
    """One ``FROM``: its name and its instructions in order."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Return the arguments of every *instruction* of this stage."""
        return [argument for word, argument in self.steps if word == instruction]

    def one(self, instruction: str) -> str:
        """Return the argument of the only *instruction* of this stage."""
        (argument,) = self.all(instruction)
        return argument

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its ENV lines set, as they are spelt."""
        pairs = (pair.partition("=") for argument in self.all("ENV") for pair in shlex.split(argument))
        return {name: value for name, _, value in pairs}


def stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile; ValueError for an instruction that is not known here."""
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        word, _, argument = line.partition(" ")
        if word not in KNOWN:
            raise ValueError(f"instruction {word} is not known")
        argument = " ".join(argument.split()) if word != "HEALTHCHECK" else argument
        if word == "FROM":
            found.append(Stage(argument.partition(" AS ")[2]))
        elif found:
            found[-1].steps.append((word, argument))
    return found


def command(argument: str) -> list[str]:
    """Return the program and arguments of a CMD or HEALTHCHECK in JSON form."""
    parsed: list[str] = json.loads(argument[argument.index("[") :])
    return parsed


def sent_to_build(repository: Path, context: Path) -> None:
    """Copy into *context* what .dockerignore lets a build see; it must ignore everything but the rows with ``!``."""
    rows = (repository / ".dockerignore").read_text().splitlines()
    rows = [row for row in rows if row and not row.startswith("#")]
    ignored = [row.removeprefix("**/") for row in rows if row.startswith("**/")]
    allowed = [row[1:] for row in rows if row.startswith("!")]
    if {*rows} != {"*", *(f"!{row}" for row in allowed), *(f"**/{row}" for row in ignored)} or rows[0] != "*":
        raise ValueError(".dockerignore has rows that are not known here")
    for row in allowed:
        source, target = repository / row, context / row
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*ignored))
        else:
            shutil.copy2(source, target)


@dataclass
class Image:
    """What the steps left below *base*, and the last stage of the file."""

    base: Path
    last: Stage

    def here(self, text: str) -> str:
        """Return *text* with the folders of the image below *base*."""
        for folder in ("/src", "/opt", "/wheels", "/var/lib/pinwarden", "/run/pinwarden", "/etc/pinwarden"):
            text = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w-])", str(self.base) + folder, text)
        return text

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the container, and no variable of ours besides."""
        alien = ("PINWARDEN", "PYTHON", "PIP")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(alien)}
        set_here = self.last.environment.items()
        return kept | {name: self.here(value).replace("$PATH", os.environ["PATH"]) for name, value in set_here}

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the image in its environment and folder."""
        words = [self.here(word) for word in command]
        folder = self.base / "var/lib/pinwarden"
        return subprocess.run(words, timeout=60, env=self.environment, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Both stages, run once for all workers of a test run."""
    of_this_run = tmp_path_factory.getbasetemp()
    base = (of_this_run.parent if "PYTEST_XDIST_WORKER" in os.environ else of_this_run) / "image"
    base.mkdir(exist_ok=True)
    build, last = stages((REPOSITORY / "Dockerfile").read_text())
    made = Image(base, last)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / "built").exists():
            run_steps(made, build)
            (base / "built").touch()
    return made


def run_steps(image: Image, build: Stage) -> None:
    """Run the build stage, and of the last stage what copies files; packages come through pip, and from its cache."""
    base = folder = image.base
    sent_to_build(REPOSITORY, base / "context")
    for made in ("opt", "var/lib/pinwarden", "run/pinwarden", "etc/pinwarden"):
        (base / made).mkdir(parents=True)
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environ.pop("PYTHONPATH", None)
    for word, argument in build.steps:
        if word == "WORKDIR":
            folder = Path(image.here(argument))
            folder.mkdir()
        elif word == "COPY":
            copy(base / "context", folder, argument)
        elif word == "RUN":
            script = image.here(argument).replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(["sh", "-ec", script], cwd=folder, env=environ, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    for argument in image.last.all("COPY"):
        if not argument.startswith("--from="):
            copy(base / "context", base, argument)


def copy(context: Path, folder: Path, argument: str) -> None:
    """Do what COPY does: files into a folder, or the content of a folder into a folder."""
    *sources, target = argument.split()
    into = folder / target.lstrip("/")
    for source in sources:
        if (context / source).is_dir():
            subprocess.run(["cp", "-a", f"{context / source}/.", "."], cwd=made_folder(into), check=True)
        elif target.endswith("/"):
            subprocess.run(["cp", str(context / source), "."], cwd=made_folder(into), check=True)
        else:
            subprocess.run(["cp", str(context / source), str(into)], cwd=made_folder(into.parent), check=True)


def made_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def content(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything below *folder*."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def wheel(image: Image) -> zipfile.ZipFile:
    (file,) = (image.base / "wheels").iterdir()
    return zipfile.ZipFile(file)


def test_what_was_built_serves_from_a_folder_that_it_never_writes(image: Image):
    state, before = image.here("/var/lib/pinwarden"), content(image.base / "opt/pinwarden")
    init = ["python", "-P", "-c", "from pinwarden_server.cli import server; server()", "init", state, "--dev"]
    made = image.run(*init)
    assert made.returncode == 0, made.stderr
    serve = [image.here(word) for word in command(image.last.one("CMD"))]
    log = (image.base / "log").open("wb")
    process = subprocess.Popen(serve, env=image.environment, cwd=state, stdout=log, stderr=log)
    try:
        health = command(image.last.one("HEALTHCHECK"))
        deadline = time.monotonic() + 30
        while (checked := image.run(*health)).returncode != 0:
            assert process.poll() is None, (image.base / "log").read_text()
            assert time.monotonic() < deadline, checked.stderr
            time.sleep(0.1)
        answer = ask(image.base / "run/pinwarden/gunicorn.sock", "/readyz")
        assert answer == {"ready": True, "publishing": True, "components": answer["components"]}
        process.send_signal(getattr(signal, image.last.one("STOPSIGNAL")))
        assert process.wait(30) == 0
        assert image.run(*health).returncode != 0
    finally:
        if process.poll() is None:
            process.kill()
        log.close()
    assert content(image.base / "opt/pinwarden") == before
    assert "Traceback" not in (image.base / "log").read_text()


def ask(path: Path, address: str) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_the_image_has_what_the_server_needs_and_no_tool_to_install_more(image: Image):
    listing = 'import importlib.metadata as m; print("\\n".join(sorted(d.name.lower() for d in m.distributions())))'
    installed = {name.replace("_", "-") for name in image.run("python", "-c", listing).stdout.split()}
    locked = re.findall(r"(?m)^([a-z0-9-]+)==\S+( ; .*)? \\$", (REPOSITORY / "requirements/server.txt").read_text())
    everywhere = {name for name, marker in locked if not marker}
    assert everywhere | {"pinwarden"} <= installed
    assert installed - {name for name, _ in locked} <= {"pinwarden", "setuptools"}
    assert image.run("python", "-m", "pip", "--version").returncode != 0
    assert image.run("sh", "-c", "command -v gunicorn").stdout.strip() == image.here("/opt/pinwarden/bin/gunicorn")


def test_every_variable_of_the_image_and_of_the_unit_is_a_setting(image: Image):
    environ = {name: value for name, value in image.environment.items() if name.startswith("PINWARDEN_")}
    assert set(environ) == {f"PINWARDEN_SERVER_{name}" for name in ("CONFIG", "RUN_DIR", "BIND")}
    unit = (REPOSITORY / "deploy/systemd/pinwarden.service").read_text()
    set_there = dict(re.findall(r"(?m)^Environment=(PINWARDEN_\w+)=(.*)$", unit))
    as_shipped = {name: value for name, value in image.last.environment.items() if name.startswith("PINWARDEN_")}
    as_shipped.pop("PINWARDEN_SERVER_RUN_DIR")  # there, a command is run with the variables of the container
    assert {name: set_there[name] for name in as_shipped} == as_shipped
    assert set(set_there) - set(as_shipped) == {"PINWARDEN_SERVER_PASSPHRASE_FILE"}


def test_the_container_runs_as_a_number_that_compose_and_its_folders_know(image: Image):
    (run,) = image.last.all("RUN")
    user = image.last.one("USER")
    assert user == "10001:10001"
    assert {"groupadd --gid 10001", "useradd --uid 10001 --gid 10001"} <= {part for part in PARTS if part in run}
    compose = (REPOSITORY / "deploy/compose.yaml").read_text()
    assert f'user: "{user}"' in compose
    volumes = json.loads(image.last.one("VOLUME"))
    assert all(f":{volume}" in compose for volume in volumes)
    assert all(volume in run for volume in volumes)
    # What the container writes to lies in volumes alone: its own file system is read-only.
    assert image.last.one("WORKDIR") in volumes
    assert str(image.last.environment["PINWARDEN_SERVER_RUN_DIR"]) in volumes


PARTS = ("groupadd --gid 10001", "useradd --uid 10001 --gid 10001")


def test_the_wheel_has_every_package_its_types_and_its_migrations_and_nothing_else(wheel: zipfile.ZipFile):
    names = set(wheel.namelist())
    packages = [path for room in ("client", "keys", "server") for path in (REPOSITORY / room).glob("*/__init__.py")]
    rooms = (REPOSITORY / room for room in ("client", "keys", "server"))
    files = {path.relative_to(room).as_posix() for room in rooms for path in room.rglob("*") if path.is_file()}
    wanted = {file for file in files if "__pycache__" not in file}
    assert {path.parent.name for path in packages} == {name.split("/")[0] for name in names if "dist-info" not in name}
    assert wanted <= names
    assert {"pinwarden/py.typed", "pinwarden_keys/py.typed"} <= names
    assert "pinwarden_server/store/migrations/versions/s0001_first.py" in names
    assert not [name for name in names if re.search(r"(^|/)(tests?|conftest|bench|deploy)(/|\.py|$)", name)]
    assert {Path(name).name for name in names if "dist-info/" in name} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "LICENSE",
    }


def test_the_source_distribution_has_the_licence_and_what_is_needed_to_test_it(image: Image, tmp_path: Path):
    script = (
        "import sys; from hatchling.builders.sdist import SdistBuilder\n"
        "print(*SdistBuilder(sys.argv[1]).build(directory=sys.argv[2]))"
    )
    python = image.here("/opt/build/bin/python")
    done = subprocess.run([python, "-c", script, REPOSITORY, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.iterdir()
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "Makefile", "pyproject.toml", "requirements/dev.txt", "deploy/compose.yaml"}
    assert needed <= names
    assert {"tests/conftest.py", "server/pinwarden_server/app.py", "client/pinwarden/py.typed"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/")) or name.endswith((".pyc", ".db", ".key"))]
