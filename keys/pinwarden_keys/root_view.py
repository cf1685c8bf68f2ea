"""
A root as people read it before they sign: a table, and the same as JSON.

It may import the documents and the lint. It prints nothing itself, and it shows keyids beside names, because only
keyids are signed.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from pinwarden.documents import Grant, Role, Root
from pinwarden.strict_json import format_time
from pinwarden_keys.root_lint import Finding

_HEADINGS = ("role", "threshold", "epoch", "longest life", "keys")


def digest_groups(payload: bytes) -> str:
    """Return the payload's SHA-256 in groups of four digits, to be read aloud."""
    digest = sha256(payload).hexdigest()
    return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))


def as_table(root: Root, payload: bytes, names: Mapping[str, str], findings: Sequence[Finding]) -> str:
    """Return *root* as lines of text; *names* maps keyids to people and is not signed."""
    rows = [_HEADINGS, _row("root", root.root, names), _row("timestamp", root.timestamp, names)]
    rows += [_row(f"pinset {', '.join(grant.names)}", grant, names) for grant in root.pinset]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = [
        f"root {root.version} of {root.authority}",
        f"  issued   {format_time(root.issued)}",
        f"  expires  {format_time(root.expires)} ({(root.expires - root.issued).days} days)",
        f"  digest   {digest_groups(payload)}",
        "",
        *(
            "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
            for row in rows
        ),
    ]
    lines += [f"  {finding.code}: {finding.message}. {finding.hint}" for finding in findings]
    return "\n".join(lines)


def as_json(
    root: Root, payload: bytes, names: Mapping[str, str], findings: Sequence[Finding], signed_by: Sequence[str]
) -> dict[str, object]:
    """Return what :func:`as_table` shows, and the keyids of the signatures present, as a JSON object."""
    return {
        "authority": root.authority,
        "version": root.version,
        "issued": format_time(root.issued),
        "expires": format_time(root.expires),
        "payload_sha256": sha256(payload).hexdigest(),
        "signed_by": list(signed_by),
        "names": dict(names),
        "roles": {
            "root": _members(root.root),
            "timestamp": _members(root.timestamp),
            "pinset": [{"names": list(grant.names), **_members(grant)} for grant in root.pinset],
        },
        "findings": [
            {"code": finding.code, "message": finding.message, "hint": finding.hint, "policy": finding.policy}
            for finding in findings
        ],
    }


def _row(name: str, role: Role, names: Mapping[str, str]) -> tuple[str, ...]:
    keys = ", ".join(f"{names[keyid]} {keyid[:16]}" if keyid in names else keyid[:16] for keyid in role.keyids)
    epoch, life = _limits(role)
    return (
        name,
        f"{role.threshold} of {len(role.keyids)}",
        "" if epoch is None else str(epoch),
        "" if life is None else f"{life / 86400:g} days",
        keys,
    )


def _limits(role: Role) -> tuple[int | None, int | None]:
    return getattr(role, "epoch", None), getattr(role, "max_lifetime_seconds", None)


def _members(role: Role | Grant) -> dict[str, object]:
    epoch, life = _limits(role)
    limits = {} if epoch is None else {"epoch": epoch, "max_lifetime_seconds": life}
    return {"keyids": list(role.keyids), "threshold": role.threshold, **limits}
