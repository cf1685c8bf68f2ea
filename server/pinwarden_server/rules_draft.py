"""
What lint finds in a draft by itself, and in what the root and the server's own settings say to it.

It may import layer 0 and drafts; it opens nothing and asks no clock. The codes and their words are listed in
``lint_codes``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit

from pinwarden.documents import Grant, PinSet
from pinwarden.hosts import PatternIndex, canonical_host
from pinwarden.strict_json import encode_base64
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Violation
from pinwarden_server.safety import HeldVersion

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
        current: the version in force, None before the first.
        held: every version that a client may still hold, withdrawn ones included.
        now: when it would be published; None only where nothing is held.
    """

    own_hosts: tuple[str, ...]
    lifetime_seconds: int
    grant: Grant
    current: PinSet | None = None
    held: tuple[HeldVersion, ...] = ()
    now: datetime | None = None


Rule = Callable[[Draft, Surroundings], Iterator[Violation]]


def _no_backup(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for number, host in enumerate(draft.hosts):
        if not host.backups:
            yield Violation(
                "PIN001",
                f"/hosts/{number}/backups",
                f"{host.host} has no backup pin",
                "Make a second TLS key, keep it elsewhere and give its pin: else a lost key is a lock-out.",
            )


def _single_backup(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for number, host in enumerate(draft.hosts):
        if len(host.backups) == 1:
            yield Violation(
                "PIN017",
                f"/hosts/{number}/backups",
                f"{host.host} has a single backup pin",
                "While it is in service after an emergency there is none left; keep two, in different custody.",
                blocking=False,
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
    for pointer, pin, owner in pins_of(draft):
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
    # By entry and not by name: a host that is named twice is refused for that, in better words.
    seen: dict[tuple[str, bytes], str] = {}
    for pointer, pin, owner in pins_of(draft):
        first = seen.setdefault((pointer.split("/")[2], pin), pointer)
        if first != pointer:
            same_list = first.rpartition("/")[0] == pointer.rpartition("/")[0]
            yield Violation(
                "PIN015",
                f"{pointer}/sha256",
                f"{owner} has the same pin twice, first at {first}",
                "A backup must be a key that is not in service; count again what is left when one is lost.",
                forceable=same_list,
            )


def _deep_wildcard(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for number, host in enumerate(draft.hosts):
        if host.host.startswith("**."):
            yield Violation(
                "PIN010",
                f"/hosts/{number}/host",
                f"{host.host} covers {host.host[3:]} and every name below it, at any depth",
                "Whoever adds a name there adds a pinned one; name the hosts, or *. for one level, if you can.",
                blocking=False,
            )


RULES: tuple[Rule, ...] = (
    _no_backup,
    _odd_lifetime,
    _pins_own_server,
    _deep_wildcard,
    _known_bad,
    _pinned_twice,
    _single_backup,
)

# SHA-256 of nothing, of one line end, and of the DER that encodes nothing: what broken shell lines print.
_PLACEHOLDERS = frozenset(sha256(content).digest() for content in (b"", b"\n", b"\x30\x00", b"\x05\x00"))


def pins_of(draft: Draft) -> Iterator[tuple[str, bytes, str]]:
    """Yield the place, the bytes and the host of every pin and backup."""
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
