"""Time, adoption, caches and floors: what stays, what comes into force and what is dropped (spec V9, V10, C1, C2)."""

import json
from typing import Any

from tests.vectors.sources.author import (
    NEW_PINSET_KEY,
    NEW_TIMESTAMP_KEY,
    NOW,
    PINSET_KEY,
    STRANGER,
    TIMESTAMP_KEY,
    Json,
    at,
    grant,
    host,
    root_envelope,
    spell,
    timestamp_role,
    update,
)
from tests.vectors.sources.cases import (
    EMPTY,
    FIRST,
    accept,
    case,
    embed,
    fragments,
    held,
    inputs,
    load,
    look,
    named,
    refuse,
)

LATE, BACK, WRONG, APART = "ExpiredError", "RollbackError", "SignatureError", "StaleError"
FIFTH = held("1.5", "1.5")


def _timestamp(**more: Any) -> Json:
    return {"timestamp": timestamp_role(NEW_TIMESTAMP_KEY, **more)}


def _pinset(**more: Any) -> Json:
    return {"pinset": [grant(NEW_PINSET_KEY, **more)]}


def _parts(what: str) -> Json:
    return dict(json.loads(what))


TIME = [
    case("a timestamp ends at the second that it names, and the client is stale", "V9", embed(),
         accept(named("update 1")), look(at(days=3, seconds=-1), FIRST),
         look(at(days=3), held("1.1", "1.1", state="stale"))),
    case("a pin set ends at the second that it names, and the client is expired", "V9", embed(),
         accept(named("update 1")), look(at(days=30, seconds=-1), held("1.1", "1.1", state="stale")),
         look(at(days=30), held("1.1", "1.1", state="expired"))),
    case("a pin set past its end is expired while its timestamp lasts", "V9", embed(),
         accept(update(1, pinset={"expires": at(hours=2)})),
         look(at(hours=2), held("1.1", "1.1", state="expired"))),
    case("a client without documents is empty at any time", "V9", embed(), look(NOW, EMPTY),
         look(at(days=4000), EMPTY)),
    case("a clock that was set back does not bring an ended document into force", "V9", embed(),
         accept(update(2, timestamp={"issued": at(days=10), "expires": at(days=13)}), held("1.2", "1.2"),
                now=at(days=10)),
         refuse(update(3), LATE, "V5", held("1.2", "1.2"), now=at(days=1)),
         accept(update(3, timestamp={"issued": at(days=9), "expires": at(days=10, seconds=1)}),
                held("1.3", "1.3"), now=at(days=9))),
    case("a document that ends when the newest held one was issued is refused", "V9", embed(),
         accept(update(2, timestamp={"issued": at(days=10), "expires": at(days=13)}), held("1.2", "1.2"),
                now=at(days=10)),
         refuse(update(3, timestamp={"issued": at(days=9), "expires": at(days=10)}), LATE, "V5",
                held("1.2", "1.2"), now=at(days=9))),
    case("the issue of the pin set pushes the clock too", "V9", embed(),
         accept(update(1, pinset={"issued": at(hours=20)})),
         refuse(update(2, pinset_version=1, pinset={"issued": at(hours=20)}, timestamp={"expires": at(hours=20)}),
                LATE, "V5", FIRST),
         accept(update(2, pinset_version=1, pinset={"issued": at(hours=20)},
                       timestamp={"expires": at(hours=20, seconds=1)}), held("1.2", "1.1"))),
    case("how far ahead a document may be issued is judged by the system's clock alone", "V9", embed(),
         accept(update(1, timestamp={"issued": at(hours=24)})),
         refuse(update(2, timestamp={"issued": at(hours=25)}), LATE, "V5", FIRST),
         accept(update(2, timestamp={"issued": at(hours=24)}), held("1.2", "1.2"))),
    case("a pin set that ends before its own timestamp was issued is expired at once", "V9", embed(),
         accept(update(1, pinset={"expires": at(hours=12)}, timestamp={"issued": at(hours=12)}),
                held("1.1", "1.1", state="expired"))),
    case("a pin set that ends a second after its timestamp was issued is fresh", "V9", embed(),
         accept(update(1, pinset={"expires": at(hours=12)}, timestamp={"issued": at(hours=12, seconds=-1)}))),
    case("a timestamp that ends before its pin set was issued is stale at once", "V9", embed(),
         accept(update(1, timestamp={"expires": at(hours=12)}, pinset={"issued": at(hours=12)}),
                held("1.1", "1.1", state="stale"))),
    case("a document of an earlier epoch does not push the clock", "V9", embed(),
         accept(update(1, timestamp={"issued": at(hours=24)})),
         accept(update(1, roots=[root_envelope(2, roles=_timestamp(epoch=2))], timestamp_key=NEW_TIMESTAMP_KEY,
                       timestamp={"epoch": 2, "expires": at(hours=1)}), held("2.1", "1.1", root=2))),
    case("a pin set of an earlier epoch does not push the clock", "V9", embed(),
         accept(update(1, pinset={"issued": at(hours=24)})),
         accept(update(2, pinset_version=1, roots=[root_envelope(2, roles=_pinset(epoch=2))],
                       pinset_key=NEW_PINSET_KEY, pinset={"epoch": 2}, timestamp={"expires": at(hours=1)}),
                held("1.2", "2.1", root=2))),
    case("a document by a replaced key pushes the clock while its epoch lasts", "V9", embed(),
         accept(update(1, timestamp={"issued": at(hours=24)})),
         refuse(update(2, roots=[root_envelope(2, roles=_timestamp())], timestamp_key=NEW_TIMESTAMP_KEY,
                       timestamp={"expires": at(hours=24)}), LATE, "V5",
                held(None, "1.1", root=2, state="stale"))),
    case("roots do not push the clock", "V9", embed(),
         accept(update(1, roots=[root_envelope(2, issued=at(days=300))]), held("1.1", "1.1", root=2))),
    case("a refused timestamp does not push the clock", "V9", embed(), accept(named("update 1")),
         refuse(update(2, timestamp={"issued": at(hours=24)}, ref={"length": 1}), APART, "V7", FIRST),
         accept(update(2, timestamp={"expires": at(hours=1)}), held("1.2", "1.2"))),
]  # fmt: skip

