"""Pin sets that people sign, from the shell: what waits is said to wait, once, until it is published."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden_ops import cli_change_wait
from tests.changes.conftest import Town, found_town
from tests.ops.conftest import Workshop
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Api, Shell


@dataclass
class Hall(Workshop):
    """A shell in front of a server whose pin sets ``payments*`` two of three people sign."""

    town: Town

    def propose(self, name: str, *words: str) -> int:
        """Propose a new pin set by ``set put``, and return the number of the change."""
        file = self.write(f"{name}.json", Running.draft(*words))
        done = self("set", "put", name, file, "--create", "--json")
        assert done.exit_code == 5, done.output
        return int(json.loads(done.stdout)["id"])

    def sign(self, number: int, *people: int) -> None:
        """Let the people with these places sign the change."""
        for place in people:
            person = self.town.people[place]
            version = json.loads(self.running.ask("GET", f"/admin/v1/changes/{number}").data)["version"]
            variables = {
                "PINWARDEN_OPS_ROOT": str(self.folder / "root.json"),
                "PINWARDEN_OPS_STATE_DIR": str(self.folder / f"seen-{place}"),
            }
            own = ("--key", str(person.key_file), "--passphrase-file", str(person.passphrase_file))
            done = self("change", "sign", str(number), *own, typed=f"{version}\n", **variables)
            assert done.exit_code in (0, 5), done.output


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Running]]:
    town = found_town(tmp_path_factory.mktemp("town"), now=datetime.now(UTC).replace(microsecond=0))
    running = Running(town.installation)
    yield town, running
    running.stop()


@pytest.fixture
def hall(started: tuple[Town, Running], tmp_path: Path) -> Hall:
    town, running = started
    (tmp_path / "root.json").write_bytes(town.root_json)
    return Hall(running.url, tmp_path, town.installation.admin_token, running, town)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Let something happen at each pause of a wait, instead of time; return how long each would have been."""

    def happen(*steps: Callable[[], Any]) -> list[float]:
        left, paused = list(steps), []

        def pause(seconds: float) -> None:
            paused.append(seconds)
            left.pop(0)()

        monkeypatch.setattr(cli_change_wait.time, "sleep", pause)
        return paused

    return happen


def test_put_waits_for_people_and_wait_ends_when_they_have_signed(
    hall: Hall, meanwhile: Callable[..., list[float]]
) -> None:
    number = hall.propose("payments-wait", "live", "spare")
    paused = meanwhile(lambda: None, lambda: hall.sign(number, 0), lambda: hall.sign(number, 1))
    done = hall("change", "wait", str(number))
    assert (done.exit_code, done.stdout) == (0, f"change {number}, payments-wait 1.1: published\n"), done.output
    assert (paused, done.stderr) == ([5, 5, 5], "")


def test_a_wait_ends_with_its_time_and_with_what_became_of_the_change(
    hall: Hall, meanwhile: Callable[..., list[float]]
) -> None:
    first, second, third = (hall.propose("payments-ends", "live", word) for word in ("a", "b", "c"))
    timed = hall("change", "wait", str(first), "--timeout-seconds", "0", "--json")
    assert (timed.exit_code, json.loads(timed.stdout)["state"]) == (5, "waiting")
    meanwhile(lambda: hall("change", "reject", str(first), "--reason", "not ours"))
    rejected = hall("change", "wait", str(first))
    assert (rejected.exit_code, rejected.stdout.endswith(": rejected\n")) == (1, True)
    meanwhile(lambda: hall.sign(third, 0, 1))
    stale = hall("change", "wait", str(second))
    assert (stale.exit_code, stale.stdout.endswith(": stale\n")) == (4, True)
    assert hall("change", "wait", "999999").exit_code == 1


def test_a_server_that_is_away_for_a_while_does_not_end_a_wait(
    hostile: "Shell", api: "Api", meanwhile: Callable[..., list[float]]
) -> None:
    told = {"name": "payments", "version": "1.2", "state": "waiting", "tally": None}
    api.body = json.dumps(told).encode()

    def fail() -> None:
        api.status, api.body = 503, b"{}"

    def recover() -> None:
        api.status, api.body = 200, json.dumps({**told, "state": "published"}).encode()

    meanwhile(fail, recover)
    done = hostile("change", "wait", "7")
    assert (done.exit_code, done.stdout) == (0, "change 7, payments 1.2: published\n"), done.output
    assert "was answered with 503; asking again" in done.stderr


