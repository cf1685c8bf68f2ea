"""``pinwarden server one-time-url`` and ``account``: what they print, where a password comes from, what is audited."""

import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from click.testing import CliRunner

from pinwarden_server.cli import server

PASSWORD = "correct horse battery"


@pytest.fixture
def command(installation):
    """Run ``pinwarden server`` with *words* in this process, on the installation."""

    def run(*words: str, typed: str = "", **variables: str) -> Any:
        alien = {name: None for name in os.environ if name.startswith("PINWARDEN")}
        environ = {"PINWARDEN_SERVER_CONFIG": str(installation.config), **variables}
        return CliRunner(env=alien | environ).invoke(server, words, input=typed)

    return run


def actions(service: Any) -> list[tuple[str, str]]:
    rows = service.ask("GET", "/admin/v1/audit").json["rows"]
    return [(row["actor"], row["action"]) for row in rows if row["action"].startswith(("link.", "account."))]


def private(installation: Any, text: str) -> str:
    file = installation.folder / "password"
    file.touch(mode=0o600)
    file.write_text(text)
    return str(file)


def log_in(service: Any, **body: str) -> Any:
    return service.client.post("/admin/v1/logins", json=body)


def test_a_printed_link_lets_its_owner_in_once(service, command):
    words = ("--role", "editor", "--name", "pay*", "--name", "shop", "--owner", "alice", "--expires-minutes", "5")
    done = command("one-time-url", *words, PINWARDEN_SERVER_ADMIN_URL="https://pins.example.com:8443/")
    assert done.exit_code == 0, done.output
    (code,) = re.fullmatch(r"https://pins\.example\.com:8443/#(pwl_\S+)\n", done.stdout).groups()
    begun = log_in(service, link=code)
    shown = {name: begun.json[name] for name in ("owner", "role", "names", "way")}
    assert shown == {"owner": "alice", "role": "editor", "names": ["pay*", "shop"], "way": "link"}
    assert log_in(service, link=code).status_code == 401
    assert actions(service) == [("system:command", "link.issue")]


def test_a_link_that_is_revoked_on_the_server_lets_nobody_in_and_one_that_was_redeemed_is_told(service, command):
    link = service.ask("POST", "/admin/v1/one-time-links", body={"owner": "alice", "role": "editor"}).json
    code, before = link["url"].partition("#")[2], actions(service)
    for _ in range(2):
        assert command("revoke", link["id"]).stdout == f"{link['id']}\n"
    assert (log_in(service, link=code).status_code, actions(service)) == (
        401,
        [*before, ("system:command", "link.withdraw")],
    )
    spent = service.ask("POST", "/admin/v1/one-time-links", body={"owner": "alice", "role": "editor"}).json
    assert log_in(service, link=spent["url"].partition("#")[2]).status_code == 201
    stored = service.stored()
    done = command("revoke", spent["id"])
    assert (done.exit_code, done.stdout, service.stored()) == (4, "", stored), done.output
    assert "the link for alice was redeemed at" in done.stderr


def test_a_link_begins_with_the_address_that_a_running_server_wrote_down(start, command):
    running = start()
    done = command("one-time-url", "--role", "reader", "--owner", "alice")
    base, code = done.stdout.strip().split("/#")
    assert base == running.url
    assert running.http.request("POST", f"{base}/admin/v1/logins", json={"link": code}).status == 201
    assert (running.stop(), code in running.log, "pwl_" in running.log) == (0, False, False)


