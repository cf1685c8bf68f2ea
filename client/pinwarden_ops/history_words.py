"""
What a finding means and what to do about it: one table, shown by the command and by docs/history.md alike.

It may import the kinds of findings. It decides nothing.
"""

from typing import NamedTuple

from pinwarden_ops.history_compare import Kind


class Words(NamedTuple):
    """What a finding means, and what to do about it."""

    means: str
    do: str


MEANS: dict[Kind, Words] = {
    Kind.EQUIVOCATION: Words(
        "One version was given out with two contents. If keys of the root signed both, someone else holds them, or a "
        "signer was made to sign twice; if not, somebody between you and the server changes what you see.",
        "Treat it as an incident: keep the evidence, raise the epoch by a new root (docs/incidents.md), and find out "
        "which hosts the unknown content pins.",
    ),
    Kind.FORKED: Words(
        "The two histories go on with different versions. One of them was made for somebody in particular.",
        "Compare both lists with the server's own audit log; whatever is not in that log did not happen there.",
    ),
    Kind.REWRITTEN: Words(
        "The same version stands in both lists with other facts about it. Entries never change.",
        "Ask whoever runs the server which of the two was published, and compare with the audit log.",
    ),
    Kind.SHORTENED: Words(
        "Versions that this machine saw are gone. An honest server never forgets one; one that was restored from a "
        "backup does.",
        "If the server was restored, follow docs/server.md, then move this machine's memory away. If not, treat it as "
        "an incident.",
    ),
    Kind.UNLISTED: Words(
        "Clients get a version that the history does not own up to.",
        "Keep the evidence and compare it with the audit log: a version that is not there was signed elsewhere.",
    ),
    Kind.WITHHELD: Words(
        "A newer version exists, and one place goes on showing an older one for longer than caches may.",
        "Look whether that place is a mirror that hangs; if it is the server itself, somebody keeps an update back.",
    ),
    Kind.ROLLBACK: Words(
        "The server offers a version older than one that this machine has verified. Clients refuse it.",
        "If the server was restored from a backup, raise its numbers (docs/backup.md); else treat it as an incident.",
    ),
    Kind.BROKEN: Words(
        "The history does not hang together: an entry was changed, moved, left out or added.",
        "Fetch it from another place as well. If it is broken there too, `pinwarden server publish-tree` writes it "
        "anew from the database.",
    ),
    Kind.REFUSED: Words(
        "Clients refuse what is served here, so they go on with what they have until that ends.",
        "Look at the reason and at the server's log; mend the server before documents expire.",
    ),
}
