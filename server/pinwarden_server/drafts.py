"""
Pin sets that people want published: a new one, an old one again, or the one in force with a new life.

It may import ``bodies``, which has the one way in, and layer 0. Whether a draft is wise is ``rules``' concern, and who
may ask is ``auth``'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pinwarden.documents import MAX_DENIED, MAX_HOSTS, MAX_PINS_PER_HOST, PIN_BYTES, Host, Pin
from pinwarden.errors import MalformedError
from pinwarden.hosts import check_pattern
from pinwarden.strict_json import decode_base64, parse_time
from pinwarden_server.bodies import Keyid, RequestBody, Seconds, Text, bad_field, convert_body, first_of
from pinwarden_server.errors import BadDraft, Violation
from pinwarden_server.evidence import NOTHING_SHOWN, Evidence, Proof, Shown, read_chain, read_proof

_HOST_HINT = (
    "Spell hosts as clients do: lower case, no port, no final dot, IDN as xn--; *. or **. in front covers names below; "
    "docs/admin-api.md has the limits."
)

# What follows is judged below, in better words; msgspec only says it in the description of the API.
PinText = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"})]
UrlText = Annotated[str, Meta(extra_json_schema={"pattern": "^https://", "maxLength": 2048})]
HostText = Annotated[str, Meta(extra_json_schema={"minLength": 1, "examples": ["api.example.com", "*.example.com"]})]
# What lint looks at and nobody signs: certificates, or a certificate request.
PemText = Annotated[str, Meta(max_length=64 * 1024, extra_json_schema={"pattern": "^-----BEGIN CERTIFICATE"})]
Force = Annotated[list[Annotated[str, Meta(pattern=r"^PIN[0-9]{3}\Z")]], Meta(max_length=32)]


class _PinBody(RequestBody):
    sha256: PinText
    kind: Literal["leaf", "ca"] = "leaf"


class _BackupBody(_PinBody):
    proof: PemText | None = None


class _HostBody(RequestBody):
    host: HostText
    pins: list[_PinBody]
    backups: list[_BackupBody]
    mode: Literal["enforce", "report"] = "enforce"
    enforce_percent: Annotated[int, Meta(ge=1, le=100)] = 100
    on_expiry: Literal["refuse", "platform"] = "refuse"
    certificates: PemText | None = None


# Judged below, in better words, and against the clock by ``changes``.
TimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time", "examples": ["2026-06-01T08:00:00Z"]})]


class _DraftBody(RequestBody):
    hosts: Annotated[list[_HostBody], Meta(max_length=MAX_HOSTS)]
    deny: Annotated[list[PinText], Meta(max_length=MAX_DENIED)] = msgspec.field(default_factory=list)
    on_stale: Literal["enforce", "refuse"] = "enforce"
    report_to: UrlText | None = None
    lifetime_seconds: Seconds | None = None
    reason: Text = ""
    force: Force = msgspec.field(default_factory=list)
    not_before: TimeText | None = None
    break_glass: bool = False


class _RollbackBody(RequestBody):
    to: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    reason: Text = ""
    force: Force = msgspec.field(default_factory=list)
    not_before: TimeText | None = None
    break_glass: bool = False


class _RenewalBody(RequestBody):
    lifetime_seconds: Seconds | None = None
    reason: Text = ""
    wait_for: Annotated[list[Keyid], Meta(max_length=16)] = msgspec.field(default_factory=list)


DRAFT_BODIES = (_DraftBody, _RollbackBody, _RenewalBody)


@dataclass(frozen=True, slots=True)
class Manner:
    """
    How something shall be published.

    Attributes:
        not_before: not earlier than this; None: at once.
        break_glass: without the approvals that it needs, to be reviewed afterwards.
    """

    not_before: datetime | None = None
    break_glass: bool = False


AT_ONCE = Manner()


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A pin set that someone wants published.

    Attributes:
        lifetime_seconds: None means the server's default.
        evidence: what is shown of each host, for lint alone; empty when nothing is shown of any.
    """

    hosts: tuple[Host, ...]
    deny: tuple[bytes, ...] = ()
    on_stale: Literal["enforce", "refuse"] = "enforce"
    report_to: str | None = None
    lifetime_seconds: int | None = None
    reason: str = ""
    force: tuple[str, ...] = ()
    manner: Manner = AT_ONCE
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class RollbackDraft:
    """The number of the version whose content shall come back, as a new version."""

    to: int
    reason: str = ""
    force: tuple[str, ...] = ()
    manner: Manner = AT_ONCE


@dataclass(frozen=True, slots=True)
class RenewalDraft:
    """
    A new life for the content in force; *lifetime_seconds* None means as long as before.

    Attributes:
        wait_for: keys of the grant that have to sign too, beyond its threshold: then it is a change for people.
    """

    lifetime_seconds: int | None = None
    reason: str = ""
    wait_for: tuple[str, ...] = ()