@pytest.mark.parametrize(
    ("words", "variables", "code", "told"),
    [
        (("--owner", "a b"), {}, 2, "not the name of a person or a job"),
        (("--owner", "alice", "--name", "A b"), {}, 1, "names impossible pin sets"),
        (("--owner", "alice", "--expires-minutes", "1441"), {}, 2, "1441"),
        (("--owner", "alice"), {"PINWARDEN_SERVER_TLS_TERMINATED_IN_FRONT": "true"}, 2, "Set admin_url"),
        (("--owner", "alice"), {"PINWARDEN_SERVER_BIND": "unix:/run/x.sock"}, 2, "Set admin_url"),
        (("--owner", "alice"), {"PINWARDEN_SERVER_ADMIN_URL": "http://pins.example.com"}, 2, "impossible value"),
    ],
)
def test_an_impossible_link_is_refused_and_none_is_made(
    service, command, words: tuple[str, ...], variables: dict[str, str], code: int, told: str
):
    before = service.stored()
    done = command("one-time-url", "--role", "reader", *words, **variables)
    assert (done.exit_code, told in done.stderr, done.stdout) == (code, True, ""), done.output
    assert service.stored() == before


@pytest.mark.parametrize("typed", [True, False])
def test_an_account_is_made_of_a_typed_password_or_of_a_private_file(service, command, installation, typed: bool):
    words = ("account", "add", "breaker", "--role", "admin")
    if typed:
        done = command(*words, typed=f"{PASSWORD}\n{PASSWORD}\n")
    else:
        done = command(*words, "--password-file", private(installation, f"{PASSWORD}\n"))
    assert (done.exit_code, done.stdout, PASSWORD in done.output) == (0, "breaker\n", False), done.output
    assert log_in(service, account="breaker", password=PASSWORD).status_code == 201
    (told,) = json.loads(command("account", "list", "--json").stdout)["accounts"]
    assert sorted(told) == ["created_at", "created_by", "name", "names", "role"]
    listed = command("account", "list").stdout
    assert ("breaker" in listed, "argon2" in listed) == (True, False)
    removed = command("account", "remove", "breaker")
    assert (removed.exit_code, removed.stdout) == (0, "breaker: 1 sessions ended\n")
    assert log_in(service, account="breaker", password=PASSWORD).status_code == 401
    assert actions(service) == [("system:command", "account.add"), ("system:command", "account.remove")]


@pytest.mark.parametrize("typed", [True, False])
def test_a_password_is_changed_to_a_typed_one_or_to_that_of_a_private_file(service, command, installation, typed: bool):
    command("account", "add", "breaker", "--role", "admin", "--password-file", private(installation, PASSWORD))
    begun, new = log_in(service, account="breaker", password=PASSWORD).json, "another horse battery"
    words = ("account", "password", "breaker")
    if typed:
        done = command(*words, typed=f"{new}\n{new}\n")
    else:
        done = command(*words, "--password-file", private(installation, f"{new}\n"))
    told = "breaker: 1 sessions ended, 0 one-time links withdrawn\n"
    assert (done.exit_code, done.stdout, new in done.output) == (0, told, False), done.output
    assert service.ask("GET", "/admin/v1/roots", token=begun["token"]).status_code == 401
    assert [log_in(service, account="breaker", password=each).status_code for each in (PASSWORD, new)] == [401, 201]
    assert actions(service) == [("system:command", "account.add"), ("system:command", "account.password")]


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("other", "another horse battery", "`pinwarden server account list`"),
        ("breaker", "too short!!", "at least 12 characters"),
        ("breaker", "two\nlines are no password", "more than one line"),
    ],
)
def test_an_impossible_password_is_refused_and_the_old_one_stays(
    service, command, installation, name: str, password: str, told: str
):
    command("account", "add", "breaker", "--role", "admin", "--password-file", private(installation, PASSWORD))
    begun = log_in(service, account="breaker", password=PASSWORD).json
    before = service.stored()
    done = command("account", "password", name, "--password-file", private(installation, password))
    assert (done.exit_code, done.stdout, told in done.stderr, password in done.stderr) == (1, "", True, False)
    if "\n" not in password:
        assert command("account", "password", name, typed=f"{password}\n{password}\n").exit_code == 1
    assert service.stored() == before
    assert service.ask("GET", "/admin/v1/roots", token=begun["token"]).status_code == 200


