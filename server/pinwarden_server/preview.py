"""
What a draft would change, before anyone publishes it: lint, difference, and whom it reaches. It stores nothing.

It may import ``grounds`` and ``planning``. Whether a live host has a pinned key is not looked at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pinwarden.documents import Host, PinSet
from pinwarden.strict_json import encode_base64, format_time
from pinwarden.trust import MAX_CLOCK_SKEW
from pinwarden_server import rules
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Violation
from pinwarden_server.grounds import survey
from pinwarden_server.planning import draft_content, forced_codes, surroundings
from pinwarden_server.rivals import rival_warnings
from pinwarden_server.signing import check_content
from pinwarden_server.site import Site
from pinwarden_server.store import VersionRow
from pinwarden_server.tags import format_tag

SKEW: timedelta = MAX_CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class Preview:
    """
    Attributes:
        current: ``epoch.version`` in force, or None.
        findings: all of lint, and what waits for the same place already; *blocking* are those that would refuse the
            draft as it is.
        diff: hosts added, removed and changed, and the fields of the pin set that change.
        blast_radius: which versions clients may still hold, and which hosts those would disagree about.
    """

    name: str
    current: str | None
    findings: tuple[Violation, ...]
    blocking: tuple[Violation, ...]
    diff: dict[str, Any]
    blast_radius: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the admin API."""
        return {
            "name": self.name,
            "current": self.current,
            "publishable": not self.blocking,
            "violations": [finding.to_json() for finding in self.blocking],
            "warnings": [finding.to_json() for finding in self.findings if finding not in self.blocking],
            "diff": self.diff,
            "blast_radius": self.blast_radius,
        }


def preview(site: Site, name: str, draft: Draft, now: datetime) -> Preview:
    """
    Return what publishing *draft* as *name* would mean.

    Raises:
        BadDraft: clients would refuse its content. Conflict: no root grants the name. StoreUnavailable.
    """
    ground = survey(site, name)
    content = draft_content(site, ground, draft, now)
    findings = rules.lint(draft, surroundings(site, ground, content))
    forced = forced_codes(findings, draft.force) if draft.reason.strip() else ()
    blocking = tuple(found for found in findings if found.blocking and not (found.forceable and found.code in forced))
    if all(found.forceable for found in blocking):
        check_content(content)  # what nobody can force, clients refuse too, and lint says it in better words
    before = PinSet.parse(ground.current.pinset.payload) if ground.current else None
    held = site.store.reader.unexpired(name, now - SKEW)
    return Preview(
        name=name,
        current=format_tag(ground.tag) if ground.tag else None,
        findings=(*findings, *rival_warnings(site.store.reader.changes(name=name, state="waiting", now=now))),
        blocking=blocking,
        diff=difference(before, content),
        blast_radius=reach(held, content),
    )


def difference(before: PinSet | None, after: PinSet) -> dict[str, Any]:
    """Return what changes from *before* to *after*; versions and times are left out."""
    old = {host.host: host for host in before.hosts} if before else {}
    new = {host.host: host for host in after.hosts}
    deny = {encode_base64(pin) for pin in before.deny} if before else set()
    denied = {encode_base64(pin) for pin in after.deny}
    fields = ("on_stale", "report_to")
    return {
        "hosts_added": sorted(new.keys() - old.keys()),
        "hosts_removed": sorted(old.keys() - new.keys()),
        "hosts_changed": [
            _host_difference(old[host], new[host]) for host in sorted(new.keys() & old.keys()) if old[host] != new[host]
        ],
        "deny_added": sorted(denied - deny),
        "deny_removed": sorted(deny - denied),
        "fields": {
            field: {"from": getattr(before, field), "to": getattr(after, field)}
            for field in fields
            if before and getattr(before, field) != getattr(after, field)
        },
    }


def reach(held: list[VersionRow], after: PinSet) -> dict[str, Any]:
    """
    Return who holds something else: unexpired versions, and for each host those that share no pin with *after*.

    A host that switches to a key known only to *after* refuses the holders of these versions until they refresh.
    """
    apart: dict[str, list[str]] = {}
    documents = [(format_tag(row.tag), {host.host: _pins(host) for host in row.document().hosts}) for row in held]
    for host in after.hosts:
        versions = [tag for tag, hosts in documents if host.host in hosts and hosts[host.host].isdisjoint(_pins(host))]
        if versions:
            apart[host.host] = versions
    return {
        "unexpired_versions": [format_tag(row.tag) for row in held],
        "held_until": format_time(max(row.expires for row in held) + SKEW) if held else None,
        "hosts_without_common_pin": apart,
    }


def _host_difference(old: Host, new: Host) -> dict[str, Any]:
    fields = ("mode", "enforce_percent", "on_expiry")
    return {
        "host": new.host,
        "pins_added": sorted({str(pin) for pin in new.pins} - {str(pin) for pin in old.pins}),
        "pins_removed": sorted({str(pin) for pin in old.pins} - {str(pin) for pin in new.pins}),
        "backups_added": sorted({str(pin) for pin in new.backups} - {str(pin) for pin in old.backups}),
        "backups_removed": sorted({str(pin) for pin in old.backups} - {str(pin) for pin in new.backups}),
        "fields": {
            field: {"from": getattr(old, field), "to": getattr(new, field)}
            for field in fields
            if getattr(old, field) != getattr(new, field)
        },
    }


def _pins(host: Host) -> set[bytes]:
    return {pin.sha256 for pin in (*host.pins, *host.backups)}
