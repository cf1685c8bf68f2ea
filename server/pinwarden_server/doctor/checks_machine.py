"""Checks of files, network, disks, processes and backups. It may import the facts and the settings.

Each is a row of the table in ``checks``, which says what it looks at and when it warns. None does I/O.
"""

import shlex
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from pinwarden.strict_json import format_time
from pinwarden_server.doctor.facts import Facts
from pinwarden_server.doctor.facts_machine import SECRET, FileFact
from pinwarden_server.doctor.finding import BAD, OK, WARN, State, Verdicts
from pinwarden_server.settings import is_loopback

MEGABYTE = 1_000_000
BACKUP_AGE = timedelta(hours=26)
# Shares and bytes below which a disk is worth a warning, and below which it is bad.
FREE = ((0.10, 500 * MEGABYTE), (0.02, 50 * MEGABYTE))
_READ_AND_ENTER = 0o005


def permissions(facts: Facts) -> Verdicts:
    wrong = [verdict for fact in facts.files if (verdict := _permission(fact))]
    yield from wrong
    tree = next((fact for fact in facts.files if fact.what == "published files"), None)
    if tree is not None and tree.mode is not None and tree.mode & _READ_AND_ENTER != _READ_AND_ENTER:
        yield (
            WARN,
            f"{tree.path} has mode {tree.mode:04o}: a web server of another user cannot serve it",
            f"If one should: chmod 0755 {tree.path}.",
        )
    elif not wrong:
        yield OK, f"{len(facts.files)} files and folders are the server's own", ""
    token = next((fact for fact in facts.files if fact.what == "first token"), None)
    if token is not None:
        yield WARN, f"the first token still lies in {token.path}", "Delete it once other tokens exist, and revoke it."


def _permission(fact: FileFact) -> tuple[State, str, str] | None:
    named = f"{fact.what} {fact.path}"
    if fact.mode is None:
        return BAD, f"{named} is missing, or this user may not look at it", "Put it back, or ask as the server's user."
    if fact.owner not in fact.allowed:
        users = " or ".join(map(str, sorted(fact.allowed)))
        return BAD, f"{named} belongs to user {fact.owner}", f"Give it to user {users}: chown."
    if fact.mode & fact.forbidden:
        what = "open to others" if fact.forbidden == SECRET else "writable by others"
        closed = fact.mode & ~fact.forbidden
        return BAD, f"{named} is {what}: mode {fact.mode:04o}", f"chmod {closed:04o} {fact.path}"
    return None


def network(facts: Facts) -> Verdicts:
    settings, wrong = facts.settings, False
    beyond = [address for address in settings.bind if not is_loopback(address)]
    for option, value in _gunicorn_options(facts.gunicorn):
        if option == "--forwarded-allow-ips" and not all(is_loopback(f"{each.strip()}:0") for each in value.split(",")):
            wrong = True
            says = f"GUNICORN_CMD_ARGS makes the server believe X-Forwarded-* of {value}"
            yield BAD, says, "Take it out: the server believes its own machine, and no other."
        elif option in ("--bind", "-b"):
            beyond += [] if is_loopback(value) else [value]
    if beyond and not settings.tls_terminated_in_front:
        says = f"it would listen beyond this machine without TLS: {', '.join(beyond)}"
        yield BAD, says, "Bind to 127.0.0.1 or a Unix socket, behind a TLS proxy. The server refuses to start so."
    elif beyond:
        says = f"it listens beyond this machine on {', '.join(beyond)}, and a TLS proxy was promised in front"
        yield WARN, says, "See to it that nobody but the proxy reaches it: admin tokens travel there in the clear."
    elif not wrong:
        yield OK, f"it listens on {', '.join(settings.bind)} alone", ""


def _gunicorn_options(text: str) -> Iterator[tuple[str, str]]:
    """Yield option and value of what GUNICORN_CMD_ARGS says, in both of its spellings."""
    for word, following in pairwise([*shlex.split(text), ""]):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            yield option, value if equals else following


def disk(facts: Facts) -> Verdicts:
    for fact in facts.disks:
        free = f"{fact.free_bytes // MEGABYTE:,} MB ({fact.free_share:.0%}) free"
        inodes = 1.0 if fact.free_inodes is None else fact.free_inodes
        states = [
            state
            for state, (share, least) in zip((WARN, BAD), FREE, strict=True)
            if (fact.free_share < share and fact.free_bytes < 20 * least) or fact.free_bytes < least or inodes < share
        ]
        says = f"{fact.what} at {fact.path}: {free}, {inodes:.0%} of the inodes"
        yield (states[-1], says, "Free space: a full disk stops publications.") if states else (OK, says, "")


def leftovers(facts: Facts) -> Verdicts:
    if facts.leftovers:
        says = f"{len(facts.leftovers)} files that a crash left: {', '.join(facts.leftovers[:3])}"
        yield WARN, says, "The next start of the server removes what it made; look at its log for the crash."
    else:
        yield OK, "none", ""


def workers(facts: Facts) -> Verdicts:
    if not facts.workers:
        yield WARN, "no server runs with these settings", "Start it: `pinwarden server run`, or its systemd unit."
    for fact in facts.workers:
        if fact.components is None:
            yield BAD, f"{fact.address} does not answer: {fact.trouble}", "Look at the server's log."
            continue
        wrong = [f"{name} {word}" for name, word in fact.components.items() if word != "ok"]
        if wrong:
            yield WARN, f"{fact.address} answers: {', '.join(wrong)}", "docs/server.md says what each word means."
        else:
            yield OK, f"{fact.address} answers, and all its components are ok", ""


def backup(facts: Facts) -> Verdicts:
    found = facts.backup
    if found is None:
        yield WARN, "none was named: --backup FILE or FOLDER", "docs/backup.md says how to make one each hour."
        return
    if found.made_at is None:
        yield BAD, f"{found.path} cannot be used: {found.trouble}", "Make another one at once; docs/backup.md says how."
        return
    age = facts.now - found.made_at
    if found.mode & SECRET:
        yield BAD, f"{found.path} is open to others: mode {found.mode:04o}", f"chmod 0600 {found.path}"
    if age > BACKUP_AGE:
        yield (
            WARN,
            f"{found.path} is {age.days} days and {age.seconds // 3600} hours old",
            "See why none was made since.",
        )
    elif not found.mode & SECRET:
        yield OK, f"{found.path} is whole, and of {format_time(found.made_at)}", ""
