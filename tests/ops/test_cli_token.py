"""``pinwarden token``: the secret is written once, privately, and a token that nobody has is revoked again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinwarden_ops import cli_token
from tests.ops.conftest import TOKEN

if TYPE_CHECKING:
    from conftest import Api, Shell, Workshop

CREATE = ("--role", "editor", "--names", "pay*", "--days", "90", "--label", "deploy job")
WHO = "0123456789abcdef"


def tokens(shop: "Workshop") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(shop("token", "list", "--json").stdout)["tokens"]
    return found


def test_a_token_is_written_to_a_private_file_works_and_ends_at_once_when_revoked(shop: "Workshop") -> None:
    file = shop.folder / "deploy.token"
    done = shop("token", "create", str(file), *CREATE)
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    secret = file.read_text().strip()
    identity = secret.split("_")[1]
    assert (file.stat().st_mode & 0o777, secret in done.output) == (0o600, False)
    assert shop("set", "list", PINWARDEN_OPS_TOKEN_FILE=str(file)).exit_code == 0
    [row] = [row for row in tokens(shop) if row["id"] == identity]
    assert (row["role"], row["names"], row["label"]) == ("editor", ["pay*"], "deploy job")
    assert identity in shop("token", "list").stdout
    before = shop.stored()
    looked = shop("token", "revoke", identity, "--dry-run")
    assert (looked.exit_code, identity in looked.stdout, shop.stored()) == (0, True, before)
    assert shop("token", "revoke", identity).stdout.startswith(f"token {identity} is revoked since 20")
    assert shop("token", "revoke", identity).exit_code == 0
    assert shop("set", "list", PINWARDEN_OPS_TOKEN_FILE=str(file)).exit_code == 1


def test_a_dash_prints_the_secret_alone(shop: "Workshop") -> None:
    done = shop("token", "create", "-", *CREATE)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 1)
    assert cli_token._SECRET.fullmatch(done.stdout.strip())


def test_a_secret_is_never_printed_on_a_terminal(shop: "Workshop", monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.stored()
    monkeypatch.setattr(cli_token.os, "isatty", lambda descriptor: descriptor == 1)
    done = shop("token", "create", "-", *CREATE)
    assert (done.exit_code, "not printed on a terminal" in done.stderr, shop.stored()) == (2, True, before)


def test_no_token_is_issued_when_the_secret_has_no_place(shop: "Workshop") -> None:
    taken = Path(shop.write("taken.token", "mine"))
    link = shop.folder / "link.token"
    link.symlink_to(shop.folder / "elsewhere")
    before = shop.stored()
    for place in (taken, link, shop.folder / "no-folder/x.token"):
        assert shop("token", "create", str(place), *CREATE).exit_code == 2
    shown = shop("token", "create", str(shop.folder / "x"), *CREATE, "--dry-run")
    assert json.loads(shown.stdout)["lifetime_seconds"] == 90 * 24 * 3600
    assert (taken.read_text(), shop.stored()) == ("mine", before)


def test_a_token_whose_secret_cannot_be_written_is_revoked_again(
    shop: "Workshop", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli_token.os, "fsync", fails)
    file = shop.folder / "full.token"
    done = shop(
        "token", "create", str(file), "--role", "reader", "--names", "*", "--days", "1", "--label", "nobody has it"
    )
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True), done.output
    assert [row["revoked_at"] is None for row in tokens(shop) if row["label"] == "nobody has it"] == [False]
    assert not file.exists()


@pytest.mark.parametrize("typed", [TOKEN, "xyz", "0123456789ABCDEF", "../pinsets"])
def test_what_is_no_id_is_refused_and_not_repeated(shop: "Workshop", typed: str) -> None:
    before = shop.stored()
    done = shop("token", "revoke", typed)
    assert (done.exit_code, typed in done.output, shop.stored()) == (2, False, before)


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "king", "--names", "*", "--days", "1"),
        ("--role", "reader", "--names", "*", "--days", "0"),
        ("--role", "reader", "--days", "1"),
    ],
)
def test_misuse_is_two_and_leaves_no_file(shop: "Workshop", words: tuple[str, ...]) -> None:
    file = shop.folder / "never.token"
    assert shop("token", "create", str(file), *words).exit_code == 2
    assert not file.exists()


def test_what_the_server_refuses_leaves_no_file(shop: "Workshop") -> None:
    file = shop.folder / "never.token"
    done = shop("token", "create", str(file), "--role", "reader", "--names", "Not A Name", "--days", "1")
    assert (done.exit_code, "error: DRAFT" in done.stderr, file.exists()) == (1, True, False), done.output


@pytest.mark.parametrize("secret", [None, "", "\x1b[2J", TOKEN.replace(WHO, "f" * 16), "pw_x"])
def test_an_answer_without_a_token_is_no_token(hostile: "Shell", api: "Api", secret: str | None) -> None:
    api.body = json.dumps({"roots": [], "id": WHO, "token": secret}).encode()
    file = hostile.folder / "x.token"
    done = hostile("token", "create", str(file), *CREATE)
    assert (done.exit_code, file.exists()) == (1, False)
    assert "the server's answer holds no token" in done.stderr
