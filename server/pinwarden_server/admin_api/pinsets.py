"""
Pin sets over HTTP: list, show, publish, preview, roll back, renew, and how many approvals that takes.

It may import Flask, use cases and the reader.
"""

import json
import re
from typing import Any

from flask import Blueprint, Response

from pinwarden_server.admin_api.answers import answer_change, counted, replay_headers
from pinwarden_server.admin_api.requests import (
    act,
    allowed,
    check_query,
    creates,
    number_of,
    read_body,
    replaced_version,
)
from pinwarden_server.auth import Principal, Right, require
from pinwarden_server.change_drafts import parse_policy
from pinwarden_server.changes import submit
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.drafts import Manner, parse_draft, parse_renewal, parse_rollback
from pinwarden_server.errors import NotFound
from pinwarden_server.node import Node
from pinwarden_server.planning import plan_publication, plan_renewal, plan_rollback
from pinwarden_server.policies import set_policy
from pinwarden_server.preview import preview
from pinwarden_server.store import VersionRow
from pinwarden_server.tags import format_tag

MAX_PAGE = 500
_VERSION = re.compile(r"(?:([1-9][0-9]{0,15})\.)?([1-9][0-9]{0,15})", re.ASCII)
# What of a signed document a PUT may send back; the rest is the server's to say.
CONTENT_FIELDS = ("hosts", "deny", "on_stale", "report_to")


def pinset_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /pinsets to *admin*."""
    reader, site = node.site.store.reader, node.site

    @admin.get("/pinsets")
    def pinsets() -> dict[str, Any]:
        principal = allowed(node, Right.READ)
        check_query()
        rows = [row.to_json() for row in reader.pinsets() if principal.allows(Right.READ, row.name)]
        return {"pinsets": rows}

    @admin.get("/pinsets/<name>")
    def pinset(name: str) -> tuple[dict[str, Any], dict[str, str]]:
        allowed(node, Right.READ, name)
        check_query()
        current = reader.current(name)
        row = reader.version(name, current.tag[1], current.tag[0])
        shown = {
            **row.to_json(),
            "timestamp": json.loads(current.timestamp.payload),
            "approvals_required": current.approvals_required,
            "open_reviews": [row.id for row in reader.changes(name=name, state="review", now=node.clock())],
            "content": content_of(row),
        }
        return shown, {"ETag": f'"{format_tag(current.tag)}"'}

    @admin.get("/pinsets/<name>/versions")
    def versions(name: str) -> dict[str, Any]:
        allowed(node, Right.READ, name)
        check_query("limit", "before")
        limit = number_of("limit", default=100, low=1, high=MAX_PAGE)
        before = number_of("before", default=0, low=1, high=2**53 - 1) or None
        return {"versions": [row.to_json() for row in reader.versions(name, limit=limit, before=before)]}

    @admin.get("/pinsets/<name>/versions/<version>")
    def one_version(name: str, version: str) -> dict[str, Any]:
        allowed(node, Right.READ, name)
        check_query()
        match = _VERSION.fullmatch(version)
        if match is None:
            raise NotFound(
                f"pin set {name[:80]!r} has no version {version[:40]!r}", hint="Versions are spelt 7 or 1.7."
            )
        row = reader.version(name, int(match[2]), int(match[1]) if match[1] else None)
        return {**row.to_json(), "content": content_of(row), "envelope": row.envelope.to_json()}

    @admin.put("/pinsets/<name>")
    def put(name: str) -> Response:
        principal = allowed(node, Right.PUBLISH, name)
        check_query()
        expected = None if creates() else replaced_version(or_create=True)
        body = read_body()
        draft = parse_draft(body)
        check_glass(principal, name, draft.manner)
        by = act(node, principal, body)
        return answer_change(
            node, counted(lambda: submit(site, lambda: plan_publication(site, name, draft, expected, by), by))
        )

    @admin.post("/pinsets/<name>/preview")
    def preview_draft(name: str) -> dict[str, Any]:
        allowed(node, Right.PREVIEW, name)
        check_query()
        return preview(site, name, parse_draft(read_body()), node.clock()).to_json()

    @admin.post("/pinsets/<name>/rollback")
    def roll_back(name: str) -> Response:
        principal = allowed(node, Right.PUBLISH, name)
        check_query()
        expected = replaced_version()
        body = read_body()
        draft = parse_rollback(body)
        check_glass(principal, name, draft.manner)
        by = act(node, principal, body)
        return answer_change(
            node, counted(lambda: submit(site, lambda: plan_rollback(site, name, draft, expected, by), by))
        )

    @admin.post("/pinsets/<name>/renewal")
    def renew(name: str) -> Response:
        principal = allowed(node, Right.PUBLISH, name)
        check_query()
        expected = replaced_version()
        body = read_body()
        draft = parse_renewal(body)
        by = act(node, principal, body)
        return answer_change(
            node, counted(lambda: submit(site, lambda: plan_renewal(site, name, draft, expected, by), by))
        )

    @admin.put("/pinsets/<name>/policy")
    def put_policy(name: str) -> Response:
        principal = allowed(node, Right.POLICY, name)
        check_query()
        body = read_body()
        done = set_policy(site, name, parse_policy(body), act(node, principal, body))
        if isinstance(done, Waiting):
            return answer_change(node, done)
        return Response(json.dumps(done.to_json()), 200, replay_headers(done.replayed), content_type="application/json")


def check_glass(principal: Principal, name: str, manner: Manner) -> None:
    """Return when nothing is broken, or this token may break it on *name*; Forbidden."""
    if manner.break_glass:
        require(principal, Right.BREAK_GLASS, name)


def content_of(row: VersionRow) -> dict[str, Any]:
    """Return the part of a version that a PUT may send back, as it was signed."""
    payload = json.loads(row.envelope.payload)
    return {name: payload[name] for name in CONTENT_FIELDS if name in payload}
