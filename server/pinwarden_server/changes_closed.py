"""
Why a change does not wait any more: what became of it, by whom and when, in one sentence.

It may import the store's values and the errors. It looks the change up again, because whoever asks lost a race and
knows only what it was; it changes nothing.
"""

import json
from datetime import datetime

from pinwarden.strict_json import format_time
from pinwarden_server.errors import ChangeClosed
from pinwarden_server.site import Site
from pinwarden_server.store import ChangeRow
from pinwarden_server.tags import format_tag

_WAYS_OUT = {
    "published": "Nothing is left to do; look at what is in force.",
    "review": "It is published; review it with POST /admin/v1/changes/{id}/review.",
    "rejected": "Propose it anew if the reason does not hold.",
    "stale": "Look at what is in force now, and propose the change again on top of it.",
    "expired": "Propose it again: nobody signed or approved it in time.",
}


def closed(site: Site, number: int, at: datetime) -> ChangeClosed:
    """
    Return the error of the change *number*, which does not wait any more at *at*, or not for what is in force.

    Raises:
        NotFound, StoreUnavailable: nobody can tell what became of it.
    """
    row = site.store.reader.change(number)
    state = row.state_at(at)
    if state == "waiting":
        state = "stale"  # nobody has written that down yet: what it was made for is not in force
    return ChangeClosed(
        f"change {number} does not wait any more: {_what_became(site, row, state)}",
        state=state,
        expected="a waiting change",
        got=state,
        hint=_WAYS_OUT[state],
    )


def _what_became(site: Site, row: ChangeRow, state: str) -> str:
    if state == "expired":
        return f"its time was over at {format_time(row.waits_until)}"
    if state == "stale":
        return _lowered_meanwhile(site, row) if row.is_policy else _published_meanwhile(site, row)
    deed = "rejected" if state == "rejected" else "carried out" if row.is_policy else "published"
    by_whom = f" by {row.closed_by} at {format_time(row.closed_at)}" if row.closed_at else ""
    return f"it was {deed}{by_whom}, {row.closed_reason!r}"


def _published_meanwhile(site: Site, row: ChangeRow) -> str:
    current = site.store.reader.find_current(row.name)
    if current is None or current.tag == row.base:
        return "the newest root begins another epoch, for which it was not made"
    made_for = f"was made to replace version {format_tag(row.base)}" if row.base else "was made to create the pin set"
    published = f"published by {current.actor} at {format_time(current.published_at)}"
    return f"it {made_for}, and version {format_tag(current.tag)} is in force, {published}"


def _lowered_meanwhile(site: Site, row: ChangeRow) -> str:
    replaces, required = json.loads(row.payload)["replaces"], site.store.reader.current(row.name).approvals_required
    return f"it was made to lower {replaces}, which somebody changed meanwhile; {required} are required now"
