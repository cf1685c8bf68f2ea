"""
Changes that wait for people, over HTTP: list and show.

It may import Flask and the reader. A change of a pin set that a token does not reach is not there for that token.
"""

import re
from typing import Any

from flask import Blueprint, request

from pinwarden_server.admin_api.answers import shown_changes
from pinwarden_server.admin_api.requests import allowed, check_query, number_of
from pinwarden_server.auth import Principal, Right, require
from pinwarden_server.changes_view import STATES, whole
from pinwarden_server.left_waiting import left_waiting
from pinwarden_server.node import Node
from pinwarden_server.problems import BAD_REQUEST, RequestRefused
from pinwarden_server.store import ChangeRow
from pinwarden_server.store.reader import no_change

MAX_PAGE = 500
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def reached(node: Node, number: str, right: Right) -> tuple[Principal, ChangeRow]:
    """Return who asks and the change, when *right* on its pin set is theirs; else there is no such change."""
    principal = allowed(node, right)
    if _NUMBER.fullmatch(number) is None:
        raise no_change(repr(number))
    row = node.site.store.reader.change(int(number))
    if not principal.allows(right, row.name):
        raise no_change(number)  # whose change it is concerns nobody who may not see it
    return principal, row


def change_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /changes that only look to *admin*."""
    reader = node.site.store.reader

    @admin.get("/changes")
    def changes() -> dict[str, Any]:
        principal = allowed(node, Right.READ)
        check_query("name", "state", "limit", "before")
        name, state = request.args.get("name"), request.args.get("state")
        if name is not None:
            require(principal, Right.READ, name)
        if state is not None and state not in STATES:
            expected = " or ".join(STATES)
            raise RequestRefused("no such state", kind=BAD_REQUEST, expected=expected, got=state[:40])
        limit = number_of("limit", default=100, low=1, high=MAX_PAGE)
        before = number_of("before", default=0, low=1, high=2**53 - 1) or None
        rows = reader.changes(name=name, state=state, now=node.clock(), before=before, limit=limit)
        seen = [row for row in rows if principal.allows(Right.READ, row.name)]
        # The page may show less than its limit, because a token reaches some names only; "next" goes on all the same.
        return {
            "changes": shown_changes(node, seen),
            "next": rows[-1].id if len(rows) == limit else None,
        }

    @admin.get("/changes/<change_id>")
    def change(change_id: str) -> dict[str, Any]:
        _, row = reached(node, change_id, Right.READ)
        check_query()
        base = reader.version(row.name, row.base[1], row.base[0]).envelope if row.base else None
        return {
            **whole(row, shown_changes(node, [row])[0], base),
            "left_waiting": left_waiting(node.site, row, node.clock()),
        }
