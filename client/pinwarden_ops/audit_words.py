"""
What a finding about an audit log means and what to do about it: one table, shown by the command and by docs/audit.md.

It may import the kinds of findings. It decides nothing.
"""

from pinwarden_ops.audit_judge import Kind
from pinwarden_ops.history_words import Words

MEANS: dict[Kind, Words] = {
    Kind.CHANGED: Words(
        "A row does not say any more what its hash was computed over: it was edited.",
        "Treat it as an incident. Compare the row with a backup, or with an export that somebody kept.",
    ),
    Kind.MISSING: Words(
        "Numbers are left out or come twice: rows were removed, added or moved. A filtered export looks the same.",
        "Verify the whole log, not a part of it. If that lacks rows too, treat it as an incident.",
    ),
    Kind.UNLINKED: Words(
        "A row is bound to another one than stands before it: one of the two was exchanged.",
        "Treat it as an incident. Compare both rows with a backup, or with an export that somebody kept.",
    ),
    Kind.SHORTENED: Words(
        "The log ends before a row that was signed once. Logs only grow.",
        "An export that is older than what this machine saw looks the same: export it anew. If the server was restored "
        "from a backup, see docs/backup.md; else treat it as an incident.",
    ),
    Kind.REWRITTEN: Words(
        "A row that was signed is another one now, and so may be every row before it. The log was written anew.",
        "Treat it as an incident: keep the evidence, and find the first row that differs from a backup.",
    ),
    Kind.RESTORED: Words(
        "Rows that were signed are gone, and the log itself says that a backup was brought back there.",
        "Ask who restored it and why; whatever happened between the backup and then is in no log. If that is settled, "
        "move this machine's memory away.",
    ),
    Kind.BACKDATED: Words(
        "Rows go back in time: the server's clock was set back, or rows got another time before they were signed.",
        "Ask what happened to the clock. If that is settled, verify from the row after it on with --after.",
    ),
    Kind.FORGED: Words(
        "A checkpoint is not by the keys that the root names, or names an older root than one before it. Somebody "
        "exchanged it, or signs with a key that was replaced.",
        "Treat it as an incident: the server's database or its key was in other hands.",
    ),
    Kind.REMOVED: Words(
        "A checkpoint that was seen before is gone from the server, though its log is long enough for it.",
        "Ask who removed it. What it proves is proved here all the same.",
    ),
    Kind.TWO_ENDS: Words(
        "The authority's keys signed two hashes for one row: there were two logs, or the one was written anew and "
        "signed again.",
        "Treat it as an incident: keep the evidence. Whoever did it had the timestamp key.",
    ),
    Kind.ROOTS: Words(
        "The server shows a root that does not follow this machine's own, so nothing that it signed counts.",
        "Compare root.json with the ceremony's. If it is the right one, treat it as an incident.",
    ),
}
