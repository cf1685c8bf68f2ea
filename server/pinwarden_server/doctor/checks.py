"""
What the doctor makes of the facts: a table of checks, each of which says ok, warn or bad, and what to do.

It may import the facts and the alerts. It does no I/O and reads no clock: the facts have their time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pinwarden_server.doctor import checks_keys, checks_machine, checks_store
from pinwarden_server.doctor.facts import Facts
from pinwarden_server.doctor.finding import Finding, Verdicts


@dataclass(frozen=True, slots=True)
class Check:
    """
    One row of docs/doctor.md.

    Attributes:
        judge: yields state, what was found, and what to do, once or more often.
        about, warns, fails: for the page: what it looks at, and when.
    """

    name: str
    judge: Callable[[Facts], Verdicts]
    about: str
    warns: str
    fails: str


CHECKS: tuple[Check, ...] = (
    Check(
        "database",
        checks_store.reachable,
        "Whether the database answers, takes writes, and has the schema of this version.",
        "",
        "It does not, or has another one. What needs it is not judged then.",
    ),
    Check(
        "durability",
        checks_store.durable,
        "SQLite: write-ahead log, local file system. PostgreSQL: `fsync`, `full_page_writes`, `synchronous_commit`.",
        "`synchronous_commit` is `off`: only what this program writes waits for the disk.",
        "A commit may be lost with the power, or locks may not hold.",
    ),
    Check(
        "clock",
        checks_store.clock,
        "This machine's clock against the database's, and against what was published.",
        "It is more than 5 seconds off.",
        "It is more than a minute off, or documents were issued in its future.",
    ),
    Check(
        "permissions",
        checks_machine.permissions,
        "Mode and owner of settings, keys, passphrase, tokens, database, published files and run folder.",
        "The first token still lies there; web servers of other users cannot read the published files.",
        "One of them is missing, belongs to a stranger, or is open to others.",
    ),
    Check(
        "expiries",
        checks_keys.expiries,
        "What is published: the root (60, 30, 14, 7 days), pin sets, timestamps.",
        "An alert of `/statusz`, or a pin set that ends within 3 days.",
        "A critical alert, or an end that is past.",
    ),
    Check(
        "tokens",
        checks_store.tokens,
        "The tokens of the API.",
        "One ends within 14 days, or no admin token is left.",
        "",
    ),
    Check(
        "signers",
        checks_keys.signers,
        "Opens each signer, and proves its pair; which keys the newest root needs.",
        "A key that the root does not name; nobody here can sign timestamps because no signer is set.",
        "A signer that cannot be opened, or fewer timestamp keys than the root demands.",
    ),
    Check(
        "published files",
        checks_store.tree,
        "Every published file against the database, byte for byte.",
        "",
        "One is missing, another one, or too many; or newer than a database that was restored.",
    ),
    Check("floors", checks_store.floors, "Whether names wait for a floor after a restore.", "", "They do."),
    Check(
        "network",
        checks_machine.network,
        "Where the server listens, and whose `X-Forwarded-*` it believes.",
        "It listens beyond this machine, and somebody promised a TLS proxy in front.",
        "It would listen beyond this machine without TLS, or believe anybody.",
    ),
    Check(
        "disk",
        checks_machine.disk,
        "Free space and free inodes wherever something of the server lies.",
        "Less than 10 % or 500 MB, or less than 10 % of the inodes.",
        "Less than 2 % or 50 MB, or less than 2 % of the inodes.",
    ),
    Check(
        "leftovers",
        checks_machine.leftovers,
        "Files that crashed publications and starts left.",
        "There are some that are older than an hour.",
        "",
    ),
    Check(
        "renewal",
        checks_store.renewal,
        "The lease that the renewing worker holds in the database.",
        "It ran out, or nobody holds it: nothing renews now.",
        "",
    ),
    Check(
        "workers",
        checks_machine.workers,
        "Asks `/readyz` at each address that a running server wrote down.",
        "None runs, or a component is not ok.",
        "An address does not answer.",
    ),
    Check(
        "audit log",
        checks_store.audit,
        "The whole chain, every checkpoint, and how long rows have waited for the next one.",
        "No checkpoint yet, or rows have waited for two intervals.",
        "A row or a checkpoint is not what was written.",
    ),
    Check(
        "backup",
        checks_machine.backup,
        "With `--backup`: a backup, or the newest one in a folder, read to its end.",
        "It is older than 26 hours, or none was named.",
        "It cannot be used, or is open to others.",
    ),
)


def examine(facts: Facts) -> list[Finding]:
    """Return what every check says about *facts*, in the order of the table; each says something."""
    return [Finding(check.name, *verdict) for check in CHECKS for verdict in check.judge(facts)]
