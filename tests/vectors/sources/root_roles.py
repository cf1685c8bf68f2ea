"""The keys, roles and grants of a root (spec V1, V2, V7)."""

from hashlib import sha256
from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    KEYS,
    NEW_PINSET_KEY,
    PINSET_KEY,
    ROOT_KEYS,
    ROOT_TYPE,
    STRANGER,
    TIMESTAMP_KEY,
    Json,
    b64,
    changed,
    envelope,
    grant,
    key_table,
    role,
    root_envelope,
    root_payload,
    spell,
    timestamp_role,
    update,
)
from tests.vectors.sources.cases import (
    FIRST,
    accept,
    case,
    embed,
    fragments,
    held,
    inputs,
    next_root,
    refuse,
)
from tests.vectors.sources.points import MIXED_ORDER, NOT_A_POINT, NOT_CANONICAL, SMALL_ORDER

BAD, WRONG = "MalformedError", "SignatureError"


def _root(version: object = 2, **changes: Any) -> Json:
    return root_envelope(version, **changes)


def _keys(name: str, keys: Any, error: str | None = None, step: str = "V1", **marks: Any) -> Json:
    return next_root(name, "V1", _root(keys=keys), error, step, **marks)


def _keyed(keyid: object, entry: object) -> Json:
    return {**KEYS, keyid: entry}


def _entry(public: bytes) -> Json:
    return {"scheme": "ed25519", "public": b64(public)}


def _own(public: bytes) -> Json:
    return _keyed(sha256(bytes.fromhex("302a300506032b6570032100") + public).hexdigest(), _entry(public))


LATER = {"scheme": "ml-dsa-65"}

V1 = [
    _keys("a root may hold keys that no role uses", {**KEYS, **key_table(STRANGER)}),
    _keys("a keyid that belongs to another key is refused", {**KEYS, "0" * 64: _entry(STRANGER.public)}, WRONG),
    _keys("a keyid in upper case is refused", _keyed(STRANGER.keyid.upper(), _entry(STRANGER.public)), WRONG),
    _keys("one key under a second keyid is refused", _keyed("1" * 64, _entry(PINSET_KEY.public)), WRONG),
    *(_keys(f"a key of small order is refused: {key.hex()}", _own(key), WRONG) for key in SMALL_ORDER),
    *(_keys(f"a key that is not canonical is refused: {key.hex()}", _own(key), WRONG) for key in NOT_CANONICAL),
    _keys("a key that is not on the curve is refused", _own(NOT_A_POINT), WRONG, prime_order_check_only=True),
    _keys("a key with a small-order part is refused", _own(MIXED_ORDER), WRONG, prime_order_check_only=True),
    _keys("a key of a later scheme is passed over", _keyed("ml-1", {**LATER, "public": "AAAA"})),
    _keys("a key of a later scheme may have any other form", _keyed("", {**LATER, "public": {"parts": [1]}})),
    _keys("a scheme is compared exactly, so this one is a later one", _keyed("x", {"scheme": "Ed25519"})),
    _keys("a key of 31 bytes is refused", _keyed(STRANGER.keyid, _entry(STRANGER.public[:31])), BAD, "P5"),
    _keys("a key of 33 bytes is refused", _keyed(STRANGER.keyid, _entry(STRANGER.public + b"\0")), BAD, "P5"),
    _keys("a key as SPKI is refused", _keyed(
        STRANGER.keyid, _entry(bytes.fromhex("302a300506032b6570032100") + STRANGER.public)), BAD, "P5"),
    _keys("a key in hex is refused", _keyed(
        STRANGER.keyid, {"scheme": "ed25519", "public": STRANGER.public.hex()}), BAD, "P5"),
    _keys("a key without a public part is refused", _keyed(STRANGER.keyid, {"scheme": "ed25519"}), BAD, "P4"),
    _keys("a key without a scheme is refused", _keyed(STRANGER.keyid, {"public": "AAAA"}), BAD, "P4"),
    _keys("a scheme that is a number is refused", _keyed("x", {"scheme": 1}), BAD, "P4"),
    _keys("a key that is text is refused", _keyed(STRANGER.keyid, b64(STRANGER.public)), BAD, "P4"),
    _keys("keys that are an array are refused", list(KEYS.values()), BAD, "P4"),
    _keys("a root without keys is refused", ABSENT, BAD, "P4"),
]  # fmt: skip


def _roles(name: str, roles: Json, error: str | None = None, step: str = "V2", **changes: Any) -> Json:
    return next_root(name, "V2", _root(roles=roles, **changes), error, step)


