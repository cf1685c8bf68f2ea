"""``pinwarden session``: who is logged in or may be by a link, and that whoever is ended is out at once."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Workshop

STRANGER = "f" * 16


def begun(shop: "Workshop", owner: str) -> tuple[str, str]:
    """Log *owner* in by a link, and return the id and the token of the session."""
    code = shop.link(owner=owner).partition("#")[2]
    session = shop.running.ask("POST", "/admin/v1/logins", body={"link": code}).json()
    return session["id"], session["token"]


def test_a_session_is_listed_without_its_token_and_ends_at_once(shop: "Workshop") -> None:
    identity, token = begun(shop, "anna")
    listed = json.loads(shop("session", "list", "--json").stdout)["sessions"]
    [row] = [row for row in listed if row["id"] == identity]
    assert (row["owner"], row["way"], row["role"], row["revoked_at"]) == ("anna", "link", "admin", None)
    table = shop("session", "list").stdout
    assert (identity in table, token in table, token.split("_", 2)[2] in table) == (True, False, False)
    before = shop.stored()
    looked = shop("session", "end", identity, "--dry-run")
    assert (looked.exit_code, "anna" in looked.stdout, shop.stored()) == (0, True, before)
    assert shop.running.ask("GET", "/admin/v1/roots", token=token).status == 200
    assert shop("session", "end", identity).stdout.startswith(f"session {identity} of anna is ended since 20")
    assert shop.running.ask("GET", "/admin/v1/roots", token=token).status == 401
    ended = shop.stored()
    assert (shop("session", "end", identity).exit_code, shop.stored()) == (0, ended)


def test_a_link_is_listed_without_its_code_and_lets_nobody_in_once_it_is_withdrawn(shop: "Workshop") -> None:
    code = shop.link(owner="anna").partition("#")[2]
    identity, secret = code.split("_")[1], code.split("_", 2)[2]
    listed = shop("session", "links", "--json")
    [row] = [row for row in json.loads(listed.stdout)["links"] if row["id"] == identity]
    assert (row["owner"], row["role"], row["names"], row["state"]) == ("anna", "admin", ["*"], "open")
    table = shop("session", "links")
    assert (identity in table.stdout, secret in table.output + listed.output) == (True, False)
    before = shop.stored()
    looked = shop("session", "withdraw", identity, "--dry-run")
    assert (looked.exit_code, "anna" in looked.stdout, shop.stored()) == (0, True, before)
    done = shop("session", "withdraw", identity)
    assert done.stdout == f"one-time link {identity} for anna is withdrawn\n"
    assert shop.running.ask("POST", "/admin/v1/logins", body={"link": code}).status == 401
    withdrawn = shop.stored()
    assert (shop("session", "withdraw", identity).exit_code, shop.stored()) == (0, withdrawn)


def test_withdrawing_a_link_that_was_redeemed_is_a_conflict_that_leads_to_its_session(shop: "Workshop") -> None:
    code = shop.link(owner="anna").partition("#")[2]
    assert shop.running.ask("POST", "/admin/v1/logins", body={"link": code}).status == 201
    before = shop.stored()
    done = shop("session", "withdraw", code.split("_")[1])
    told = "the link for anna was redeemed at 20" in done.stderr, "`pinwarden session list`" in done.stderr
    assert (done.exit_code, told, shop.stored()) == (4, (True, True), before), done.output


@pytest.mark.parametrize("deed", ["end", "withdraw"])
def test_what_is_no_id_or_nobodys_ends_nothing_and_is_not_repeated(shop: "Workshop", deed: str) -> None:
    _, token = begun(shop, "anna")
    secret_text = token if deed == "end" else shop.link().partition("#")[2]
    before = shop.stored()
    secret = shop("session", deed, secret_text)
    assert (secret.exit_code, secret_text in secret.output, "16 hex digits" in secret.stderr) == (2, False, True)
    for words in ((STRANGER,), (STRANGER, "--dry-run")):
        assert shop("session", deed, *words).exit_code == 1
    assert shop.stored() == before
