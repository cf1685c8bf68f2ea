"""
What a pin set says, apart from its version and its times: read by the rules of clients, compared, told as rows.

It may import layer 0's rules and ``change_review``. It touches no file, socket or clock.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pinwarden.documents import Host, PinSet
from pinwarden.errors import MalformedError
from pinwarden.strict_json import encode_base64
from pinwarden_ops.change_review import Row, content_difference

FIELDS = ("hosts", "deny", "on_stale", "report_to")
# A content alone is no document; what surrounds it here is never shown, compared or sent.
_FRAME = {
    "type": "pinset",
    "spec": "1.0",
    "authority": "no-authority-0000000000000000",
    "epoch": 1,
    "version": 1,
    "issued": "2000-01-01T00:00:00Z",
    "expires": "2000-01-02T00:00:00Z",
}


def parse_content(name: str, content: Mapping[str, Any]) -> PinSet:
    """
    Return the content as a pin set whose authority, version and times mean nothing.

    Raises:
        MalformedError: clients would refuse it; the message begins with the place, ``pinset.hosts[0].pins[1]``.
    """
    body = {field: content[field] for field in FIELDS if field in content}
    spelt = {**body, "hosts": _with_kinds(body["hosts"])} if "hosts" in body else body
    return PinSet.parse(json.dumps({**_FRAME, "name": name, **spelt}, default=_no_json).encode())


def is_same(one: PinSet, other: PinSet) -> bool:
    """Tell whether both say the same, in whatever order."""
    return _unordered(one) == _unordered(other)


def rows_between(before: PinSet | None, after: PinSet) -> list[Row]:
    """Return what changes: mark, host, words."""
    return list(content_difference(before, after))


def takes_away(before: PinSet | None, after: PinSet) -> bool:
    """Tell whether *after* pins a host less than *before* or not at all: such a change comes last."""
    return any(mark == "-" for mark, _, _ in rows_between(before, after)) if before else False


def to_json(content: PinSet) -> dict[str, Any]:
    """Return the fields of PUT that say this."""
    value = json.loads(content.encode())
    return {field: value[field] for field in FIELDS if field in value}


def row_lines(rows: list[Row], indent: str = "  ") -> Iterator[str]:
    """Yield rows as aligned lines."""
    width = max((len(host) for _, host, _ in rows), default=0)
    for mark, host, words in rows:
        yield f"{indent}{mark} {host.ljust(width)}  {words}"


def rows_json(rows: list[Row]) -> list[dict[str, str]]:
    """Return rows as JSON objects."""
    return [{"mark": mark, "host": host, "what": words} for mark, host, words in rows]


def _with_kinds(hosts: Any) -> Any:
    """Return *hosts* with the kind that PUT supposes where a pin says none; whatever is misshapen stays as it is."""
    if not isinstance(hosts, list):
        return hosts
    return [
        {
            field: [{"kind": "leaf", **pin} if isinstance(pin, dict) else pin for pin in value]
            if field in ("pins", "backups") and isinstance(value, list)
            else value
            for field, value in host.items()
        }
        if isinstance(host, dict)
        else host
        for host in hosts
    ]


def _unordered(content: PinSet) -> tuple[Any, ...]:
    hosts = {host.host: _unordered_host(host) for host in content.hosts}
    return hosts, frozenset(content.deny), content.on_stale, content.report_to


def _unordered_host(host: Host) -> tuple[Any, ...]:
    pins, backups = (
        frozenset((encode_base64(pin.sha256), pin.kind) for pin in some) for some in (host.pins, host.backups)
    )
    return pins, backups, host.mode, host.enforce_percent, host.on_expiry


def _no_json(value: object) -> Any:
    raise MalformedError("pinset has a date or time, and no field is one", got=repr(str(value)))
