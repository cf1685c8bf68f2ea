"""
A change of how many approvals a pin set requires, read from its payload: there is no document to verify behind it.

It may import click and layer 0. The payload is what an approval names; all the rest is the server's word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.documents import check_name
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import decode_base64, encode, parse_object
from pinwarden_ops.change_view import claims, digest_groups

MOST_APPROVALS = 9
_TYPE = "pinwarden/approvals"
_MEMBERS = {"type", "name", "approvals_required", "replaces"}


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What a payload lowers from *replaces* to *approvals_required*."""

    name: str
    approvals_required: int
    replaces: int
    payload: bytes

    @property
    def sha256(self) -> str:
        """The digest that an approval names, in hex."""
        return sha256(self.payload).hexdigest()


def read_policy(claimed: Mapping[str, Any]) -> PolicyChange:
    """Return what the payload of *claimed* says; MalformedError when that is not all of it."""
    payload = decode_base64(claimed.get("payload"), what="payload of the change")
    value = parse_object(payload, limit=4096, what="payload")
    fields = Fields(value, "payload")
    if value.keys() != _MEMBERS or encode(value) != payload or fields.text("type") != _TYPE:
        raise MalformedError("the payload is no number of approvals", holds="Nothing was approved.")
    name = check_name(fields.text("name"))
    return PolicyChange(name, approvals_in(fields, "approvals_required"), approvals_in(fields, "replaces"), payload)


def approvals_in(fields: Fields, name: str) -> int:
    """Return a number of approvals, which may be none; MalformedError."""
    number = fields.get(name, int)
    if not 0 <= number <= MOST_APPROVALS:
        raise MalformedError(f"{name} is no number of approvals", expected=f"0 to {MOST_APPROVALS}", got=number)
    return number


def left_waiting_lines(claimed: Mapping[str, Any]) -> list[str]:
    """Return for each change that a lower number leaves waiting what the server says of it."""
    given = claimed.get("left_waiting")
    lines = []
    for row in given if isinstance(given, list) else []:
        fields = Fields(row, "left_waiting")
        reason = f": {fields.text('reason')}" if fields.text("reason") else ""
        words = f"change {fields.integer('id')} by {fields.text('owner')}{reason}"
        lines.append(printable(f"{words}, {fields.text('what')}, still waits for {fields.text('approvals')}"))
    return lines


def show_policy(number: int, claimed: Mapping[str, Any], *, json_wanted: bool, err: bool = False) -> PolicyChange:
    """Print the change and return it."""
    found = read_policy(claimed)
    if json_wanted:
        left = {"left_waiting": claimed.get("left_waiting", [])}
        print_json({**policy_json(number, found, str(claimed.get("state"))), **left})
        return found
    for line in (
        f"pin set {found.name}: how many approvals it requires",
        f"  ~ {found.replaces} -> {found.approvals_required}",
        f"  digest    {digest_groups(found.payload)}",
        "",
        *claims(claimed),
        *(f"  claimed: {line}" for line in left_waiting_lines(claimed)),
    ):
        click.echo(line, err=err)
    return found


def policy_json(number: int, found: PolicyChange, state: str) -> dict[str, Any]:
    """Return the change as a JSON object."""
    return {
        "change": number,
        "name": found.name,
        "approvals_required": found.approvals_required,
        "replaces": found.replaces,
        "payload_sha256": found.sha256,
        "state": printable(state),
    }
