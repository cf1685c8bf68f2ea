"""Changes that people sign, over HTTP: list, show, sign, reject. It may import Flask, the use cases and the reader."""

import json
import re
from typing import Any

from flask import Blueprint, Response, request

from pinwarden_server import metrics
from pinwarden_server.admin_api.answers import answer_change, counted, replay_headers, shown_changes
from pinwarden_server.admin_api.requests import act, allowed, check_query, number_of, read_body
from pinwarden_server.auth import Principal, Right, require
from pinwarden_server.changes import reject_change, sign_change
from pinwarden_server.changes_view import STATES, whole
from pinwarden_server.drafts import parse_rejection, parse_signature
from pinwarden_server.errors import NotFound
from pinwarden_server.node import Node
from pinwarden_server.problems import BAD_REQUEST, RequestRefused
from pinwarden_server.store import ChangeRow

MAX_PAGE = 500
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def change_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /changes to *admin*."""
    reader, site = node.site.store.reader, node.site

    def reached(number: str, right: Right) -> tuple[Principal, ChangeRow]:
        """Return who asks and the change, when *right* on its pin set is theirs."""
        principal = allowed(node, right)
        if _NUMBER.fullmatch(number) is None:
            raise NotFound(f"no change {number[:40]!r}", hint="GET /admin/v1/changes lists those that exist.")
        row = reader.change(int(number))
        return require(principal, right, row.name), row

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
        shown = [row for row in rows if principal.allows(Right.READ, row.name)]
        # The page may show less than its limit, because a token reaches some names only; "next" goes on all the same.
        return {
            "changes": shown_changes(node, shown),
            "next": rows[-1].id if len(rows) == limit else None,
        }

    @admin.get("/changes/<change_id>")
    def change(change_id: str) -> dict[str, Any]:
        _, row = reached(change_id, Right.READ)
        check_query()
        base = reader.version(row.name, row.base[1], row.base[0]).envelope if row.base else None
        return whole(row, shown_changes(node, [row])[0], base)

    @admin.post("/changes/<change_id>/signatures")
    def sign(change_id: str) -> Response:
        principal, row = reached(change_id, Right.SIGN)
        check_query()
        body = read_body()
        signature = parse_signature(body)
        by = act(node, principal, body)
        return answer_change(node, counted(lambda: sign_change(site, row.id, signature, by)), creates=False)

    @admin.post("/changes/<change_id>/rejection")
    def reject(change_id: str) -> Response:
        principal, row = reached(change_id, Right.SIGN)
        check_query()
        body = read_body()
        rejected = reject_change(site, row.id, parse_rejection(body), act(node, principal, body))
        metrics.PUBLISHES.labels("replayed" if rejected.replayed else "rejected").inc()
        shown, headers = shown_changes(node, [rejected.row])[0], replay_headers(rejected.replayed)
        return Response(json.dumps(shown), headers=headers, content_type="application/json")
