"""The table that people read before they sign."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pinwarden.documents import Grant, Key, Role, TimestampRole
from pinwarden_keys.ceremony import Roles, first_root, keyed
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.root_lint import Finding
from pinwarden_keys.root_view import as_json, as_table
from pinwarden_keys.root_words import words_of

DAY = 24 * 3600


@pytest.fixture
def draft(people, now):
    root, server, release = (
        keyed(people.publics(*names)) for names in (["alice", "bob", "carol"], ["server"], ["app"])
    )
    roles = Roles(
        Role(tuple(root), 2, root),
        TimestampRole(tuple(server), 1, server, 3, 7 * DAY),
        (Grant(tuple(release), 1, release, 4, 90 * DAY, ("payments-*", "app")),),
    )
    made = first_root("acme-0123456789abcdef", roles, now=now, lifetime=timedelta(days=365))
    return RootDraft(made.encode(), None, {people.keyid(name): name for name in ("alice", "bob", "server")})


def table(draft, findings=(), **named):
    return as_table(draft.root, draft.payload, draft.names, findings, **named).splitlines()


def test_each_key_stands_in_a_line_of_its_own_before_the_name_that_nobody_signs(draft, people):
    short = {name: people.keyid(name)[:16] for name in ("alice", "bob", "carol", "server", "app")}
    assert table(draft)[9:] == [
        "  role                    threshold  epoch  longest life  keys, and names that nobody signs",
        f"  root                    2 of 3                          {short['alice']} alice",
        f"                                                          {short['bob']} bob",
        f"                                                          {short['carol']}",
        f"  timestamp               1 of 1     3      7 days        {short['server']} server",
        f"  pinset payments-*, app  1 of 1     4      90 days       {short['app']}",
    ]


def test_a_key_without_a_role_is_shown_too(draft, people):
    public = people.signer("mallory").public
    root = replace(draft.root, keys={**draft.root.keys, people.keyid("mallory"): Key("ed25519", public)})
    last = table(replace(draft, payload=root.encode()))[-1].split()
    assert last == ["no", "role", people.keyid("mallory")[:16]]


def test_the_digest_stands_there_in_digits_and_in_words(draft):
    shown = table(draft)
    assert shown[3].split()[1:] == [draft.digest.hex()[start : start + 4] for start in range(0, 64, 4)]
    words = [word for line in shown[4:8] for word in line.removeprefix("  words").split() if not word[0].isdigit()]
    assert tuple(words) == words_of(draft.digest)


def test_findings_come_last_with_what_to_do(draft):
    assert table(draft, [Finding("ROOT006", "one is enough", "Use two.")])[-1] == "  ROOT006: one is enough. Use two."


def test_a_root_compared_with_itself_has_no_changes(draft):
    assert table(draft, previous=draft.root)[-1] == "changes since root 1 of acme-0123456789abcdef"


def test_json_says_the_same_to_programs(draft, people):
    told = as_json(draft, [Finding("ROOT006", "one is enough", "Use two.")], ["f" * 64], previous=None)
    assert (told["payload_sha256"], told["digest_words"]) == (draft.digest.hex(), list(words_of(draft.digest)))
    assert (told["compared_with"], told["changes"], told["signed_by"]) == (None, [], ["f" * 64])
    assert told["roles"]["timestamp"] == {
        "keyids": [people.keyid("server")],
        "threshold": 1,
        "epoch": 3,
        "max_lifetime_seconds": 7 * DAY,
    }
    assert told["findings"] == [{"code": "ROOT006", "message": "one is enough", "hint": "Use two.", "policy": True}]
