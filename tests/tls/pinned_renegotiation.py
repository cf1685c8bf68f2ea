"""
A TLS 1.2 server that changes its certificate in the middle of a connection.

Python's ssl can neither renegotiate nor be told to. This one is made of the OpenSSL that comes with ``cryptography``.
"""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from pinned_chains import Chain
from pinned_peers import PATIENCE_SECONDS, PIECE

lib, ffi = Binding.lib, Binding.ffi


class Turncoat:
    """
    Shows one certificate, and after the first bytes another one; then it says ``go`` and takes what comes.

    Attributes:
        before, after: what arrived under which certificate.
        renegotiated: whether the client went along with the second one; if not, the connection ends.
    """

    def __init__(self, first: Chain, second: Chain, folder: Path) -> None:
        self._contexts = [_context(chain, folder) for chain in (first, second)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.before = self.after = b""
        self.renegotiated = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until the client has hung up."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the client left its connection open"
        self._listener.close()
        for context in self._contexts:
            lib.SSL_CTX_free(context)

    def _serve(self) -> None:
        line, _ = self._listener.accept()
        with line:
            tls = _Tls(self._contexts[0], line)
            tls.handshake()
            self.before = tls.read()
            self.renegotiated = tls.renegotiate(self._contexts[1])
            if self.renegotiated:
                tls.write(b"go")
                while piece := tls.read():
                    self.after += piece
            tls.free()


class _Tls:
    """One connection's state, and the line below it."""

    def __init__(self, context: Any, line: socket.socket) -> None:
        self._line = line
        self.state = lib.SSL_new(context)
        self._incoming, self._outgoing = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self.state, self._incoming, self._outgoing)
        lib.SSL_set_accept_state(self.state)

    def handshake(self) -> None:
        self._until(lambda: lib.SSL_do_handshake(self.state))

    def renegotiate(self, context: Any) -> bool:
        """Ask for a handshake under another certificate; return whether it came about."""
        lib.SSL_set_SSL_CTX(self.state, context)
        assert lib.SSL_renegotiate(self.state) == 1
        self.handshake()  # sends the question; the answer comes in place of application bytes
        byte = ffi.new("char[]", 1)
        self._until(lambda: lib.SSL_read(self.state, byte, 1), lambda: not lib.SSL_renegotiate_pending(self.state))
        return not lib.SSL_renegotiate_pending(self.state)

    def read(self) -> bytes:
        """Return the next application bytes, or none at the end."""
        buffer = ffi.new("char[]", PIECE)
        size = self._until(lambda: lib.SSL_read(self.state, buffer, PIECE))
        return bytes(ffi.buffer(buffer, max(size, 0)))

    def write(self, payload: bytes) -> None:
        self._until(lambda: lib.SSL_write(self.state, payload, len(payload)))

    def free(self) -> None:
        lib.SSL_free(self.state)

    def _until(self, step: Callable[[], int], is_over: Callable[[], bool] = lambda: False) -> int:
        """Repeat *step* until it wants no more, or *is_over*; return what it returned, 0 at the end of the line."""
        while True:
            lib.ERR_clear_error()
            done = step()
            wants = lib.SSL_get_error(self.state, done)
            self._flush()
            if done > 0 or wants != lib.SSL_ERROR_WANT_READ or is_over():
                return done
            piece = self._line.recv(PIECE)
            if not piece:
                return 0
            lib.BIO_write(self._incoming, piece, len(piece))

    def _flush(self) -> None:
        buffer = ffi.new("char[]", PIECE)
        while (size := lib.BIO_read(self._outgoing, buffer, PIECE)) > 0:
            self._line.sendall(bytes(ffi.buffer(buffer, size)))


def _context(chain: Chain, folder: Path) -> Any:
    file = str(chain.write_into(folder)).encode()
    context = lib.SSL_CTX_new(lib.TLS_method())
    assert lib.SSL_CTX_set_max_proto_version(context, lib.TLS1_2_VERSION) == 1
    assert lib.SSL_CTX_use_certificate_chain_file(context, file) == 1
    assert lib.SSL_CTX_use_PrivateKey_file(context, file, lib.SSL_FILETYPE_PEM) == 1
    return context
