"""Approvals from the shell: computed here before anybody is asked, and exit code 5 wherever something waits."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pinwarden.strict_json import decode_base64, encode_base64, format_time
from pinwarden_ops import cli_change_approve
from pinwarden_server.installation import init_development
from tests.ops.conftest import Api, Shell, Workshop
from tests.server.http.conftest import Running


@dataclass
class Shop(Workshop):
    """The administrator's shell, and those of other people."""

    def of(self, owner: str, role: str = "approver") -> "Shop":
        """Return the shell of another person."""
        body = {"role": role, "names": ["*"], "lifetime_seconds": 3600, "owner": owner}
        file = self.folder / f"{owner}.token"
        file.touch(mode=0o600)
        file.write_text(self.running.ask("POST", "/admin/v1/tokens", body=body).json()["token"])
        return Shop(self.url, self.folder, file, self.running)

    def variables(self) -> dict[str, str]:
        root = self.folder / "root.json"
        if not root.exists():
            envelope = self.running.ask("GET", "/admin/v1/roots/1").json()["envelope"]
            root.write_text(json.dumps(envelope))
        seen = self.folder / f"seen-{self.token_file.stem}"
        own = {"PINWARDEN_OPS_ROOT": str(root), "PINWARDEN_OPS_STATE_DIR": str(seen)}
        return {**super().variables(), **own}

    def guarded(self, name: str, required: int = 1) -> None:
        """Publish a pin set that requires approvals."""
        self.publish(name, "live", "spare")
        done = self("set", "policy", name, "--approvals", str(required))
        assert (done.exit_code, done.stdout) == (0, f"{name} requires {required} approval{'s' * (required > 1)}\n")

    def put(self, name: str, *words: str, base: str = "1.1", options: tuple[str, ...] = ()) -> Result:
        file = self.write(f"{name}.json", Running.draft(*words))
        return self("set", "put", name, file, "--replaces", base, *options)

    def waiting(self, name: str) -> int:
        rows = json.loads(self("change", "list", "--name", name, "--state", "waiting", "--json").stdout)["changes"]
        return int(rows[0]["id"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("approvals")
    running = Running(init_development(folder / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC)))
    yield running
    running.stop()


@pytest.fixture
def shop(server: Running, tmp_path: Path) -> Shop:
    return Shop(server.url, tmp_path, server.installation.admin_token, server)


def test_a_put_waits_and_another_person_approves_what_their_machine_computed(shop: Shop) -> None:
    shop.guarded("one")
    done = shop.put("one", "next", "spare")
    number = shop.waiting("one")
    assert (done.exit_code, done.stdout) == (5, f"one 1.2 waits for 0 of 1 approvals as change {number}\n")
    anna = shop.of("anna")
    told = anna("change", "approve", str(number), "--reason", "by telephone", typed="y\n")
    assert (told.exit_code, told.stdout) == (0, f"change {number} of one: published\n"), told.output
    assert f"  + api.example.com  pin {Running.pin('next')} leaf" in told.stderr.splitlines()
    assert "  signed    by the server, once it is approved" in told.stderr.splitlines()
    assert len(shop.versions("one")) == 2


def test_whoever_says_no_sends_nothing(shop: Shop) -> None:
    shop.guarded("two")
    shop.put("two", "next", "spare")
    before = shop.stored()
    told = shop.of("anna")("change", "approve", str(shop.waiting("two")), typed="n\n")
    assert (told.exit_code, "error: not approved. Nothing was sent." in told.stderr) == (1, True), told.output
    dry = shop("change", "approve", str(shop.waiting("two")), "--dry-run", "--json")
    assert (dry.exit_code, json.loads(dry.stdout)["state"]) == (0, "not approved")
    assert len(shop.stored()) == len(before) + 1  # anna's token


def test_ones_own_change_is_refused_with_the_reason(shop: Shop) -> None:
    shop.guarded("three")
    shop.put("three", "next", "spare")
    told = shop("change", "approve", str(shop.waiting("three")), "--yes")
    assert (told.exit_code, "expected another person than its author" in told.stderr) == (1, True), told.output


def test_what_is_still_missing_is_said_with_exit_code_5(shop: Shop) -> None:
    shop.guarded("four", 2)
    shop.put("four", "next", "spare")
    number = shop.waiting("four")
    told = shop.of("anna")("change", "approve", str(number), "--yes")
    assert (told.exit_code, told.stdout) == (5, f"change {number} of four: waiting\n")
    assert "note: claimed to wait for 1 of 2 approvals (anna)" in told.stderr
    waited = shop("change", "wait", str(number), "--timeout-seconds", "0")
    assert waited.exit_code == 5
    assert shop.of("ben")("change", "approve", str(number), "--yes").exit_code == 0
    assert shop("change", "wait", str(number), "--timeout-seconds", "0").exit_code == 0


def test_a_lower_number_is_shown_and_approved_like_any_change(shop: Shop) -> None:
    shop.guarded("five")
    asked = shop("set", "policy", "five", "--approvals", "0", "--reason", "too slow")
    number = shop.waiting("five")
    assert asked.exit_code == 5
    assert asked.stdout == f"five requires 1 still: change {number} waits for 0 of 1 approvals\n"
    shown = shop("change", "show", str(number))
    assert (shown.exit_code, shown.stdout.splitlines()[:2]) == (
        0,
        ["pin set five: how many approvals it requires", "  ~ 1 -> 0"],
    )
    told = shop.of("anna")("change", "approve", str(number), "--yes", "--json")
    assert (told.exit_code, json.loads(told.stdout)["state"]) == (0, "published")
    said = json.loads(shop("set", "policy", "five", "--json").stdout)
    assert said == {"name": "five", "approvals_required": 0}


def test_whoever_lowers_a_number_and_whoever_approves_that_see_what_it_does_not_let_loose(shop: Shop) -> None:
    shop.guarded("lower")
    shop.of("erin", "editor").put("lower", "next", "spare", options=("--reason", "a rotation"))
    number = shop.waiting("lower")
    dry = shop("set", "policy", "lower", "--approvals", "0", "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()) == (
        0,
        [
            "lower requires 1 approval",
            f"change {number} by erin would still wait for 0 of 1 approvals: `pinwarden change show {number}`",
        ],
    )
    as_json = json.loads(shop("set", "policy", "lower", "--approvals", "0", "--dry-run", "--json").stdout)
    assert [row["id"] for row in as_json["left_waiting"]] == [number]
    asked = shop("set", "policy", "lower", "--approvals", "0")
    left = f"change {number} by erin: a rotation, 1 host changed, still waits for 0 of 1 approvals"
    assert (asked.exit_code, f"note: it lets nothing loose: {left}" in asked.stderr) == (5, True), asked.output
    policy = shop.waiting("lower")
    assert f"  claimed: {left}" in shop("change", "show", str(policy)).stdout.splitlines()
    shown = json.loads(shop("change", "show", str(policy), "--json").stdout)["left_waiting"]
    assert [(row["id"], row["owner"], row["what"]) for row in shown] == [(number, "erin", "1 host changed")]
    anna = shop.of("anna")
    told = anna("change", "approve", str(policy), "--yes")
    assert (told.exit_code, f"  claimed: {left}" in told.stderr.splitlines()) == (0, True), told.output
    assert shop.versions("lower") == ["1.1"]
    assert anna("change", "approve", str(number), "--yes").exit_code == 0


def test_broken_glass_is_shown_until_it_is_reviewed(shop: Shop) -> None:
    shop.guarded("six")
    done = shop.put("six", "next", "spare", options=("--break-glass", "--reason", "stolen"))
    assert done.exit_code == 0, done.output
    [row] = json.loads(shop("change", "list", "--state", "review", "--name", "six", "--json").stdout)["changes"]
    assert f"to review {row['id']}" in " ".join(shop("set", "show", "six").stdout.split())
    words = ("change", "review", str(row["id"]), "--verdict", "objected", "--reason", "a drill")
    assert shop(*words).exit_code == 1  # one's own
    assert shop.of("anna")(*words).stdout == f"change {row['id']} is reviewed: objected\n"


def test_a_scheduled_put_waits_for_its_time(shop: Shop) -> None:
    shop.publish("seven", "live", "spare")
    at = format_time((datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0))
    done = shop.put("seven", "next", "spare", options=("--at", at))
    number = shop.waiting("seven")
    assert (done.exit_code, done.stdout) == (5, f"seven 1.2 waits for its time, {at} as change {number}\n")
    assert shop("change", "reject", str(number), "--reason", "not tonight").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--at", "tomorrow"), "is not a time in UTC"),
        (("--break-glass",), "--break-glass needs a --reason"),
        (("--break-glass", "--reason", "x", "--at", "2030-01-01T00:00:00Z"), "exclude each other"),
    ],
)
def test_impossible_manners_are_misuse(shop: Shop, options: tuple[str, ...], words: str) -> None:
    done = shop.put("none", "next", "spare", options=options)
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_apply_waits_with_exit_code_5_and_proposes_once(shop: Shop) -> None:
    shop.guarded("eight")
    folder = shop.folder / "pinsets"
    shop.write("pinsets/eight.json", Running.draft("next", "spare"))
    first = shop("set", "apply", "-f", str(folder), "--take-over", "eight")
    assert (first.exit_code, f"as change {shop.waiting('eight')}" in first.stderr) == (5, True), first.output
    assert shop("set", "apply", "-f", str(folder)).exit_code == 5
    assert [row[0] for row in shop.running.rows("SELECT count(*) FROM changes WHERE name = 'eight'")] == [1]


