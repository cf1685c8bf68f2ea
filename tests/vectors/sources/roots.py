"""Roots: their keys, their roles, their chain (spec V1, V2, V4)."""

from hashlib import sha256
from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    FIRST,
    KEYS,
    NEW_PINSET_KEY,
    NEW_ROOT_KEYS,
    NOW,
    PINSET_KEY,
    PINSET_TYPE,
    ROOT_KEYS,
    ROOT_TYPE,
    STRANGER,
    TIMESTAMP_KEY,
    Json,
    accept,
    at,
    b64,
    case,
    changed,
    embed,
    envelope,
    fragments,
    grant,
    held,
    inputs,
    key_table,
    named,
    pinset_payload,
    refuse,
    refuse_embed,
    role,
    root_envelope,
    root_payload,
    spell,
    timestamp_role,
    update,
)
from tests.vectors.sources.points import MIXED_ORDER, NOT_A_POINT, NOT_CANONICAL, SMALL_ORDER

BAD, WRONG = "MalformedError", "SignatureError"
SECOND = held("1.2", "1.2", root=2)


def _root(version: object = 2, **changes: Any) -> Json:
    return root_envelope(version, **changes)


def _next(name: str, step: str, root: Json, error: str | None = None, by: str | None = None, **marks: Any) -> Json:
    """A client that holds version 1 gets *root* with the next documents; refused, it keeps what it held."""
    what = update(2, roots=[root])
    event = refuse(what, error, by or step, FIRST) if error else accept(what, SECOND)
    return case(name, step, embed(), accept(named("update 1")), event, **marks)


