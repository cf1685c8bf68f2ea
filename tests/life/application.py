"""
The pinned application that the programs of these tests are: a client from the environment and one connection at a time.

It may import the SDK and the standard library. It runs in processes of its own, with this folder on its path.
"""

import logging
import os
import socket
import ssl
import sys
import threading
import time
from typing import Any

from pinwarden import PinClient, PinwardenError

WAIT_SECONDS = 20.0

# What is logged ends on stderr, where a test finds it; refusals are what some programs are for.
_expected = {"connection.refused"}
_printer = logging.StreamHandler()
_printer.addFilter(lambda record: getattr(record, "pinwarden_event", None) not in _expected)
logging.getLogger("pinwarden").addHandler(_printer)


def expect(*events: str) -> None:
    """Say that *events* are what this program is about, so that they are no complaint."""
    _expected.update(events)


def make(**options: Any) -> PinClient:
    """Return a client of the stage's pin server."""
    from pinwarden.settings import sdk_settings

    return PinClient(**{**sdk_settings(), **options})


def context_of(pins: PinClient) -> ssl.SSLContext:
    """Return a context that is pinned and trusts the stage's CA."""
    return pins.ssl_context(ssl.create_default_context(cafile=os.environ["STAGE_CA"]))


def call(context: ssl.SSLContext) -> str:
    """Make one connection to the stage's service; return what it said, or the name of the refusal."""
    try:
        address = ("127.0.0.1", int(os.environ["STAGE_PORT"]))
        with context.wrap_socket(socket.create_connection(address, 10), server_hostname="localhost") as secure:
            return secure.recv(100).decode()
    except PinwardenError as refusal:
        return type(refusal).__name__


def refresh_threads() -> int:
    """Return how many threads refresh pins in this process."""
    return sum(thread.name == "pinwarden-refresh" for thread in threading.enumerate())


def until(condition: Any) -> None:
    """Wait until *condition* holds; end the program when it never does."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"it never happened: {condition}")
        time.sleep(0.005)
