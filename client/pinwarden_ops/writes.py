"""
What the commands that publish have in common: the request, its conflict told in full, and what came of it.

It may import click and this package. Every write carries the version that it replaces and a key of its own, is sent
once, and counts as done only when the answer names what was asked for.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.refusals import say
from pinwarden.errors import MalformedError, PinwardenError
from pinwarden.fields import Fields
from pinwarden_ops import contents
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_view import awaited
from pinwarden_ops.commands import violation_lines
from pinwarden_ops.errors import OpsConflict
from pinwarden_ops.live_sets import fetch_version

ACCEPTED = 202
_VERSION = re.compile(r"[1-9][0-9]{0,15}\.[1-9][0-9]{0,15}", re.ASCII)


def tag(text: str) -> str:
    """Parse ``1.7``, quoted or not, as an ETag spells it; a type for options."""
    bare = text.strip('"')
    if _VERSION.fullmatch(bare) is None:
        raise click.BadParameter(f"{text[:40]!r} is not a version such as 1.7")
    return bare


REPLACES = click.option("--replaces", type=tag, metavar="VERSION", help="The version in force that you saw, as 1.7.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a server says came of a write.

    Attributes:
        version: what is published, or would be once people have signed.
        change: the number of the change that waits for people, or None.
        told: the answer as it came.
    """

    name: str
    version: str
    change: int | None
    told: dict[str, Any]

    def words(self) -> str:
        """Return it in words."""
        if self.change is None:
            return f"{self.name} {self.version} is published"
        return f"{self.name} {self.version} waits for {awaited(self.told)} as change {self.change}"


def condition_of(replaces: str | None) -> dict[str, str]:
    """Return the header that says which version is replaced; None creates."""
    return {"If-None-Match": "*"} if replaces is None else {"If-Match": f'"{replaces}"'}


def send(
    api: AdminClient, method: str, name: str, path: str, *, body: Mapping[str, Any], replaces: str | None
) -> Outcome:
    """
    Send one write on the pin set *name*; *path* continues its address.

    Raises:
        OpsConflict: another version is in force; who published it meanwhile was printed, as far as the server tells.
        OpsRefused, OpsUnavailable: as for every request. MalformedError: the answer is not one to this request.
    """
    try:
        answer = api.ask(
            method,
            f"/pinsets/{name}{path}",
            body=body,
            headers={**condition_of(replaces), "Idempotency-Key": str(uuid.uuid4())},
        )
    except OpsConflict as error:
        say_meanwhile(api, name, replaces, error.problem.get("current"))
        raise
    for line in violation_lines(answer.value.get("warnings")):
        say("warning", line)
    fields = Fields(answer.value, "answer")
    told, version = fields.text("name"), fields.text("version")
    if told != name or _VERSION.fullmatch(version) is None:
        raise MalformedError(
            "the server answers with something else than what was asked of it",
            expected=f"a version of {name}",
            got=printable(f"{told} {version}"),
            holds="Whether it published is not known.",
            hint=f"`pinwarden set history {name}` shows.",
        )
    return Outcome(name, version, fields.integer("id") if answer.status == ACCEPTED else None, answer.value)


def say_meanwhile(api: AdminClient, name: str, seen: str | None, current: object) -> None:
    """Print who published *current* and what that changed since *seen*; a server that does not tell is no new error."""
    if type(current) is not str or _VERSION.fullmatch(current) is None:
        return
    try:
        newer = fetch_version(api, name, current)
        say("note", newer.told_by())
        before = fetch_version(api, name, seen).contained() if seen else None
        for line in contents.row_lines(contents.rows_between(before, newer.contained())):
            click.echo(line, err=True)
    except PinwardenError as error:
        say("note", f"what changed meanwhile cannot be shown: {error}")
