"""
A review as a person reads it, and the same as JSON. It may import click and layer 0.

Whatever a server or a colleague wrote is shown as a claim, on one line, without control characters.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pinwarden.answer import printable
from pinwarden.strict_json import format_time
from pinwarden_ops.change_review import Review
from pinwarden_ops.change_source import InForce


def as_lines(review: Review, in_force: InForce) -> list[str]:
    """Return what is to be signed as lines of text: all of it was computed or verified on this machine."""
    document, root = review.document, in_force.state.root
    base = f"{review.base.epoch}.{review.base.version}" if review.base else "nothing: this creates the pin set"
    days = (document.expires - document.issued).days
    if review.is_preliminary:
        lines = [
            f"pin set {document.name}, the next version, of {document.authority}",
            f"  replaces  {base}",
            f"  lives     {days} days from its publication on",
            f"  digest    {digest_groups(review.payload)}",
            "  signed    by the server, once it is approved",
            "",
        ]
    else:
        lines = [
            f"pin set {document.name} {review.version} of {document.authority}",
            f"  replaces  {base}",
            f"  issued    {format_time(document.issued)}",
            f"  expires   {format_time(document.expires)} ({days} days)",
            f"  digest    {digest_groups(review.payload)}",
            f"  signed    {review.tally()}, as root {root.version} counts",
            "",
        ]
    width = max((len(host) for _, host, _ in review.rows), default=0)
    return lines + [f"  {mark} {host.ljust(width)}  {words}" for mark, host, words in review.rows]


def claims(change: Mapping[str, Any]) -> list[str]:
    """Return what the server says besides the payload, marked as what it is."""
    said = {"proposed by": change.get("actor"), "reason": change.get("reason")}
    lines = [f"  claimed {name}: {printable(str(value))}" for name, value in said.items() if value]
    if forced := change.get("forced"):
        lines.append(f"  claimed to be forced over lint: {printable(', '.join(map(str, forced)))}")
    lines += [f"  claimed approvals: {words}" for words in approvals_claimed(change)]
    if words := approved_claimed(change):
        lines.append(f"  claimed to have {words}")
    if not_before := change.get("not_before"):
        lines.append(f"  claimed to wait for {printable(str(not_before))}")
    if blocked := change.get("blocked"):
        lines.append(f"  claimed to be blocked: {printable(str(blocked))}")
    return lines


def awaited(change: Mapping[str, Any]) -> str:
    """Return what a change waits for, in words, as the server says: signatures, approvals, its time."""
    given = change.get("waiting_for")
    kinds = given if isinstance(given, list) and given else ["signatures"] if given is None else []
    words = {"approvals": approved_claimed(change), "time": f"its time, {printable(str(change.get('not_before')))}"}
    return " and ".join(words.get(kind) or printable(str(kind)) for kind in kinds) or "the next look of the server"


def approved_claimed(change: Mapping[str, Any]) -> str:
    """Return how many people approved it and how many have to, as the server says; empty where nobody has to."""
    found = change.get("approved")
    if not isinstance(found, dict) or not (found.get("required") or found.get("given")):
        return ""
    people = found.get("given")
    owners = [str(each.get("owner")) for each in people if isinstance(each, dict)] if isinstance(people, list) else []
    return printable(str(found.get("says")) + (f" ({', '.join(owners)})" if owners else ""))


def approvals_claimed(change: Mapping[str, Any]) -> list[str]:
    """Return how far the approvals for each signer process are, as the server says; nobody can verify that here."""
    found = change.get("approvals")
    rows = found if isinstance(found, list) else []
    return [printable(str(row.get("says"))) for row in rows if isinstance(row, dict)]


def as_json(number: int, review: Review) -> dict[str, Any]:
    """Return what :func:`as_lines` shows as a JSON object."""
    document = review.document
    return {
        "change": number,
        "authority": document.authority,
        "name": document.name,
        "version": review.version,
        "replaces": f"{review.base.epoch}.{review.base.version}" if review.base else None,
        "issued": format_time(document.issued),
        "expires": format_time(document.expires),
        "payload_sha256": sha256(review.payload).hexdigest(),
        "tally": review.tally(),
        "signed": list(review.signed),
        "difference": [{"mark": mark, "host": host, "what": words} for mark, host, words in review.rows],
        "warnings": list(review.warnings),
    }


def digest_groups(payload: bytes) -> str:
    """Return the payload's SHA-256 in groups of four digits, to be read aloud."""
    digest = sha256(payload).hexdigest()
    return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))
