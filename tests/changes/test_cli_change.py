"""``pinwarden change`` on each person's machine, against an honest server and against one that lies."""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from pinwarden.bundle import Bundle
from pinwarden.cli import pinwarden
from pinwarden.documents import PinSet, Root
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, Envelope, is_signature, pae
from pinwarden.strict_json import encode, parse_object
from pinwarden.testing import pinned
from pinwarden_keys import file_uri, open_signer, passphrase_file, sign_envelope
from tests.changes.conftest import found_town, grant_of

if TYPE_CHECKING:
    from conftest import Office, Person

Wsgi = Callable[..., Any]


@dataclass
class Desk:
    """The office behind a socket, a coordinator that may lie in between, and everybody's command line."""

    office: "Office"
    folder: Path
    url: str = ""
    lies: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    handed_in: list[dict[str, str]] = field(default_factory=list)

    def application(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Pass requests on, and let the lie for a path replace the answer."""
        path = environ["PATH_INFO"]
        if path.endswith("/signatures"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self.handed_in.append(json.loads(body))
            environ = {**environ, "wsgi.input": BytesIO(body)}
        lie = self.lies.get(path)
        if lie is None:
            return self.office.app.wsgi_app(environ, start_response)
        got: list[Any] = []
        content = b"".join(self.office.app.wsgi_app(environ, lambda status, headers, *_: got.append((status, headers))))
        changed = lie(content)
        status = "404 NOT FOUND" if changed is None else got[0][0]
        headers = [(name, value) for name, value in got[0][1] if name not in ("Content-Length", "ETag")]
        start_response(status, headers)
        return [changed or b"{}"]

    def run(
        self, person: "Person | None", *arguments: str, typed: str | None = None, root: Path | None = None
    ) -> Result:
        """Run ``pinwarden change`` as *person*, with their root, their memory and a token of their own."""
        home = person.key_file.parent if person else self.folder
        environ = {
            "PINWARDEN_OPS_URL": self.url,
            "PINWARDEN_OPS_TOKEN_FILE": str(self.folder / "token"),
            "PINWARDEN_OPS_ROOT": str(root or self.folder / "root.json"),
            "PINWARDEN_OPS_STATE_DIR": str(home / "seen"),
        }
        return CliRunner().invoke(pinwarden, ["change", *arguments], input=typed, env=environ)

    def sign(self, person: "Person", number: int, *options: str, typed: str = "1.2\n", **more: Any) -> Result:
        own = ("--key", str(person.key_file), "--passphrase-file", str(person.passphrase_file))
        return self.run(person, "sign", str(number), *own, *options, typed=typed, **more)

    def lie_about(self, number: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Show people something else than what is stored."""
        self.lies[f"/admin/v1/changes/{number}"] = lambda body: json.dumps(change(json.loads(body))).encode()

    def lie_about_payload(self, number: int, **changes: Any) -> bytes:
        """Show people the payload with other content, well spelt; return it."""
        payload = replace(PinSet.parse(self.office.payload(number)), **changes).encode()
        self.lie_about(number, lambda shown: {**shown, "payload": base64.b64encode(payload).decode()})
        return payload


@pytest.fixture
def desk(office: "Office", tmp_path: Path) -> Iterator[Desk]:
    """One version in force, and a server on a socket."""
    office.publish("live", "spare")
    made = Desk(office, tmp_path)
    (tmp_path / "root.json").write_bytes(office.town.root_json)
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(office.admin)
    server = make_server("127.0.0.1", 0, made.application, threaded=True)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with capture_logs():  # the server's log would be printed into the answers of commands that run in this process
        yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_two_people_sign_and_the_version_is_published(desk: Desk) -> None:
    alice, bob, carol = desk.office.town.people
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    first = desk.sign(alice, number)
    tally = f"1 of 2: missing {bob.keyid[:16]} or {carol.keyid[:16]}"
    assert (first.exit_code, first.stdout) == (5, f"change {number}, payments 1.2: waiting, {tally}\n"), first.output
    second = desk.sign(bob, number)
    assert (second.exit_code, second.stdout) == (0, f"change {number}, payments 1.2: published, 2 of 2\n")
    assert "warning: the server says" not in second.stderr
    bundle = Bundle.parse(desk.office.client.get("/v1/bundles/payments/1").data)
    assert {entry.keyid for entry in bundle.pinset.signatures} == {alice.keyid, bob.keyid}
    late = desk.sign(carol, number)
    assert late.exit_code == 4
    assert "does not wait any more: expected waiting, got published" in late.stderr


def test_what_is_signed_is_shown_as_this_machine_computed_it(desk: Desk) -> None:
    office = desk.office
    draft = office.draft("spare", "safe")
    draft["hosts"].append(office.draft("x", "y", host="new.example.com")["hosts"][0])
    draft["hosts"][1]["mode"] = "report"
    answer = office.ask("PUT", "/admin/v1/pinsets/payments", body={**draft, "reason": "r"}, If_Match='"1.1"').json
    shown = desk.run(office.town.people[0], "show", str(answer["id"]))
    pin = {word: office.pin(word) for word in ("live", "spare", "safe", "vault", "x", "y")}
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == f"pin set payments 1.2 of {PinSet.parse(office.payload(answer['id'])).authority}"
    assert lines[1] == "  replaces  1.1"
    assert lines[5].startswith("  signed    0 of 2: missing ")
    assert [line for line in lines[7:] if "expires" not in line] == [
        f"  + api.example.com  pin {pin['spare']} leaf (was a backup)",
        f"  - api.example.com  pin {pin['live']} leaf",
        f"  + api.example.com  backup {pin['safe']} leaf",
        f"  - api.example.com  backup {pin['spare']} leaf",
        "  + new.example.com  newly pinned, mode report, on_expiry refuse",
        f"  + new.example.com  pin {pin['x']} leaf",
        f"  + new.example.com  backup {pin['y']} leaf",
        f"  + new.example.com  backup {pin['vault']} leaf",
        "",
        f"  claimed proposed by: {answer['actor']}",
        "  claimed reason: r",
    ]
    assert shown.stderr.splitlines() == [
        f"warning: api.example.com: nothing shows that anyone holds the new backup key {pin['safe']}; ask its holder",
        "warning: new.example.com would only report mismatches, and let them through",
        f"warning: new.example.com: nothing shows that anyone holds the new backup key {pin['y']}; ask its holder",
        f"warning: new.example.com: nothing shows that anyone holds the new backup key {pin['vault']}; ask its holder",
    ]


def test_json_says_the_same_for_programs(desk: Desk) -> None:
    alice, bob, _ = desk.office.town.people
    number = desk.office.propose("next", "spare", base="1.1", reason="rotation")["id"]
    shown = json.loads(desk.run(alice, "show", str(number), "--json").stdout)
    assert (shown["change"], shown["version"], shown["replaces"]) == (number, "1.2", "1.1")
    assert shown["claimed"]["reason"] == "rotation"
    assert [(row["mark"], row["what"].split()[0]) for row in shown["difference"]] == [
        ("+", "pin"),
        ("-", "pin"),
        ("~", "expires"),
    ]
    states = [json.loads(desk.sign(who, number, "--json").stdout)["state"] for who in (alice, bob)]
    assert states == ["waiting", "published"]


def test_a_dry_run_sends_nothing_and_asks_nothing(desk: Desk) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    before = desk.office.stored()
    done = desk.sign(desk.office.town.people[0], number, "--dry-run", typed="")
    assert (done.exit_code, desk.handed_in) == (0, [])
    assert done.stdout.startswith(f"change {number}, payments 1.2: not signed, 0 of 2: missing ")
    assert desk.office.stored() == before


@pytest.mark.parametrize("typed", ["2\n", "1.1\n", "yes\n", "1.2x\n"])
def test_without_the_version_typed_nothing_is_signed(desk: Desk, typed: str) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    done = desk.sign(desk.office.town.people[0], number, typed=typed)
    assert (done.exit_code, desk.handed_in) == (1, [])
    assert "not signed: expected version 1.2 typed" in done.stderr


def test_a_key_that_the_root_does_not_name_signs_nothing(desk: Desk) -> None:
    town = desk.office.town
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    stranger = replace(
        town.people[0],
        key_file=town.installation.key("timestamp"),
        passphrase_file=town.installation.passphrase,
    )
    done = desk.sign(stranger, number)
    assert (done.exit_code, desk.handed_in) == (1, [])
    assert "this key may not sign pin set 'payments'" in done.stderr


def test_a_change_that_became_stale_ends_with_the_exit_code_of_a_conflict(desk: Desk) -> None:
    numbers = [desk.office.propose(word, "spare", base="1.1")["id"] for word in ("a", "b")]
    desk.office.sign(numbers[1], *desk.office.town.people[:2])
    done = desk.sign(desk.office.town.people[2], numbers[0])
    assert (done.exit_code, desk.handed_in) == (4, [])
    assert "expected waiting, got stale" in done.stderr
    # A server that hides it is found out by what it serves.
    desk.lie_about(numbers[0], lambda shown: {**shown, "state": "waiting"})
    hidden = desk.sign(desk.office.town.people[2], numbers[0])
    assert (hidden.exit_code, desk.handed_in) == (4, [])
    assert "expected base 1.3, got 1.1" in hidden.stderr


def test_a_root_is_needed_and_must_be_the_authoritys(desk: Desk, tmp_path: Path) -> None:
    alice = desk.office.town.people[0]
    number = str(desk.office.propose("next", "spare", base="1.1")["id"])
    environ = {"PINWARDEN_OPS_URL": desk.url, "PINWARDEN_OPS_TOKEN_FILE": str(tmp_path / "token")}
    none = CliRunner().invoke(pinwarden, ["change", "show", number], env=environ)
    assert (none.exit_code, "root is not set" in none.stderr) == (2, True)
    garbage = tmp_path / "garbage.json"
    garbage.write_text("{}")
    assert desk.run(alice, "show", number, root=garbage).exit_code == 2
    (tmp_path / "elsewhere").mkdir()
    foreign = tmp_path / "foreign.json"
    foreign.write_bytes(found_town(tmp_path / "elsewhere", now=desk.office.clock()).root_json)
    refused = desk.run(alice, "show", number, root=foreign)
    assert (refused.exit_code, "too few valid signatures" in refused.stderr) == (1, True)


HOUR = timedelta(hours=1)
# What a hostile coordinator makes of the payload, and the words that name the step which refuses it.
HOSTILE: dict[str, tuple[Callable[[PinSet], dict[str, Any]], str]] = {
    "another authority": (lambda p: {"authority": "evil-0123456789abcdef"}, "pin set of another authority or name"),
    "the version in force": (lambda p: {"version": 1}, "exists"),
    "another epoch": (lambda p: {"epoch": 2}, "pin set of another epoch"),
    "a longer life than the grant allows": (
        lambda p: {"expires": p.issued + timedelta(days=91)},
        "lives longer than its role may grant",
    ),
    "no life at all": (lambda p: {"expires": p.issued}, "ends before it begins"),
    "a life that is over": (
        lambda p: {"issued": p.issued - 40 * 24 * HOUR, "expires": p.issued - HOUR},
        "has expired",
    ),
    "a life that begins in two days": (
        lambda p: {"issued": p.issued + 48 * HOUR, "expires": p.expires + 48 * HOUR},
        "was issued in the future",
    ),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_nothing_is_signed_when_the_coordinator_shows(desk: Desk, words: str) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    make, sentence = HOSTILE[words]
    desk.lie_about_payload(number, **make(PinSet.parse(desk.office.payload(number))))
    before = desk.office.stored()
    done = desk.sign(desk.office.town.people[0], number)
    assert (done.exit_code, desk.handed_in) == (1, []), done.output
    assert sentence in done.stderr
    assert "(step " in done.stderr
    assert desk.office.stored() == before


def _respelt(payload: bytes, words: str) -> bytes:
    value = parse_object(payload, limit=len(payload), what="payload")
    if words == "a field that this program does not know":
        return encode({**value, "later": {"hosts": ["*"]}})
    if words == "a feature that nobody here knows":
        return encode({**value, "crit": ["later"]})
    if words == "spaces between its fields":
        return json.dumps(value).encode()
    if words == "a field twice":
        return payload.replace(b'"name":', b'"name":"orders","name":', 1)
    return payload[:-1]


@pytest.mark.parametrize(
    "words",
    [
        "a field that this program does not know",
        "a feature that nobody here knows",
        "spaces between its fields",
        "a field twice",
        "half of it",
    ],
)
def test_nothing_is_signed_that_was_not_shown_whole(desk: Desk, words: str) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    payload = _respelt(desk.office.payload(number), words)
    desk.lie_about(number, lambda shown: {**shown, "payload": base64.b64encode(payload).decode()})
    done = desk.sign(desk.office.town.people[0], number)
    assert (done.exit_code, desk.handed_in) == (1, []), done.output


def test_a_payload_that_is_swapped_after_it_was_shown_gets_no_signature(desk: Desk) -> None:
    """What is fetched once is what is shown, signed and handed in; nobody asks the server for it a second time."""
    alice = desk.office.town.people[0]
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    shown, asked = desk.office.payload(number), []
    evil = replace(PinSet.parse(shown), hosts=(pinned("api.example.com", b"\xee" * 32, b"\xef" * 32),)).encode()

    def swap(body: bytes) -> bytes:
        asked.append(body)
        payload = shown if len(asked) == 1 else evil
        return json.dumps({**json.loads(body), "payload": base64.b64encode(payload).decode()}).encode()

    desk.lies[f"/admin/v1/changes/{number}"] = swap
    assert desk.sign(alice, number).exit_code == 5
    [entry] = desk.handed_in
    sig = base64.b64decode(entry["sig"])
    assert is_signature(sig, pae(PINSET_TYPE, shown), alice.signer.public)
    assert not is_signature(sig, pae(PINSET_TYPE, evil), alice.signer.public)


def test_a_coordinator_that_shows_two_people_two_payloads_publishes_neither(desk: Desk) -> None:
    alice, bob, _ = desk.office.town.people
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    assert desk.sign(alice, number).exit_code == 5
    before, served = desk.office.stored(), desk.office.client.get("/v1/bundles/payments/1").data
    desk.lie_about_payload(number, hosts=(pinned("api.example.com", os.urandom(32), os.urandom(32)),))
    done = desk.sign(bob, number)
    assert done.exit_code == 1
    assert "is not over the payload of change" in done.stderr
    assert desk.office.stored() == before
    assert desk.office.client.get("/v1/bundles/payments/1").data == served


def test_signatures_that_the_server_claims_are_counted_only_when_they_are_good(desk: Desk) -> None:
    alice, bob, _ = desk.office.town.people
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    lie = [alice.signature(b"something else"), {**bob.signature(desk.office.payload(number)), "keyid": "0" * 64}]
    desk.lie_about(number, lambda shown: {**shown, "signatures": lie, "tally": {"says": "2 of 2"}})
    assert "  signed    0 of 2: missing " in desk.run(alice, "show", str(number)).stdout


def test_escape_sequences_and_lines_of_others_do_not_reach_the_terminal(desk: Desk) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    evil = "\x1b[2J\x1b]0;owned\x07\nreplaces  9.9\r\u202e\x9b31m"
    desk.lie_about(number, lambda shown: {**shown, "reason": evil, "actor": evil, "forced": [evil]})
    desk.lies["/admin/v1/changes"] = lambda body: json.dumps(
        {"changes": [{"id": evil, "name": evil, "state": evil, "tally": {"says": evil}}]}
    ).encode()
    alice = desk.office.town.people[0]
    printed = [desk.run(alice, "show", str(number)), desk.sign(alice, number, "--dry-run"), desk.run(alice, "list")]
    for result in printed:
        assert result.exit_code == 0, result.output
        for bad in ("\x1b", "\x07", "\r", "\u202e", "\x9b", "\nreplaces"):
            assert bad not in result.stdout + result.stderr


def test_a_server_that_goes_back_is_refused_by_the_memory_of_this_machine(desk: Desk) -> None:
    alice = desk.office.town.people[0]
    old = desk.office.client.get("/v1/bundles/payments/1").data
    desk.office.publish("next", "spare", base="1.1")
    number = desk.office.propose("third", "spare", base="1.2")["id"]
    assert desk.run(alice, "show", str(number)).exit_code == 0
    for lie, sentence in (
        (lambda body: old, "older than one that was seen before"),
        (lambda body: None, "denies that"),
    ):
        desk.lies["/v1/bundles/payments/1"] = lie
        done = desk.sign(alice, number, typed="1.3\n")
        assert (done.exit_code, desk.handed_in) == (1, [])
        assert sentence in done.stderr


def test_the_chain_of_roots_is_walked_from_the_persons_own_copy(desk: Desk) -> None:
    alice, _, carol = desk.office.town.people
    desk.office.rotate()
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    assert desk.run(alice, "show", str(number)).stdout.splitlines()[5].endswith(", as root 2 counts")
    assert [desk.sign(person, number).exit_code for person in (alice, carol)] == [5, 0]


def test_a_root_that_the_server_made_for_itself_is_refused(desk: Desk) -> None:
    alice, town = desk.office.town.people[0], desk.office.town
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    key = open_signer(
        file_uri(town.installation.key("pinset")), passphrase=passphrase_file(town.installation.passphrase)
    )
    previous = Root.parse(Envelope.parse(town.root_json, expect=ROOT_TYPE).payload)
    own = replace(previous, version=2, pinset=(grant_of([key.public], 1, "*"),))
    forged = sign_envelope(ROOT_TYPE, own.encode(), [key])
    genuine = Bundle.parse(desk.office.client.get("/v1/bundles/payments/1").data)
    desk.lies["/v1/bundles/payments/1"] = lambda body: Bundle((forged,), genuine.timestamp, genuine.pinset).to_bytes()
    done = desk.sign(alice, number)
    assert (done.exit_code, desk.handed_in) == (1, [])
    assert "too few valid signatures" in done.stderr
    assert "(step V3)" in done.stderr


def test_a_new_pin_set_shows_every_host_as_new(desk: Desk) -> None:
    number = desk.office.propose("live", "spare", name="payments-eu")["id"]
    shown = desk.run(desk.office.town.people[0], "show", str(number)).stdout
    assert "  replaces  nothing: this creates the pin set" in shown
    assert "  + api.example.com  newly pinned, mode enforce, on_expiry refuse" in shown
    assert desk.sign(desk.office.town.people[0], number, typed="1.1\n").exit_code == 5


def test_a_pin_set_that_has_expired_is_renewed_with_a_warning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.office.clock.advance(days=40)
    later = desk.office.clock()
    monkeypatch.setattr("pinwarden_ops.change_desk._now", lambda: later)
    started = desk.run(None, "renew", "payments", "--reason", "holiday is over")
    assert started.exit_code == 5, started.output
    [row] = desk.office.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    assert started.stdout == f"change {row['id']} waits for signatures\n"
    alice, bob, _ = desk.office.town.people
    assert (
        "warning: what is in force is verified, but clients do not take it any more"
        in desk.sign(alice, row["id"]).stderr
    )
    assert desk.sign(bob, row["id"]).exit_code == 0


def test_a_renewal_may_wait_for_named_keys_beyond_the_threshold(desk: Desk) -> None:
    alice, bob, carol = desk.office.town.people
    started = desk.run(None, "renew", "payments", "--wait-for", carol.keyid)
    assert started.exit_code == 5
    number = int(started.stdout.split()[1])
    assert [desk.sign(person, number).exit_code for person in (alice, bob)] == [5, 5]
    last = desk.sign(carol, number)
    assert (last.exit_code, last.stdout) == (0, f"change {number}, payments 1.2: published, 2 of 2\n")
    unknown = desk.run(None, "renew", "payments", "--wait-for", "0" * 64)
    assert (unknown.exit_code, "none of the grant's" in unknown.stderr) == (1, True)


def test_a_rejected_change_is_closed_and_listed_as_such(desk: Desk) -> None:
    number = desk.office.propose("next", "spare", base="1.1")["id"]
    done = desk.run(None, "reject", str(number), "--reason", "not mine")
    assert (done.exit_code, done.stdout) == (0, f"change {number} is rejected\n")
    assert desk.run(None, "reject", str(number), "--reason", "again").exit_code == 4
    rows = [line.split() for line in desk.run(None, "list", "--name", "payments").stdout.splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        [str(number), "payments", "1.2", "rejected"],
        ["3", "payments", "1.1", "published"],
    ]
    listed = json.loads(desk.run(None, "list", "--state", "rejected", "--json").stdout)
    assert [row["id"] for row in listed["changes"]] == [number]


def test_a_server_that_is_away_is_unavailable(desk: Desk) -> None:
    desk.url = "http://127.0.0.1:1"
    assert desk.run(None, "list").exit_code == 3