def _each_role(name: str, change: Json, error: str, step: str = "V2") -> list[Json]:
    """The same fault in each of the three roles."""
    return [
        _roles(f"{name}: root role", {"root": changed(role(*ROOT_KEYS, threshold=2), change)}, error, step),
        _roles(f"{name}: timestamp role", {"timestamp": changed(timestamp_role(TIMESTAMP_KEY), change)}, error, step),
        _roles(f"{name}: pin set grant", {"pinset": [changed(grant(PINSET_KEY), change)]}, error, step),
    ]


def _each_limited(name: str, change: Json, error: str, step: str) -> list[Json]:
    return _each_role(name, change, error, step)[1:]


def _names(name: str, names: object, error: str | None = None, step: str = "V2") -> Json:
    grants = [grant(PINSET_KEY), grant(NEW_PINSET_KEY, names=names)]
    return _roles(f"{name} {'may' if error is None else 'cannot'} stand in a grant", {"pinset": grants}, error, step)


_FOREIGN = {**KEYS, "ml-1": LATER}
_WITH_FOREIGN = [TIMESTAMP_KEY.keyid, "ml-1"]

V2 = [
    _roles("a threshold of all keys is accepted",
           {"root": role(*ROOT_KEYS, threshold=3)}, signers=ROOT_KEYS),
    *_each_role("a threshold above the number of keys is refused", {"threshold": 4}, WRONG),
    *_each_role("a threshold of 0 is refused", {"threshold": 0}, BAD, "P4"),
    *_each_role("a threshold below 0 is refused", {"threshold": -1}, BAD, "P4"),
    *_each_role("a threshold that is true is refused", {"threshold": True}, BAD, "P4"),
    *_each_role("a threshold that is text is refused", {"threshold": "1"}, BAD, "P4"),
    *_each_role("a role without a threshold is refused", {"threshold": ABSENT}, BAD, "P4"),
    *_each_role("a role without keyids is refused", {"keyids": ABSENT}, BAD, "P4"),
    *_each_role("a role without a key is refused", {"keyids": []}, WRONG),
    *_each_role("keyids that are text are refused", {"keyids": PINSET_KEY.keyid}, BAD, "P4"),
    *_each_role("a keyid that is null is refused", {"keyids": [*role(*ROOT_KEYS)["keyids"], None]}, BAD, "P4"),
    *_each_role("a role that names a key twice is refused",
                {"keyids": [*role(*ROOT_KEYS)["keyids"], ROOT_KEYS[0].keyid]}, WRONG),
    *_each_role("a role that names a key the root does not hold is refused",
                {"keyids": [*role(*ROOT_KEYS)["keyids"], STRANGER.keyid]}, WRONG),
    *_each_limited("a role without an epoch is refused", {"epoch": ABSENT}, BAD, "P4"),
    *_each_limited("an epoch of 0 is refused", {"epoch": 0}, BAD, "P4"),
    *_each_limited("a role without a longest life is refused", {"max_lifetime_seconds": ABSENT}, BAD, "P4"),
    *_each_limited("a longest life of 0 is refused", {"max_lifetime_seconds": 0}, BAD, "P4"),
    _roles("a role may name a key of a later scheme",
           {"timestamp": {**timestamp_role(TIMESTAMP_KEY), "keyids": _WITH_FOREIGN}}, keys=_FOREIGN),
    _roles("a key of a later scheme does not count towards a threshold",
           {"timestamp": {**timestamp_role(TIMESTAMP_KEY), "keyids": _WITH_FOREIGN, "threshold": 2}}, WRONG,
           keys=_FOREIGN),
    _roles("a role of which only keys of a later scheme remain is refused",
           {"timestamp": {**timestamp_role(TIMESTAMP_KEY), "keyids": ["ml-1"]}}, WRONG, keys=_FOREIGN),
    _roles("a key may hold two roles; that is for the ceremony to refuse",
           {"pinset": [grant(TIMESTAMP_KEY, names=("other",)), grant(PINSET_KEY)]}),
    _roles("a root without a root role is refused", {"root": ABSENT}, BAD, "P4"),
    _roles("a root without a timestamp role is refused", {"timestamp": ABSENT}, BAD, "P4"),
    _roles("a root without grants is refused", {"pinset": ABSENT}, BAD, "P4"),
    _roles("grants that are an object are refused", {"pinset": grant(PINSET_KEY)}, BAD, "P4"),
    _roles("a grant that is null is refused", {"pinset": [grant(PINSET_KEY), None]}, BAD, "P4"),
    _roles("a role that is an array is refused", {"root": [role(*ROOT_KEYS)]}, BAD, "P4"),
    next_root("a root without roles is refused", "V2",
          envelope(ROOT_TYPE, changed(root_payload(2), {"roles": ABSENT}), *ROOT_KEYS[:2]), BAD, "P4"),
    _names("'*'", ["*"]),
    _names("'app-*'", ["app-*"]),
    _names("'a.b_c-9'", ["a.b_c-9"]),
    _names("64 characters", ["a" * 64]),
    _names("64 characters and a star", ["a" * 64 + "*"]),
    _names("no name", []),
    _names("65 characters", ["a" * 65], BAD),
    _names("65 characters and a star", ["a" * 65 + "*"], BAD),
    _names("an empty name", [""], BAD),
    _names("a star in front", ["*app"], BAD),
    _names("a star in the middle", ["a*p"], BAD),
    _names("two stars", ["app**"], BAD),
    _names("an upper-case letter", ["App"], BAD),
    _names("a leading dot", [".app"], BAD),
    _names("a leading hyphen", ["-app"], BAD),
    _names("a question mark", ["ap?"], BAD),
    _names("a line end", ["app\n"], BAD),
    _names("a letter beyond ASCII", ["\u0430pp"], BAD),
    _names("a number", [1], BAD, "P4"),
    _names("text instead of an array", "app", BAD, "P4"),
]  # fmt: skip


