"""
What people do about a change, over HTTP: sign, approve, review, reject.

It may import Flask and the use cases. Each names the right that it needs on the pin set of the change.
"""

import json
from collections.abc import Callable
from typing import TypeVar

from flask import Blueprint, Response

from pinwarden_server import metrics
from pinwarden_server.admin_api.answers import answer_change, counted, replay_headers, shown_changes
from pinwarden_server.admin_api.changes import reached
from pinwarden_server.admin_api.requests import act, check_query, read_body
from pinwarden_server.approvals import approve_change
from pinwarden_server.auth import Right
from pinwarden_server.change_drafts import parse_approval, parse_rejection, parse_review, parse_signature
from pinwarden_server.changes import reject_change
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.changes_signing import sign_change
from pinwarden_server.node import Node
from pinwarden_server.reviews import review_change
from pinwarden_server.site import Act

Said = TypeVar("Said")


def deed_views(admin: Blueprint, node: Node) -> None:
    """Add the routes below /changes/ID that do something to *admin*."""
    site = node.site

    @admin.post("/changes/<change_id>/signatures")
    def sign(change_id: str) -> Response:
        deed = said(change_id, Right.SIGN, parse_signature)
        return answer_change(node, counted(lambda: sign_change(site, *deed)), creates=False)

    @admin.post("/changes/<change_id>/approvals")
    def approve(change_id: str) -> Response:
        deed = said(change_id, Right.APPROVE, parse_approval)
        return answer_change(node, counted(lambda: approve_change(site, *deed)), creates=False)

    @admin.post("/changes/<change_id>/review")
    def review(change_id: str) -> Response:
        return shown(review_change(site, *said(change_id, Right.APPROVE, parse_review)))

    @admin.post("/changes/<change_id>/rejection")
    def reject(change_id: str) -> Response:
        rejected = reject_change(site, *said(change_id, Right.SIGN, parse_rejection))
        metrics.PUBLISHES.labels("replayed" if rejected.replayed else "rejected").inc()
        return shown(rejected)

    def said(change_id: str, right: Right, parse: Callable[[bytes], Said]) -> tuple[int, Said, Act]:
        principal, row = reached(node, change_id, right)
        check_query()
        body = read_body()
        return row.id, parse(body), act(node, principal, body)

    def shown(done: Waiting) -> Response:
        value, headers = shown_changes(node, [done.row])[0], replay_headers(done.replayed)
        return Response(json.dumps(value), headers=headers, content_type="application/json")
