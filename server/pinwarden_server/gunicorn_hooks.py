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

from pinwarden.errors import PinwardenError
from pinwarden_server.mapped_files import give_back_counters, reserve_counters
from pinwarden_server.settings import load_settings
from pinwarden_server.starting import RunFolder, check_addresses

UNAVAILABLE = 3  # what other commands end with when a repeat may help
_settings = load_settings()
_counters = _settings.run_dir / "metrics"
_counted_in = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(_counters)))

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
_run_folder: RunFolder | None = None


def on_starting(server: Any) -> None:
    """
    Make the run directory, without the counters of processes that are gone, and say what one person alone can do.

    Raises:
        SystemExit: another server runs with this run directory, or an address is taken; the log says which.
    """
    global _run_folder
    from pinwarden_server import logs

    logs.configure(_settings.log_level)
    log = logging.getLogger("pinwarden.server")
    _settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A successor that gunicorn starts by SIGUSR2 takes over addresses and folder while its predecessor still runs.
    if "GUNICORN_PID" not in os.environ:
        try:
            _run_folder = RunFolder(_settings.run_dir)
            if not {"LISTEN_FDS", "GUNICORN_FD"} & os.environ.keys():
                check_addresses(server.cfg.address)
        except PinwardenError as error:
            log.critical("the server does not start: %s", error)
            raise SystemExit(UNAVAILABLE) from None
    if _settings.approvals_required_default == 0:
        why = "one person alone can publish a new pin set; docs/approvals.md says how to change that"
        log.warning("approvals_required_default is 0: %s", why)
    shutil.rmtree(_counters, ignore_errors=True)
    _counters.mkdir(mode=0o700)


def when_ready(server: Any) -> None:
    """Write the addresses in use to ``run_dir/addresses.json``: with number 0 the system chooses."""
    addresses = [_spelt(listener.sock.getsockname()) for listener in server.LISTENERS]
    part = _settings.run_dir / f"addresses.{os.getpid()}"
    part.write_text(json.dumps(addresses) + "\n")
    part.replace(_settings.run_dir / "addresses.json")


def post_fork(server: Any, worker: Any) -> None:
    """Take the space of this worker's counters; where there is none, let it count in memory, for itself alone."""
    if _run_folder is not None:
        _run_folder.leave()
    try:
        reserve_counters(_counted_in, os.getpid())
    except OSError as error:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        logging.getLogger("pinwarden.server").error(
            "/metrics lacks what this worker counts: its files cannot be made in %s: %s. Free space, then restart.",
            _counted_in,
            error.strerror,
        )


def post_worker_init(worker: Any) -> None:
    """Begin to renew, in the process that will serve."""
    worker.wsgi.extensions["pinwarden"].start()


def worker_exit(server: Any, worker: Any) -> None:
    """End what began, after the last request was answered."""
    node = getattr(worker.wsgi, "extensions", {}).get("pinwarden") if worker.wsgi else None
    if node is not None:
        node.stop()


def child_exit(server: Any, worker: Any) -> None:
    """Give back the space of a worker that is gone; what it counted counts on."""
    give_back_counters(_counted_in, worker.pid)


def on_exit(server: Any) -> None:
    """Take back what says where this server listens."""
    (_settings.run_dir / "addresses.json").unlink(missing_ok=True)


def _spelt(name: Any) -> str:
    if isinstance(name, (str, bytes)):
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"
