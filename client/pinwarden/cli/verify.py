"""
``pinwarden verify``: what a bundle or a single document says, and who vouches for it, without any network.

It may import click, the trust rules and this package's shared parts. It uses the rules that clients use, and never
prints what a document says as true before its signatures were judged.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from pinwarden.bundle import MAX_BUNDLE_BYTES, Bundle
from pinwarden.cli.printing import print_facts, print_json, print_table, spell_end
from pinwarden.cli.refusals import REFUSED, complain, say
from pinwarden.cli.session import FILE, JSON_OPTION, moment
from pinwarden.cli.sources import SOURCE, read_source
from pinwarden.documents import Host, PinSet, Role, Root, Timestamp
from pinwarden.envelope import ENVELOPE_LIMITS, PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, is_signature, pae
from pinwarden.errors import ExpiredError, MalformedError, UntrustedError
from pinwarden.settings import TABLE
from pinwarden.strict_json import format_time, parse_object
from pinwarden.trust import TrustState, advance_pinset, advance_root, advance_timestamp, begin, read_clock

MAX_ROOT_BYTES = ENVELOPE_LIMITS[ROOT_TYPE]
Document = Root | Timestamp | PinSet
_KINDS: dict[str, type[Document]] = {ROOT_TYPE: Root, TIMESTAMP_TYPE: Timestamp, PINSET_TYPE: PinSet}


class Step(NamedTuple):
    """
    One check that passed.

    Attributes:
        spec: the steps of docs/spec.md.
        text: what was found.
        document: what it was found about.
        signers: keyids of the good signatures that count.
    """

    spec: str
    text: str
    document: Document
    signers: tuple[str, ...]


@click.command(
    "verify",
    epilog="""\b
Examples:
  curl -s https://pins.example.com/v1/bundles/app/1 | pinwarden verify - --root root.json
  pinwarden verify bundle.json --root root.json
  pinwarden verify bundle.json --root root.json --now 2027-01-01T00:00:00Z --json
