"""
Where one person works on changes: the two sides of the server, their own root, and what their machine remembers.

It may import click and this package. What it returns was judged here; what the server says besides is kept as claims.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.documents import PinSet
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE, Signature
from pinwarden.errors import ConfigError
from pinwarden.fetch import Fetcher
from pinwarden.strict_json import decode_base64
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_review import Review, review
from pinwarden_ops.change_source import InForce, fetch_in_force, memory_folder
from pinwarden_ops.commands import client_of, server_options, settings_of
from pinwarden_ops.errors import OpsConflict, OpsRefused
from pinwarden_ops.settings import TABLE

BY_SERVER = "server"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one person works: the admin API, the public side, their own root, and what their machine remembers."""

    api: AdminClient
    public: Fetcher
    root_json: bytes
    memory: Path

    def in_force(self, name: str) -> InForce:
        """Return what is in force for *name*, verified from this person's root."""
        return fetch_in_force(self.public, self.root_json, name, memory=self.memory, now=_now())


@dataclass(frozen=True, slots=True)
class Opened:
    """A change as it was fetched, and what this machine found in it."""

    number: int
    claimed: dict[str, Any]
    in_force: InForce
    review: Review


def desk_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* a :class:`Desk` as its first argument, made of options and settings."""

    @wraps(command)
    def seated(
        server: str | None,
        token_file: Path | None,
        ca_file: Path | None,
        root: Path | None,
        pins_url: str | None,
        state_dir: Path | None,
        **arguments: Any,
    ) -> Any:
        return command(_desk(server, token_file, ca_file, (root, pins_url, state_dir)), **arguments)

    options = (
        click.option("--root", type=FILE, help=f"Your own copy of root.json; default: ${TABLE.variable('root')}."),
        click.option(
            "--pins-url", help=f"Where applications fetch; default: ${TABLE.variable('pins_url')}, else the --server."
        ),
        click.option(
            "--state-dir",
            type=click.Path(path_type=Path, file_okay=False),
            help=f"Folder that remembers what was seen; default: ${TABLE.variable('state_dir')}, else your own.",
        ),
    )
    decorated: Callable[..., Any] = seated
    for option in reversed(options):
        decorated = option(decorated)
    return server_options(decorated)


def open_change(desk: Desk, number: int) -> Opened:
    """
    Fetch the change *number*, judge it by this person's root, and return it while it can still be published.

    Raises:
        OpsConflict: it does not wait any more, or was made for another version than the one in force.
        UntrustedError: clients would refuse it. OpsRefused, OpsUnavailable, FetchError: no usable answer.
    """
    return judge_claimed(desk, number, desk.api.ask("GET", f"/changes/{number}").value)


def judge_claimed(desk: Desk, number: int, claimed: dict[str, Any]) -> Opened:
    """Return *claimed*, a change as the server tells it, once it was judged; errors as for :func:`open_change`."""
    try:
        payload = decode_base64(claimed.get("payload"), what="payload of the change")
        signatures = [
            Signature(str(entry["keyid"]), decode_base64(entry["sig"], what="signature"))
            for entry in claimed["signatures"]
        ]
        name = PinSet.parse(payload).name
    except (KeyError, TypeError) as error:
        raise OpsRefused("the server's answer is no change", holds="Nothing was signed.") from error
    in_force = desk.in_force(name)
    _check_waits(number, claimed, in_force.state.pinset)
    # Whether people sign is the server's word: who would sign what the server says it signs by itself is refused.
    is_preliminary = claimed.get("signer") == BY_SERVER
    found = review(in_force.state, payload, signatures, now=_now(), is_preliminary=is_preliminary)
    return Opened(number, claimed, in_force, found)


def _check_waits(number: int, claimed: dict[str, Any], found: PinSet | None) -> None:
    state, base = claimed.get("state"), claimed.get("base")
    if state != "waiting":
        raise OpsConflict(
            f"change {number} does not wait any more",
            expected="waiting",
            got=printable(str(state)),
            holds="Nothing was signed.",
        )
    in_force = f"{found.epoch}.{found.version}" if found else None
    if base != in_force:
        raise OpsConflict(
            f"change {number} was made for another version than the one in force",
            expected=f"base {in_force or 'none'}",
            got=printable(str(base)),
            holds="Nothing was signed.",
            hint="Propose it again on top of what is in force; if that is only a minute old, look again first.",
        )


def _desk(
    server: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    own: tuple[Path | None, str | None, Path | None],
) -> Desk:
    options = {"url": server, "token_file": token_file, "ca_file": ca_file}
    values = settings_of({**options, "root": own[0], "pins_url": own[1], "state_dir": own[2]})
    if values["root"] is None:
        raise ConfigError(
            "root is not set",
            hint=f"Give --root, your own copy of the ceremony's root.json, or set {TABLE.variable('root')}.",
        )
    root_json = read_public(Path(values["root"]), limit=ENVELOPE_LIMITS[ROOT_TYPE], what="root")
    authority = values["ca_file"] and str(values["ca_file"])
    public = Fetcher(values["pins_url"] or values["url"], ca_file=authority, allow_http=values["allow_http"])
    return Desk(client_of(values), public, root_json, memory_folder(values["state_dir"]))


def _now() -> datetime:
    return datetime.now(UTC)
