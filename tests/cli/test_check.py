"""``check``: every verdict, on a real connection and on a chain from a file; what it sends is nothing."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from pinwarden.strict_json import encode_base64
from pinwarden.testing import pinned

WRONG, BACKUP = b"1" * 32, b"2" * 32


def verdict_of(result: Any) -> tuple[int, str]:
    return result.exit_code, json.loads(result.stdout)["verdict"]


@pytest.fixture
def check(command: Any, tls_server: Any) -> Any:
    """Return a function that checks the TLS server, whose CA the command is told."""
    return lambda *options: command("check", tls_server.target, "--host-ca-file", tls_server.ca_file, *options)


def test_a_pinned_key_matches_and_nothing_is_sent(check: Any, publish: Any, tls_server: Any, authority: Any) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    told = check("--json")
    assert told.exit_code == 0
    answer = json.loads(told.stdout)
    pin = encode_base64(tls_server.leaf_pin)
    assert answer.pop("presented")[0] == pin
    assert answer == {
        "host": "localhost",
        "verdict": "matched",
        "document": f"{authority.authority}/app 1.1",
        "state": "fresh",
        "pattern": "localhost",
        "pin": pin,
        "expected": [],
        "problem": None,
    }
    assert tls_server.stop() == [b""]


def test_a_key_that_is_not_pinned_is_refused_with_both_sides_and_nothing_is_sent(
    check: Any, publish: Any, tls_server: Any, authority: Any
) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    told = check("--json")
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert answer.pop("presented")[0] == encode_base64(tls_server.leaf_pin)
    assert answer == {
        "host": "localhost",
        "verdict": "refused",
        "document": f"{authority.authority}/app 1.1",
        "state": "fresh",
        "problem": "no key of localhost is pinned",
        "expected": [encode_base64(WRONG), encode_base64(BACKUP)],
        "denied": None,
    }
    assert told.stderr.startswith("error: no key of localhost is pinned: expected one of ")
    assert "\nhint: Either the connection is intercepted, or " in told.stderr
    assert tls_server.stop() == [b""]


def test_a_refusal_for_people_lists_presented_and_expected_pins(check: Any, publish: Any, tls_server: Any) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    lines = [line.split() for line in check().stdout.splitlines()]
    assert ["verdict", "refused"] in lines
    assert ["presented", encode_base64(tls_server.leaf_pin)] in lines
    assert ["expected", encode_base64(WRONG)] in lines


def test_a_backup_in_service_is_accepted_and_named(check: Any, publish: Any, tls_server: Any) -> None:
    publish({"localhost": [WRONG, tls_server.leaf_pin]})
    told = check("--json")
    assert verdict_of(told) == (0, "backup-used")
    assert "warning: localhost: matched a backup pin" in told.stderr


def test_report_mode_lets_through_and_says_what_it_would_have_refused(check: Any, publish: Any) -> None:
    publish([pinned("localhost", WRONG, BACKUP, mode="report")])
    told = check("--json")
    assert verdict_of(told) == (0, "reported")
    assert json.loads(told.stdout)["expected"] == [encode_base64(WRONG), encode_base64(BACKUP)]


def test_a_host_that_nothing_covers_is_unpinned_or_refused_as_the_setting_says(
    command: Any, check: Any, publish: Any
) -> None:
    publish({"other.example": [WRONG, BACKUP]})
    assert verdict_of(check("--json")) == (0, "unpinned")
    command.environ["PINWARDEN_UNPINNED"] = "refuse"
    assert verdict_of(check("--json")) == (1, "refused")


def test_a_denied_key_is_refused_and_marked(check: Any, publish: Any, tls_server: Any) -> None:
    publish({"localhost": [WRONG, BACKUP]}, deny=(tls_server.leaf_pin,))
    told = check()
    assert told.exit_code == 1
    assert ["presented", encode_base64(tls_server.leaf_pin), "denied"] in [x.split() for x in told.stdout.splitlines()]


def test_pins_never_replace_ordinary_validation(command: Any, publish: Any, tls_server: Any) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    told = command("check", tls_server.target, "--json")
    assert verdict_of(told) == (1, "refused")
    assert "does not verify, whatever the pins say: unable to get local issuer certificate" in told.stderr


def test_a_certificate_of_another_name_is_refused_although_its_key_is_pinned(
    command: Any, publish: Any, tls_server: Any
) -> None:
    publish({"127.0.0.1": [tls_server.leaf_pin, BACKUP]})
    target = tls_server.target.replace("localhost", "127.0.0.1")
    told = command("check", target, "--host-ca-file", tls_server.ca_file, "--json")
    assert verdict_of(told) == (1, "refused")
    assert "IP address mismatch" in told.stderr


def test_nothing_trusted_is_unavailable_and_no_connection_is_made(check: Any, tls_server: Any) -> None:
    told = check("--json")
    assert verdict_of(told) == (3, "unavailable")
    assert told.stderr.startswith("warning: the pins could not be refreshed: ")
    assert tls_server.stop() == []


def test_nothing_trusted_leaves_it_to_ca_checks_only_where_the_application_chose_so(command: Any, check: Any) -> None:
    command.environ["PINWARDEN_WHEN_EMPTY"] = "platform"
    told = check("--json")
    assert verdict_of(told) == (0, "platform")
    assert "whoever blocks the first fetch switches pinning off" in told.stderr


def test_a_server_that_is_away_leaves_the_judgement_to_the_pins_that_are_trusted(
    command: Any, check: Any, publish: Any, tls_server: Any, pin_files: Any
) -> None:
    publish({"localhost": [tls_server.leaf_pin, BACKUP]})
    command("refresh")
    pin_files.close()
    told = check("--json")
    assert verdict_of(told) == (0, "matched")
    assert told.stderr.startswith("warning: the pins could not be refreshed: ")


def test_a_host_that_does_not_answer_is_unavailable(command: Any, publish: Any) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    told = command("check", "localhost:1", "--json")
    assert verdict_of(told) == (3, "unavailable")
    assert "error: localhost:1 cannot be reached: Connection refused." in told.stderr


@pytest.fixture
def offline(command: Any, tmp_path: Path, publish: Any, pin_files: Any, certificates: Path) -> Any:
    """Return a function that publishes, refreshes a founded client, stops the server, and judges the chain offline."""

    def judge(hosts: Any, *options: str, host: str = "localhost", **changes: Any) -> Any:
        client = ("--state-dir", str(tmp_path / "client"))
        assert command(*client, "init", tmp_path / "root.json").exit_code == 0
        publish(hosts, **changes)
        assert command(*client, "refresh").exit_code == 0
        pin_files.close()
        return command(*client, *options, "check", host, "--chain", certificates / "chain.pem", "--json")

    return judge


@pytest.mark.parametrize(
    ("pins", "verdict"), [("leaf", (0, "matched")), ("ca", (0, "matched")), ("wrong", (1, "refused"))]
)
def test_a_chain_from_a_file_is_judged_without_any_network(
    offline: Any, command: Any, certificates: Path, pins: str, verdict: tuple[int, str]
) -> None:
    leaf, ca = (key["pin"] for key in json.loads(command("pin", certificates / "chain.pem", "--json").stdout)["keys"])
    chosen = {"leaf": b64decode(leaf), "ca": b64decode(ca), "wrong": WRONG}[pins]
    assert verdict_of(offline({"localhost": [chosen, BACKUP]})) == verdict


def test_a_wildcard_decides_for_one_label(offline: Any) -> None:
    told = offline({"*.example.com": [WRONG, BACKUP]}, host="API.example.com.")
    assert verdict_of(told) == (1, "refused")
    assert json.loads(told.stdout)["host"] == "api.example.com"


def test_an_expired_pin_set_refuses_as_unavailable(offline: Any) -> None:
    told = offline({"localhost": [WRONG, BACKUP]}, "--now", "2040-01-01T00:00:00Z")
    assert verdict_of(told) == (3, "unavailable")
    assert json.loads(told.stdout)["state"] == "expired"


def test_an_expired_pin_set_leaves_it_to_ca_checks_where_it_says_so(offline: Any) -> None:
    hosts = [pinned("localhost", WRONG, BACKUP, on_expiry="platform")]
    assert verdict_of(offline(hosts, "--now", "2040-01-01T00:00:00Z")) == (0, "platform")


def test_a_chain_before_the_first_refresh_is_unavailable(command: Any, tmp_path: Path, certificates: Path) -> None:
    client = ("--state-dir", str(tmp_path / "client"))
    command(*client, "init", tmp_path / "root.json")
    told = command(*client, "check", "localhost", "--chain", certificates / "chain.pem", "--json")
    assert verdict_of(told) == (3, "unavailable")


@pytest.mark.parametrize(
    ("file", "code", "sentence"),
    [
        ("missing.pem", 2, "missing.pem cannot be read: No such file or directory."),
        ("root.json", 2, "root.json holds no certificate, request or public key."),
        ("key.pem", 2, "key.pem holds no certificate: expected a chain, leaf first."),
        ("bad.pem", 1, "bad.pem is damaged: not a certificate"),
    ],
)
def test_a_chain_file_that_is_none_is_no_verdict(
    command: Any, tmp_path: Path, file: str, code: int, sentence: str
) -> None:
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "key.pem").write_text(
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
        "-----END PUBLIC KEY-----\n"
    )
    told = command("check", "localhost", "--chain", tmp_path / file)
    assert (told.exit_code, told.stdout) == (code, "")
    assert sentence in told.stderr


@pytest.mark.parametrize("target", ["https://host", "host:0", "", "a b", "a..b"])
def test_a_host_that_is_none_is_two_and_no_verdict(command: Any, publish: Any, target: str) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    told = command("check", target)
    assert (told.exit_code, told.stdout) == (2, "")


def test_a_ca_file_that_is_none_is_two_and_no_verdict(command: Any, publish: Any, tmp_path: Path) -> None:
    publish({"localhost": [WRONG, BACKUP]})
    told = command("check", "localhost:1", "--host-ca-file", tmp_path / "root.json")
    assert (told.exit_code, told.stdout) == (2, "")
