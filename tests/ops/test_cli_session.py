"""``pinwarden session``: who is logged in, and that whoever is ended is out at once."""

import json
from typing import TYPE_CHECKING

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


def test_what_is_no_id_or_nobodys_ends_nothing_and_is_not_repeated(shop: "Workshop") -> None:
    _, token = begun(shop, "anna")
    before = shop.stored()
    secret = shop("session", "end", token)
    assert (secret.exit_code, token in secret.output, "16 hex digits" in secret.stderr) == (2, False, True)
    for words in ((STRANGER,), (STRANGER, "--dry-run")):
        assert shop("session", "end", *words).exit_code == 1
    assert shop.stored() == before
