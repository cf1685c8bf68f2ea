"""
``pinwarden pin``: the pins of what a host serves or a file holds.

It may import click and this package's shared parts. It trusts nothing and stores nothing; whether a chain verifies is
said, never assumed.
"""

import re
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden.cli.key_files import MAX_FILE_BYTES, Described, Encoded, describe, parse_encoded
from pinwarden.cli.live import Target, look, parse_target
from pinwarden.cli.printing import print_json, print_table, spell_left
from pinwarden.cli.refusals import say
from pinwarden.cli.session import FILE, JSON_OPTION
from pinwarden.cli.sources import STDIN, read_source, spell_source
from pinwarden.errors import ConfigError

HOST_CA_OPTION = click.option(
    "--host-ca-file", type=FILE, help="PEM file with the CAs that may certify HOST; default: the system's."
)
MAX_NAME = 40
_LOOKS_LIKE_FILE = re.compile(r".*/.*|.*\.(pem|crt|cer|der|csr|req|pub|key|p7b|pfx|p12)", re.IGNORECASE)
_HASH = "openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64"
_READ_WITH = {"certificate": "openssl x509 -pubkey -noout", "request": "openssl req -pubkey -noout"}


@click.command(
    "pin",
    epilog="""\b
Examples:
  pinwarden pin api.example.com
  pinwarden pin [2001:db8::1]:8443 --json
  pinwarden pin fullchain.pem
  pinwarden pin - < backup.csr
""",
)
@click.argument("target", metavar="HOST[:PORT]|FILE|-")
@HOST_CA_OPTION
@JSON_OPTION
def pin(target: str, host_ca_file: Path | None, as_json: bool) -> None:
    """
    Print the pins of a live host, or of a certificate, chain, request or public key in a FILE (PEM or DER).

    A pin is the SHA-256 of a public key as it stands in its certificate. Of a host, the chain is printed as this
    network shows it: an attacker on the way would show another one, so compare from elsewhere before you rely on it.
    """
    if (file := _as_file(target)) is not None:
        _print_file(file, as_json=as_json)
    else:
        _print_host(parse_target(target), host_ca_file, as_json=as_json)


def _as_file(target: str) -> Path | None:
    """Return the path that *target* is, or None for a host; a folder never counts when a host may have its name."""
    path = Path(target)
    if path == STDIN or (path.exists() and not path.is_dir()):
        return path
    if _LOOKS_LIKE_FILE.fullmatch(target) or target in (".", ".."):
        if path.is_dir():
            raise ConfigError(f"{target} is a folder", expected="a file", hint="Name the certificate file in it.")
        raise ConfigError(f"{target} cannot be read: No such file or directory")
    return None


def _print_file(path: Path, *, as_json: bool) -> None:
    content = read_source(path, limit=MAX_FILE_BYTES)
    encoded = parse_encoded(content, where=spell_source(path))
    keys = [describe(each) for each in encoded]
    if as_json:
        print_json({"file": None if path == STDIN else str(path), "keys": [asdict(key) for key in keys]})
        return
    _print_keys(keys)
    if path.is_file():  # what came through a pipe cannot be read again
        say("note", f"to check the first one with other software: {_openssl_for_file(path, content, encoded[0])}")


def _print_host(target: Target, ca_file: Path | None, *, as_json: bool) -> None:
    chain = look(target, ca_file)
    shown = chain.verified or chain.served
    keys = [describe(Encoded.of("certificate", der), is_first_of_chain=not index) for index, der in enumerate(shown)]
    if as_json:
        answer = {"host": target.host, "port": target.port, "verified": chain.problem is None}
        print_json({**answer, "problem": chain.problem, "keys": [asdict(key) for key in keys]})
    else:
        _print_keys(keys)
    if chain.problem:
        say("warning", f"this chain does NOT verify ({chain.problem}); shown as {target} sent it, by whoever answers")
    else:
        say("note", f"this chain verifies, and is what this network shows of {target}; compare from another network")
    if not as_json:
        say("note", f"to check the first one with other software: {_openssl_for_host(target)}")


def _print_keys(keys: list[Described]) -> None:
    now = datetime.now(UTC)
    rows = [
        (
            key.role,
            key.pin,
            key.key or "unknown",
            spell_left(key.expires, now) if key.expires else "-",
            _shortened(key.subject),
            _shortened(key.issuer),
        )
        for key in keys
    ]
    print_table(("role", "pin", "key", "validity", "subject", "issuer"), rows)


def _shortened(name: str | None) -> str:
    return "-" if not name else name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def _openssl_for_file(path: Path, content: bytes, first: Encoded) -> str:
    source = f"{'' if b'-----BEGIN' in content else ' -inform der'} -in {shlex.quote(str(path))}"
    if first.kind == "public key":
        return _HASH.replace("-pubin", f"-pubin{source}", 1)
    return f"{_READ_WITH[first.kind]}{source} | {_HASH}"


def _openssl_for_host(target: Target) -> str:
    name = shlex.quote(target.host)
    return (
        f"openssl s_client -connect {shlex.quote(str(target))} -servername {name} < /dev/null 2> /dev/null | "
        f"{_READ_WITH['certificate']} | {_HASH}"
    )
