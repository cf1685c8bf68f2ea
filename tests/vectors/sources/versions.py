"""Epochs, versions and references: what a timestamp and a pin set may say about each other (spec V6, V7)."""

from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    PINSET_KEY,
    PINSET_TYPE,
    ROOT_KEYS,
    TIMESTAMP_KEY,
    TIMESTAMP_TYPE,
    Json,
    at,
    b64,
    bundle,
    envelope,
    grant,
    host,
    pin,
    pinset_payload,
    root_envelope,
    spell,
    timestamp_payload,
    timestamp_role,
    update,
)
from tests.vectors.sources.cases import (
    accept,
    case,
    embed,
    fragments,
    held,
    inputs,
    named,
    once,
    refuse,
    second,
)

BACK, BAD, APART, TWO = "RollbackError", "MalformedError", "StaleError", "EquivocationError"
FIFTH = held("1.5", "1.5")


def _fifth(name: str, step: str, what: object, error: str | None = None, then: Json = FIFTH, **more: Any) -> Json:
    """A client that holds version 5 gets another bundle."""
    event = refuse(what, error, step, then, **more) if error else accept(what, then, **more)
    return case(name, step, embed(), accept(named("update 5"), FIFTH), event)


def _epoch_root(version: object = 2, *, timestamp: int = 1, pinset: int = 1) -> Json:
    roles = {
        "timestamp": timestamp_role(TIMESTAMP_KEY, epoch=timestamp),
        "pinset": [grant(PINSET_KEY, epoch=pinset)],
    }
    return root_envelope(version, roles=roles)


SAME = spell(pinset_payload(5))

TIMESTAMPS = [
    once("a timestamp of a later epoch than its role's is refused", "V6", update(1, timestamp={"epoch": 2}), BACK),
    case("a timestamp of an earlier epoch than its role's is refused", "V6",
         embed(spell(_epoch_root(1, timestamp=2)).decode()), refuse(named("update 1"), BACK, "V6")),
    _fifth("a timestamp may skip versions", "V6", update(9), then=held("1.9", "1.9")),
    _fifth("an older timestamp is refused", "V6", update(4, pinset_version=5), BACK),
    _fifth("an older timestamp is refused although it names a newer pin set", "V6",
           update(4, pinset_version=6), BACK),
    _fifth("the same timestamp again is accepted", "V6", named("update 5")),
    _fifth("the same version with other bytes is equivocation", "V6",
           update(5, timestamp={"expires": at(days=2)}), TWO),
    _fifth("the same version that names another pin set is equivocation", "V6", update(5, pinset_version=6), TWO),
    _fifth("the same payload with another signature is the same timestamp", "V6",
           bundle({**envelope(TIMESTAMP_TYPE, timestamp_payload(SAME, 5), ROOT_KEYS[0], TIMESTAMP_KEY)},
                  envelope(PINSET_TYPE, SAME, PINSET_KEY))),
    _fifth("a newer timestamp may name the same pin set", "V6", update(6, pinset_version=5), then=held("1.6", "1.5")),
    second("a timestamp may name an older root", "V6", update(2, roots=[root_envelope(2)]),
           then=held("1.2", "1.2", root=2)),
    second("a timestamp may name the newest root", "V6",
           update(2, roots=[root_envelope(2)], timestamp={"root": {"version": 2}}), then=held("1.2", "1.2", root=2)),
    second("a timestamp that names a root which did not come along is refused", "V6",
           update(2, timestamp={"root": {"version": 2}}), APART),
    second("roots up to the one that a timestamp names are not enough when one lacks", "V6",
           update(2, roots=[root_envelope(2)], timestamp={"root": {"version": 3}}), APART,
           then=held("1.1", "1.1", root=2)),
    once("a timestamp without a root is refused", "P4", update(1, timestamp={"root": ABSENT}), BAD),
    once("a root that is a number is refused", "P4", update(1, timestamp={"root": 1}), BAD),
    once("a root version of 0 is refused", "P4", update(1, timestamp={"root": {"version": 0}}), BAD),
    once("a root version that is true is refused", "P4", update(1, timestamp={"root": {"version": True}}), BAD),
    once("a timestamp that names no pin set is refused", "P4", update(1, timestamp={"pinset": ABSENT}), BAD),
    once("a reference that is text is refused", "P4", update(1, timestamp={"pinset": "1.1"}), BAD),
    once("a reference without an epoch is refused", "P4", update(1, ref={"epoch": ABSENT}), BAD),
    once("a reference without a version is refused", "P4", update(1, ref={"version": ABSENT}), BAD),
    once("a reference without a hash is refused", "P4", update(1, ref={"sha256": ABSENT}), BAD),
    once("a reference without a length is refused", "P4", update(1, ref={"length": ABSENT}), BAD),
    once("a length of 0 is refused", "P4", update(1, ref={"length": 0}), BAD),
    once("a length that is text is refused", "P4", update(1, ref={"length": "500"}), BAD),
    once("a hash of 31 bytes is refused", "P5", update(1, ref={"sha256": b64(b"h" * 31)}), BAD),
    once("a hash in hex is refused", "P5", update(1, ref={"sha256": (b"h" * 32).hex()}), BAD),
    once("an unknown member of a reference is ignored", "V6", update(1, ref={"note": 1})),
]  # fmt: skip

