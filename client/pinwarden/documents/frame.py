"""
What all three documents have in common: form, names, times (spec section 3, V5's first half).

It may import the gate, ``fields`` and ``errors``. It never judges what only one kind of document has.
"""

import re
from datetime import datetime
from typing import Any, Protocol

from pinwarden.envelope import PAYLOAD_LIMITS
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import format_time, parse_object

SPEC = "1.0"
_SPEC = re.compile(r"1\.[0-9]{1,4}", re.ASCII)
_AUTHORITY = re.compile(r"(?=.{8,64}\Z)[a-z0-9-]*[0-9a-f]{16}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class Common(Protocol):
    """The fields that every document has."""

    @property
    def authority(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def issued(self) -> datetime: ...
    @property
    def expires(self) -> datetime: ...


def open_payload(payload: bytes, payload_type: str, kind: str, *, step: str) -> Fields:
    """Return the fields of a payload of the type *kind* that this version understands; *step* names the judge."""
    fields = Fields(parse_object(payload, limit=PAYLOAD_LIMITS[payload_type], what=f"{kind} payload"), kind)
    if fields.text("type") != kind:
        raise MalformedError("document of the wrong type", expected=kind, got=repr(fields.text("type")), step=step)
    if _SPEC.fullmatch(fields.text("spec")) is None:
        raise MalformedError(
            f"{kind} follows another major version of the protocol",
            expected="1.x",
            got=repr(fields.text("spec")[:32]),
            hint="Update the client.",
            step=step,
        )
    unknown = fields.texts("crit", optional=True)
    if unknown:
        raise MalformedError(
            f"{kind} demands features that this client lacks", got=list(unknown), hint="Update the client.", step=step
        )
    return fields


def read_common(fields: Fields) -> dict[str, Any]:
    """Return authority, version, issued and expires."""
    authority = fields.text("authority")
    if _AUTHORITY.fullmatch(authority) is None:
        raise MalformedError(
            f"{fields.path}.authority is not an authority",
            expected="[a-z0-9-]{8,64} that ends in 16 hex digits",
            got=repr(authority[:80]),
            step="P4",
        )
    return {
        "authority": authority,
        "version": fields.integer("version"),
        "issued": fields.time("issued"),
        "expires": fields.time("expires"),
    }


def read_named(fields: Fields) -> dict[str, Any]:
    """Return name and epoch."""
    name = fields.text("name")
    if _NAME.fullmatch(name) is None:
        raise MalformedError(f"{fields.path}.name is not a pin set name", got=repr(name[:80]), step="P4")
    return {"name": name, "epoch": fields.integer("epoch")}


def common_json(document: Common) -> dict[str, object]:
    """Return the members that every payload has, but for its type."""
    return {
        "spec": SPEC,
        "authority": document.authority,
        "version": document.version,
        "issued": format_time(document.issued),
        "expires": format_time(document.expires),
    }


def check_name(name: str) -> str:
    """Return *name* when a pin set may have it; MalformedError otherwise."""
    if _NAME.fullmatch(name) is None:
        raise MalformedError("not a pin set name", expected="[a-z0-9][a-z0-9._-]{0,63}", got=repr(name[:80]))
    return name
