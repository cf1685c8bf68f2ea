"""
What a publication would mean, as the server computes it, read with suspicion.

It may import layer 0 and this package. A preview stores nothing anywhere.
"""

from collections.abc import Mapping
from typing import Any

from pinwarden.answer import printable
from pinwarden.documents import check_name
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.errors import OpsConflict
from pinwarden_ops.writes import say_meanwhile

ANY: Any = object()


def ask_preview(api: AdminClient, name: str, body: Mapping[str, Any], *, replaces: str | None = ANY) -> dict[str, Any]:
    """
    Return the server's preview of *body*.

    Args:
        replaces: the version that has to be in force, None for no pin set at all; default: whichever.

    Raises:
        OpsConflict: another version is in force. MalformedError: the answer is no preview.
    """
    shown = api.ask("POST", f"/pinsets/{check_name(name)}/preview", body=body).value
    fields = Fields(shown, "answer")
    fields.get("publishable", bool)
    fields.get("violations", list)
    current = shown.get("current")
    if replaces is not ANY and current != replaces:
        say_meanwhile(api, name, replaces, current)
        raise OpsConflict(
            f"pin set {name!r} is not at the expected version",
            expected=replaces or "none",
            got=printable(str(current)) if current else "none",
            holds="Nothing was published.",
            hint="Look at what changed, and repeat on top of it.",
        )
    return shown


def reach_lines(preview: Mapping[str, Any]) -> list[str]:
    """Return whom a publication would reach."""
    reach = Fields(dict(preview), "answer").child("blast_radius")
    held, apart = reach.texts("unexpired_versions"), reach.get("hosts_without_common_pin", dict)
    lines = [f"clients may hold  {printable(', '.join(held)) or 'nothing'}"]
    if held:
        lines.append(f"held until        {printable(reach.text('held_until'))}")
    for host, versions in sorted(apart.items()):
        shown = ", ".join(map(str, versions)) if isinstance(versions, list) else "?"
        lines.append(f"no pin in common  {printable(host)} with {printable(shown)}: holders of these refuse a new key")
    return lines
