"""
What gunicorn serves: the fast path, and Flask behind it.

It may import the application and the settings. It is called once per worker, after the fork.
"""

from flask import Flask

from pinwarden_server import logs
from pinwarden_server.app import create_app
from pinwarden_server.fast_path import FastPath
from pinwarden_server.node import Node
from pinwarden_server.settings import Settings, load_settings


def with_fast_path(app: Flask) -> FastPath:
    """Return *app* with the published files answered in front of it."""
    node: Node = app.extensions["pinwarden"]
    return FastPath(app, node.table, node.fetches)


def serve(settings: Settings | None = None) -> FastPath:
    """Return the application of one worker, from the environment unless *settings* are given; ConfigError."""
    settings = settings or load_settings()
    logs.configure(settings.log_level)
    return with_fast_path(create_app(settings))


def serve_without_fast_path() -> Flask:
    """Return the same answers from Flask alone, to be compared with and measured against."""
    settings = load_settings()
    logs.configure(settings.log_level)
    return create_app(settings)