def test_lists_of_more_than_a_page_are_read_to_their_end(shop: Shop) -> None:
    shop.guarded("nine")
    for _ in range(103):
        answer = shop.running.ask(
            "PUT", "/admin/v1/pinsets/nine", body=Running.draft("next", "spare"), If_Match='"1.1"'
        )
        assert answer.status == 202
    rows = json.loads(shop("change", "list", "--name", "nine", "--json").stdout)["changes"]
    assert len({row["id"] for row in rows}) == len(rows) == 103


def test_a_server_whose_list_never_ends_is_refused(api: Api, token_file: Path, tmp_path: Path) -> None:
    api.body = json.dumps({"changes": [], "next": 7}).encode()
    done = Shell(api.url, tmp_path, token_file)("change", "list")
    assert (done.exit_code, len(api.requests), "does not go back in time" in done.stderr) == (1, 2, True)


def test_what_is_approved_is_the_digest_of_what_was_shown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that shows another payload than it would publish is told what it showed, and cannot use that."""
    shop.guarded("ten")
    shop.put("ten", "good", "spare")
    shop.put("ten", "evil", "spare")
    evil = shop.waiting("ten")
    good = shop.running.ask("GET", f"/admin/v1/changes/{evil - 1}").json()["payload"]
    judge = cli_change_approve.judge_claimed

    def lied_to(desk: Any, number: int, claimed: dict[str, Any]) -> Any:
        return judge(desk, number, {**claimed, "payload": good})

    monkeypatch.setattr(cli_change_approve, "judge_claimed", lied_to)
    told = shop.of("anna")("change", "approve", str(evil), "--yes")
    assert told.exit_code == 1
    assert f"got {sha256(decode_base64(good, what='payload')).hexdigest()}" in told.stderr
    assert shop.versions("ten") == ["1.1"]


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"approvals_required":0,"name":"x","replaces":1,"type":"pinwarden/approvals","unseen":1}',
        b'{"name":"x","approvals_required":0,"replaces":1,"type":"pinwarden/approvals"}',
        b'{"approvals_required":true,"name":"x","replaces":1,"type":"pinwarden/approvals"}',
        b'{"approvals_required":0,"name":"x","replaces":10,"type":"pinwarden/approvals"}',
        b'{"approvals_required":0,"name":"x","replaces":1,"type":"other"}',
    ],
)
def test_a_policy_that_says_more_than_is_shown_is_not_approved(
    api: Api, token_file: Path, shop: Shop, payload: bytes
) -> None:
    told = {"action": "policy.lower", "state": "waiting", "payload": encode_base64(payload)}
    api.body = json.dumps(told).encode()
    hostile = Shop(api.url, shop.folder, token_file, shop.running)
    done = hostile("change", "approve", "7", "--yes", PINWARDEN_OPS_ROOT=shop.variables()["PINWARDEN_OPS_ROOT"])
    assert done.exit_code == 1, done.output
    assert {method for method, *_ in api.requests} == {"GET"}
