"""``verify``: what it accepts it names step by step, and what it refuses it names with the step that refused."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.strict_json import encode_base64, format_time
from pinwarden.testing import ThrowawayKey, pinned

PIN, BACKUP = b"1" * 32, b"2" * 32
HOSTS = {"api.example.com": [PIN, BACKUP]}


@pytest.fixture
def verify(command: Any, tmp_path: Path) -> Any:
    """Return a function that verifies bytes under the authority's first root."""

    def judge(content: bytes, *options: str) -> Any:
        (tmp_path / "file.json").write_bytes(content)
        return command("verify", tmp_path / "file.json", *options)

    return judge


def test_a_bundle_is_judged_in_the_order_of_a_client_and_told_in_full(verify: Any, authority: Any) -> None:
    bundle = authority.publish([pinned("api.example.com", PIN, BACKUP, mode="report", on_expiry="platform")])
    told = verify(bundle.to_bytes(), "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    roots = [key.keyid for key in authority.root_keys]
    assert json.loads(told.stdout) == {
        "verified": True,
        "checks": [
            {"steps": ["V1", "V2", "V3"], "document": "root 1", "signers": roots},
            {"steps": ["V3", "V5", "V6"], "document": "timestamp 1.1", "signers": [authority.timestamp_keys[0].keyid]},
            {"steps": ["V3", "V5-V8"], "document": "pin set 1.1", "signers": [authority.pinset_keys[0].keyid]},
        ],
        "document": {
            "kind": "pinset",
            "authority": authority.authority,
            "name": "app",
            "epoch": 1,
            "version": 1,
            "issued": format_time(authority.now),
            "expires": format_time(authority.now + timedelta(days=30)),
            "hosts": [
                {
                    "host": "api.example.com",
                    "mode": "report",
                    "enforce_percent": 100,
                    "on_expiry": "platform",
                    "pins": [encode_base64(PIN)],
                    "backups": [encode_base64(BACKUP)],
                }
            ],
        },
        "problem": None,
        "step": None,
    }


def test_a_bundle_for_people_names_signers_hosts_and_pins(verify: Any, authority: Any) -> None:
    authority.rotate_root()
    lines = verify(authority.publish(HOSTS).to_bytes()).stdout.splitlines()
    keyids = ", ".join(key.keyid[:16] for key in authority.root_keys)
    assert lines[0] == f"ok  V1 V2 V3   root 1 is signed by 2 of 2 keys ({keyids})"
    assert lines[1] == f"ok  V1-V4      root 2 follows 1, signed by 2 of 2 keys ({keyids}) of the old keys"
    assert f"document  pin set 1.1 of {authority.authority}/app" in lines
    table = [line.split() for line in lines if line.endswith("=")]
    assert table == [
        ["api.example.com", "enforce", "pin", "leaf", encode_base64(PIN)],
        ["backup", "leaf", encode_base64(BACKUP)],
    ]


def test_withdrawn_pinning_is_said_in_words(verify: Any, authority: Any) -> None:
    assert "hosts     none: pinning is withdrawn" in verify(authority.publish({}).to_bytes()).stdout


@pytest.mark.parametrize("document", ["root", "timestamp", "pinset"])
def test_a_document_alone_is_judged_as_far_as_it_goes(verify: Any, authority: Any, document: str) -> None:
    authority.rotate_root()
    bundle = authority.publish(HOSTS)
    (timestamp, pinset) = authority.current
    envelope = {"root": bundle.roots[0], "timestamp": timestamp, "pinset": pinset}[document]
    if document == "timestamp":  # it names root 2, which only a bundle can bring
        told = verify(envelope.to_bytes())
        assert (told.exit_code, "belongs to a newer root" in told.stderr) == (1, True)
        return
    told = verify(envelope.to_bytes(), "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["document"]["kind"] == document
    assert ("whether it is the current one, only a bundle can show" in told.stderr) == (document == "pinset")


def test_a_bundle_may_come_from_a_pipe(command: Any, authority: Any) -> None:
    told = command("verify", "-", "--json", stdin=authority.publish(HOSTS).to_bytes())
    assert (told.exit_code, json.loads(told.stdout)["verified"]) == (0, True)


def test_a_timestamp_alone_is_judged(verify: Any, authority: Any) -> None:
    authority.publish(HOSTS)
    told = verify(authority.current[0].to_bytes(), "--json")
    assert (told.exit_code, json.loads(told.stdout)["document"]["kind"]) == (0, "timestamp")


def test_the_root_itself_verifies(verify: Any, authority: Any) -> None:
    told = verify(authority.root_json)
    assert (told.exit_code, told.stderr) == (0, "")
    assert f"document  root 1 of {authority.authority}" in told.stdout


def _tampered(authority: Any) -> bytes:
    authority.pinset_keys = [ThrowawayKey("stranger")]
    return authority.publish(HOSTS).to_bytes()


def _foreign(authority: Any) -> bytes:
    return authority.publish(HOSTS, authority="other-0123456789abcdef").to_bytes()


def _lone_foreign(authority: Any) -> bytes:
    return authority.sign_pinset(HOSTS, authority="other-0123456789abcdef").to_bytes()


def _without_backup(authority: Any) -> bytes:
    return authority.sign_pinset([pinned("a.example", PIN, BACKUP, backups=())]).to_bytes()


REFUSED = {
    "garbage": (lambda _: b"garbage", "P3", "file is not JSON: Expecting value at character 0"),
    "an array": (lambda _: b"[]", "P4", "file is not a JSON object"),
    "something else": (lambda _: b'{"a": 1}', None, "neither a bundle nor a document of this protocol"),
    "a bundle without roots": (lambda _: b'{"pinset": 1, "timestamp": 2}', "P4", "roots of the bundle is not an array"),
    "a key that the root does not name": (_tampered, "V3", "too few valid signatures"),
    "another authority": (_foreign, "V5", "pin set of another authority or name"),
    "another authority, alone": (_lone_foreign, "V5", "pin set of another authority"),
    "a host without backup": (_without_backup, "V8", "pinset.hosts[0] (a.example) has no backup"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_and_names_its_step(verify: Any, authority: Any, case: str) -> None:
    make, step, problem = REFUSED[case]
    told = verify(make(authority), "--json")
    answer = json.loads(told.stdout)
    assert (told.exit_code, answer["verified"], answer["step"], answer["problem"]) == (1, False, step, problem)
    assert "document" not in answer
    assert told.stderr.startswith(f"error: {problem}")


def test_nothing_of_a_refused_document_is_printed_as_true(verify: Any, authority: Any) -> None:
    told = verify(_tampered(authority))
    assert (told.exit_code, "api.example.com" in told.output, encode_base64(PIN) in told.output) == (1, False, False)


@pytest.mark.parametrize("what", ["bundle", "pinset"])
def test_an_expired_document_is_refused_at_that_time_only(verify: Any, authority: Any, what: str) -> None:
    bundle = authority.publish(HOSTS)
    content = bundle.to_bytes() if what == "bundle" else bundle.pinset.to_bytes()
    later = format_time(authority.now + timedelta(days=31))
    assert verify(content).exit_code == 0
    told = verify(content, "--now", later)
    assert told.exit_code == 1
    assert "has expired" in told.stderr
    assert "(step V5)." in told.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.json"], "error: missing.json cannot be read: No such file or directory."),
        (["."], "error: Invalid value for 'FILE': File '.' is a directory."),
        (["x", "--root", "missing.json"], "error: x cannot be read: No such file or directory."),
        (["x", "--now", "now"], "error: Invalid value for '--now': 'now' is not a time such as 2026-11-24T12:00:00Z"),
    ],
)
def test_a_misuse_is_two(command: Any, words: list[str], sentence: str) -> None:
    told = command("verify", *words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(sentence)


def test_verify_without_a_root_is_two(command: Any) -> None:
    del command.environ["PINWARDEN_ROOT"]
    told = command("verify", "x")
    assert (told.exit_code, told.stderr.splitlines()[0]) == (
        2,
        "error: Missing option '--root' (env var: 'PINWARDEN_ROOT').",
    )


def test_a_file_too_large_is_two_and_is_not_parsed(verify: Any) -> None:
    told = verify(b" " * (2 * 1024 * 1024 + 1))
    assert told.exit_code == 2
    assert "is too large: expected at most 2097152 bytes." in told.stderr
