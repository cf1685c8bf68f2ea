"""
What a lower number of approvals leaves waiting: changes that go on needing as many as when they were proposed.

It may import the store, and the difference that a preview shows. It changes nothing; whoever lowers a number, and
whoever approves that, sees what they do not let loose.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pinwarden.documents import PinSet
from pinwarden_server.policies import lowered
from pinwarden_server.preview import difference
from pinwarden_server.site import Site
from pinwarden_server.store import ChangeRow

MOST = 20  # that are told, the newest; each of them is a document to read
_HOSTS = {"hosts_added": "added", "hosts_removed": "removed", "hosts_changed": "changed"}


def left_waiting(site: Site, policy: ChangeRow, now: datetime) -> list[dict[str, Any]]:
    """
    Return the changes that wait for more approvals than *policy* would require, the newest first.

    Empty for every other change, and for one that does not wait any more.
    """
    if not policy.is_policy or policy.state_at(now) != "waiting":
        return []
    number, current = lowered(policy).approvals_required, site.store.reader.current(policy.name)
    before = PinSet.parse(current.pinset.payload)
    listed = site.store.reader.changes(name=policy.name, state="waiting", now=now)
    left = [row for row in listed if not row.is_policy and row.approvals_required > number]
    return [_line(site, row.id, before) for row in left[:MOST]]


def _line(site: Site, number: int, before: PinSet) -> dict[str, Any]:
    row = site.store.reader.change(number)
    return {
        "id": row.id,
        "name": row.name,
        "action": row.action,
        "actor": row.actor,
        "owner": row.owner,
        "reason": row.reason,
        "approvals": f"{len(row.approvers)} of {row.approvals_required} approvals",
        "what": ", ".join(_words(difference(before, PinSet.parse(row.payload)))) or "the same content",
    }


def _words(differs: dict[str, Any]) -> Iterator[str]:
    """Yield in words how much differs; a pin set may have 2,000 hosts."""
    for field, done in _HOSTS.items():
        if count := len(differs[field]):
            yield f"{count} host{'s' * (count > 1)} {done}"
    if differs["deny_added"] or differs["deny_removed"]:
        yield "deny changed"
    yield from (f"{field} changed" for field in differs["fields"])
