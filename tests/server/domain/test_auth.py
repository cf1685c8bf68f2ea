"""Tokens: who gets in, for how long, and how far."""

from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest

from pinwarden_server.auth import (
    RIGHTS,
    WIDE_RIGHTS,
    Principal,
    Right,
    Role,
    issue_token,
    require,
    revoke_token,
    verify_token,
)
from pinwarden_server.errors import Forbidden, IdempotencyMismatch, NotFound, Unauthenticated
from pinwarden_server.site import Attempt
from pinwarden_server.token_drafts import TokenDraft

if TYPE_CHECKING:
    from conftest import House


def issue(house: "House", role: str = "editor", names: tuple[str, ...] = ("pay-*",)) -> str:
    issued = issue_token(house.site.store, TokenDraft(role, 3600, names, "ci"), house.act())
    assert issued.token is not None
    return issued.token


def test_a_token_lets_its_holder_in_until_it_ends(house: "House") -> None:
    token = issue(house)
    who = verify_token(house.site.store, f"Bearer {token}", house.now + timedelta(seconds=3599))
    assert (who.role, who.names, who.label) == (Role.EDITOR, ("pay-*",), "ci")
    with pytest.raises(Unauthenticated):
        verify_token(house.site.store, f"Bearer {token}", house.now + timedelta(seconds=3600))


def test_a_revoked_token_fails_at_its_next_request_and_revoking_is_audited_once(house: "House") -> None:
    token = issue(house)
    token_id = verify_token(house.site.store, f"bearer {token}", house.now).token_id
    first = revoke_token(house.site.store, token_id, house.act())
    assert revoke_token(house.site.store, token_id, house.act()) == first
    with pytest.raises(Unauthenticated):
        verify_token(house.site.store, f"Bearer {token}", house.now)
    actions = [row.action for row in house.site.store.reader.audit()]
    assert actions == ["root.publish", "token.issue", "token.revoke"]
    with pytest.raises(NotFound):
        revoke_token(house.site.store, "0" * 16, house.act())


def test_anything_but_a_whole_good_token_is_refused_with_the_same_sentence(house: "House") -> None:
    token = issue(house)
    prefix, token_id, secret = token.split("_", 2)
    flipped = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    sentences = set()
    for header in (
        None,
        "",
        token,
        f"Basic {token}",
        "Bearer",
        f"Bearer {token[:-1]}",
        f"Bearer {token}x",
        f"Bearer {prefix}_{token_id}_{flipped}",
        f"Bearer {prefix}_{'0' * 16}_{secret}",
        f"Bearer {prefix}_{token_id.upper()}x_{secret}",
        f"Bearer {prefix}_' OR 1=1 --_{secret}",
    ):
        with pytest.raises(Unauthenticated) as refusal:
            verify_token(house.site.store, header, house.now)
        sentences.add(str(refusal.value))
    assert len(sentences) == 1


def test_the_store_holds_no_secret_of_a_token(house: "House") -> None:
    secret = issue(house).split("_", 2)[2]
    house.site.store.close()
    content = b"".join(path.read_bytes() for path in (house.folder / "store").iterdir())
    assert secret.encode() not in content


def test_last_use_is_recorded_at_most_once_a_minute(house: "House") -> None:
    header = f"Bearer {issue(house)}"
    for seconds, expected in ((0, 0), (59, 0), (60, 60), (100, 60), (121, 121)):
        verify_token(house.site.store, header, house.now + timedelta(seconds=seconds))
        assert house.site.store.reader.tokens()[0].last_used_at == house.now + timedelta(seconds=expected)


def test_a_repeated_request_makes_one_token_and_shows_its_secret_once(house: "House") -> None:
    by = house.act(attempt=Attempt.of("k", "POST", "/tokens", None, b"1"))
    draft = TokenDraft("reader", 60)
    first, again = issue_token(house.site.store, draft, by), issue_token(house.site.store, draft, by)
    assert (again.row, again.token) == (first.row, None)
    with pytest.raises(IdempotencyMismatch):
        issue_token(house.site.store, draft, house.act(attempt=Attempt.of("k", "POST", "/tokens", None, b"2")))
    assert len(house.site.store.reader.tokens()) == 1


@pytest.mark.parametrize(("role", "right"), list(product(Role, Right)))
def test_a_role_may_do_what_the_table_says_and_nothing_else(role: Role, right: Right) -> None:
    who = Principal("id", role, ("*",), "")
    if right in RIGHTS[role]:
        assert require(who, right, "any") is who
    else:
        with pytest.raises(Forbidden):
            require(who, right, "any")


def test_only_operators_and_editors_and_admins_publish_and_only_admins_issue_tokens() -> None:
    assert {role for role in Role if Right.PUBLISH in RIGHTS[role]} == {Role.EDITOR, Role.OPERATOR, Role.ADMIN}
    assert {role for role in Role if Right.TOKENS in RIGHTS[role]} == {Role.ADMIN}


@pytest.mark.parametrize(
    ("names", "name", "reaches"),
    [
        (("pay-*",), "pay-eu", True),
        (("pay-*",), "pay-", True),
        (("pay-*",), "pay", False),
        (("pay",), "pay-eu", False),
        (("a", "b"), "b", True),
        (("*",), "anything", True),
    ],
)
def test_a_token_reaches_the_pin_sets_that_its_names_cover(names: tuple[str, ...], name: str, reaches: bool) -> None:
    who = Principal("id", Role.ADMIN, names, "")
    assert who.allows(Right.PUBLISH, name) is reaches
    for right in WIDE_RIGHTS:
        assert who.allows(right) is ("*" in names)
