"""Logging in by a one-time link or an account, what a session may do for how long, and step-up."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden.strict_json import format_time
from pinwarden_server import accounts
from pinwarden_server.operations import OPERATIONS
from pinwarden_server.site import Act
from pinwarden_server.store.logins import find_account, find_session
from tests.meanwhile import before_the_commit

if TYPE_CHECKING:
    from tests.server.http.conftest import Service

PASSWORD = "correct horse battery"


@pytest.fixture
def desk(installation, serve):
    """A service whose links lead to an address, and where an address may be wrong ten times a minute."""
    return serve(installation, admin_url="https://pins.example.com:8443", wrong_attempts_per_minute=10)


def link(service: "Service", owner: str = "alice", role: str = "editor", **more: Any) -> str:
    """Return the code of a new one-time link."""
    answer = service.ask("POST", "/admin/v1/one-time-links", body={"owner": owner, "role": role, **more})
    assert answer.status_code == 201, answer.text
    base, code = answer.json["url"].split("#")
    assert base == "https://pins.example.com:8443/"
    return str(code)


def log_in(service: "Service", **body: str) -> Any:
    return service.client.post("/admin/v1/logins", json=body)


def session(service: "Service", **grant: Any) -> dict[str, Any]:
    """Return a session that has just begun by a link."""
    answer = log_in(service, link=link(service, **grant))
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def account(service: "Service", name: str = "breaker", role: str = "admin", password: str = PASSWORD) -> None:
    by = Act("system:command", service.clock())
    accounts.add_account(service.node.site.store, name, password.encode(), (role, ("*",)), by)


def audit(service: "Service", since: int = 0) -> list[dict[str, Any]]:
    rows = service.ask("GET", "/admin/v1/audit").json["rows"]
    return [row for row in rows if row["seq"] > since]


def test_a_link_is_redeemed_for_a_session_that_may_what_was_granted_and_no_more(desk):
    begun = session(desk, owner="alice@example.com", role="editor", names=["pay*"])
    shown = {name: begun[name] for name in ("owner", "way", "role", "names", "revoked_at")}
    assert shown == {
        "owner": "alice@example.com",
        "way": "link",
        "role": "editor",
        "names": ["pay*"],
        "revoked_at": None,
    }
    put = {"body": desk.draft(), "If_None_Match": "*", "token": begun["token"]}
    assert desk.ask("PUT", "/admin/v1/pinsets/payments", **put).status_code == 201
    assert desk.ask("PUT", "/admin/v1/pinsets/orders", **put).status_code == 403
    assert desk.ask("GET", "/admin/v1/tokens", token=begun["token"]).status_code == 403


def test_a_link_lets_in_once(desk):
    code = link(desk)
    assert log_in(desk, link=code).status_code == 201
    before = desk.stored()
    desk.problem(log_in(desk, link=code), 401, "unauthenticated")
    assert desk.stored() == before


def test_of_many_redeemers_at_once_one_gets_in(desk):
    for _ in range(3):
        code, gate = link(desk), threading.Barrier(4)

        def redeem(_: int, code: str = code, gate: threading.Barrier = gate) -> int:
            gate.wait()
            return int(log_in(desk, link=code).status_code)

        with ThreadPoolExecutor(4) as redeemers:
            assert sorted(redeemers.map(redeem, range(4))) == [201, 401, 401, 401]
        desk.clock.advance(minutes=1)  # so that the budget of wrong attempts is whole again


def test_a_link_ends_by_itself(desk):
    code, longer = link(desk), link(desk, lifetime_seconds=3600)
    desk.clock.advance(minutes=15)
    assert log_in(desk, link=code).status_code == 401
    assert log_in(desk, link=longer).status_code == 201


@pytest.mark.parametrize("thief", ["token", "session"])
def test_a_link_that_a_thief_made_ends_with_what_was_stolen(desk, thief: str):
    stolen = desk.token("admin") if thief == "token" else session(desk, role="admin")["token"]
    body = {"owner": "mallory", "role": "admin", "lifetime_seconds": 86400}
    answer = desk.ask("POST", "/admin/v1/one-time-links", body=body, token=stolen)
    code, other = answer.json["url"].split("#")[1], link(desk)
    assert desk.ask("DELETE", f"/admin/v1/{thief}s/{stolen.split('_')[1]}").status_code == 200
    before = desk.stored()
    refusal = desk.problem(log_in(desk, link=code), 401, "unauthenticated")
    assert (refusal, desk.stored()) == (desk.problem(log_in(desk, link="pwl_x"), 401, "unauthenticated"), before)
    assert log_in(desk, link=other).status_code == 201


def test_a_link_whose_maker_is_revoked_while_it_is_redeemed_lets_nobody_in(desk):
    stolen, after_the_revocation = desk.token("admin"), []
    answer = desk.ask("POST", "/admin/v1/one-time-links", body={"owner": "mallory", "role": "admin"}, token=stolen)
    code = answer.json["url"].split("#")[1]

    def meanwhile() -> None:
        assert desk.ask("DELETE", f"/admin/v1/tokens/{stolen.split('_')[1]}").status_code == 200
        after_the_revocation.append(desk.stored())

    with before_the_commit(meanwhile):
        desk.problem(log_in(desk, link=code), 401, "unauthenticated")
    assert [desk.stored()] == after_the_revocation


def shown_time(service: "Service", *, seconds: int = 0) -> str:
    """Return the time of the service, or one that is *seconds* later, as the API shows it."""
    return format_time((service.clock() + timedelta(seconds=seconds)).replace(microsecond=0))


def listed(service: "Service") -> dict[str, tuple[str, Any]]:
    """Return by the id of each link its state, and when it was redeemed."""
    rows = service.ask("GET", "/admin/v1/one-time-links").json["links"]
    return {row["id"]: (row["state"], row["redeemed_at"]) for row in rows}


def test_links_are_listed_with_who_made_them_for_whom_and_without_what_lets_in(desk):
    by, code = f"token:{desk.admin.split('_')[1]}", link(desk, role="reader", names=["pay*"], lifetime_seconds=60)
    [row] = desk.ask("GET", "/admin/v1/one-time-links").json["links"]
    began = row.pop("created_at"), row.pop("expires_at")
    assert row == {
        "id": code.split("_")[1],
        "owner": "alice",
        "role": "reader",
        "names": ["pay*"],
        "created_by": by,
        "redeemed_at": None,
        "state": "open",
    }
    assert began == (shown_time(desk), shown_time(desk, seconds=60))


def test_a_list_of_links_says_what_each_is_good_for_by_now(desk):
    thiefs = session(desk, role="admin")
    body = {"owner": "mallory", "role": "admin"}
    stolen = desk.ask("POST", "/admin/v1/one-time-links", body=body, token=thiefs["token"]).json["id"]
    desk.ask("DELETE", f"/admin/v1/sessions/{thiefs['id']}")
    spent, short, good, withdrawn = link(desk), link(desk, lifetime_seconds=60), link(desk), link(desk)
    spent, short, good, withdrawn = (code.split("_")[1] for code in (_spend(desk, spent), short, good, withdrawn))
    assert desk.ask("DELETE", f"/admin/v1/one-time-links/{withdrawn}").json["state"] == "withdrawn"
    desk.clock.advance(seconds=60)
    found = listed(desk)
    assert {name: found[name] for name in (stolen, spent, short, good, withdrawn)} == {
        stolen: ("maker-revoked", None),
        spent: ("redeemed", shown_time(desk, seconds=-60)),
        short: ("expired", None),
        good: ("open", None),
        withdrawn: ("withdrawn", None),
    }


def _spend(service: "Service", code: str) -> str:
    assert log_in(service, link=code).status_code == 201
    return code


def test_a_link_that_was_withdrawn_lets_nobody_in_and_is_in_the_audit_log_once(desk):
    code, other = link(desk), link(desk)
    identity, since = code.split("_")[1], desk.ask("GET", "/admin/v1/audit").json["next"]
    answers = [desk.ask("DELETE", f"/admin/v1/one-time-links/{identity}") for _ in range(2)]
    assert [(each.status_code, each.json["state"]) for each in answers] == [(200, "withdrawn")] * 2
    [row] = audit(desk, since)
    actor = f"token:{desk.admin.split('_')[1]}"
    assert (row["actor"], row["action"], row["subject"], row["detail"]) == (actor, "link.withdraw", identity, {})
    before = desk.stored()
    desk.problem(log_in(desk, link=code), 401, "unauthenticated")
    assert desk.stored() == before
    assert log_in(desk, link=other).status_code == 201


def test_withdrawing_a_link_too_late_says_that_somebody_is_in_and_changes_nothing(desk):
    code = _spend(desk, link(desk))
    before = desk.stored()
    refusal = desk.problem(desk.ask("DELETE", f"/admin/v1/one-time-links/{code.split('_')[1]}"), 409, "conflict")
    assert f"the link for alice was redeemed at {shown_time(desk)}: " in refusal["detail"]
    assert ("`pinwarden session list`" in refusal["detail"], desk.stored()) == (True, before)


@pytest.mark.parametrize("identity", ["0" * 16, "x", "pwl_x", "%00", "a%20b"])
def test_withdrawing_what_is_no_link_is_not_found(desk, identity: str):
    before = desk.stored()
    answer = desk.ask("DELETE", f"/admin/v1/one-time-links/{identity}")
    assert (answer.status_code in (404, 422), desk.stored()) == (True, before)


def test_worthless_codes_are_refused_alike_and_spend_nothing(desk):
    good = link(desk)
    spent = link(desk)
    log_in(desk, link=spent)
    before = desk.stored()
    worthless = ["", "pwl_", good[:-1], f"{good}x", f"{good[:-43]}{'A' * 43}", f"pwl_{'0' * 16}_{'A' * 43}", spent]
    answers = {log_in(desk, link=code).data for code in worthless}
    assert (len(answers), desk.stored()) == (1, before)
    assert log_in(desk, link=good).status_code == 201


def test_a_good_link_is_taken_while_its_address_has_to_wait(desk):
    good = link(desk)
    found = [log_in(desk, link=f"pwl_{'0' * 16}_{'A' * 43}").status_code for _ in range(12)]
    assert found == [401] * 10 + [429] * 2
    assert log_in(desk, link=good).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"owner": "alice"},
        {"role": "editor"},
        {"owner": "", "role": "editor"},
        {"owner": "a b", "role": "editor"},
        {"owner": "alice\n", "role": "editor"},
        {"owner": "alice", "role": "king"},
        {"owner": "alice", "role": "editor", "names": []},
        {"owner": "alice", "role": "editor", "names": ["A b"]},
        {"owner": "alice", "role": "editor", "lifetime_seconds": 86401},
        {"owner": "alice", "role": "editor", "lifetime_seconds": 59},
    ],
)
def test_an_impossible_link_is_refused(desk, body: dict[str, Any]):
    before = desk.stored()
    desk.problem(desk.ask("POST", "/admin/v1/one-time-links", body=body), 422, "invalid")
    assert desk.stored() == before


def test_a_link_is_not_made_where_nobody_knows_its_address(installation, serve):
    service = serve(installation, tls_terminated_in_front=True)
    before = service.stored()
    answer = service.ask("POST", "/admin/v1/one-time-links", body={"owner": "alice", "role": "reader"})
    document = service.problem(answer, 409, "conflict")
    assert ("admin_url" in document["detail"], service.stored()) == (True, before)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"account": "a"},
        {"password": "b"},
        {"link": "a", "oidc_token": "b"},
        {"link": "a", "account": "a", "password": "b"},
        {"link": 7},
        {"link": None},
        {"token": "x"},
    ],
)
def test_a_login_takes_exactly_one_way_in(desk, body: dict[str, Any]):
    before = desk.stored()
    desk.problem(log_in(desk, **body), 422, "invalid")
    assert desk.stored() == before


def test_no_refusal_repeats_a_secret(desk):
    secret = "canary-93a1"
    bodies = [{"link": secret, "password": secret}, {"link": [secret]}, {"account": "a", "password": {"x": secret}}]
    bodies += [{"link": secret}, {"account": "a", "password": secret}, {"oidc_token": secret}]
    answers = [log_in(desk, **body) for body in bodies]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 401, 401, 401]
    assert all(secret not in answer.text for answer in answers)


def test_an_account_lets_in_by_its_password_alone(desk):
    account(desk)
    answer = log_in(desk, account="breaker", password=PASSWORD)
    assert (answer.status_code, answer.json["owner"], answer.json["way"]) == (201, "breaker", "account")
    assert desk.ask("GET", "/admin/v1/tokens", token=answer.json["token"]).status_code == 200
    wrong = [("breaker", PASSWORD + "x"), ("breaker", ""), ("nobody", PASSWORD), ("breaker\0", PASSWORD), ("", "")]
    wrong.append(("breaker", "x" * 5000))
    answers = {log_in(desk, account=name, password=password).data for name, password in wrong}
    assert len(answers) == 1


def test_a_name_that_does_not_exist_costs_the_work_of_one_that_does(desk, monkeypatch):
    work = []

    def verify(hashed: bytes, password: bytes) -> bool:
        work.append(hashed.rpartition(b"$")[0].rpartition(b"$")[0])
        return False

    account(desk)
    monkeypatch.setattr(accounts.argon2id, "verify", verify)
    for name in ("breaker", "nobody"):
        assert log_in(desk, account=name, password="x").status_code == 401
    assert work == [b"$argon2id$v=19$m=65536,t=3,p=1"] * 2


def test_a_password_is_not_judged_while_its_address_has_to_wait(desk, monkeypatch):
    account(desk)
    for _ in range(10):
        desk.ask("GET", "/admin/v1/roots", token="pw_x")
    monkeypatch.setattr(accounts.argon2id, "verify", lambda *_: pytest.fail("a password was judged"))
    before = desk.stored()
    desk.problem(log_in(desk, account="breaker", password=PASSWORD), 429, "too-many-attempts")
    assert desk.stored() == before


def test_only_so_many_passwords_are_judged_at_once_as_memory_is_meant_for(desk, monkeypatch):
    account(desk)
    inside, leave, most = threading.Semaphore(0), threading.Event(), []

    def verify(hashed: bytes, password: bytes) -> bool:
        most.append(1)
        inside.release()
        assert leave.wait(20)
        return True

    monkeypatch.setattr(accounts.argon2id, "verify", verify)
    with ThreadPoolExecutor(2) as patient:
        judged = [patient.submit(log_in, desk, account="breaker", password=PASSWORD) for _ in range(2)]
        assert all(inside.acquire(timeout=20) for _ in range(2))
        refused = log_in(desk, account="breaker", password=PASSWORD)
        leave.set()
    assert [each.result().status_code for each in judged] == [201, 201]
    desk.problem(refused, 429, "too-many-attempts")
    assert (refused.headers["Retry-After"], len(most)) == ("1", 2)


def test_a_worker_that_died_while_it_judged_a_password_gives_its_turn_back(desk):
    account(desk)
    run_dir = desk.node.settings.run_dir
    code = (
        "import os, sys; from pathlib import Path; from pinwarden_server.turns import Turns\n"
        "turns = Turns(Path(sys.argv[1]) / 'hashing', at_once=2)\n"
        "with turns.one(''), turns.one(''):\n    print('both', flush=True)\n    sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(run_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"both\n"
        desk.problem(log_in(desk, account="breaker", password=PASSWORD), 429, "too-many-attempts")
        other.kill()
    assert log_in(desk, account="breaker", password=PASSWORD).status_code == 201


def test_a_removed_account_lets_nobody_in_and_its_sessions_end(desk):
    account(desk)
    token = log_in(desk, account="breaker", password=PASSWORD).json["token"]
    other = session(desk, owner="breaker")["token"]
    store = desk.node.site.store
    assert accounts.delete_account(store, "breaker", Act("system:command", desk.clock())) == 1
    assert desk.ask("GET", "/admin/v1/roots", token=token).status_code == 401
    assert desk.ask("GET", "/admin/v1/roots", token=other).status_code == 200  # of a link, for the same person
    assert log_in(desk, account="breaker", password=PASSWORD).status_code == 401


def change_password(service: "Service", password: str = "another horse battery") -> tuple[int, int]:
    by = Act("system:command", service.clock())
    return accounts.change_password(service.node.site.store, "breaker", password.encode(), by)


def test_a_new_password_ends_every_session_and_link_of_its_account_and_keeps_what_it_may(desk):
    by = Act("system:command", desk.clock())
    store = desk.node.site.store
    accounts.add_account(store, "breaker", PASSWORD.encode(), ("editor", ("pay*",)), by)
    own, by_link, alices = (
        log_in(desk, account="breaker", password=PASSWORD).json["token"],
        session(desk, owner="breaker")["token"],
        session(desk)["token"],
    )
    codes = [link(desk, owner="breaker"), link(desk)]
    since = desk.ask("GET", "/admin/v1/audit").json["next"]
    kept = find_account(store.reader, "breaker")
    assert change_password(desk) == (2, 1)
    statuses = [desk.ask("GET", "/admin/v1/roots", token=token).status_code for token in (own, by_link, alices)]
    assert (statuses, [log_in(desk, link=code).status_code for code in codes]) == ([401, 401, 200], [401, 201])
    begun = log_in(desk, account="breaker", password="another horse battery").json
    assert (log_in(desk, account="breaker", password=PASSWORD).status_code, begun["role"], begun["names"]) == (
        401,
        "editor",
        ["pay*"],
    )
    changed = find_account(store.reader, "breaker")
    assert replace(changed, password_hash=kept.password_hash) == kept != changed
    row = audit(desk, since)[0]
    shown = {name: row[name] for name in ("actor", "action", "subject", "detail")}
    detail = {"sessions": 2, "links": 1}
    assert shown == {"actor": by.actor, "action": "account.password", "subject": "breaker", "detail": detail}


def test_links_that_a_stolen_session_made_for_others_are_withdrawn_with_it(desk):
    account(desk)
    token = log_in(desk, account="breaker", password=PASSWORD).json["token"]
    made = desk.ask("POST", "/admin/v1/one-time-links", token=token, body={"owner": "mallory", "role": "admin"})
    assert change_password(desk) == (1, 1)
    assert log_in(desk, link=made.json["url"].partition("#")[2]).status_code == 401


def test_the_same_password_set_anew_ends_sessions_too(desk):
    account(desk)
    token = log_in(desk, account="breaker", password=PASSWORD).json["token"]
    assert change_password(desk, PASSWORD) == (1, 0)
    assert desk.ask("GET", "/admin/v1/roots", token=token).status_code == 401
    assert log_in(desk, account="breaker", password=PASSWORD).status_code == 201


def test_an_account_that_gets_another_password_while_the_old_one_is_judged_lets_nobody_in(desk, monkeypatch):
    def verify(hashed: bytes, password: bytes) -> bool:
        change_password(desk)
        return True

    account(desk)
    monkeypatch.setattr(accounts.argon2id, "verify", verify)
    desk.problem(log_in(desk, account="breaker", password=PASSWORD), 401, "unauthenticated")
    assert desk.ask("GET", "/admin/v1/sessions").json == {"sessions": []}


def test_an_account_that_is_removed_while_its_password_is_judged_lets_nobody_in(desk, monkeypatch):
    def verify(hashed: bytes, password: bytes) -> bool:
        accounts.delete_account(desk.node.site.store, "breaker", Act("system:command", desk.clock()))
        return True

    account(desk)
    monkeypatch.setattr(accounts.argon2id, "verify", verify)
    desk.problem(log_in(desk, account="breaker", password=PASSWORD), 401, "unauthenticated")
    assert desk.ask("GET", "/admin/v1/sessions").json == {"sessions": []}


def test_a_session_ends_by_itself(installation, serve):
    service = serve(installation, admin_url="https://pins.example.com:8443", session_lifetime_seconds=600)
    token = session(service)["token"]
    service.clock.advance(seconds=599)
    assert service.ask("GET", "/admin/v1/roots", token=token).status_code == 200
    service.clock.advance(seconds=2)
    assert service.ask("GET", "/admin/v1/roots", token=token).status_code == 401


def test_whoever_logs_out_is_out_at_once(desk):
    token = session(desk)["token"]
    ended = desk.ask("DELETE", "/admin/v1/sessions/current", token=token)
    assert (ended.status_code, ended.json["revoked_at"]) == (200, None)  # which would take back what it approved
    assert desk.ask("GET", "/admin/v1/roots", token=token).status_code == 401


def test_an_administrator_lists_and_ends_sessions(desk):
    begun = session(desk, owner="mallory")
    shown = {name: value for name, value in begun.items() if name != "token"}
    assert desk.ask("GET", "/admin/v1/sessions").json == {"sessions": [shown]}
    first = desk.ask("DELETE", f"/admin/v1/sessions/{begun['id']}")
    before = desk.stored()
    again = desk.ask("DELETE", f"/admin/v1/sessions/{begun['id']}")
    assert (first.status_code, again.status_code, again.json, desk.stored()) == (200, 200, first.json, before)
    assert desk.ask("GET", "/admin/v1/roots", token=begun["token"]).status_code == 401


@pytest.mark.parametrize("role", ["reader", "editor", "approver", "operator", "admin"])
def test_a_session_has_the_rights_of_its_role(desk, role: str):
    token, session_ = desk.token(role), session(desk, role=role)["token"]
    paths = ["/admin/v1/pinsets", "/admin/v1/audit", "/admin/v1/tokens", "/admin/v1/sessions", "/metrics", "/statusz"]
    wanted = [desk.ask("GET", path, token=token).status_code for path in paths]
    assert [desk.ask("GET", path, token=session_).status_code for path in paths] == wanted


def test_a_token_is_no_session_and_a_session_no_token(desk):
    token, begun = desk.token("admin"), session(desk, role="admin")
    swapped = [f"pws{token[2:]}", f"pw{begun['token'][3:]}"]
    assert [desk.ask("GET", "/admin/v1/roots", token=each).status_code for each in swapped] == [401, 401]


def test_everything_about_logins_is_in_the_audit_log_without_a_secret(desk):
    account(desk)
    since = desk.ask("GET", "/admin/v1/audit").json["next"]
    code = link(desk, owner="alice", role="editor", names=["pay*"])
    begun = log_in(desk, link=code).json
    by_password = log_in(desk, account="breaker", password=PASSWORD).json
    desk.ask("DELETE", "/admin/v1/sessions/current", token=begun["token"])
    rows = audit(desk, since)
    assert [(row["actor"].partition(":")[0], row["action"], row["subject"]) for row in rows] == [
        ("token", "link.issue", code.split("_")[1]),
        ("session", "session.begin", "alice"),
        ("session", "session.begin", "breaker"),
        ("session", "session.end", begun["id"]),
    ]
    assert rows[1]["detail"] == {
        "session": begun["id"],
        "way": "link",
        "role": "editor",
        "names": ["pay*"],
        "link": code.split("_")[1],
    }
    kept = json.dumps(rows).encode() + (desk.installation.folder / "pinwarden.db").read_bytes()
    for secret in (code, begun["token"], by_password["token"]):
        assert secret.split("_", 2)[2].encode() not in kept
    assert PASSWORD.encode() not in kept


def test_what_ended_long_ago_is_forgotten_by_the_renewal(desk):
    begun, reader = session(desk), desk.node.site.store.reader
    desk.clock.advance(days=62)
    desk.node.renewer.tick()
    assert find_session(reader, begun["id"]) is not None
    desk.clock.advance(hours=9)  # it lived for eight
    desk.node.renewer.tick()
    assert find_session(reader, begun["id"]) is None


STEPPED = {(each.method, each.path) for each in OPERATIONS if each.step_up}


def test_the_operations_that_need_a_recent_login_are_those_that_publish_approve_or_hand_out_rights():
    assert {
        ("PUT", "/admin/v1/pinsets/{name}"),
        ("POST", "/admin/v1/pinsets/{name}/rollback"),
        ("POST", "/admin/v1/pinsets/{name}/renewal"),
        ("PUT", "/admin/v1/pinsets/{name}/policy"),
        ("POST", "/admin/v1/changes/{change_id}/approvals"),
        ("POST", "/admin/v1/changes/{change_id}/review"),
        ("POST", "/admin/v1/roots"),
        ("POST", "/admin/v1/tokens"),
        ("POST", "/admin/v1/one-time-links"),
    } == STEPPED


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.right], ids=lambda each: each.id)
def test_an_old_session_is_challenged_exactly_where_the_table_says(desk, operation):
    old = session(desk, role="admin")["token"]
    fresh = session(desk, role="admin")["token"]
    desk.clock.advance(seconds=901)
    ids = dict.fromkeys(("token_id", "session_id", "link_id"), "0" * 16)
    names = {"name": "payments", "version": "1", "change_id": "7", **ids}
    path, before = operation.path.format(**names), desk.stored()
    answer = desk.ask(operation.method, path, token=old, body=b"{" if operation.body else None)
    if not operation.step_up:
        assert answer.status_code not in (401, 403, 500), answer.text
        return
    document = desk.problem(answer, 401, "step-up-needed")
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="pinwarden", error="insufficient_user_authentication", max_age="900"'
    )
    assert (document["max_age"], document["expected"], document["got"]) == (
        900,
        "a login at most 900 seconds ago",
        "901 seconds ago",
    )
    assert ("`pinwarden login` again" in document["detail"], desk.stored()) == (True, before)
    desk.clock.advance(seconds=-1)
    assert desk.ask(operation.method, path, token=fresh, body=b"{").status_code not in (401, 403)


def test_a_new_login_publishes_what_an_old_one_could_not(desk):
    old = session(desk)["token"]
    desk.clock.advance(hours=1)
    put = {"body": desk.draft(), "If_None_Match": "*"}
    assert desk.ask("PUT", "/admin/v1/pinsets/payments", token=old, **put).status_code == 401
    fresh = session(desk)["token"]
    assert desk.ask("PUT", "/admin/v1/pinsets/payments", token=fresh, **put).status_code == 201
    assert desk.ask("GET", "/admin/v1/pinsets", token=old).status_code == 200


def test_whoever_may_not_do_it_anyway_is_not_asked_to_log_in_again(desk):
    old = session(desk, role="reader")["token"]
    desk.clock.advance(hours=1)
    answer = desk.ask("PUT", "/admin/v1/pinsets/payments", token=old, body=desk.draft(), If_None_Match="*")
    desk.problem(answer, 403, "forbidden")


def test_tokens_of_machines_are_never_challenged(desk):
    token = desk.token("editor", seconds=7 * 24 * 3600)
    desk.clock.advance(days=6)
    answer = desk.ask("PUT", "/admin/v1/pinsets/payments", token=token, body=desk.draft(), If_None_Match="*")
    assert answer.status_code == 201


def test_step_up_is_turned_off_by_zero(installation, serve):
    service = serve(installation, admin_url="https://pins.example.com:8443", step_up_seconds=0)
    token = session(service)["token"]
    service.clock.advance(hours=7)
    answer = service.ask("PUT", "/admin/v1/pinsets/payments", token=token, body=service.draft(), If_None_Match="*")
    assert answer.status_code == 201


def test_a_refused_step_up_spends_no_budget_of_wrong_attempts(desk):
    old = session(desk)["token"]
    desk.clock.advance(hours=1)
    put = {"body": desk.draft(), "If_None_Match": "*", "token": old}
    found = [desk.ask("PUT", "/admin/v1/pinsets/payments", **put).json["type"].rpartition(":")[2] for _ in range(12)]
    assert found == ["step-up-needed"] * 12
