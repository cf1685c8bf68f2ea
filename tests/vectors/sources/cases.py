"""
Cases as data: the life of a client, told as events, each with what a client does about it.

It may import ``author``. It never decides what is expected: whoever writes a case says that.
"""

import json
from typing import Any

from tests.vectors.sources.author import (
    KEYS,
    NAME,
    NOW,
    PINSET_KEY,
    PINSET_TYPE,
    ROLES,
    ROOT_KEYS,
    ROOT_TYPE,
    TIMESTAMP_KEY,
    TIMESTAMP_TYPE,
    Json,
    ThrowawayKey,
    b64,
    host,
    root_envelope,
    spell,
    update,
)


def held(
    timestamp: str | None = None, pinset: str | None = None, root: int = 1, state: str | None = None
) -> dict[str, object]:
    """Return what a client trusts, as cases state it; the state is *fresh* or *empty* unless it is named."""
    return {
        "state": state or ("fresh" if pinset else "empty"),
        "root": root,
        "timestamp": timestamp,
        "pinset": pinset,
    }


EMPTY = held()
FIRST = held("1.1", "1.1")


def given(text: object) -> Json:
    """Return an input as cases carry it: text, bytes in base64, pieces, or the name of an input of the same file."""
    if isinstance(text, dict):
        return text
    if isinstance(text, bytes):
        return {"base64": b64(text)}
    return {"text": text}


def named(name: str) -> Json:
    """Return a reference to an input of the same file."""
    return {"named": name}


def embed(root: object = None, pinset: str = NAME) -> Json:
    """The application is built with this root, for this pin set."""
    return {"embed": named("root 1") if root is None else given(root), "pinset": pinset}


def refuse_embed(root: object, error: str, step: str, pinset: str = NAME) -> Json:
    """The application cannot be built with this root."""
    return {**embed(root, pinset), "expect": {"result": "refuse", "error": error, "step": step}}


def accept(what: object, then: Json = FIRST, *, now: str = NOW, kind: str = "refresh") -> Json:
    """A bundle (or, by *kind*, a root or a cache) is accepted; *then* is trusted."""
    return {"now": now, kind: given(what), "expect": {"result": "accept", "then": then}}


def refuse(what: object, error: str, step: str, then: Json = EMPTY, *, now: str = NOW, kind: str = "refresh") -> Json:
    """A bundle is refused by *step*; *then* is trusted."""
    return {
        "now": now,
        kind: given(what),
        "expect": {"result": "refuse", "error": error, "step": step, "then": then},
    }


def load(then: Json, *, now: str = NOW, roots: Any = (), timestamps: Any = (), pinsets: Any = ()) -> Json:
    """A cache with these envelopes is read; *then* is trusted."""
    lists = {"roots": roots, "timestamps": timestamps, "pinsets": pinsets}
    kept = {kind: [given(spell(each).decode()) for each in envelopes] for kind, envelopes in lists.items()}
    return {"now": now, "load": kept, "expect": {"result": "accept", "then": then}}


def look(now: str, then: Json) -> Json:
    """Time has passed, nothing else happened."""
    return {"now": now, "expect": {"result": "accept", "then": then}}


def case(name: str, step: str, *events: Json, **marks: object) -> Json:
    """Return one case: *name* says what it shows, *step* is the step of docs/spec.md that it is about."""
    return {"name": name, "step": step, "events": list(events), **marks}


def once(name: str, step: str, what: object, error: str | None = None, by: str | None = None, **more: Any) -> Json:
    """Return the case of a new client that gets one bundle: accepted, or refused with *error* by *by* (or *step*)."""
    then, now = more.pop("then", None), more.pop("now", NOW)
    root = more.pop("root", None)
    if error is None:
        event = accept(what, then or FIRST, now=now)
    else:
        event = refuse(what, error, by or step, then or EMPTY, now=now)
    return case(name, step, embed(root), event, **more)


def second(name: str, step: str, what: object, error: str | None = None, **more: Any) -> Json:
    """Return the case of a client that holds version 1 and gets a second bundle."""
    then, now = more.pop("then", None), more.pop("now", NOW)
    if error is None:
        event = accept(what, then or held("1.2", "1.2"), now=now)
    else:
        event = refuse(what, error, step, then or FIRST, now=now)
    return case(name, step, embed(), accept(named("update 1")), event, **more)


def next_root(name: str, step: str, root: Json, error: str | None = None, by: str | None = None, **marks: Any) -> Json:
    """Return the case of a client that holds version 1 and gets *root* with the next documents."""
    what = update(2, roots=[root])
    event = refuse(what, error, by or step, FIRST) if error else accept(what, held("1.2", "1.2", root=2))
    return case(name, step, embed(), accept(named("update 1")), event, **marks)


def inputs(**more: object) -> Json:
    """Return the inputs that most files name."""
    common = {
        "root 1": spell(root_envelope()).decode(),
        "update 1": update(),
        "keys": spell(KEYS).decode(),
        "roles": spell(ROLES).decode(),
        "hosts": spell([host()]).decode(),
        "pin set signed": _signed_by(PINSET_TYPE, PINSET_KEY),
        "timestamp signed": _signed_by(TIMESTAMP_TYPE, TIMESTAMP_KEY),
        "root signed": _signed_by(ROOT_TYPE, ROOT_KEYS[0]),
    }
    return {name: given(text) for name, text in {**common, **more}.items()}


def _signed_by(payload_type: str, key: ThrowawayKey) -> str:
    """Return what stands between payload and signature in nearly every envelope."""
    return f',"payloadType":"{payload_type}","signatures":[{{"keyid":"{key.keyid}","sig":"'


def fragments(version: int) -> Json:
    """Return the two documents of an update, which inputs that contain them then only name."""
    parts = json.loads(update(version))
    return {f"{kind} {version}": spell(parts[kind]).decode() for kind in ("timestamp", "pinset")}
