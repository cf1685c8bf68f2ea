"""
Whether this worker lives, may be sent requests, and what it is short of.

It may import Flask, the node and the published documents. The two probes say one word per component to anyone; reasons
and times are for those who may see metrics.
"""

import hmac
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from pinwarden.strict_json import format_time
from pinwarden_keys.errors import KeysError
from pinwarden_keys.passphrase import passphrase_file
from pinwarden_server import metrics
from pinwarden_server.admin_api.requests import allowed
from pinwarden_server.alerts import Alert, late_checkpoint
from pinwarden_server.auth import Right
from pinwarden_server.checkpoints import waits_since
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.node import Node
from pinwarden_server.published_state import published_documents, published_root

OK, AWAY, NOTHING_PUBLISHED, NONE_OPEN, NOT_RUNNING = "ok", "away", "nothing published", "none open", "not running"
MISSING = "missing"
EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def health(node: Node) -> Blueprint:
    """Return /livez, /readyz, /statusz and /metrics."""
    probes = Blueprint("health", __name__)

    @probes.get("/livez")
    def livez() -> dict[str, Any]:
        return {"alive": True}

    @probes.get("/readyz")
    def readyz() -> tuple[dict[str, Any], int]:
        components = components_of(node)
        ready = components["reads"] == OK
        publishing = ready and components["store"] == OK and components["signers"] == OK
        return {"ready": ready, "publishing": publishing, "components": components}, 200 if ready else 503

    @probes.get("/statusz")
    def statusz() -> dict[str, Any]:
        check_observer(node)
        return status_of(node)

    @probes.get("/metrics")
    def scrape() -> Response:
        check_observer(node)
        node.fetches.hand_on()  # the other workers of this node do so each second
        text = metrics.scrape(node.table, node.clock, node.pending, lambda: _in_order(node))
        return Response(text, content_type=EXPOSITION_TYPE)

    return probes


def components_of(node: Node) -> dict[str, str]:
    """Return one word or two per component, nothing that helps an attacker."""
    return {
        "reads": OK if node.table.get("/v1/roots/1") is not None else NOTHING_PUBLISHED,
        "store": OK if node.store_trouble() is None else AWAY,
        "signers": OK if node.site.signers.keyids else NONE_OPEN,
        "floors": MISSING if node.waits_for_floors() else OK,
        "renewal": OK if node.renewer.is_running else NOT_RUNNING,
    }


def _in_order(node: Node) -> dict[str, bool]:
    return {name: word == OK for name, word in components_of(node).items()}


def status_of(node: Node) -> dict[str, Any]:
    """Return what an operator wants to see first: the components with reasons, what is urgent, and every expiry."""
    root, renewed, now = published_root(node.table), node.renewer.last_success, node.clock()
    pending = node.pending()
    alerts = [*node.alerts(now, pending), *_audit_alerts(node, now)]
    return {
        "now": format_time(now),
        "components": components_of(node),
        "store_trouble": node.store_trouble(),
        "signers": sorted(node.site.signers.keyids),
        "signers_trouble": node.signers_trouble,
        "last_renewal_of_this_worker": renewed and format_time(renewed),
        "alerts": [alert.to_json() for alert in alerts],
        "pending": pending and pending.to_json(),
        "root": root and {"authority": root.authority, "version": root.version, "expires": format_time(root.expires)},
        "pinsets": [
            {
                "name": documents.pinset.name,
                "version": f"{documents.pinset.epoch}.{documents.pinset.version}",
                "expires": format_time(documents.pinset.expires),
                "timestamp_version": documents.timestamp.version,
                "timestamp_expires": format_time(documents.timestamp.expires),
            }
            for documents in published_documents(node.table)
        ],
    }


def _audit_alerts(node: Node, now: datetime) -> list[Alert]:
    try:
        since = waits_since(node.site.store.reader)
    except StoreUnavailable:
        return []  # what is wrong then is told as the trouble of the store
    return late_checkpoint(since, node.site.policy.checkpoint_interval, now)


def check_observer(node: Node) -> None:
    """
    Return when the request carries the metrics token, or an API token with the right to see metrics.

    Loopback alone opens nothing: behind a proxy every request comes from there.

    Raises:
        Unauthenticated, Forbidden: neither. StoreUnavailable: an API token that cannot be looked up now.
    """
    path = node.settings.metrics_token_file
    if path is not None:
        # Read at each scrape, so that a rotated token needs no restart.
        try:
            expected = passphrase_file(path)()
        except KeysError as error:
            raise StoreUnavailable("the metrics token cannot be read", hint="See the server's log.") from error
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if hmac.compare_digest(given, b"Bearer " + expected):
            return
    allowed(node, Right.METRICS)
