"""
What the start-up hook of ``pinwarden run`` does in each Python process.

It may import PinClient and errors. It raises whenever a process cannot be pinned; the hook then ends that process.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

from pinwarden.client import PinClient
from pinwarden.errors import PinwardenError
from pinwarden.trust import State


def pin_this_process() -> None:
    """
    Enforce the pin set that the environment names on every TLS connection of this process.

    Without pins to judge by, they are fetched before the program starts: its first connection would do the same, but on
    an event loop it may not wait for it, and would be refused. If that fails, the process is pinned all the same, and
    its connections are refused until a later refresh succeeds.

    Raises:
        ConfigError: a setting is missing, unknown or impossible.
    """
    client = PinClient.from_env()
    client.enforce()
    if client.status().state in (State.EMPTY, State.EXPIRED):
        try:
            client.refresh()
        except PinwardenError as error:
            sys.stderr.write(f"warning: pinwarden run: no pins could be fetched yet: {error}\n")
            sys.stderr.flush()


def run_next_sitecustomize(folder: str) -> None:
    """Import the ``sitecustomize`` that the one in *folder* hides, if there is one; its errors are its own."""
    others = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)
