"""
The Flask application: which routes there are, and what every answer of the admin side carries.

It may import every room of the HTTP side. It holds no state of its own; the node is passed in, or made of settings.
"""

import logging
from collections.abc import Callable
from time import perf_counter

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import MethodNotAllowed

from pinwarden_server.admin_api import PREFIX, admin_api
from pinwarden_server.admin_api.requests import remote_address
from pinwarden_server.api_page import api_page
from pinwarden_server.health import health
from pinwarden_server.node import Node, open_node
from pinwarden_server.openapi import openapi
from pinwarden_server.problems import answer_problems
from pinwarden_server.public_api import public_api
from pinwarden_server.settings import Settings

log = structlog.stdlib.get_logger("pinwarden.server.http")

# Nothing here is a page but that of the API, which brings a policy of its own: whatever a browser is made to do with an
# answer, it runs and keeps nothing.
PRIVATE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_app(settings: Settings, *, node: Node | None = None) -> Flask:
    """
    Return the application of one worker.

    Nothing runs beside it until ``app.extensions["pinwarden"].start()``, which gunicorn's hook calls after the fork.

    Args:
        node: an open node, for tests; otherwise one is opened from *settings*.
    """
    node = node or open_node(settings)
    app = Flask("pinwarden_server", static_folder=None)
    app.extensions["pinwarden"] = node
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # An address has one spelling. A redirect from another would name http, and the token would follow it in the clear.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(_begin)
    app.after_request(_finish)
    answer_problems(app)
    app.register_blueprint(public_api(node.table))
    app.register_blueprint(health(node))
    app.register_blueprint(admin_api(node))
    app.register_blueprint(openapi())
    app.register_blueprint(api_page())
    app.before_request(_literals_first(app))
    return app


def _literals_first(app: Flask) -> Callable[[], None]:
    """
    Return what keeps an address that is spelt out in a route from being taken for the parameter of another.

    The router goes by the method first: without this, GET of ``/roots/preview`` would ask for a root of that version.
    """
    methods: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        if not rule.arguments:
            methods.setdefault(rule.rule, set()).update(rule.methods or ())

    def refuse() -> None:
        taken = methods.get(request.path)
        if taken is not None and request.method not in taken:
            raise MethodNotAllowed(sorted(taken))

    return refuse


def _begin() -> None:
    structlog.contextvars.clear_contextvars()
    g.began = perf_counter()


def _finish(response: Response) -> Response:
    published = request.path.startswith("/v1/") and response.status_code in (200, 304)
    if not published:
        for name, value in PRIVATE_HEADERS.items():
            response.headers.setdefault(name, value)
    if request.path.startswith(PREFIX):
        level = logging.WARNING if response.status_code >= 500 else logging.INFO
        log.log(
            level,
            "admin request",
            method=request.method,
            route=request.url_rule.rule if request.url_rule else None,
            path=request.path,
            status=response.status_code,
            milliseconds=round((perf_counter() - g.began) * 1000, 1),
            remote=remote_address(),
        )
    return response