ADOPTION = [
    case("a timestamp is not adopted without its pin set", "V10", embed(), accept(named("update 1")),
         refuse(update(5, ref={"length": 1}), APART, "V7", FIRST),
         accept(update(2), held("1.2", "1.2"))),
    case("a refused timestamp sets no floor, and neither does its pin set", "V10", embed(), accept(named("update 1")),
         refuse(update(9, pinset={"hosts": [host(backups=[])]}), "MalformedError", "V8", FIRST),
         accept(update(2), held("1.2", "1.2"))),
    case("what was refused may be offered again, corrected, under the same version", "V10", embed(),
         refuse(update(1, pinset_key=STRANGER), WRONG, "V3"), accept(named("update 1"))),
    case("a refused refresh keeps the roots that came with it", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2)], pinset_key=STRANGER), WRONG, "V3", held("1.1", "1.1", root=2)),
         accept(update(2), held("1.2", "1.2", root=2))),
    case("a bundle that cannot be read keeps nothing, not even its roots", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2)])[:-1] + ',"roots":[]}', "MalformedError", "P3", FIRST),
         strict_parser_only=True),
    case("a bundle with an envelope that is none keeps nothing, not even its roots", "V10", embed(),
         accept(named("update 1")),
         refuse(spell({**_parts(update(2, roots=[root_envelope(2)])), "pinset": {}}).decode(),
                "MalformedError", "P7", FIRST)),
    case("a root that replaces the pin set key drops the pin set", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles=_pinset())]), WRONG, "V3", held("1.1", None, root=2)),
         accept(update(2, pinset_key=NEW_PINSET_KEY), held("1.2", "1.2", root=2))),
    case("a root that replaces the timestamp key leaves the client stale", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles=_timestamp())]), WRONG, "V3",
                held(None, "1.1", root=2, state="stale")),
         accept(update(2, timestamp_key=NEW_TIMESTAMP_KEY), held("1.2", "1.2", root=2))),
    case("a root that raises the pin set epoch drops the pin set, though its key stays", "V10", embed(),
         accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles={"pinset": [grant(PINSET_KEY, epoch=2)]})]), BACK, "V7",
                held("1.1", None, root=2))),
    case("a root that raises the timestamp epoch leaves the client stale, though its key stays", "V10", embed(),
         accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles={"timestamp": timestamp_role(TIMESTAMP_KEY, epoch=2)})]), BACK,
                "V6", held(None, "1.1", root=2, state="stale"))),
    case("a root that takes the grant away drops the pin set", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles={"pinset": [grant(PINSET_KEY, names=("other",))]})]),
                "WrongPinSetError", "V7", held("1.1", None, root=2))),
    case("a root that raises the pin set threshold drops the pin set", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(
             2, roles={"pinset": [grant(PINSET_KEY, NEW_PINSET_KEY, threshold=2)]})]), WRONG, "V3",
                held("1.1", None, root=2))),
    case("a root that adds a key changes nothing about what is held", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles={"pinset": [grant(PINSET_KEY, NEW_PINSET_KEY)]})],
                       pinset_key=STRANGER), WRONG, "V3", held("1.1", "1.1", root=2))),
    case("a root that shortens the longest life does not drop what is held", "V10", embed(), accept(named("update 1")),
         refuse(update(2, roots=[root_envelope(2, roles={
             "pinset": [grant(PINSET_KEY, lifetime=60)], "timestamp": timestamp_role(TIMESTAMP_KEY, lifetime=60)})]),
                LATE, "V5", held("1.1", "1.1", root=2))),
    case("the floor outlives the key that signed the document", "C2", embed(), accept(named("update 5"), FIFTH),
         refuse(update(6, roots=[root_envelope(2, roles=_pinset())], pinset_version=4, pinset_key=NEW_PINSET_KEY),
                BACK, "V7", held("1.5", None, root=2)),
         accept(update(6, pinset_key=NEW_PINSET_KEY), held("1.6", "1.6", root=2))),
    case("the floor of timestamps outlives their key", "C2", embed(), accept(named("update 5"), FIFTH),
         refuse(update(4, roots=[root_envelope(2, roles=_timestamp())], pinset_version=5,
                       timestamp_key=NEW_TIMESTAMP_KEY), BACK, "V6", held(None, "1.5", root=2, state="stale")),
         accept(update(6, pinset_version=5, timestamp_key=NEW_TIMESTAMP_KEY), held("1.6", "1.5", root=2))),
    case("equivocation is seen across a change of keys", "C2", embed(), accept(named("update 5"), FIFTH),
         refuse(update(6, roots=[root_envelope(2, roles=_pinset())], pinset_version=5, pinset_key=NEW_PINSET_KEY,
                       pinset={"hosts": []}), "EquivocationError", "V7", held("1.5", None, root=2))),
]  # fmt: skip


