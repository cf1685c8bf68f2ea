"""The root's form: keys that can be relied on, roles that can be met, and the first grant that covers a name."""

from dataclasses import replace
from typing import Any

import pytest

from pinwarden.documents import Key, Root
from pinwarden.errors import MalformedError, SignatureError, WrongPinSetError
from pinwarden.testing import ThrowawayKey

OTHER = ThrowawayKey("other")
MISSING = "0" * 64


@pytest.fixture
def root(authority: Any) -> Root:
    return authority.root


def roles(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [body["roles"]["root"], body["roles"]["timestamp"], body["roles"]["pinset"][0]]


def in_role(number: int, change: Any) -> Any:
    return lambda body: change(roles(body)[number])


def test_a_root_comes_back_as_it_went(root: Root) -> None:
    assert Root.parse(root.encode()) == root


@pytest.mark.parametrize("role", [0, 1, 2], ids=["root", "timestamp", "pinset"])
@pytest.mark.parametrize(
    ("change", "kind", "step"),
    [
        pytest.param(lambda role: role.update(threshold=0), MalformedError, "P4", id="a threshold of nothing"),
        pytest.param(lambda role: role.update(threshold=-1), MalformedError, "P4", id="a threshold below nothing"),
        pytest.param(lambda role: role.update(threshold=True), MalformedError, "P4", id="a threshold of True"),
        pytest.param(lambda role: role.update(threshold="1"), MalformedError, "P4", id="a threshold as text"),
        pytest.param(lambda role: role.pop("threshold"), MalformedError, "P4", id="no threshold"),
        pytest.param(
            lambda role: role.update(threshold=len(role["keyids"]) + 1), SignatureError, "V2", id="a threshold too high"
        ),
        pytest.param(lambda role: role.update(keyids=[]), SignatureError, "V2", id="no keys"),
        pytest.param(lambda role: role.update(keyids=role["keyids"] * 2), SignatureError, "V2", id="a keyid twice"),
        pytest.param(lambda role: role["keyids"].append(MISSING), SignatureError, "V2", id="a keyid without a key"),
        pytest.param(lambda role: role["keyids"].append(1), MalformedError, "P4", id="a keyid as a number"),
    ],
)
def test_a_role_that_nobody_can_rely_on_is_refused(
    refuses: Any, root: Root, spelled: Any, role: int, change: Any, kind: Any, step: str
) -> None:
    with refuses(kind, step):
        Root.parse(spelled(root, in_role(role, change)))


def double_key(body: dict[str, Any]) -> None:
    keyid, key = next(iter(body["keys"].items()))
    body["keys"][keyid.upper()] = key


@pytest.mark.parametrize(
    ("change", "kind", "step"),
    [
        pytest.param(double_key, SignatureError, "V1", id="one key under two names"),
        pytest.param(
            lambda body: body["keys"].update({OTHER.keyid: next(iter(body["keys"].values()))}),
            SignatureError,
            "V1",
            id="a key under another's name",
        ),
        pytest.param(
            lambda body: next(iter(body["keys"].values())).update(public="AAAA"), MalformedError, "P5", id="a short key"
        ),
        pytest.param(
            lambda body: next(iter(body["keys"].values())).pop("scheme"), MalformedError, "P4", id="a key of no scheme"
        ),
        pytest.param(lambda body: body.pop("keys"), MalformedError, "P4", id="no keys"),
        pytest.param(lambda body: body.update(keys=[]), MalformedError, "P4", id="keys as an array"),
        pytest.param(lambda body: body["roles"].pop("root"), MalformedError, "P4", id="no root role"),
        pytest.param(lambda body: body["roles"].pop("timestamp"), MalformedError, "P4", id="no timestamp role"),
        pytest.param(lambda body: body["roles"].pop("pinset"), MalformedError, "P4", id="no grants"),
        pytest.param(lambda body: body["roles"].update(pinset=[[]]), MalformedError, "P4", id="a grant as an array"),
        pytest.param(in_role(1, lambda role: role.update(epoch=0)), MalformedError, "P4", id="a timestamp epoch of 0"),
        pytest.param(in_role(2, lambda role: role.update(epoch=0)), MalformedError, "P4", id="a pin set epoch of 0"),
        pytest.param(
            in_role(1, lambda role: role.update(max_lifetime_seconds=0)), MalformedError, "P4", id="no lifetime at all"
        ),
        pytest.param(
            in_role(2, lambda role: role.pop("max_lifetime_seconds")), MalformedError, "P4", id="an endless lifetime"
        ),
        pytest.param(lambda body: body.update(version=0), MalformedError, "P4", id="version 0"),
    ],
)
def test_a_root_of_another_form_is_refused(
    refuses: Any, root: Root, spelled: Any, change: Any, kind: Any, step: str
) -> None:
    with refuses(kind, step):
        Root.parse(spelled(root, change))


@pytest.mark.parametrize("pattern", ["", "**", "a*b", "*a", "A", "-a", "a b", "a" * 65, "a" * 65 + "*", "a/*", "a\n"])
def test_a_bad_name_pattern_is_refused(refuses: Any, root: Root, spelled: Any, pattern: str) -> None:
    with refuses(MalformedError, "V2"):
        Root.parse(spelled(root, in_role(2, lambda grant: grant.update(names=["app", pattern]))))


def test_a_key_of_an_unknown_scheme_is_ignored_and_does_not_end_the_chain(root: Root, spelled: Any) -> None:
    def add(body: dict[str, Any]) -> None:
        body["keys"]["later"] = {"scheme": "ml-dsa-65", "public": 7}
        for role in roles(body):
            role["keyids"].append("later")

    parsed = Root.parse(spelled(root, add))
    assert [role.keys for role in (parsed.root, parsed.timestamp, parsed.pinset[0])] == [
        root.root.keys,
        root.timestamp.keys,
        root.pinset[0].keys,
    ]
    assert parsed.keys["later"] == Key("ml-dsa-65", None)


def test_a_key_of_an_unknown_scheme_does_not_help_to_reach_a_threshold(refuses: Any, root: Root, spelled: Any) -> None:
    def add(body: dict[str, Any]) -> None:
        body["keys"]["later"] = {"scheme": "ml-dsa-65", "public": ""}
        body["roles"]["timestamp"]["keyids"].append("later")
        body["roles"]["timestamp"]["threshold"] = 2

    with refuses(SignatureError, "V2") as refusal:
        Root.parse(spelled(root, add))
    assert refusal.error.expected == "threshold up to 1"


def test_the_keyid_of_an_unknown_scheme_is_not_guessed() -> None:
    assert Key("ed25519", OTHER.public).keyid == OTHER.keyid
    with pytest.raises(ValueError, match="cannot be computed"):
        _ = Key("ml-dsa-65", None).keyid


def granting(root: Root, *names: tuple[str, ...]) -> Root:
    grants = [replace(root.pinset[0], names=patterns, epoch=number) for number, patterns in enumerate(names, 1)]
    return replace(root, pinset=tuple(grants))


@pytest.mark.parametrize(
    ("name", "grant"),
    [
        ("payments-eu", 1),
        ("payments-", 1),
        ("payments", 3),
        ("payments-eu-2", 1),
        ("app", 2),
        ("apps", 3),
        ("ap", 3),
    ],
)
def test_the_first_grant_that_covers_a_name_decides(root: Root, name: str, grant: int) -> None:
    wide = granting(root, ("payments-*",), ("app", "payments-eu"), ("*",))
    assert wide.grant_for(name).epoch == grant


def test_a_name_that_no_grant_covers_is_refused(refuses: Any, root: Root) -> None:
    narrow = granting(root, ("payments-*", "app"))
    for name in ("apps", "payments", "xpayments-eu", "a"):
        with refuses(WrongPinSetError, "V7"):
            narrow.grant_for(name)
    with refuses(WrongPinSetError, "V7"):
        replace(root, pinset=()).grant_for("app")


def test_a_grant_of_no_name_covers_nothing(root: Root) -> None:
    assert not replace(root.pinset[0], names=()).covers("app")
