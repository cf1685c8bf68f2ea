"""
A root as people read it before they sign: a table, what changed, and the same as JSON.

It may import the documents, the lint and the difference. It prints nothing itself, and it shows keyids before names,
because only keyids are signed.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from pinwarden.documents import Grant, Role, Root
from pinwarden.strict_json import format_time
from pinwarden_keys.ceremony_files import RootDraft, spell_key
from pinwarden_keys.root_diff import differences, spell_life
from pinwarden_keys.root_lint import Finding
from pinwarden_keys.root_words import lines_of, words_of

_HEADINGS = ("role", "threshold", "epoch", "longest life", "keys, and names that nobody signs")


def digest_groups(payload: bytes) -> str:
    """Return the payload's SHA-256 in groups of four digits, to be read aloud."""
    digest = sha256(payload).hexdigest()
    return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))


def as_table(
    root: Root, payload: bytes, names: Mapping[str, str], findings: Sequence[Finding], *, previous: Root | None = None
) -> str:
    """Return *root* as lines of text, and what changed since *previous*; *names* maps keyids to people, unsigned."""
    first, *others = lines_of(sha256(payload).digest())
    return "\n".join(
        [
            f"root {root.version} of {root.authority}",
            f"  issued   {format_time(root.issued)}",
            f"  expires  {format_time(root.expires)} ({(root.expires - root.issued).days} days)",
            f"  digest   {digest_groups(payload)}",
            f"  words    {first}",
            *(f"           {line}" for line in others),
            "",
            *_aligned([_HEADINGS, *_rows(root, names)]),
            *_changed(root, previous, names),
            *(f"  {finding.code}: {finding.message}. {finding.hint}" for finding in findings),
        ]
    )


def as_json(
    draft: RootDraft, findings: Sequence[Finding], signed_by: Sequence[str], *, previous: Root | None
) -> dict[str, object]:
    """Return what :func:`as_table` shows of *draft*, and the keyids of the signatures present, as a JSON object."""
    root = draft.root
    changes = differences(previous, root, draft.names) if previous else ()
    return {
        "authority": root.authority,
        "version": root.version,
        "issued": format_time(root.issued),
        "expires": format_time(root.expires),
        "payload_sha256": draft.digest.hex(),
        "digest_words": list(words_of(draft.digest)),
        "signed_by": list(signed_by),
        "names": dict(draft.names),
        "roles": {
            "root": _members(root.root),
            "timestamp": _members(root.timestamp),
            "pinset": [{"names": list(grant.names), **_members(grant)} for grant in root.pinset],
        },
        "compared_with": previous and previous.version,
        "changes": [{"mark": change.mark, "what": change.text} for change in changes],
        "findings": [
            {"code": finding.code, "message": finding.message, "hint": finding.hint, "policy": finding.policy}
            for finding in findings
        ],
    }


def _changed(root: Root, previous: Root | None, names: Mapping[str, str]) -> list[str]:
    if previous is None:
        return []
    changes = [f"  {change}" for change in differences(previous, root, names)]
    return ["", f"changes since root {previous.version} of {previous.authority}", *changes]


def _rows(root: Root, names: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    roles: list[tuple[str, Role]] = [("root", root.root), ("timestamp", root.timestamp)]
    for name, role in [*roles, *((f"pinset {', '.join(grant.names)}", grant) for grant in root.pinset)]:
        epoch, life = _limits(role)
        keys = [spell_key(keyid, names) for keyid in role.keyids]
        cells = ("" if epoch is None else str(epoch), "" if life is None else spell_life(life))
        yield (name, f"{role.threshold} of {len(role.keyids)}", *cells, *keys[:1])
        yield from (("", "", "", "", key) for key in keys[1:])
    held = {keyid for _, role in roles for keyid in role.keyids} | {
        key for grant in root.pinset for key in grant.keyids
    }
    yield from (("no role", "", "", "", spell_key(keyid, names)) for keyid in root.keys if keyid not in held)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  " + "  ".join([*cells, *row[len(widths) :]]).rstrip()


def _limits(role: Role) -> tuple[int | None, int | None]:
    return getattr(role, "epoch", None), getattr(role, "max_lifetime_seconds", None)


def _members(role: Role | Grant) -> dict[str, object]:
    epoch, life = _limits(role)
    limits = {} if epoch is None else {"epoch": epoch, "max_lifetime_seconds": life}
    return {"keyids": list(role.keyids), "threshold": role.threshold, **limits}