""",
)
@click.argument("file", type=SOURCE)
@click.option(
    "--root",
    "root_file",
    type=FILE,
    required=True,
    envvar=TABLE.variable("root"),
    show_envvar=True,
    help="The authority's root, as the application embeds it.",
)
@click.option("--now", type=moment, metavar="TIME", help="Judge as if it were TIME, such as 2026-11-24T12:00:00Z.")
@JSON_OPTION
@click.pass_context
def verify(ctx: click.Context, file: Path, root_file: Path, now: datetime | None, as_json: bool) -> None:
    """
    Verify a bundle, root, timestamp or pin set in FILE offline, as a client that knows only --root would.

    Prints each check as it passes, then what the document says. Exits with 1 at the first check that fails. Whether an
    older or newer version exists is not known here: a client's cache knows that.
    """
    moment = now or datetime.now(UTC)
    content = read_source(file, limit=MAX_BUNDLE_BYTES)
    passed: list[Step] = []
    try:
        for step in _steps(content, read_source(root_file, limit=MAX_ROOT_BYTES), moment):
            passed.append(step)
            if not as_json:
                click.echo(f"{click.style('ok', fg='green')}  {step.spec.ljust(9)}  {step.text}")
    except UntrustedError as error:
        if as_json:
            print_json({**_as_json(passed, verified=False), "problem": error.what, "step": error.step})
        error.holds = None
        complain(error)
        ctx.exit(REFUSED)
    if as_json:
        print_json({**_as_json(passed, verified=True), "problem": None, "step": None})
    else:
        _print_document(passed[-1].document, moment)
    if not isinstance(passed[-1].document, Root) and len(passed) < 3:
        say("note", "one document alone: whether it is the current one, only a bundle can show")


def _steps(content: bytes, root: bytes, now: datetime) -> Iterator[Step]:
    """Yield what passes, in the order in which a client judges; raise UntrustedError at what does not."""
    value = parse_object(content, limit=MAX_BUNDLE_BYTES, what="file")
    envelope = None if "pinset" in value and "timestamp" in value else _any_envelope(value)
    bundle = Bundle.parse(content) if envelope is None else None
    name = _claimed_name(bundle.pinset if bundle else envelope)
    state = begin(root, name=name)
    embedded = state.root_envelopes[0]
    yield Step(
        "V1 V2 V3", f"{_label(state.root)} is signed by {_count(embedded, state.root.root)}", state.root,
        _signers(embedded, state.root.root),
    )  # fmt: skip
    if bundle is not None:
        yield from _bundle_steps(state, bundle, now)
    elif envelope is not None:
        yield from _envelope_steps(state, envelope, now)


def _bundle_steps(state: TrustState, bundle: Bundle, now: datetime) -> Iterator[Step]:
    for envelope in bundle.roots:
        state, step = _root_step(state, envelope)
        yield step
    clock = read_clock(state, now)
    state = advance_timestamp(state, bundle.timestamp, clock=clock)
    yield _named_step("V3 V5 V6", bundle.timestamp, state, "is in time")
    state = advance_pinset(state, bundle.pinset, clock=clock)
    yield _named_step("V3 V5-V8", bundle.pinset, state, "is in time, and the one that the timestamp names")


def _envelope_steps(state: TrustState, envelope: Envelope, now: datetime) -> Iterator[Step]:
    if envelope.payload_type == ROOT_TYPE:
        if envelope.payload != state.root_envelopes[0].payload:
            yield _root_step(state, envelope)[1]
    elif envelope.payload_type == TIMESTAMP_TYPE:
        state = advance_timestamp(state, envelope, clock=read_clock(state, now))
        yield _named_step("V3 V5 V6", envelope, state, "is in time")
    else:
        pinset = PinSet.parse(envelope.verified_by(state.root.grant_for(state.name)))
        _check_alone(pinset, state, now)
        yield _named_step("V3 V5 V8", envelope, state, "is in time")


def _check_alone(pinset: PinSet, state: TrustState, now: datetime) -> None:
    """Judge what can be judged without the timestamp that names the pin set."""
    if pinset.authority != state.authority:
        raise MalformedError("pin set of another authority", expected=state.authority, got=pinset.authority, step="V5")
    if pinset.expires <= now:
        expected, got = f"an end after {format_time(now)}", format_time(pinset.expires)
        raise ExpiredError("pin set has expired", expected=expected, got=got, step="V5")


def _any_envelope(value: dict[str, Any]) -> Envelope:
    kind = value.get("payloadType")
    if kind not in _KINDS:
        raise MalformedError(
            "neither a bundle nor a document of this protocol",
            expected="members roots, timestamp and pinset, or an envelope",
            got=", ".join(sorted(value)[:5]) or "an empty object",
        )
    return Envelope.from_json(value, expect=kind)


def _claimed_name(envelope: Envelope | None) -> str:
    """Return the pin set that a document claims to be of: which one an application wants is not known here."""
    if envelope is None or envelope.payload_type == ROOT_TYPE:
        return "any"
    document = _KINDS[envelope.payload_type].parse(envelope.payload)
    return "any" if isinstance(document, Root) else document.name


def _root_step(state: TrustState, envelope: Envelope) -> tuple[TrustState, Step]:
    before, state = state.root, advance_root(state, envelope)
    text = f"{_label(state.root)} follows {before.version}, signed by {_count(envelope, before.root)} of the old keys"
    return state, Step("V1-V4", text, state.root, _signers(envelope, before.root))


def _named_step(spec: str, envelope: Envelope, state: TrustState, finding: str) -> Step:
    document = _KINDS[envelope.payload_type].parse(envelope.payload)
    role = state.root.timestamp if isinstance(document, Timestamp) else state.root.grant_for(state.name)
    text = f"{_label(document)} is signed by {_count(envelope, role)}, {finding}"
    return Step(spec, text, document, _signers(envelope, role))


def _signers(envelope: Envelope, role: Role) -> tuple[str, ...]:
    message = pae(envelope.payload_type, envelope.payload)
    return tuple(
        entry.keyid
        for entry in envelope.signatures
        if entry.keyid in role.keys and is_signature(entry.sig, message, role.keys[entry.keyid])
    )


def _count(envelope: Envelope, role: Role) -> str:
    signers = _signers(envelope, role)
    return f"{len(signers)} of {len(role.keys)} keys ({', '.join(keyid[:16] for keyid in signers)})"


def _label(document: Document) -> str:
    if isinstance(document, Root):
        return f"root {document.version}"
    kind = "timestamp" if isinstance(document, Timestamp) else "pin set"
    return f"{kind} {document.epoch}.{document.version}"


def _print_document(document: Document, now: datetime) -> None:
    name = "" if isinstance(document, Root) else f"/{document.name}"
    click.echo()
    print_facts(
        [
            ("document", f"{_label(document)} of {document.authority}{name}"),
            ("issued", format_time(document.issued)),
            ("expires", spell_end(document.expires, now)),
        ]
    )
    if isinstance(document, PinSet):
        _print_hosts(document)


def _print_hosts(pinset: PinSet) -> None:
    if not pinset.hosts:
        click.echo("hosts     none: pinning is withdrawn")
        return
    click.echo()
    rows: list[tuple[str, ...]] = []
    for host in pinset.hosts:
        share = "" if host.enforce_percent == 100 else f" on {host.enforce_percent} %"
        first = (host.host, host.mode + share)
        for label, pins in (("pin", host.pins), ("backup", host.backups)):
            for each in pins:
                rows.append((*first, label, each.kind, str(each)))
                first = ("", "")
    print_table(("host", "mode", "", "kind", "SHA-256 of the key"), rows)


def _as_json(passed: list[Step], *, verified: bool) -> dict[str, object]:
    document = passed[-1].document if passed else None
    checks = [
        {"steps": step.spec.split(), "document": _label(step.document), "signers": step.signers} for step in passed
    ]
    answer: dict[str, object] = {"verified": verified, "checks": checks}
    if document is None or not verified:
        return answer
    answer["document"] = {
        "kind": type(document).__name__.lower(),
        "authority": document.authority,
        "name": None if isinstance(document, Root) else document.name,
        "epoch": None if isinstance(document, Root) else document.epoch,
        "version": document.version,
        "issued": document.issued,
        "expires": document.expires,
        "hosts": [_host_json(host) for host in document.hosts] if isinstance(document, PinSet) else None,
    }
    return answer


def _host_json(host: Host) -> dict[str, object]:
    return {
        "host": host.host,
        "mode": host.mode,
        "enforce_percent": host.enforce_percent,
        "on_expiry": host.on_expiry,
        "pins": [str(pin) for pin in host.pins],
        "backups": [str(pin) for pin in host.backups],
    }
