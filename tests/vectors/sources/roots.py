"""How roots follow one another, and where the chain starts (spec V4)."""

from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    NEW_ROOT_KEYS,
    NOW,
    PINSET_TYPE,
    ROOT_KEYS,
    ROOT_TYPE,
    STRANGER,
    Json,
    at,
    envelope,
    pinset_payload,
    role,
    root_envelope,
    spell,
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
    named,
    next_root,
    refuse,
    refuse_embed,
)

BAD, WRONG = "MalformedError", "SignatureError"
SECOND = held("1.2", "1.2", root=2)


def _root(version: object = 2, **changes: Any) -> Json:
    return root_envelope(version, **changes)


def _field(name: str, error: str | None, step: str, **changes: Any) -> Json:
    return next_root(name, "V4", _root(**changes), error, step)


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
    case("the end of the newest root is judged before anything that a document says", "V4", embed(),
         accept(update(5), held("1.5", "1.5")),
         refuse(update(2, roots=[_root(**_ENDED)]), "ExpiredError", "V4", held("1.5", "1.5", root=2),
                now=at(days=2))),
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
    "root_chain": ("How one root follows another (spec V4).", inputs(**fragments(2)), [*FORM, *V4, *WALK]),
    "root_embedded": (
        "The root that an application embeds, and the name that it asks for (spec V3, P4).",
        inputs(**fragments(2)),
        [*EMBEDDED, *(_authority(*row) for row in _AUTHORITIES)],
    ),
}