def parse_draft(body: bytes) -> Draft:
    """
    Return the pin set that *body* asks for.

    Only what each field says by itself is judged here; what fields say together is ``PinSet.parse``'s and the lint's.

    Raises:
        BadDraft: not strict JSON, a wrong or unknown field, an impossible host or pin; with JSON pointers.
    """
    raw = convert_body(body, _DraftBody)
    violations: list[Violation] = []
    hosts = tuple(_host(entry, f"/hosts/{number}", violations) for number, entry in enumerate(raw.hosts))
    deny = tuple(_pin(text, f"/deny/{number}", violations) for number, text in enumerate(raw.deny))
    shown = tuple(_evidence(entry, f"/hosts/{number}", violations) for number, entry in enumerate(raw.hosts))
    if violations:
        what, expected = "the draft has impossible hosts or pins", "hosts and pins that clients accept"
        raise BadDraft(
            what, violations=violations, expected=expected, got=first_of(violations), hint=violations[0].hint
        )
    evidence = shown if any(each != NOTHING_SHOWN for each in shown) else ()
    force, manner = tuple(raw.force), _manner(raw)
    return Draft(hosts, deny, raw.on_stale, raw.report_to, raw.lifetime_seconds, raw.reason, force, manner, evidence)


def parse_rollback(body: bytes) -> RollbackDraft:
    """Return which version shall come back; BadDraft."""
    raw = convert_body(body, _RollbackBody)
    return RollbackDraft(raw.to, raw.reason, tuple(raw.force), _manner(raw))


def parse_renewal(body: bytes) -> RenewalDraft:
    """Return how long the content in force shall live anew; BadDraft."""
    raw = convert_body(body, _RenewalBody)
    return RenewalDraft(raw.lifetime_seconds, raw.reason, tuple(dict.fromkeys(raw.wait_for)))


def _manner(raw: _DraftBody | _RollbackBody) -> Manner:
    try:
        not_before = None if raw.not_before is None else parse_time(raw.not_before, what="not_before")
    except MalformedError as error:
        raise bad_field("/not_before", str(error.what), "Give a time in UTC, such as 2026-06-01T08:00:00Z.") from error
    if raw.break_glass and not raw.reason.strip():
        raise bad_field("/reason", "breaking the glass needs a reason", "Say it; it is audited and reviewed.")
    if raw.break_glass and not_before is not None:
        raise bad_field("/not_before", "who breaks the glass cannot wait", "Leave one of the two out.")
    return Manner(not_before, raw.break_glass)


def _host(raw: _HostBody, pointer: str, violations: list[Violation]) -> Host:
    for problem, place in _host_problems(raw, pointer):
        violations.append(Violation("V8", place, problem, _HOST_HINT))
    return Host(
        host=raw.host,
        pins=_pins(raw.pins, f"{pointer}/pins", violations),
        backups=_pins(raw.backups, f"{pointer}/backups", violations),
        mode=raw.mode,
        enforce_percent=raw.enforce_percent,
        on_expiry=raw.on_expiry,
    )


def _evidence(raw: _HostBody, pointer: str, violations: list[Violation]) -> Evidence:
    chain: tuple[Shown, ...] = ()
    proofs: list[Proof | None] = [None] * len(raw.backups)
    place = f"{pointer}/certificates"
    try:
        if raw.certificates is not None:
            chain = read_chain(raw.certificates)
        for number, backup in enumerate(raw.backups):
            place = f"{pointer}/backups/{number}/proof"
            if backup.proof is not None:
                proofs[number] = read_proof(backup.proof)
    except MalformedError as error:
        hint = f"Give {error.expected}, or leave it out: it is only evidence for lint."
        violations.append(Violation("DRAFT", place, str(error.what), hint))
    return Evidence(chain, tuple(proofs) if any(proofs) else ())


def _host_problems(raw: _HostBody, pointer: str) -> Iterator[tuple[str, str]]:
    try:
        check_pattern(raw.host, what="host")
    except MalformedError as error:
        yield str(error.what) + (f": {error.got}" if error.got else ""), f"{pointer}/host"
    if len(raw.pins) + len(raw.backups) > MAX_PINS_PER_HOST:
        yield f"more than {MAX_PINS_PER_HOST} pins and backups together", pointer


def _pins(raw: Sequence[_PinBody], pointer: str, violations: list[Violation]) -> tuple[Pin, ...]:
    return tuple(
        Pin(_pin(entry.sha256, f"{pointer}/{number}/sha256", violations), entry.kind)
        for number, entry in enumerate(raw)
    )


def _pin(text: str, pointer: str, violations: list[Violation]) -> bytes:
    try:
        return decode_base64(text, what="pin", length=PIN_BYTES)
    except MalformedError as error:
        hint = "A pin is the standard base64 of a SHA-256; `pinwarden pin HOST` prints it."
        violations.append(Violation("DRAFT", pointer, str(error.what), hint))
        return b""
