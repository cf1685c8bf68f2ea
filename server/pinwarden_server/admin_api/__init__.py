"""
The admin side, ``/admin/v1``: each view turns a request into one call of a use case or of the reader, and back.

It may import Flask and everything beside the public side. No view holds a rule, opens a transaction or signs; every
one names the right that it needs, and what is refused has changed nothing.
"""

from flask import Blueprint

from pinwarden_server.admin_api.change_deeds import deed_views
from pinwarden_server.admin_api.changes import change_views
from pinwarden_server.admin_api.logins import login_views
from pinwarden_server.admin_api.pinsets import pinset_views
from pinwarden_server.admin_api.records import record_views
from pinwarden_server.admin_api.roots import root_views
from pinwarden_server.admin_api.tokens import token_views
from pinwarden_server.node import Node

PREFIX = "/admin/v1"


def admin_api(node: Node) -> Blueprint:
    """Return the routes of the admin side."""
    admin = Blueprint("admin", __name__, url_prefix=PREFIX)
    pinset_views(admin, node)
    change_views(admin, node)
    deed_views(admin, node)
    record_views(admin, node)
    root_views(admin, node)
    token_views(admin, node)
    login_views(admin, node)
    return admin
