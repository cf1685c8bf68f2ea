"""A founded server on loopback whose clock, line and thieves belong to the test (tests/rotation/stage.py)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pinwarden.cli import pinwarden
from pinwarden.documents import PinSet
from pinwarden.envelope import Envelope
from pinwarden.history import End, Entry, Segment
from pinwarden_ops import cli_audit
from tests.rotation.conftest import a_house
from tests.rotation.line import BEGIN, Line
from tests.rotation.stage import House


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[House]:
    """A server with root 1 and no pin set."""
    with a_house(tmp_path / "server", BEGIN) as house:
        yield house


@pytest.fixture
def house(founded: House) -> House:
    """The server with the pin set ``payments`` 1.1."""
    founded.publish()
    return founded


def served_history(house: House, name: str = "payments") -> Segment:
    """Return the newest segment as workers serve it, once it hangs together."""
    assert house.node is not None
    entry = house.node.table.get(f"/v1/history/{name}")
    assert entry is not None
    return Segment.parse(entry.body)


@dataclass
class Post:
    """An observer's machine: it watches ``payments`` from an address, and remembers."""

    house: House
    folder: Path
    url: str

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def audit(self, *options: str, url: str | None = None, wait: int = 0) -> Result:
        """Run ``pinwarden audit history``."""
        root = self.folder / "root.json"
        root.write_bytes(self.house.roots[0].to_bytes())
        own = ["--pinset", "payments", "--root", str(root), "--state-dir", str(self.state), "--wait", str(wait)]
        return CliRunner().invoke(pinwarden, ["audit", "history", url or self.url, *own, *options])

    def findings(self, *options: str, **more: Any) -> list[dict[str, Any]]:
        """Return what an audit finds; its exit code must say the same."""
        done = self.audit("--json", *options, **more)
        assert done.exit_code in (0, 1), done.output
        told: dict[str, Any] = json.loads(done.stdout)
        assert (told["result"], done.exit_code) == (("split view", 1) if told["findings"] else ("same", 0))
        found: list[dict[str, Any]] = told["findings"]
        return found

    def remembered(self) -> dict[str, bytes]:
        """Return every file of the memory but evidence, locks and what a client caches."""
        return {file.name: file.read_bytes() for file in self.state.glob("*.history")}

    def evidence(self) -> list[Path]:
        """Return the files with evidence."""
        return sorted(self.state.glob("*-*.json"))


def told(findings: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(found["kind"], found["version"]) for found in findings]


@pytest.fixture
def post(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """An observer on the line that everybody uses, under the clock of the test."""
    monkeypatch.setattr(cli_audit, "_now", house.clock)
    folder = tmp_path / "post"
    folder.mkdir()
    return Post(house, folder, house.url)


@pytest.fixture
def mirror(house: House) -> Iterator[Line]:
    """Another address of the same server, with nobody in between yet."""
    line = Line()
    line.application = house.line.application
    yield line
    line.close()


def relinked(entries: Sequence[Entry], authority: str) -> list[Entry]:
    """Return *entries* as one chain whose hashes are right, whatever was done to them."""
    end, made = End.begin(authority, "payments"), []
    for entry in entries:
        draft = replace(entry, seq=end.seq + 1, previous=end.hash)
        made.append(replace(draft, hash=draft.link()))
        end = End.of(made[-1])
    return made


def listed(entry: Entry, pinset: Envelope) -> Entry:
    """Return *entry* for *pinset* in place of what it is for; its hash is still the old one."""
    document = PinSet.parse(pinset.payload)
    return replace(
        entry,
        epoch=document.epoch,
        version=document.version,
        sha256=sha256(pinset.payload).hexdigest(),
        length=len(pinset.payload),
        issued=document.issued,
        expires=document.expires,
    )


def show_history(line: Line, house: House, entries: Sequence[Entry]) -> None:
    """Let whoever holds *line* show *entries*, one segment at most, as the history."""
    line.answers["/v1/history/payments"] = Segment(house.root.authority, "payments", tuple(entries)).to_bytes()
