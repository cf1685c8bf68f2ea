"""
Logging in and out over HTTP: one-time links, logins, sessions.

It may import Flask and the ways in. Secrets come in bodies alone, so that no access log has them.
"""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from pinwarden.errors import ConfigError
from pinwarden_server import accounts
from pinwarden_server.admin_api.requests import (
    act,
    allowed,
    check_query,
    counting_attempts,
    read_body,
    remote_address,
)
from pinwarden_server.auth import Right
from pinwarden_server.errors import Conflict, Unauthenticated
from pinwarden_server.login_drafts import AccountLogin, LinkLogin, OidcLogin, parse_link_draft, parse_login
from pinwarden_server.node import Node
from pinwarden_server.one_time_links import LinkState, ShownLink, admin_url, issue_link, redeem, shown_links, withdraw
from pinwarden_server.sessions import Session, end_own_session, end_session
from pinwarden_server.settings import Settings
from pinwarden_server.store.logins import list_sessions
from pinwarden_server.turns import Turns

if TYPE_CHECKING:
    from pinwarden_server.oidc import Issuers


def login_views(admin: Blueprint, node: Node) -> None:
    """Add /logins, /one-time-links and /sessions to *admin*."""
    store, settings = node.site.store, node.settings
    lifetime, issuers = timedelta(seconds=settings.session_lifetime_seconds), _issuers(node)
    turns = Turns(settings.run_dir / "hashing", at_once=accounts.HASHES_AT_ONCE)

    @admin.post("/one-time-links")
    def links() -> Response:
        principal = allowed(node, Right.TOKENS)
        check_query()
        base = _base(settings)
        body = read_body()
        issued = issue_link(store, parse_link_draft(body), act(node, principal, body))
        return _created({**ShownLink(issued.row, LinkState.OPEN).to_json(), "url": issued.url(base)})

    @admin.get("/one-time-links")
    def listed() -> dict[str, Any]:
        allowed(node, Right.TOKENS)
        check_query()
        return {"links": [each.to_json() for each in shown_links(store, node.clock())]}

    @admin.delete("/one-time-links/<link_id>")
    def take_back(link_id: str) -> dict[str, Any]:
        principal = allowed(node, Right.TOKENS)
        check_query()
        return withdraw(store, link_id, act(node, principal)).to_json()

    @admin.post("/logins")
    def logins() -> Response:
        check_query()
        login, now = parse_login(read_body()), node.clock()
        match login:
            case LinkLogin(code):
                with counting_attempts(node, "link"):
                    return _begun(redeem(store, code, now, lifetime=lifetime))
            case AccountLogin(name, password):
                # Judging a password costs memory, so unlike a token a right one has to wait as well.
                node.limits.check(remote_address() or "")
                with counting_attempts(node, "account"):
                    return _begun(accounts.log_in(store, name, password, now, lifetime=lifetime, turns=turns))
            case OidcLogin(token):
                with counting_attempts(node, "oidc"):
                    if issuers is None:
                        raise Unauthenticated("this server takes no ID tokens", hint="Its setting oidc has no rule.")
                    return _begun(issuers.log_in(store, token, now))

    @admin.get("/sessions")
    def sessions() -> dict[str, Any]:
        allowed(node, Right.TOKENS)
        check_query()
        return {"sessions": [row.to_json() for row in list_sessions(store.reader)]}

    @admin.delete("/sessions/current")
    def log_out() -> dict[str, Any]:
        principal = allowed(node, Right.READ)
        check_query()
        return end_own_session(store, principal, act(node, principal)).to_json()

    @admin.delete("/sessions/<session_id>")
    def end(session_id: str) -> dict[str, Any]:
        principal = allowed(node, Right.TOKENS)
        check_query()
        return end_session(store, session_id, act(node, principal)).to_json()


def _base(settings: Settings) -> str:
    try:
        return admin_url(settings)
    except ConfigError as error:
        raise Conflict(error.what, hint=error.hint) from error


def _issuers(node: Node) -> "Issuers | None":
    if not node.settings.oidc:
        return None
    from pinwarden_server.oidc import Issuers  # its library comes with the extra [oidc]

    return Issuers(node.settings.oidc, ca_file=node.settings.oidc_ca_file)


def _begun(session: Session) -> Response:
    return _created({**session.row.to_json(), "token": session.token})


def _created(value: dict[str, object]) -> Response:
    return Response(json.dumps(value), 201, content_type="application/json")
