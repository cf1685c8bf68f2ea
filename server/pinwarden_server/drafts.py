"""
What people ask for: request bodies as values.

It may import layer 0 and msgspec. Every body passes the one JSON gate, then msgspec, strictly; unknown fields are
refused. Whether a draft is wise is ``rules``' concern, and who may ask is ``auth``'s.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from pinwarden.documents import MAX_DENIED, MAX_HOSTS, MAX_PINS_PER_HOST, PIN_BYTES, Host, Pin
from pinwarden.envelope import ROOT_TYPE, Envelope, Signature
from pinwarden.errors import MalformedError, UntrustedError
from pinwarden.hosts import check_pattern
from pinwarden.strict_json import decode_base64, parse_object, parse_time
from pinwarden_server.errors import BadDraft, Violation
from pinwarden_server.evidence import NOTHING_SHOWN, Evidence, Proof, Shown, read_chain, read_proof

SIGNATURE_BYTES = 64
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
_NAMED_FIELD = re.compile(r"field `([^`]*)`")
# The library's names of types, in words of people who write JSON.
_WORDS = {
    "`int | null`": "an integer",
    "`str | null`": "a string",
    "`int`": "an integer",
    "`float`": "a number",
    "`str`": "a string",
    "`bool`": "true or false",
    "`array`": "an array",
    "`object`": "an object",
    "`null`": "null",
}
_JSON_PATH_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+|\.\.\.)\]")

_HOST_HINT = (
    "Spell hosts as clients do: lower case, no port, no final dot, IDN as xn--; *. or **. in front covers names below; "
    "docs/admin-api.md has the limits."
)

NAME_PATTERN = r"(?:[a-z0-9][a-z0-9._-]{0,63})?\*|[a-z0-9][a-z0-9._-]{0,63}"
WITHOUT_NUL = r"^[^\x00]*\Z"  # PostgreSQL stores none
Text = Annotated[str, Meta(max_length=1000, pattern=WITHOUT_NUL)]
Seconds = Annotated[int, Meta(ge=1, le=MAX_LIFETIME_SECONDS)]
Keyid = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
# What follows is judged below, in better words; msgspec only says it in the description of the API.
PinText = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"})]
SigText = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9+/]{85}[AQgw]==$"})]
UrlText = Annotated[str, Meta(extra_json_schema={"pattern": "^https://", "maxLength": 2048})]
HostText = Annotated[str, Meta(extra_json_schema={"minLength": 1, "examples": ["api.example.com", "*.example.com"]})]
NameText = Annotated[str, Meta(extra_json_schema={"pattern": rf"^({NAME_PATTERN})$"})]
# What lint looks at and nobody signs: certificates, or a certificate request.
PemText = Annotated[str, Meta(max_length=64 * 1024, extra_json_schema={"pattern": "^-----BEGIN CERTIFICATE"})]
Force = Annotated[list[Annotated[str, Meta(pattern=r"^PIN[0-9]{3}\Z")]], Meta(max_length=32)]


class RequestBody(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the bodies: what is not named is refused."""


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


# Judged below, in better words, and against the clock by ``publishing``.
TimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time", "examples": ["2026-06-01T08:00:00Z"]})]


class _DraftBody(RequestBody):
    hosts: Annotated[list[_HostBody], Meta(max_length=MAX_HOSTS)]
    deny: Annotated[list[PinText], Meta(max_length=MAX_DENIED)] = []
    on_stale: Literal["enforce", "refuse"] = "enforce"
    report_to: UrlText | None = None
    lifetime_seconds: Seconds | None = None
    reason: Text = ""
    force: Force = []
    not_before: TimeText | None = None
    break_glass: bool = False


class _RollbackBody(RequestBody):
    to: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    reason: Text = ""
    force: Force = []
    not_before: TimeText | None = None
    break_glass: bool = False


class _RenewalBody(RequestBody):
    lifetime_seconds: Seconds | None = None
    reason: Text = ""
    wait_for: Annotated[list[Keyid], Meta(max_length=16)] = []


class _SignatureBody(RequestBody):
    keyid: Keyid
    sig: SigText


class _RejectionBody(RequestBody):
    reason: Annotated[str, Meta(min_length=1, max_length=1000, pattern=WITHOUT_NUL)]


class _RootBody(RequestBody):
    root: dict[str, Any]
    reason: Text = ""
    force: Annotated[list[Annotated[str, Meta(pattern=r"^ROOT[0-9]{3}\Z")]], Meta(max_length=32)] = []


class _TokenBody(RequestBody):
    role: Literal["reader", "editor", "approver", "operator", "admin"]
    lifetime_seconds: Seconds
    names: Annotated[list[NameText], Meta(min_length=1, max_length=32)] = msgspec.field(default_factory=lambda: ["*"])
    label: Annotated[str, Meta(max_length=200, pattern=WITHOUT_NUL)] = ""
    # One spelling for each person: two would count as two people.
    owner: Annotated[str, Meta(max_length=200, pattern=r"^([a-z0-9][a-z0-9._@+-]*)?\Z")] = ""


BODIES = (_DraftBody, _RollbackBody, _RenewalBody, _SignatureBody, _RejectionBody, _RootBody, _TokenBody)
Body = TypeVar("Body", bound=RequestBody)


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


