"""
The gunicorn configuration: ``gunicorn -c python:pinwarden_server.gunicorn_hooks 'pinwarden_server.wsgi:serve()'``.

It may import the settings at once and the rest inside hooks: the counters must not load before their folder is named.
Nothing is preloaded, because threads, database connections and keys do not survive the fork of a worker.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from pinwarden_server.settings import load_settings

_settings = load_settings()
_counters = _settings.run_dir / "metrics"
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_counters))

bind = list(_settings.bind)
workers = _settings.workers
threads = _settings.threads
worker_class = "gthread"
preload_app = False
timeout = 60
graceful_timeout = _settings.shutdown_seconds
keepalive = 15
backlog = 1024
limit_request_line = 2048
limit_request_fields = 50
limit_request_field_size = 4096
# A public server takes no orders through a socket, and trusts X-Forwarded-* from the machine itself alone.
control_socket_disable = True
forwarded_allow_ips = "127.0.0.1,::1"
# Worker heartbeats in memory, not on a disk that may be full.
_memory = Path("/dev/shm")  # noqa: S108  gunicorn makes an unnamed file there
worker_tmp_dir = str(_memory) if _memory.is_dir() else None
accesslog = None
loglevel = _settings.log_level
# The socket is for the group, which a proxy of another user joins; secrets are 0600 whatever this says.
umask = 0o007


def on_starting(server: Any) -> None:
    """Say what one person alone can do, and make the run directory, without the counters of processes that are gone."""
    from pinwarden_server import logs

    logs.configure(_settings.log_level)
    if _settings.approvals_required_default == 0:
        why = "one person alone can publish a new pin set; docs/approvals.md says how to change that"
        logging.getLogger("pinwarden.server").warning("approvals_required_default is 0: %s", why)
    _settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(_counters, ignore_errors=True)
    _counters.mkdir(mode=0o700)


def when_ready(server: Any) -> None:
    """Write the addresses in use to ``run_dir/addresses.json``: with number 0 the system chooses."""
    addresses = [_spelt(listener.sock.getsockname()) for listener in server.LISTENERS]
    part = _settings.run_dir / f"addresses.{os.getpid()}"
    part.write_text(json.dumps(addresses) + "\n")
    part.replace(_settings.run_dir / "addresses.json")


def post_worker_init(worker: Any) -> None:
    """Begin to renew, in the process that will serve."""
    worker.wsgi.extensions["pinwarden"].start()


def worker_exit(server: Any, worker: Any) -> None:
    """End what began, after the last request was answered."""
    node = getattr(worker.wsgi, "extensions", {}).get("pinwarden") if worker.wsgi else None
    if node is not None:
        node.stop()


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone; its counters count on."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Take back what says where this server listens."""
    (_settings.run_dir / "addresses.json").unlink(missing_ok=True)


def _spelt(name: Any) -> str:
    if isinstance(name, (str, bytes)):
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"