def _keys(name: str, keys: Any, error: str | None = None, step: str = "V1", **marks: Any) -> Json:
    return _next(name, "V1", _root(keys=keys), error, step, **marks)


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
    return _next(name, "V2", _root(roles=roles, **changes), error, step)


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
    _next("a root without roles is refused", "V2",
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


def _field(name: str, error: str | None, step: str, **changes: Any) -> Json:
    return _next(name, "V4", _root(**changes), error, step)


FORM = [
    _field("a document of another type is not a root", BAD, "V4", type="timestamp"),
    _field("a root without a type is refused", BAD, "P4", type=ABSENT),
    _field("a later minor version of the protocol is understood", None, "V4", spec="1.9999"),
    _field("another major version of the protocol is refused", BAD, "V4", spec="2.0"),
    _field("a version of the protocol without a minor number is refused", BAD, "V4", spec="1"),
    _field("a feature that a client must know and does not is refused", BAD, "V4", crit=["new"]),
    _field("no such feature is accepted", None, "V4", crit=[]),
    _field("an unknown member is ignored", None, "V4", note={"crit": ["nested"]}),
    _field("a root without an authority is refused", BAD, "P4", authority=ABSENT),
    _field("a root without a version is refused", BAD, "P4", version=ABSENT),
    _field("a root without a time of issue is refused", BAD, "P4", issued=ABSENT),
    _field("a root without an end is refused", BAD, "P4", expires=ABSENT),
    _field("an end that is no time is refused", BAD, "P6", expires="2027-01-01"),
    _field("a time of issue that is no time is refused", BAD, "P6", issued="2026-02-30T00:00:00Z"),
]


def _chain(name: str, roots: list[Json], then: Json, error: str | None = None, step: str = "V4", **more: Any) -> Json:
    """A client that holds version 1 gets *roots* at once; *then* is trusted afterwards."""
    what, now = update(2, roots=roots), more.pop("now", NOW)
    event = refuse(what, error, step, then, now=now) if error else accept(what, then, now=now)
    return case(name, "V4", embed(), accept(named("update 1")), event)


_HANDED_OVER = {"root": role(*NEW_ROOT_KEYS, threshold=2)}
_OTHER = "vectors-ffffffffffffffff"
_ENDED = {"expires": at(days=1)}

V4 = [
    _chain("the next root is accepted", [_root()], SECOND),
    _chain("eight roots are accepted at once",
           [_root(version) for version in range(2, 10)], held("1.2", "1.2", root=9)),
    _chain("more than eight roots are refused, and none is kept",
           [_root(version) for version in range(2, 11)], FIRST, BAD, "P1"),
    _chain("old and new root keys hand over by signing both",
           [_root(roles=_HANDED_OVER, signers=[*ROOT_KEYS[:2], *NEW_ROOT_KEYS[1:]])], SECOND),
    _chain("a root that the old keys did not sign is refused",
           [_root(roles=_HANDED_OVER, signers=NEW_ROOT_KEYS)], FIRST, WRONG, "V3"),
    _chain("a root that only one old key signed is refused",
           [_root(roles=_HANDED_OVER, signers=[ROOT_KEYS[0], *NEW_ROOT_KEYS])], FIRST, WRONG, "V3"),
    _chain("a root that its own keys did not sign is refused",
           [_root(roles=_HANDED_OVER)], FIRST, WRONG, "V3"),
    _chain("a root that too few of its own keys signed is refused",
           [_root(roles=_HANDED_OVER, signers=[*ROOT_KEYS[:2], NEW_ROOT_KEYS[0]])], FIRST, WRONG, "V3"),
    _chain("a root that raises its threshold needs that many signatures",
           [_root(roles={"root": role(*ROOT_KEYS, threshold=3)})], FIRST, WRONG, "V3"),
    _chain("a root that lowers its threshold needs as many as before",
           [_root(roles={"root": role(*ROOT_KEYS, threshold=1)}, signers=ROOT_KEYS[:1])], FIRST, WRONG, "V3"),
    _chain("after a hand-over the old keys sign no root",
           [_root(roles=_HANDED_OVER, signers=[*ROOT_KEYS[:2], *NEW_ROOT_KEYS]), _root(3)],
           held("1.1", "1.1", root=2), WRONG, "V3"),
    _chain("signatures of a root are judged before it is read",
           [envelope(ROOT_TYPE, b"not JSON", STRANGER)], FIRST, WRONG, "V3"),
    _chain("a root that is signed and is not JSON is refused",
           [envelope(ROOT_TYPE, b"not JSON", *ROOT_KEYS)], FIRST, BAD, "P3"),
    _chain("a root that skips a version is refused", [_root(3)], FIRST, "RollbackError"),
    _chain("the root that is trusted already is not the next one", [_root(1)], FIRST, "RollbackError"),
    _chain("a root twice is refused, and kept once", [_root(), _root()], held("1.1", "1.1", root=2), "RollbackError"),
    _chain("roots in the wrong order are refused", [_root(3), _root(2)], FIRST, "RollbackError"),
    _chain("a root of another authority is refused", [_root(authority=_OTHER)], FIRST, "WrongPinSetError"),
    _chain("roots before a bad one are kept, those after it are not",
           [_root(), _root(3, signers=NEW_ROOT_KEYS), _root(3)], held("1.1", "1.1", root=2), WRONG, "V3"),
    _chain("an expired root is a link of the chain like any other",
           [_root(**_ENDED), _root(3)], held("1.2", "1.2", root=3), now=at(days=2)),
    _chain("an expired newest root is kept, and refuses documents",
           [_root(**_ENDED)], held("1.1", "1.1", root=2), "ExpiredError", now=at(days=2)),
    _chain("a root ends at the second that it names",
           [_root(**_ENDED)], held("1.1", "1.1", root=2), "ExpiredError", now=at(days=1)),
    _chain("a root lasts up to the second that it names", [_root(**_ENDED)], SECOND, now=at(days=1, seconds=-1)),
    _chain("a root may be issued after its end, and years ahead: only its end counts",
           [_root(issued=at(days=1000), expires=at(days=365))], SECOND),
    case("the end of a root is judged by the effective clock", "V9", embed(),
         accept(update(1, timestamp={"issued": at(hours=20)})),
         refuse(update(2, roots=[_root(expires=at(hours=19))]), "ExpiredError", "V4", held("1.1", "1.1", root=2))),
    case("the embedded root's end counts while it is the newest", "V4", embed(spell(root_envelope(**_ENDED)).decode()),
         refuse(named("update 1"), "ExpiredError", "V4", now=at(days=1))),
    case("an expired embedded root is the start of a chain", "V4", embed(spell(root_envelope(**_ENDED)).decode()),
         accept(update(2, roots=[_root()]), SECOND, now=at(days=1))),
]  # fmt: skip


def _walk(name: str, step: str, *roots: tuple[Json, str | None], last: Json) -> Json:
    """Roots fetched one at a time from ``/v1/roots/``, then a bundle without any."""
    events, reached = [], 1
    for root, error in roots:
        reached += error is None
        then = held(root=reached)
        what = spell(root).decode()
        events.append(refuse(what, error, step, then, kind="root") if error else accept(what, then, kind="root"))
    return case(name, step, embed(), *events, last)


WALK = [
    _walk("a client that is far behind walks root by root", "V4",
          *((_root(version), None) for version in range(2, 13)),
          last=accept(named("update 1"), held("1.1", "1.1", root=12))),
    _walk("a root that does not follow ends the walk", "V4", (_root(2), None), (_root(4), "RollbackError"),
          last=accept(named("update 1"), held("1.1", "1.1", root=2))),
    _walk("a pin set in the place of a root is refused", "P7",
          (envelope(PINSET_TYPE, pinset_payload(), *ROOT_KEYS), BAD), last=accept(named("update 1"))),
    _walk("two signatures by one keyid are refused in a root too", "V3",
          ({**_root(), "signatures": [*_root()["signatures"], _root()["signatures"][0]]}, WRONG),
          last=accept(named("update 1"))),
]  # fmt: skip

EMBEDDED = [
    case("any root version may be embedded", "V4", embed(spell(_root(7)).decode()),
         accept(named("update 1"), held("1.1", "1.1", root=7))),
    case("an embedded root needs its own threshold", "V3",
         refuse_embed(spell(root_envelope(signers=ROOT_KEYS[:1])).decode(), WRONG, "V3")),
    case("an embedded root that strangers signed is refused", "V3",
         refuse_embed(spell(root_envelope(signers=NEW_ROOT_KEYS)).decode(), WRONG, "V3")),
    case("a bundle cannot be embedded as a root", "P7", refuse_embed(update(), BAD, "P7")),
    case("a pin set cannot be embedded as a root", "P7",
         refuse_embed(spell(envelope(PINSET_TYPE, pinset_payload(), *ROOT_KEYS)).decode(), BAD, "P7")),
    case("text that is not JSON cannot be embedded", "P3", refuse_embed("-----BEGIN PUBLIC KEY-----", BAD, "P3")),
    case("an embedded root is parsed strictly", "P3", refuse_embed(
        spell(root_envelope()).decode()[:-1] + ',"signatures":[]}', BAD, "P3"), strict_parser_only=True),
    *(case(f"a client can be made for the name {name!r}", "P4", embed(pinset=name))
      for name in ("a", "0", "a.b_c-9", "a" * 64)),
    *(case(f"a client cannot be made for the name {name!r}", "P4",
           {"embed": named("root 1"), "pinset": name, "expect": {"result": "refuse", "error": BAD, "step": None}})
      for name in ("", "App", "-app", ".app", "_app", "a/b", "a b", "app\n", "\u0430pp", "a" * 65, "../app")),
]  # fmt: skip

_AUTHORITIES = (
    ("vectors-00c0ffee00c0ffee", None), ("00c0ffee00c0ffee", None), ("a" * 48 + "00c0ffee00c0ffee", None),
    ("-----00c0ffee00c0ffee", None), ("a" * 49 + "00c0ffee00c0ffee", BAD), ("0c0ffee00c0ffee", BAD),
    ("vectors-00C0FFEE00c0ffee", BAD), ("Vectors-00c0ffee00c0ffee", BAD), ("vectors-00c0ffee00c0ffeg", BAD),
    ("vectors_00c0ffee00c0ffee", BAD), ("vectors/00c0ffee00c0ffee", BAD), ("vectors-00c0ffee00c0ffee\n", BAD),
    ("", BAD),
)  # fmt: skip


def _authority(authority: str, error: str | None) -> Json:
    root = spell(root_envelope(authority=authority)).decode()
    name = f"an authority {'may' if error is None else 'cannot'} be called {authority!r}"
    return case(name, "P4", refuse_embed(root, error, "P4") if error else embed(root))


GROUPS = {
    "root_keys": ("The keys of a root (spec V1).", inputs(**fragments(2)), V1),
    "root_roles": ("The roles and grants of a root (spec V2, V7).", inputs(**fragments(2)), [*V2, *GRANTS]),
    "root_chain": ("How one root follows another (spec V4).", inputs(**fragments(2)), [*FORM, *V4, *WALK]),
    "root_embedded": (
        "The root that an application embeds, and the name that it asks for (spec V3, P4).",
        inputs(**fragments(2)),
        [*EMBEDDED, *(_authority(*row) for row in _AUTHORITIES)],
    ),
}
