"""What happened: the audit chain and its checkpoints over HTTP. It may import Flask and the reader."""

from typing import Any

from flask import Blueprint

from pinwarden_server.admin_api.requests import allowed, check_query, number_of, text_of, time_of
from pinwarden_server.auth import Right
from pinwarden_server.node import Node
from pinwarden_server.store import AuditFilter

MAX_PAGE = 500


def record_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /audit to *admin*."""
    reader = node.site.store.reader

    @admin.get("/audit")
    def audit() -> dict[str, Any]:
        allowed(node, Right.AUDIT)
        check_query("after", "limit", "name", "actor", "action", "since", "until")
        after = number_of("after", default=0, low=0, high=2**53 - 1)
        only = AuditFilter(
            name=text_of("name", longest=200),
            actor=text_of("actor", longest=200),
            action=text_of("action", longest=200),
            since=time_of("since"),
            until=time_of("until"),
        )
        rows = reader.audit(after=after, limit=number_of("limit", default=100, low=1, high=MAX_PAGE), only=only)
        return {"rows": [row.to_json() for row in rows], "next": rows[-1].seq if rows else after}

    @admin.get("/audit/checkpoints")
    def checkpoints() -> dict[str, Any]:
        allowed(node, Right.AUDIT)
        check_query("after", "limit")
        after = number_of("after", default=0, low=0, high=2**53 - 1)
        rows = reader.checkpoints(after=after, limit=number_of("limit", default=100, low=1, high=MAX_PAGE))
        return {"checkpoints": [row.to_json() for row in rows], "next": rows[-1].size if rows else after}
