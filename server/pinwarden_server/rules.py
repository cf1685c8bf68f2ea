"""
Lint: what a signed document may say and still should not.

It may import layer 0 and drafts; it opens nothing and asks no clock. A rule that blocks can be forced by its code with
a reason, which is audited; what clients refuse (spec V8) cannot be forced by anyone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from pinwarden.documents import Grant
from pinwarden.hosts import PatternIndex, canonical_host
from pinwarden.strict_json import encode_base64
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import LintRefused, Violation

DAY = 24 * 3600
SHORTEST_SECONDS = DAY
LONGEST_SECONDS = 90 * DAY


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a draft is judged against.

    Attributes:
        own_hosts: names under which clients reach this server.
        lifetime_seconds: how long the document would live.
        grant: what the root allows for this name.
    """

    own_hosts: tuple[str, ...]
    lifetime_seconds: int
    grant: Grant


def check(draft: Draft, around: Surroundings) -> tuple[Violation, ...]:
    """
    Return the findings that do not block: warnings, and those that the draft forces.

    Raises:
        LintRefused: findings that block and were not forced, or were forced without a reason.
    """
    return settle(lint(draft, around), draft.force, draft.reason)


def settle(findings: tuple[Violation, ...], force: Sequence[str], reason: str) -> tuple[Violation, ...]:
    """
    Return *findings* when none of them blocks, or all that do are forced by their codes with a reason.

    Raises:
        LintRefused: findings that block and were not forced, or were forced without a reason.
    """
    blocking = [finding for finding in findings if not _passes(finding, force, reason)]
    if blocking:
        forced = [finding for finding in blocking if finding.code in force]
        raise LintRefused(
            "lint refuses this draft" if not forced else "forcing needs a reason",
            expected="no blocking finding" if not forced else "a reason, which is audited",
            got=", ".join(dict.fromkeys(finding.code for finding in blocking)),
            violations=blocking,
            hint=_hint(blocking),
        )
    return findings


def lint(draft: Draft, around: Surroundings) -> tuple[Violation, ...]:
    """Return every finding, the blocking ones included, in order of their codes."""
    return tuple(finding for rule in RULES for finding in rule(draft, around))


def _passes(finding: Violation, force: Sequence[str], reason: str) -> bool:
    return not finding.blocking or (finding.forceable and finding.code in force and bool(reason.strip()))


def _hint(blocking: Sequence[Violation]) -> str:
    codes = list(dict.fromkeys(finding.code for finding in blocking if finding.forceable))
    if not codes:
        return "Correct the draft; none of this can be forced."
    return f'Correct the draft, or publish with "force": {codes} and a "reason"; both are audited.'.replace("'", '"')


def _no_backup(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for number, host in enumerate(draft.hosts):
        if not host.backups:
            yield Violation(
                "PIN001",
                f"/hosts/{number}/backups",
                f"{host.host} has no backup pin",
                "Make a second TLS key, keep it elsewhere and give its pin: else a lost key is a lock-out.",
            )


def _odd_lifetime(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    seconds = around.lifetime_seconds
    if seconds > around.grant.max_lifetime_seconds:
        yield Violation(
            "PIN006",
            "/lifetime_seconds",
            f"{seconds} seconds is more than the root allows: {around.grant.max_lifetime_seconds}",
            "Clients refuse a longer life than the grant's max_lifetime_seconds.",
        )
    elif not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        yield Violation(
            "PIN006",
            "/lifetime_seconds",
            f"a life of {seconds} seconds is under 1 day or over 90",
            "Short lives leave no time to repair a server; long ones keep stolen pins alive.",
            blocking=False,
        )


def _pins_own_server(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    targets = {canonical_host(host): "the pin server itself" for host in around.own_hosts}
    report_host = _host_of(draft.report_to)
    if report_host:
        targets.setdefault(report_host, "the host that receives reports")
    index = PatternIndex((host.host, number) for number, host in enumerate(draft.hosts))
    for target, role in targets.items():
        number = index.find(target)
        if number is not None:
            yield Violation(
                "PIN008",
                f"/hosts/{number}/host",
                f"{draft.hosts[number].host} covers {target}, {role}",
                "A wrong pin here would hide the news about it; leave that host out.",
                forceable=True,
            )


def _known_bad(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, pin, owner in _pins(draft):
        text = encode_base64(pin)
        # "AAAA...", "BBBB...": one letter throughout, but for the last one, whose bits are not all free.
        if len(set(text[:42])) == 1 or len(set(pin)) == 1 or pin in _PLACEHOLDERS:
            yield Violation(
                "PIN014",
                f"{pointer}/sha256",
                f"{owner} has a placeholder for a pin: {text}",
                "Nobody has a key with this pin; `pinwarden pin HOST` prints a real one.",
                forceable=True,
            )


def _pinned_twice(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    seen: dict[tuple[str, bytes], str] = {}
    for pointer, pin, owner in _pins(draft):
        first = seen.setdefault((owner, pin), pointer)
        if first != pointer:
            same_list = first.rpartition("/")[0] == pointer.rpartition("/")[0]
            yield Violation(
                "PIN015",
                f"{pointer}/sha256",
                f"{owner} has the same pin twice, first at {first}",
                "A backup must be a key that is not in service; count again what is left when one is lost.",
                forceable=same_list,
            )


Rule = Callable[[Draft, Surroundings], Iterator[Violation]]
RULES: tuple[Rule, ...] = (_no_backup, _odd_lifetime, _pins_own_server, _known_bad, _pinned_twice)

# SHA-256 of nothing, of one line end, and of the DER that encodes nothing: what broken shell lines print.
_PLACEHOLDERS = frozenset(sha256(content).digest() for content in (b"", b"\n", b"\x30\x00", b"\x05\x00"))


def _pins(draft: Draft) -> Iterator[tuple[str, bytes, str]]:
    for number, host in enumerate(draft.hosts):
        for field, pins in (("pins", host.pins), ("backups", host.backups)):
            for position, pin in enumerate(pins):
                yield f"/hosts/{number}/{field}/{position}", pin.sha256, host.host


def _host_of(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        host = urlsplit(url).hostname
        return canonical_host(host) if host else None
    except ValueError:
        return None  # PinSet.parse refuses it with a better sentence
