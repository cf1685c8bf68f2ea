"""
``pinwarden check``: a connection, or a chain from a file, under the pins in force.

It may import click and this package's shared parts. The connection is judged by the very code that judges those of an
application, and no application byte is sent over it.
"""

import ssl
from pathlib import Path

import click

from pinwarden.cli.key_files import MAX_FILE_BYTES, Encoded, describe, parse_encoded
from pinwarden.cli.live import Target, connected, default_context, parse_target, verified_chain
from pinwarden.cli.pin import HOST_CA_OPTION
from pinwarden.cli.printing import coloured, print_facts, print_json, print_table
from pinwarden.cli.refusals import REFUSED, UNAVAILABLE, complain, say
from pinwarden.cli.session import JSON_OPTION, with_client
from pinwarden.cli.sources import SOURCE, read_source, spell_source
from pinwarden.client import PinClient
from pinwarden.enforce import Verdict
from pinwarden.errors import (
    ConfigError,
    FetchError,
    PinMismatchError,
    PinsUnavailableError,
    PinwardenError,
    UntrustedError,
)
from pinwarden.spki import pin_of
from pinwarden.status import Status
from pinwarden.strict_json import encode_base64
from pinwarden.trust import State


@click.command(
    "check",
    epilog="""\b
Examples:
  pinwarden check api.example.com --url https://pins.example.com --pinset app --root root.json
  pinwarden check api.example.com:8443 --json
  pinwarden check api.example.com --chain chain.pem
""",
)
@click.argument("target", metavar="HOST[:PORT]")
@click.option(
    "--chain",
    "chain_file",
    type=SOURCE,
    help="Judge the certificates in this PEM file, leaf first, as if they were verified; connects to nobody.",
)
@HOST_CA_OPTION
@JSON_OPTION
@with_client
@click.pass_context
def check(
    ctx: click.Context,
    client: PinClient,
    target: str,
    chain_file: Path | None,
    host_ca_file: Path | None,
    as_json: bool,
) -> None:
    """
    Connect to HOST under the pins in force and print the verdict.

    The pins are refreshed first; when that fails, those that are trusted already decide. With --chain nothing is
    fetched. The verdict is matched, backup-used, reported, platform or unpinned, which let an application's connection
    through (exit code 0), refused (1), or unavailable, when nothing trusted can decide or HOST does not answer (3).
    """
    place = parse_target(target)
    presented = _read_chain(chain_file) if chain_file is not None else []
    try:
        if chain_file is None:
            _refresh(client, place)
            presented = _connect(client, place, host_ca_file)
        verdict = client.check(place.host, presented)
    except ConfigError:
        raise  # nothing was judged
    except PinwardenError as error:
        if as_json:
            print_json(_refusal_json(error, place, client.status()))
        elif isinstance(error, PinMismatchError):
            _print_mismatch(error, place)
        else:
            print_facts([("host", place), ("verdict", coloured(_outcome(error)))])
        complain(error)
        ctx.exit(_exit_code(error))
    _print_verdict(verdict, place, presented, client.status(), as_json=as_json)


def _read_chain(path: Path) -> list[bytes]:
    content = parse_encoded(read_source(path, limit=MAX_FILE_BYTES), where=spell_source(path))
    certificates = [each.der for each in content if each.kind == "certificate"]
    if not certificates:
        raise ConfigError(f"{spell_source(path)} holds no certificate", expected="a chain, leaf first")
    return certificates


def _refresh(client: PinClient, place: Target) -> None:
    """Refresh if possible; PinsUnavailableError when there is nothing to judge by."""
    try:
        client.refresh()
    except (FetchError, UntrustedError) as error:
        say("warning", f"the pins could not be refreshed: {error.what}")
        if client.status().state is State.EMPTY:
            client.check(place.host, ())


def _connect(client: PinClient, place: Target, ca_file: Path | None) -> list[bytes]:
    """Return the verified chain of a connection that the pins let through."""
    try:
        with connected(place, client.ssl_context(default_context(ca_file))) as line:
            return list(verified_chain(line))
    except PinMismatchError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise PinwardenError(
            f"the certificate of {place} does not verify, whatever the pins say: {error.verify_message}",
            holds="Pins come on top of ordinary validation, and never replace it.",
            hint=f"`pinwarden pin {place}` shows it; --host-ca-file names a private CA.",
        ) from None


def _outcome(error: PinwardenError) -> str:
    return "unavailable" if isinstance(error, PinsUnavailableError | FetchError) else "refused"


def _exit_code(error: PinwardenError) -> int:
    return UNAVAILABLE if isinstance(error, PinsUnavailableError | FetchError) else REFUSED


def _document(status: Status) -> str | None:
    return None if status.version is None else f"{status.authority}/{status.name} {status.epoch}.{status.version}"


def _refusal_json(error: PinwardenError, place: Target, status: Status) -> dict[str, object]:
    mismatch = error if isinstance(error, PinMismatchError) else None
    return {
        "host": place.host,
        "verdict": _outcome(error),
        "document": _document(status),
        "state": status.state,
        "problem": error.what,
        "presented": list(mismatch.presented) if mismatch else [],
        "expected": list(mismatch.expected_pins) if mismatch else [],
        "denied": mismatch.denied if mismatch else None,
    }


def _print_mismatch(error: PinMismatchError, place: Target) -> None:
    print_facts([("host", place), ("verdict", coloured("refused")), ("document", error.document)])
    rows = [("presented", pin, "denied" if pin == error.denied else "") for pin in error.presented]
    rows += [("expected", pin, "") for pin in error.expected_pins]
    if rows:  # a host that nothing covers has neither
        click.echo()
        print_table(("", "pin", ""), rows)


def _print_verdict(verdict: Verdict, place: Target, chain: list[bytes], status: Status, *, as_json: bool) -> None:
    pins = [encode_base64(pin_of(certificate)) for certificate in chain]
    expected = list(verdict.problem.expected_pins) if verdict.problem else []
    if as_json:
        answer = {"host": place.host, "verdict": verdict.outcome, "document": _document(status), "state": status.state}
        evidence = {"pattern": verdict.pattern, "pin": verdict.pin, "presented": pins, "expected": expected}
        print_json({**answer, **evidence, "problem": verdict.problem.what if verdict.problem else None})
        return
    print_facts(
        [
            ("host", place),
            ("verdict", coloured(verdict.outcome)),
            ("pattern", verdict.pattern),
            ("document", f"{_document(status) or 'none'}, {status.state}"),
        ]
    )
    described = [describe(Encoded.of("certificate", each), is_first_of_chain=not n) for n, each in enumerate(chain)]
    rows = [("presented", key.pin, key.role, "matched" if key.pin == verdict.pin else "") for key in described]
    click.echo()
    print_table(("", "pin", "role", ""), [*rows, *(("expected", pin, "", "") for pin in expected)])
    if verdict.problem:
        say("warning", f"only reported, not enforced: {verdict.problem.what}")
