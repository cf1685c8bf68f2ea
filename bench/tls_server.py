"""
A TLS server that reads and answers nothing: ``python -m bench.tls_server server.pem``.

It may import the standard library. It listens on loopback only and serves each connection in a thread of its own.
"""

import socket
import ssl
import sys
import threading


def serve(pem_file: str) -> None:
    """Serve until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem_file)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_swallow, args=(context, connection), daemon=True).start()


def _swallow(context: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            while secured.recv(4096):
                pass
    except OSError:  # the client went away in the middle, which is its right
        return


if __name__ == "__main__":
    serve(sys.argv[1])
