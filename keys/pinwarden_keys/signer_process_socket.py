"""
The socket of a signer process: who may connect, how much they may say, and how long.

It may import sockets, threads and the wire. It judges no document; a caller that hangs costs one of its threads for
seconds, and keeps nobody else waiting.
"""

import errno
import logging
import os
import select
import socket
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from threading import BoundedSemaphore, Event, Thread
from typing import Any

from pinwarden.deadline import Deadline
from pinwarden.errors import MalformedError
from pinwarden_keys.errors import SignerError
from pinwarden_keys.signer_process import SignerProcess
from pinwarden_keys.signer_process_message import refused
from pinwarden_keys.signer_process_wire import MAX_REQUEST_BYTES, receive, send

MAX_CALLERS = 16
BACKLOG = 64
REQUEST_SECONDS = 5.0
STOP_SECONDS = 20.0  # a keeper of keys behind us gets 15
_LOOK_SECONDS = 0.5
_PIECE = 4096
_CREDENTIALS = struct.Struct("3i")  # struct ucred of Linux: process, user, group

log = logging.getLogger("pinwarden.signer")


class Listener:
    """
    Serves *process* at *path* to the users *callers*, and to its own.

    Raises:
        SignerError: another process listens there, something else lies there, or others could replace the socket.
    """

    def __init__(self, process: SignerProcess, path: Path, callers: frozenset[int]) -> None:
        self._process = process
        self._path = path
        self._callers = callers | {os.geteuid()}
        self._slots = BoundedSemaphore(MAX_CALLERS)
        self._stopping = Event()
        self._wake = socket.socketpair()
        for end in self._wake:
            end.setblocking(False)
        _check_folder(path.parent)
        _make_room(path)
        self._line = _listen(path)

    def serve(self) -> None:
        """Answer until :meth:`stop` is called, then let requests under way end."""
        try:
            while not self._stopping.is_set():
                if not self._slots.acquire(timeout=_LOOK_SECONDS):
                    continue
                if not self._serve_one():
                    self._slots.release()
        finally:
            self._line.close()
            self._path.unlink(missing_ok=True)
            deadline = Deadline(STOP_SECONDS)
            try:
                for _ in range(MAX_CALLERS):
                    self._slots.acquire(timeout=deadline.check())
            except TimeoutError:
                log.warning("ending while requests are under way")

    def stop(self) -> None:
        """Make :meth:`serve` return; may be called by a handler of signals."""
        self._stopping.set()
        self._wake[1].send(b"\0")

    @property
    def wake_descriptor(self) -> int:
        """
        For ``signal.set_wakeup_fd``: what is written there makes :meth:`serve` look around.

        The kernel may hand a signal to the thread of a caller. Python's handler then waits for the main thread, which
        would go on waiting for the next caller.
        """
        return self._wake[1].fileno()

    def _serve_one(self) -> bool:
        """Hand the next caller to a thread of its own; False when none came."""
        # Not select(), which knows no descriptor above 1,023.
        waiting = select.poll()
        for one in (self._line, self._wake[0]):
            waiting.register(one, select.POLLIN)
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if self._wake[0].fileno() in ready:
            self._wake[0].recv(_PIECE)
        if self._line.fileno() not in ready or self._stopping.is_set():
            return False
        try:
            caller, _ = self._line.accept()
        except OSError as error:
            log.warning("no connection: %s", error)
            self._stopping.wait(_LOOK_SECONDS if error.errno in (errno.EMFILE, errno.ENFILE) else 0)
            return False
        Thread(target=self._attend, args=(caller,), name="caller", daemon=True).start()
        return True

    def _attend(self, caller: socket.socket) -> None:
        try:
            with caller:
                send(caller, self._answer(caller), Deadline(REQUEST_SECONDS))
        except EOFError:
            return  # whoever only looks whether somebody listens
        except OSError as error:
            log.info("a caller went away: %s", error)
        finally:
            self._slots.release()

    def _answer(self, caller: socket.socket) -> Mapping[str, Any]:
        user = user_of(caller)
        if user not in self._callers:
            allowed = ", ".join(str(each) for each in sorted(self._callers))
            hint = "Name the user of the server under callers."
            return self._process.refuse(
                refused("caller", "this user may not ask", expected=f"user {allowed}", got=f"user {user}", hint=hint)
            )
        deadline = Deadline(REQUEST_SECONDS)
        try:
            request = receive(caller, limit=MAX_REQUEST_BYTES, what="request", deadline=deadline)
        except MalformedError as error:
            return self._process.refuse(refused("frame", error.what, expected=error.expected, got=error.got))
        return self._process.answer(request)


def user_of(caller: socket.socket) -> int:
    """Return the id of the user at the other end, as the kernel says (SO_PEERCRED, unix(7))."""
    content = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(content)
    return int(user)


def _check_folder(folder: Path) -> None:
    try:
        facts = folder.stat()
    except OSError as error:
        raise SignerError(f"the folder of the socket, {folder}, cannot be used: {error.strerror}") from None
    if facts.st_uid not in (os.geteuid(), 0) or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SignerError(
            f"others could replace the socket in {folder}",
            expected=f"a folder of user {os.geteuid()} or of root, that nobody else may write",
            got=f"user {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}",
            hint="Make one for the socket alone, mode 0710 or 0750, in the group of the server.",
        )


def _make_room(path: Path) -> None:
    """Remove the socket of a process that was killed; whatever else is there stays."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise SignerError(f"{path} is no socket", holds="It was not touched.", hint="Name another path for the socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(REQUEST_SECONDS)
        try:
            line.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise _occupied(path, error.strerror or str(error)) from None
    raise _occupied(path, "it answers")


def _occupied(path: Path, reason: str) -> SignerError:
    return SignerError(f"another process listens at {path}", got=reason, hint="Stop it first, by its own service.")


def _listen(path: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        line.bind(os.fspath(path))
        path.chmod(0o660)
        line.listen(BACKLOG)
    except OSError as error:
        line.close()
        raise SignerError(f"socket {path} cannot be made: {error.strerror or error}") from None
    finally:
        os.umask(former)
    return line
