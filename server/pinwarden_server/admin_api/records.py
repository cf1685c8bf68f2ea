"""What happened: the audit chain over HTTP. It may import Flask and the reader."""

from typing import Any

from flask import Blueprint

from pinwarden_server.admin_api.requests import allowed, check_query, number_of
from pinwarden_server.auth import Right
from pinwarden_server.node import Node

MAX_PAGE = 500


def record_views(admin: Blueprint, node: Node) -> None:
    """Add /audit to *admin*."""
    reader = node.site.store.reader

    @admin.get("/audit")
    def audit() -> dict[str, Any]:
        allowed(node, Right.AUDIT)
        check_query("after", "limit")
        after = number_of("after", default=0, low=0, high=2**53 - 1)
        rows = reader.audit(after=after, limit=number_of("limit", default=100, low=1, high=MAX_PAGE))
        return {"rows": [row.to_json() for row in rows], "next": rows[-1].seq if rows else after}