def _kept(*updates: str) -> Json:
    """Return the timestamps and pin sets of *updates*, as a cache keeps them."""
    parts = [_parts(each) for each in updates]
    return {"timestamps": [each["timestamp"] for each in parts], "pinsets": [each["pinset"] for each in parts]}


def _one(kind: str, what: str) -> Json:
    return {f"{kind}s": [_parts(what)[kind]]}


ONE, FIVE, SIX = update(1), update(5), update(6)
NEWER = update(6, pinset_version=5)
BY_NEW_KEY = update(6, pinset_key=NEW_PINSET_KEY)
ROTATED = root_envelope(2, roles=_pinset())
ROTATED_STAMP = root_envelope(2, roles=_timestamp())
SIXTH = held("1.6", "1.6")

CACHE = [
    case("a pair that verifies comes into force", "C1", embed(), load(FIFTH, **_kept(FIVE))),
    case("an empty cache is no news", "C1", embed(), load(EMPTY)),
    case("times never refuse on load: a stale pair is in force", "V9", embed(),
         load(held("1.5", "1.5", state="stale"), now=at(days=3), **_kept(FIVE))),
    case("times never refuse on load: an expired pair is in force", "V9", embed(),
         load(held("1.5", "1.5", state="expired"), now=at(days=30), **_kept(FIVE))),
    case("times never refuse on load: the longest life is for new documents", "V10", embed(),
         load(FIRST, **_kept(update(1, pinset={"expires": at(days=91)}, timestamp={"expires": at(days=8)})))),
    case("an expired root does not refuse what is loaded", "V9",
         embed(spell(root_envelope(expires=at(days=1))).decode()), load(FIFTH, now=at(days=2), **_kept(FIVE))),
    case("a pair by strangers is passed over", "C1", embed(),
         load(EMPTY, **_kept(update(5, timestamp_key=STRANGER, pinset_key=STRANGER))), accept(named("update 1"))),
    case("a pair of another authority is passed over", "C1", embed(),
         load(EMPTY, **_kept(update(5, timestamp={"authority": "vectors-ffffffffffffffff"},
                                    pinset={"authority": "vectors-ffffffffffffffff"}))), accept(named("update 1"))),
    case("a pair of another name is passed over", "C1", embed(),
         load(EMPTY, **_kept(update(5, timestamp={"name": "app2"}, pinset={"name": "app2"}))),
         accept(named("update 1"))),
    case("a pin set that no client may honour is passed over", "C1", embed(),
         load(EMPTY, **_kept(update(5, pinset={"hosts": [host(backups=[])]})))),
    case("a pair of another epoch is passed over, and sets no floor", "C2", embed(),
         load(EMPTY, **_kept(update(5, timestamp={"epoch": 2}, pinset={"epoch": 2}))), accept(named("update 1"))),
    case("a timestamp alone is not in force, and sets the floor", "C2", embed(),
         load(EMPTY, **_one("timestamp", FIVE)), refuse(named("update 1"), BACK, "V6"), accept(SIX, SIXTH)),
    case("a pin set alone is not in force, and sets the floor", "C2", embed(),
         load(EMPTY, **_one("pinset", FIVE)), refuse(named("update 1"), BACK, "V7"), accept(SIX, SIXTH)),
    case("a timestamp and a pin set that it does not name are not a pair", "V10", embed(),
         load(EMPTY, timestamps=[_parts(SIX)["timestamp"]], pinsets=[_parts(FIVE)["pinset"]])),
    case("a pin set with the right version and other bytes is not the one named", "V10", embed(),
         load(EMPTY, timestamps=[_parts(FIVE)["timestamp"]],
              pinsets=[_parts(update(5, pinset={"hosts": []}))["pinset"]])),
    case("a loaded document of the same version with other bytes is equivocation", "C2", embed(),
         load(EMPTY, **_one("pinset", FIVE)),
         refuse(update(5, pinset={"hosts": []}), "EquivocationError", "V7")),
    case("of two contents for one version the one seen first stays the measure", "C2", embed(),
         accept(named("update 5"), FIFTH), load(FIFTH, **_kept(update(5, pinset={"hosts": []}))),
         accept(named("update 5"), FIFTH)),
    case("a timestamp of the version held does not bring another pin set into force", "C2", embed(),
         accept(named("update 5"), FIFTH), load(FIFTH, **_kept(update(5, pinset_version=6)))),
    case("the highest pair wins, whatever the order", "C2", embed(), load(SIXTH, **_kept(ONE, SIX, FIVE))),
    case("a lower pair changes nothing about what is held", "C2", embed(), accept(SIX, SIXTH),
         load(SIXTH, **_kept(FIVE))),
    case("a higher pair raises what is held", "C2", embed(), accept(named("update 1")), load(SIXTH, **_kept(SIX))),
    case("the same pair again is no news", "C2", embed(), accept(SIX, SIXTH), load(SIXTH, **_kept(SIX))),
    case("a newer timestamp for the pin set held raises the pair", "C2", embed(), accept(named("update 5"), FIFTH),
         load(held("1.6", "1.5"), **_kept(NEWER))),
    case("a newer timestamp does not bring an older pin set back", "C2", embed(), accept(named("update 5"), FIFTH),
         load(FIFTH, **_kept(update(9, pinset_version=4))), refuse(SIX, BACK, "V6", FIFTH)),
    case("an older timestamp does not bring a newer pin set into force", "C2", embed(),
         accept(named("update 5"), FIFTH), load(FIFTH, **_kept(update(4, pinset_version=9))),
         refuse(SIX, BACK, "V7", FIFTH), accept(update(9), held("1.9", "1.9"))),
    case("the issue of a loaded document pushes the clock", "V9", embed(),
         load(EMPTY, **_one("timestamp", update(5, timestamp={"issued": at(hours=24)}))),
         refuse(update(6, timestamp={"expires": at(hours=24)}), LATE, "V5"),
         accept(update(6, timestamp={"expires": at(hours=24, seconds=1)}), SIXTH)),
    case("a kept root that follows is a link of the chain", "C1", embed(),
         load(held("1.5", "1.5", root=3), roots=[root_envelope(2), root_envelope(3)], **_kept(FIVE))),
    case("kept roots before the embedded one are passed over", "C1", embed(spell(root_envelope(2)).decode()),
         load(held("1.5", "1.5", root=3), roots=[root_envelope(1), root_envelope(2), root_envelope(3)],
              **_kept(FIVE))),
    case("a kept root that does not follow is passed over", "C1", embed(),
         load(FIFTH, roots=[root_envelope(3), root_envelope(2, signers=[STRANGER])], **_kept(FIVE))),
    case("a pair that an older root vouches for is not in force, and sets the floors", "C2", embed(),
         load(held(None, None, root=2), roots=[root_envelope(2, roles={**_pinset(), **_timestamp()})], **_kept(FIVE)),
         refuse(update(5, pinset_key=NEW_PINSET_KEY, timestamp_key=NEW_TIMESTAMP_KEY,
                       timestamp={"expires": at(days=2)}),
                "EquivocationError", "V6", held(None, None, root=2)),
         refuse(update(6, pinset_version=4, pinset_key=NEW_PINSET_KEY, timestamp_key=NEW_TIMESTAMP_KEY), BACK, "V7",
                held(None, None, root=2)),
         accept(update(6, pinset_key=NEW_PINSET_KEY, timestamp_key=NEW_TIMESTAMP_KEY), held("1.6", "1.6", root=2))),
    case("a pin set whose timestamp only an older root vouches for is in force, and stale", "V10", embed(),
         load(held(None, "1.5", root=2, state="stale"), roots=[ROTATED_STAMP], **_kept(FIVE))),
    case("a higher pair that only an older root vouches for does not push out the one in force", "C2", embed(),
         accept(update(6, roots=[ROTATED], pinset_key=NEW_PINSET_KEY), held("1.6", "1.6", root=2)),
         load(held("1.6", "1.6", root=2), **_kept(update(9))),
         refuse(update(7, pinset_key=NEW_PINSET_KEY), BACK, "V6", held("1.6", "1.6", root=2))),
    case("of two kept pairs the one that the newest root vouches for comes into force", "C2", embed(),
         load(held("1.6", "1.6", root=2), roots=[ROTATED], **_kept(update(9), BY_NEW_KEY))),
    case("a higher timestamp that only an older root vouches for does not push out the one in force", "C2", embed(),
         accept(update(6, roots=[ROTATED_STAMP], timestamp_key=NEW_TIMESTAMP_KEY), held("1.6", "1.6", root=2)),
         load(held("1.6", "1.6", root=2), **_kept(update(9, pinset_version=6)))),
    case("of two kept timestamps for one pin set the one that the newest root vouches for comes into force", "C2",
         embed(), load(held("1.6", "1.6", root=2), roots=[ROTATED_STAMP],
                       **_kept(update(9, pinset_version=6), update(6, timestamp_key=NEW_TIMESTAMP_KEY)))),
    case("a pair of an epoch that a root left behind sets no floor", "C2", embed(),
         load(held(None, None, root=2), roots=[root_envelope(2, roles={
             "timestamp": timestamp_role(TIMESTAMP_KEY, epoch=2), "pinset": [grant(PINSET_KEY, epoch=2)]})],
              **_kept(FIVE)),
         accept(update(1, timestamp={"epoch": 2}, pinset={"epoch": 2}), held("2.1", "2.1", root=2))),
]  # fmt: skip

GROUPS = {
    "time": ("Both clocks, and the state that they choose (spec V9, state table).", inputs(**fragments(2)), TIME),
    "adoption": (
        "What a refused refresh leaves, and what a root drops (spec V10, C2).",
        inputs(**fragments(2), **fragments(6), **{"update 5": update(5)}),
        ADOPTION,
    ),
    "cache": (
        "What a cache may prove (spec C1, C2, V9, V10).",
        inputs(**fragments(2), **fragments(6), **{"update 5": update(5)}),
        CACHE,
    ),
}
