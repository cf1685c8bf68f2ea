"""
What the fast path is compared with: Flask and bare WSGI, each with the same constant bytes.

It may import Flask. gunicorn loads this module twice: as its configuration, the product's own without the node that
these applications do not have, and as the application.
"""

import os
from pathlib import Path
from typing import Any

from pinwarden_server.gunicorn_hooks import *  # noqa: F403  gunicorn reads its settings from these names

ADDRESS = os.environ["BENCH_ADDRESS"]


def post_worker_init(worker: Any) -> None:
    """Start nothing: the product's hook starts the renewal here."""


def flask_application() -> Any:
    """Return a Flask application with one route that returns the bytes."""
    from flask import Flask

    app, body = Flask("peer", static_folder=None), _body()

    @app.get(ADDRESS)
    def bundle() -> bytes:
        return body

    return app


def wsgi_application() -> Any:
    """Return a WSGI application that looks at nothing and answers the bytes with the product's headers."""
    body = _body()
    headers = [
        ("Content-Type", "application/vnd.pinwarden.bundle.v1+json"),
        ("Content-Length", str(len(body))),
        ("ETag", '"0123456789abcdef0123456789abcdef"'),
        ("Cache-Control", "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"),
    ]

    def application(environ: Any, start_response: Any) -> tuple[bytes]:
        start_response("200 OK", headers.copy())
        return (body,)

    return application


def _body() -> bytes:
    return Path(os.environ["BENCH_TREE"] + ADDRESS).read_bytes()