def test_on_a_terminal_a_bar_counts_the_signatures(
    hostile: "Shell", api: "Api", meanwhile: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    told = {"name": "payments", "version": "1.2", "state": "waiting"}

    def count(*signed: str, state: str = "waiting") -> Callable[[], None]:
        def happen() -> None:
            tally = {"threshold": 3, "signed": signed, "missing": [], "says": ""}
            api.body = json.dumps({**told, "state": state, "tally": tally}).encode()

        return happen

    count()()
    meanwhile(count("a"), count("a", "b"), count("a", "b", "c", state="published"))
    monkeypatch.setattr(cli_change_wait, "progress_on", lambda: screen)
    assert hostile("change", "wait", "7").exit_code == 0
    assert re.findall(r"(\d)/3", screen.getvalue()) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("state", ["", "gone", 7, None])
def test_a_state_that_nobody_knows_ends_a_wait(hostile: "Shell", api: "Api", state: object) -> None:
    api.body = json.dumps({"name": "payments", "version": "1.2", "state": state}).encode()
    assert hostile("change", "wait", "7").exit_code == 1


def test_a_proposal_is_shown_before_it_is_made_and_nothing_is_stored(hall: Hall) -> None:
    file = hall.write("dry.json", hall.running.draft("live", "spare"))
    before = hall.stored()
    shown = hall("change", "propose", "payments-dry", file, "--create", "--dry-run")
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (0, "payments-dry nothing -> the next version")
    assert hall("change", "propose", "payments-dry", file, "--replaces", "1.7", "--dry-run").exit_code == 4
    assert hall.stored() == before
    hall.sign(hall.propose("payments-dry", "live", "spare"), 0, 1)
    before = hall.stored()
    renewed = hall("change", "renew", "payments-dry", "--lifetime-seconds", "86400", "--dry-run")
    assert (renewed.exit_code, renewed.stdout.splitlines()[0]) == (0, "payments-dry 1.1 -> the next version")
    assert hall.stored() == before


def test_apply_proposes_once_and_says_that_it_waits_until_it_is_signed(hall: Hall) -> None:
    hall.write("pinsets/payments-apply.json", Running.draft("live", "spare"))
    folder = str(hall.folder / "pinsets")
    first = hall("set", "apply", "-f", folder)
    assert first.exit_code == 5, first.output
    [change] = json.loads(hall("change", "list", "--name", "payments-apply", "--json").stdout)["changes"]
    before = hall.stored()
    for options in ((), ("--reason", "again")):
        again = hall("set", "apply", "-f", folder, *options)
        assert (again.exit_code, hall.stored()) == (5, before), again.output
        assert f"payments-apply.json: change {change['id']}\n" in again.stdout
    assert hall("set", "apply", "-f", folder, "--plan").exit_code == 0
    hall.sign(change["id"], 0, 2)
    settled = hall("set", "apply", "-f", folder)
    assert (settled.exit_code, settled.stderr) == (0, ""), settled.output
    # What was signed counts as applied: the next file replaces it.
    hall.write("pinsets/payments-apply.json", Running.draft("next", "spare"))
    plan = json.loads(hall("set", "apply", "-f", folder, "--plan", "--json").stdout)["steps"]
    assert [(step["action"], step["version"]) for step in plan if step["file"]] == [("replace", "1.1")]


def test_another_file_than_the_one_that_waits_is_a_proposal_of_its_own(hall: Hall) -> None:
    number = hall.propose("payments-two", "live", "spare")
    hall.write("pinsets/payments-two.json", Running.draft("live", "vault"))
    done = hall("set", "apply", "-f", str(hall.folder / "pinsets"))
    assert (done.exit_code, f"change {number}" in done.stdout) == (5, False), done.output


def test_rollback_waits_for_people_too(hall: Hall) -> None:
    hall.sign(hall.propose("payments-back", "live", "spare"), 0, 1)
    done = hall("set", "rollback", "payments-back", "--to", "1", "--replaces", "1.1", "--reason", "drill")
    assert (done.exit_code, "waits for signatures as change " in done.stdout) == (5, True), done.output
