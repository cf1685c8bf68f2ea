"""Roots over HTTP: list, show, preview, publish. It may import Flask, the use cases and the reader."""

import json
import re
from typing import Any

from flask import Blueprint, Response

from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.strict_json import format_time
from pinwarden_server.admin_api.requests import act, allowed, check_query, read_body
from pinwarden_server.auth import Right
from pinwarden_server.errors import NotFound
from pinwarden_server.node import Node
from pinwarden_server.root_offers import parse_root_offer
from pinwarden_server.root_publishing import preview_root, publish_root

_VERSION = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def root_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /roots to *admin*."""
    reader, site = node.site.store.reader, node.site

    @admin.get("/roots")
    def roots() -> dict[str, Any]:
        allowed(node, Right.READ)
        check_query()
        return {"roots": [_shown(envelope) for envelope in reader.roots()]}

    @admin.get("/roots/<version>")
    def one_root(version: str) -> dict[str, Any]:
        allowed(node, Right.READ)
        check_query()
        stored = reader.roots()
        if _VERSION.fullmatch(version) is None or int(version) > len(stored):
            raise NotFound(f"no root version {version[:40]!r}", hint="GET /admin/v1/roots lists those that exist.")
        return _shown(stored[int(version) - 1])

    @admin.post("/roots")
    def publish() -> Response:
        principal = allowed(node, Right.ROOTS)
        check_query()
        body = read_body()
        published = publish_root(site, parse_root_offer(body), act(node, principal, body))
        shown = json.dumps(published.to_json())
        return Response(shown, 201 if published.created else 200, content_type="application/json")

    @admin.post("/roots/preview")
    def preview() -> dict[str, Any]:
        allowed(node, Right.ROOTS)
        check_query()
        return preview_root(site, parse_root_offer(read_body()), node.clock()).to_json()


def _shown(envelope: Envelope) -> dict[str, Any]:
    root = Root.parse(envelope.payload)
    times = {"issued": format_time(root.issued), "expires": format_time(root.expires)}
    return {"version": root.version, "authority": root.authority, **times, "envelope": envelope.to_json()}
