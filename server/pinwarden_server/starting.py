"""
What keeps a server from starting beside what runs already: another server of the same run folder, or a taken address.

It may use sockets and a file lock. It ends nobody, and takes no address: gunicorn does that a moment later.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pinwarden.errors import ConfigError
from pinwarden_server.errors import Conflict, StoreUnavailable

Address = tuple[str, int] | str | int
_ATTEMPTS, _PAUSE_SECONDS = 6, 1.0  # workers whose arbiter was killed keep its address for a second or two


class RunFolder:
    """
    The lock by which one server at a time uses a run folder; it ends with the process, however that ends.

    Raises:
        Conflict: another server holds it.  StoreUnavailable: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "server.lock"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"the lock {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise Conflict(
                f"another server runs with the run folder {folder}",
                expected="none",
                got=f"process {holder or 'unknown'}",
                holds="That one goes on.",
                hint="Stop it first, or give this one folders of its own; docs/stores.md has several nodes.",
            ) from None
        os.ftruncate(self._descriptor, 0)
        with suppress(OSError):  # who holds it is a courtesy, and a full disk must not keep a server from starting
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def leave(self) -> None:
        """Let go of it in a process that was forked from the holder, which keeps it."""
        os.close(self._descriptor)


def check_addresses(addresses: Iterable[Address]) -> None:
    """
    Return when nobody listens on *addresses*, or stops within a few seconds.

    Raises:
        ConfigError: an address is taken, or is none of this machine.
    """
    for address in addresses:
        for left in reversed(range(_ATTEMPTS)):
            trouble = _trouble_with(address)
            if trouble is None:
                break
            if left == 0:
                shown = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
                number = f" 'sport = :{address[1]}'" if isinstance(address, tuple) else ""
                raise ConfigError(
                    f"the server cannot listen on {shown}: {trouble}",
                    holds="Whoever uses it goes on.",
                    hint=f"`ss -lnp{number}` names the process; stop that one, or set bind to another address.",
                )
            time.sleep(_PAUSE_SECONDS)


def _trouble_with(address: Address) -> str | None:
    if isinstance(address, int):
        return None  # a descriptor that somebody handed over
    try:
        if isinstance(address, str):
            return _trouble_with_path(address)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _trouble_with_path(path: str) -> str | None:
    """A socket whose server is gone may be replaced, as gunicorn does; one that is answered must not."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PAUSE_SECONDS)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
    return "another process answers there"
