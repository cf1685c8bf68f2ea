"""
The configuration of gunicorn behind a web server: what the package ships, with a socket that the web server may open.

``gunicorn -c gunicorn.conf.py 'pinwarden_server.wsgi:serve()'``. Addresses, workers, threads and limits come from the
settings (``pinwarden server settings --table``); nothing is preloaded, and no control socket is opened.
"""

from pathlib import Path
from typing import Any

from pinwarden_server import gunicorn_hooks
from pinwarden_server.gunicorn_hooks import *  # noqa: F403

# Every worker starts anew now and then, at different times: a leak that nobody knows of stays small.
max_requests = 1_000_000
max_requests_jitter = 100_000


def when_ready(server: Any) -> None:
    """Let the group of this process, and so nginx, use the Unix sockets; other files stay private (umask 077)."""
    for listener in server.LISTENERS:
        name = listener.sock.getsockname()
        if isinstance(name, str) and name:
            Path(name).chmod(0o660)
    gunicorn_hooks.when_ready(server)
