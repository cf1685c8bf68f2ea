"""``pinwarden root publish`` against a real server: what it shows, refuses, asks and tells."""

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.strict_json import parse_object
from pinwarden_keys import found_authority
from pinwarden_ops.cli_root import publish
from tests.rotation.stage import House, new_signer


@pytest.fixture
def token_file(tmp_path: Path, founded: House) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(founded.token)
    return file


@pytest.fixture
def run(house: House, token_file: Path, tmp_path: Path) -> Any:
    """Run the command on an envelope, as people type it; *typed* goes to its prompt."""

    def runner(root: Envelope | bytes, *arguments: str, typed: str = "", server: str | None = None) -> Result:
        file = tmp_path / "root.json"
        file.write_bytes(root if isinstance(root, bytes) else root.to_bytes())
        where = ["--server", server or house.line.url, "--token-file", str(token_file)]
        return CliRunner().invoke(publish, [str(file), *where, *arguments], input=typed)

    return runner


def test_it_stands_in_the_group_root() -> None:
    from importlib.metadata import entry_points

    (entry,) = [one for one in entry_points(group="pinwarden.commands.root") if one.name == "publish"]
    assert entry.load() is publish
    assert isinstance(publish, click.Command)


def test_it_shows_what_changes_asks_for_the_version_and_tells_what_was_signed(house: House, run: Any) -> None:
    key = house.add_key("pinset-2")
    old = house.pinset_key.keyid[:16]
    house.clock.advance(days=1)
    root = house.draft(pinset=[key], pinset_epoch=2)
    done = run(root, "--known-root", str(house.installation.root_json), typed="2\n")
    assert done.exit_code == 0, done.output
    told = f"root 2 of {house.root.authority}\npayments 2.2, timestamp 2: pinset and timestamp\n"
    assert done.stdout == told
    assert done.stderr.partition(f"changes since root 1 of {house.root.authority}\n")[2] == (
        "  ~ version 1 -> 2\n"
        "  ~ expires 2027-06-01T12:00:00Z -> 2027-06-02T12:00:00Z\n"
        f"  - pinset *: key {old}\n"
        f"  + pinset *: key {key.keyid[:16]}\n"
        "  ~ pinset *: epoch 1 -> 2\n"
        "signed again with it:\n"
        "  payments 1.1: pinset and timestamp\n"
        f"note: writes to {house.line.url}, authority {house.root.authority}\n"
        "Type the version to publish it: 2\n"
    )


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--dry-run", "--yes"]])
def test_a_dry_run_publishes_nothing(house: House, run: Any, arguments: list[str]) -> None:
    before = house.stored()
    done = run(house.draft(), *arguments)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "payments 1.1: timestamp\n" in done.stderr
    assert house.stored() == before


def test_another_version_than_the_roots_typed_publishes_nothing(house: House, run: Any) -> None:
    before = house.stored()
    done = run(house.draft(), typed="1\n")
    assert done.exit_code == 1
    assert "error: not published: expected version 2 typed, got '1'" in done.stderr
    assert house.stored() == before


def test_the_same_root_again_asks_nothing_and_changes_nothing(house: House, run: Any) -> None:
    root = house.draft()
    assert run(root, "--yes").exit_code == 0
    before = house.stored()
    done = run(root, "--json")
    assert (done.exit_code, parse_object(done.stdout.encode(), limit=10_000, what="answer")["created"]) == (0, False)
    assert house.stored() == before


def test_what_clients_would_not_follow_is_never_sent(house: House, run: Any) -> None:
    root = house.draft()
    one_signature = Envelope.of(ROOT_TYPE, root.payload, root.signatures[:1])
    house.roots.append(root)
    skipped = house.draft()
    refusals = {
        "too few valid signatures: expected 2 of 3 keys": one_signature,
        "does not follow the newest one of the server: expected version 2, got 3": skipped,
        "is no signed root": b"{}",
    }
    for words, offered in refusals.items():
        house.line.paths.clear()
        done = run(offered, "--yes")
        assert (done.exit_code, words in done.stderr) == (1, True), done.stderr
        assert set(house.line.paths) <= {"/admin/v1/roots"}  # the chain was read, and nothing was posted
    assert len(house.ask("GET", "/roots").json()["roots"]) == 1


def test_a_server_of_another_authority_is_refused_before_anything_is_sent(
    house: House, run: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(found_authority("other", now=house.clock(), entropy=os.urandom).root_json)
    done = run(house.draft(), "--yes", "--known-root", str(other))
    assert (done.exit_code, "the server's chain does not hold" in done.stderr) == (1, True)
    assert len(house.ask("GET", "/roots").json()["roots"]) == 1


def test_a_server_that_shows_a_chain_which_is_none_gets_nothing(house: House, run: Any) -> None:
    real = house.draft()
    forged = Envelope.of(ROOT_TYPE, real.payload, real.signatures[:1])
    shown = {"roots": [{"envelope": each.to_json()} for each in (house.roots[0], forged)]}
    house.line.answers["/admin/v1/roots"] = json.dumps(shown).encode()
    done = run(real, "--yes")
    assert (done.exit_code, "error: too few valid signatures: expected 2 of 3 keys" in done.stderr) == (1, True)
    assert house.line.paths.count("/admin/v1/roots") == 1
    house.release()
    assert len(house.ask("GET", "/roots").json()["roots"]) == 1


def test_keys_that_the_server_lacks_are_named_with_the_pin_sets(house: House, run: Any) -> None:
    key = new_signer()
    done = run(house.draft(pinset=[key]), "--yes")
    assert done.exit_code == 1
    wanted = f"error: S6 pin set 'payments' must be signed again, by 1 of 1 keys; not here: {key.keyid[:16]}. Add"
    assert wanted in done.stderr
    assert "error: the server would refuse this root. Nothing was published." in done.stderr


def test_a_finding_is_forced_by_its_code_and_a_reason(house: House, run: Any) -> None:
    root = house.draft(days=20)
    assert run(root, "--yes").exit_code == 1
    assert run(root, "--yes", "--force", "ROOT011").exit_code == 1
    done = run(root, "--yes", "--force", "ROOT011", "--reason", "a trial")
    assert (done.exit_code, "warning: ROOT011 it ends in 20 days" in done.stderr) == (0, True)


def test_the_exit_codes_are_those_of_the_other_commands(house: House, run: Any, token_file: Path) -> None:
    assert run(house.draft(), "--yes", server="http://127.0.0.1:1").exit_code == 3
    rival = house.draft(days=300)
    assert run(house.draft(), "--yes").exit_code == 0
    assert run(rival, "--yes").exit_code == 1
    token_file.chmod(0o644)
    assert run(house.draft(), "--yes").exit_code == 2