def test_an_impossible_account_is_refused_and_none_is_made(service, command, installation):
    add = ("account", "add", "breaker", "--role", "admin")
    file = private(installation, PASSWORD)
    assert command(*add, "--password-file", file).exit_code == 0
    before = service.stored()
    assert command(*add, "--password-file", file).exit_code == 4  # there is one
    assert command(*add[:-2], "--role", "king", "--password-file", file).exit_code == 2
    assert command("account", "add", "a b", *add[3:], "--password-file", file).exit_code == 2
    assert command("account", "add", "other", *add[3:], typed="short\nshort\n").exit_code == 1
    assert (
        command("account", "add", "other", *add[3:], "--password-file", private(installation, "short")).exit_code == 1
    )
    (installation.folder / "password").chmod(0o644)
    assert command("account", "add", "other", *add[3:], "--password-file", file).exit_code == 1
    assert command("account", "remove", "other").exit_code == 1
    assert service.stored() == before


def test_a_session_is_ended_without_http(service, command, installation):
    private(installation, PASSWORD)
    command("account", "add", "breaker", "--role", "admin", "--password-file", str(installation.folder / "password"))
    begun = log_in(service, account="breaker", password=PASSWORD).json
    assert command("revoke", begun["id"]).stdout == f"{begun['id']}\n"
    assert service.ask("GET", "/admin/v1/roots", token=begun["token"]).status_code == 401


def test_no_secret_of_a_login_reaches_a_log_a_metric_or_an_answer(start, command, installation):
    password = "canary-4f1c9a-password"
    command("account", "add", "breaker", "--role", "admin", "--password-file", private(installation, password))
    running = start(PINWARDEN_SERVER_LOG_LEVEL="debug")
    made = running.ask("POST", "/admin/v1/one-time-links", body={"owner": "alice", "role": "admin"}).json()
    code = made["url"].partition("#")[2]
    by_link = running.ask("POST", "/admin/v1/logins", body={"link": code}).json()["token"]
    by_password = running.ask("POST", "/admin/v1/logins", body={"account": "breaker", "password": password})
    jwt = f"eyJ{'a' * 20}.eyJ{'b' * 20}.{'c' * 30}"
    tries = [{"link": code}, {"account": "breaker", "password": password + "x"}, {"oidc_token": jwt}, {"link": [code]}]
    answers = [running.ask("POST", "/admin/v1/logins", body=body) for body in tries]
    assert [answer.status for answer in answers] == [401, 401, 401, 422]
    for path in (f"/admin/v1/{code}", f"/admin/v1/{by_link}", f"/admin/v1/{jwt}", f"/admin/v1/roots?x={code}"):
        running.ask("GET", path, token=by_link)
    metrics = running.ask("GET", "/metrics").data.decode()
    assert running.stop() == 0
    told = running.log + metrics + "".join(answer.data.decode() for answer in answers)
    kept = (installation.folder / "pinwarden.db").read_bytes().decode("latin-1")
    for secret in (code, by_link, by_password.json()["token"], password, jwt):
        assert [part in told for part in (secret, secret.split("_", 2)[-1])] == [False, False]
        assert secret.split("_", 2)[-1] not in kept


def test_the_workers_of_a_server_redeem_a_link_once(start):
    running = start(PINWARDEN_SERVER_WORKERS="3")
    made = running.ask("POST", "/admin/v1/one-time-links", body={"owner": "alice", "role": "reader"}).json()
    body, together = {"link": made["url"].partition("#")[2]}, threading.Barrier(6)

    def redeem(_: int) -> int:
        with urllib3.PoolManager(retries=False, timeout=20) as http:
            together.wait()
            return http.request("POST", f"{running.url}/admin/v1/logins", json=body).status

    with ThreadPoolExecutor(6) as people:
        assert sorted(people.map(redeem, range(6))) == [201] + [401] * 5
