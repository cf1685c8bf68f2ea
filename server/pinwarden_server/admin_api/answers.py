"""What a change is answered with: published, or waiting for people. It may import Flask, metrics and the use cases."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from flask import Response

from pinwarden.documents import Root
from pinwarden.errors import WrongPinSetError
from pinwarden_server import metrics
from pinwarden_server.changes_answered import Outcome, Waiting
from pinwarden_server.changes_signatures import Gates
from pinwarden_server.changes_view import summary
from pinwarden_server.errors import ChangeClosed, SignerUnavailable, SigningRefused, StaleVersion
from pinwarden_server.left_waiting import left_waiting
from pinwarden_server.node import Node
from pinwarden_server.store import ChangeRow


def counted(change: Callable[[], Outcome]) -> Outcome:
    """Return what *change* does, counted by what came of it."""
    try:
        outcome = change()
    except (StaleVersion, ChangeClosed):
        metrics.PUBLISHES.labels("stale").inc()
        raise
    except Exception:
        metrics.PUBLISHES.labels("refused").inc()
        raise
    done = "waiting" if isinstance(outcome, Waiting) else "published"
    metrics.PUBLISHES.labels("replayed" if outcome.replayed else done).inc()
    return outcome


def shown_changes(node: Node, rows: Iterable[ChangeRow]) -> list[dict[str, Any]]:
    """Return changes without their payloads, as the newest root and the signer processes see them now."""
    root = Root.parse(node.site.store.reader.roots()[-1].payload)
    gates_of = cache(lambda name: _gates(node, name, root))  # a question for each name, not for each change
    policies = node.site.store.reader.policies()

    def required(row: ChangeRow) -> int:
        creates = row.base is None and row.state == "waiting" and not row.is_policy
        return row.required(policies.get(row.name, node.site.policy.approvals_required if creates else 0))

    return [summary(row, root, gates_of(row.name), required(row), node.clock()) for row in rows]


def replay_headers(replayed: bool) -> dict[str, str]:
    """Return the header that says of an answer that it was given before under the same Idempotency-Key."""
    return {"Idempotency-Replayed": "true"} if replayed else {}


def answer_change(node: Node, outcome: Outcome, *, creates: bool = True) -> Response:
    """
    Return what was published, or 202 with the change that waits and its address.

    Args:
        creates: this was proposed: a new pin set is answered with 201, and a lower number with what it leaves waiting;
            else somebody did something about a change, and every publication is answered with 200.
    """
    headers = replay_headers(outcome.replayed)
    if isinstance(outcome, Waiting):
        # A policy is never published as a version: the change itself says that it is done.
        is_done = outcome.row.is_policy and outcome.row.state != "waiting"
        status, value = 200 if is_done else 202, shown_changes(node, [outcome.row])[0]
        if creates and outcome.row.is_policy:
            value["left_waiting"] = left_waiting(node.site, outcome.row, node.clock())
        headers["Location"] = f"/admin/v1/changes/{outcome.row.id}"
    else:
        status, value = 201 if outcome.created and creates else 200, outcome.to_json()
        headers["ETag"] = outcome.etag
    return Response(json.dumps(value), status, headers, content_type="application/json")


def _gates(node: Node, name: str, root: Root) -> Gates | None:
    try:
        return node.site.signers.gates(root.grant_for(name), name)
    except WrongPinSetError:
        return {}
    except (SignerUnavailable, SigningRefused):
        return None  # a list of changes is worth reading while a process is away