RAISED = [
    case("a raised epoch starts the versions of timestamps anew", "C2", embed(), accept(named("update 5"), FIFTH),
         accept(update(1, pinset_version=5, roots=[_epoch_root(timestamp=2)], timestamp={"epoch": 2}),
                held("2.1", "1.5", root=2))),
    case("a raised epoch starts the versions of pin sets anew", "C2", embed(), accept(named("update 5"), FIFTH),
         accept(update(6, pinset_version=1, roots=[_epoch_root(pinset=2)], pinset={"epoch": 2}),
                held("1.6", "2.1", root=2))),
    case("an epoch that skips numbers is raised too", "C2", embed(), accept(named("update 5"), FIFTH),
         accept(update(1, roots=[_epoch_root(timestamp=9, pinset=7)], timestamp={"epoch": 9}, pinset={"epoch": 7}),
                held("9.1", "7.1", root=2))),
    case("a document of the epoch before is refused, whatever its version", "V6",
         embed(), accept(named("update 5"), FIFTH),
         refuse(update(6, roots=[_epoch_root(timestamp=2)]), BACK, "V6",
                held(None, "1.5", root=2, state="stale"))),
    case("a pin set of the epoch before is refused, whatever its version", "V7",
         embed(), accept(named("update 5"), FIFTH),
         refuse(update(6, roots=[_epoch_root(pinset=2)]), BACK, "V7", held("1.5", None, root=2))),
    case("the epoch of timestamps is not the epoch of pin sets", "V7",
         embed(spell(_epoch_root(1, timestamp=2)).decode()),
         accept(update(1, timestamp={"epoch": 2}), held("2.1", "1.1"))),
    case("without a raised epoch a new key does not start the versions anew", "C2",
         embed(), accept(named("update 5"), FIFTH),
         refuse(update(4, roots=[root_envelope(2)]), BACK, "V6", held("1.5", "1.5", root=2))),
    case("a lowered epoch does not start the versions anew", "C2", embed(spell(_epoch_root(1, timestamp=2)).decode()),
         accept(update(1, timestamp={"epoch": 2}), held("2.1", "1.1")),
         refuse(update(9, roots=[_epoch_root(timestamp=1)]), BACK, "V6",
                held(None, "1.1", root=2, state="stale"))),
    case("a version that a thief burnt is left behind by raising the epoch", "C2", embed(),
         accept(update(2**53 - 1), held(f"1.{2**53 - 1}", f"1.{2**53 - 1}")),
         refuse(named("update 5"), BACK, "V6", held(f"1.{2**53 - 1}", f"1.{2**53 - 1}")),
         accept(update(1, roots=[_epoch_root(timestamp=2, pinset=2)], timestamp={"epoch": 2}, pinset={"epoch": 2}),
                held("2.1", "2.1", root=2))),
]  # fmt: skip

OTHER_HOSTS = {"hosts": [host(pins=[pin("of the attacker")])]}

PINSETS = [
    once("a pin set of a later epoch than its grant's is refused", "V7", update(1, pinset={"epoch": 2}), BACK),
    case("a pin set of an earlier epoch than its grant's is refused", "V7",
         embed(spell(_epoch_root(1, pinset=2)).decode()), refuse(named("update 1"), BACK, "V7")),
    _fifth("an older pin set is refused although a newer timestamp names it", "V7", update(6, pinset_version=4), BACK),
    _fifth("a pin set may skip versions", "V7", update(6, pinset_version=9), then=held("1.6", "1.9")),
    _fifth("the same version of a pin set with other bytes is equivocation", "V7",
           update(6, pinset_version=5, pinset=OTHER_HOSTS), TWO),
    _fifth("the same version with the same hosts and a longer life is equivocation", "V7",
           update(6, pinset_version=5, pinset={"expires": at(days=31)}), TWO),
    _fifth("the same version with a space in front is equivocation", "V7",
           update(6, pinset=b" " + SAME), TWO),
    once("a pin set of another version than the timestamp names is refused", "V7", update(1, ref={"version": 2}),
         APART),
    once("a pin set of another epoch than the timestamp names is refused", "V7", update(1, ref={"epoch": 2}), APART),
    once("a pin set of another length than the timestamp names is refused", "V7",
         update(1, ref={"length": len(spell(pinset_payload(1))) + 1}), APART),
    once("a pin set of another hash than the timestamp names is refused", "V7",
         update(1, ref={"sha256": b64(b"h" * 32)}), APART),
    once("a pin set that differs in one pin from the one that the timestamp names is refused", "V7",
         bundle(envelope(TIMESTAMP_TYPE, timestamp_payload(spell(pinset_payload())), TIMESTAMP_KEY),
                envelope(PINSET_TYPE, pinset_payload(**OTHER_HOSTS), PINSET_KEY)), APART),
    second("the pin set held already does not pass for the one that the timestamp names", "V7",
           update(2, pinset_version=1, ref={"version": 2}), APART),
    second("a pin set may be the same again under a newer timestamp", "V7", update(2, pinset_version=1),
           then=held("1.2", "1.1")),
]  # fmt: skip

GROUPS = {
    "timestamp_versions": (
        "Epoch, version and references of timestamps (spec V6, C2).",
        inputs(**fragments(2), **fragments(6), **{"update 5": update(5)}),
        [*TIMESTAMPS, *RAISED],
    ),
    "pinset_versions": (
        "Epoch, version and identity of pin sets (spec V7).",
        inputs(**fragments(2), **fragments(6), **{"update 5": update(5)}),
        PINSETS,
    ),
}
