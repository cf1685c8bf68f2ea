"""Tokens over HTTP: list, issue, revoke. It may import Flask, ``auth`` and the reader; a secret is shown once."""

import json
from typing import Any

from flask import Blueprint, Response

from pinwarden_server.admin_api.answers import replay_headers
from pinwarden_server.admin_api.requests import act, allowed, check_query, read_body
from pinwarden_server.auth import Right, issue_token, revoke_token
from pinwarden_server.node import Node
from pinwarden_server.token_drafts import parse_token_draft


def token_views(admin: Blueprint, node: Node) -> None:
    """Add /tokens to *admin*."""
    store = node.site.store

    @admin.get("/tokens")
    def tokens() -> dict[str, Any]:
        allowed(node, Right.TOKENS)
        check_query()
        return {"tokens": [row.to_json() for row in store.reader.tokens()]}

    @admin.post("/tokens")
    def issue() -> Response:
        principal = allowed(node, Right.TOKENS)
        check_query()
        body = read_body()
        draft = parse_token_draft(body)
        issued = issue_token(store, draft, act(node, principal, body))
        shown = {**issued.row.to_json(), "token": issued.token}
        headers = replay_headers(issued.token is None)
        return Response(json.dumps(shown), 201, headers, content_type="application/json")

    @admin.delete("/tokens/<token_id>")
    def revoke(token_id: str) -> dict[str, Any]:
        principal = allowed(node, Right.TOKENS)
        check_query()
        return revoke_token(store, token_id, act(node, principal)).to_json()