def _granted(name: str, grants: list[Json], key: Any, error: str | None = None, step: str = "V7", **more: Any) -> Json:
    """A new client whose root has *grants* gets a pin set signed by *key*."""
    then = more.pop("then", FIRST)
    what = update(1, pinset_key=key, **more)
    event = refuse(what, error, step) if error else accept(what, then)
    return case(name, "V7", embed(spell(root_envelope(roles={"pinset": grants})).decode()), event)


GRANTS = [
    _granted("a grant with '*' covers every name", [grant(PINSET_KEY, names=("*",))], PINSET_KEY),
    _granted("a grant with 'ap*' covers 'app'", [grant(PINSET_KEY, names=("ap*",))], PINSET_KEY),
    _granted("a grant with 'app*' covers 'app'", [grant(PINSET_KEY, names=("app*",))], PINSET_KEY),
    _granted("a grant covers by any of its names", [grant(PINSET_KEY, names=("other", "app"))], PINSET_KEY),
    _granted("a grant with 'ap' does not cover 'app'", [grant(PINSET_KEY, names=("ap",))], PINSET_KEY,
             "WrongPinSetError"),
    _granted("a grant with 'apple' does not cover 'app'", [grant(PINSET_KEY, names=("apple",))], PINSET_KEY,
             "WrongPinSetError"),
    _granted("a grant with 'pp*' does not cover 'app'", [grant(PINSET_KEY, names=("pp*",))], PINSET_KEY,
             "WrongPinSetError"),
    _granted("a dot in a name is a dot", [grant(PINSET_KEY, names=("a.p",))], PINSET_KEY, "WrongPinSetError"),
    _granted("without any grant nobody may sign", [], PINSET_KEY, "WrongPinSetError"),
    _granted("the first grant that covers a name wins",
             [grant(PINSET_KEY), grant(NEW_PINSET_KEY, names=("*",))], PINSET_KEY),
    _granted("a key of a later grant cannot sign, although that covers the name",
             [grant(PINSET_KEY), grant(NEW_PINSET_KEY, names=("*",))], NEW_PINSET_KEY, WRONG, "V3"),
    _granted("the order of grants decides, not how exact they are",
             [grant(NEW_PINSET_KEY, names=("*",)), grant(PINSET_KEY)], PINSET_KEY, WRONG, "V3"),
    _granted("a grant that does not cover the name is passed over",
             [grant(NEW_PINSET_KEY, names=("other",)), grant(PINSET_KEY)], PINSET_KEY),
    _granted("epoch and longest life are those of the grant that wins",
             [grant(PINSET_KEY, epoch=2, lifetime=60 * 24 * 3600), grant(PINSET_KEY, names=("*",), lifetime=3600)],
             PINSET_KEY, pinset={"epoch": 2}, then=held("1.1", "2.1")),
    _granted("the longest life is not that of a later grant",
             [grant(PINSET_KEY, lifetime=3600), grant(PINSET_KEY, names=("*",))], PINSET_KEY, "ExpiredError", "V5"),
    _granted("the epoch is not that of a later grant",
             [grant(PINSET_KEY, epoch=2), grant(PINSET_KEY, names=("*",))], PINSET_KEY, "RollbackError", "V7"),
]  # fmt: skip

GROUPS = {
    "root_keys": ("The keys of a root (spec V1).", inputs(**fragments(2)), V1),
    "root_roles": ("The roles and grants of a root (spec V2, V7).", inputs(**fragments(2)), [*V2, *GRANTS]),
}