@dataclass(frozen=True, slots=True)
class RootOffer:
    """A signed root that someone wants published; nothing about it is verified yet."""

    envelope: Envelope
    reason: str = ""
    force: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """A token that someone wants to hand out; *owner* empty: nobody who has another one."""

    role: str
    lifetime_seconds: int
    names: tuple[str, ...] = ("*",)
    label: str = ""
    owner: str = ""


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
        raise BadDraft(what, violations=violations, expected=expected, got=_first(violations), hint=violations[0].hint)
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


def parse_signature(body: bytes) -> Signature:
    """Return the signature that *body* hands in, of which only the form is judged; BadDraft."""
    raw = convert_body(body, _SignatureBody)
    try:
        return Signature(raw.keyid, decode_base64(raw.sig, what="sig", length=SIGNATURE_BYTES))
    except MalformedError as error:
        violation = Violation("DRAFT", "/sig", str(error.what), "Send the 64 bytes in padded standard base64.")
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation]) from error


def parse_rejection(body: bytes) -> str:
    """Return why a change is rejected; BadDraft."""
    reason = convert_body(body, _RejectionBody).reason
    if not reason.strip():
        what = "a rejection needs a reason"
        raise BadDraft(what, violations=[Violation("DRAFT", "/reason", what, "Say it to whoever proposed the change.")])
    return reason


def parse_root_offer(body: bytes) -> RootOffer:
    """Return the root that *body* offers; BadDraft: it is no envelope of a root."""
    raw = convert_body(body, _RootBody)
    try:
        envelope = Envelope.from_json(raw.root, expect=ROOT_TYPE)
    except UntrustedError as error:
        hint = "Give the file that `pinwarden root assemble` wrote, as it is."
        violation = Violation(error.step or "V4", "/root", str(error.what), hint)
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation], hint=hint) from error
    return RootOffer(envelope, raw.reason, tuple(raw.force))


def parse_token_draft(body: bytes) -> TokenDraft:
    """Return the token that *body* asks for; BadDraft. Names are exact, or end in one ``*``."""
    raw = convert_body(body, _TokenBody)
    names = check_names(raw.names, what="token")
    return TokenDraft(raw.role, raw.lifetime_seconds, names, raw.label, raw.owner)


def check_names(names: list[str], *, what: str) -> tuple[str, ...]:
    """Return *names* when each is a pin set's name or a pattern; BadDraft says that *what* has impossible ones."""
    violations = [
        Violation(
            "DRAFT", f"/names/{number}", f"not a pin set name or pattern: {name[:80]!r}", "Use payments or pay-*."
        )
        for number, name in enumerate(names)
        if re.fullmatch(NAME_PATTERN, name) is None
    ]
    if violations:
        expected = "names and patterns such as payments, pay-* or *"
        raise BadDraft(
            f"the {what} names impossible pin sets", violations=violations, expected=expected, got=_first(violations)
        )
    return tuple(names)


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


def bad_field(pointer: str, what: str, hint: str, **values: Any) -> BadDraft:
    """Return the error of one field that is impossible by what it says."""
    return BadDraft(what, violations=[Violation("DRAFT", pointer, what, hint)], hint=hint, **values)


def convert_body(body: bytes, kind: type[Body]) -> Body:
    """Return *body* as the struct *kind*, through the one JSON gate; BadDraft with a JSON pointer."""
    try:
        value = parse_object(body, limit=MAX_BODY_BYTES, what="body")
    except MalformedError as error:
        hint = "Send one JSON object, UTF-8, no floats, no duplicate keys."
        violation, expected = Violation("DRAFT", "", str(error.what), hint), error.expected or "strict JSON (RFC 7493)"
        raise BadDraft(
            error.what, expected=expected, got=error.got, violations=[violation], is_syntax=True, hint=hint
        ) from error
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        pointer = _pointer(path.rstrip("`"))
        if field := _NAMED_FIELD.search(message):
            pointer += f"/{field[1]}"
        expected, got = _expected_and_got(message, lambda: _value_at(value, pointer))
        hint = "docs/admin-api.md lists the fields of this request."
        what = "the body does not have the form of this request"
        violation = Violation("DRAFT", pointer, f"expected {expected}, got {got}", hint)
        raise BadDraft(what, expected=expected, got=f"{got} at {pointer}", violations=[violation], hint=hint) from error


def _expected_and_got(message: str, found: Callable[[], str]) -> tuple[str, str]:
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    if "unknown field" in message:
        return "the fields of this request alone", message.removeprefix("Object contains ").replace("`", "'")
    if "missing required" in message:
        return message.removeprefix("Object missing required ").replace("`", "'"), "none"
    if "enum value" in message:
        return "one of the words for this field", found()
    expected, has_type, got = message.removeprefix("Expected ").partition(", got ")
    return expected.replace("`", "'"), got if has_type else found()


def _value_at(value: Any, pointer: str) -> str:
    for step in pointer.split("/")[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pointer(path: str) -> str:
    steps = (match[1] or match[2] for match in _JSON_PATH_STEP.finditer(path.removeprefix("$")))
    return "".join(f"/{step}" for step in steps)


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


def _first(violations: list[Violation]) -> str:
    rest = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
    return f"{violations[0].message} at {violations[0].pointer}{rest}"
