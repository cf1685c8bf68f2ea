"""
What a start-up hook does in each Python process: that of ``pinwarden run``, and the file of ``pinwarden install-hook``.

It may import PinClient, ``settings``, ``uncovered`` and errors. It raises whenever a process cannot be pinned; the hook
then ends that process.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from pinwarden.client import PinClient
from pinwarden.errors import PinwardenError
from pinwarden.settings import TABLE
from pinwarden.trust import State
from pinwarden.uncovered import watch_imports

_pinned_by: PinClient | None = None


def pin_this_process(config: str | None = None) -> None:
    """
    Enforce the pin set that the settings name on every TLS connection of this process; a second call does nothing.

    Without pins to judge by, they are fetched before the program starts: its first connection would do the same, but on
    an event loop it may not wait for it, and would be refused. If that fails, the process is pinned all the same, and
    its connections are refused until a later refresh succeeds.

    Args:
        config: the settings file, where the environment names none; its variables win over any file.

    Raises:
        ConfigError: a setting is missing, unknown or impossible.
    """
    global _pinned_by
    if _pinned_by is not None:  # both hooks in one process; and site reads some .pth files twice
        return
    client = PinClient.from_env(os.environ if config is None else {TABLE.config_variable: config, **os.environ})
    client.enforce()
    _pinned_by = client
    watch_imports()
    if client.status().state in (State.EMPTY, State.EXPIRED):
        try:
            client.refresh()
        except PinwardenError as error:
            sys.stderr.write(f"warning: pinwarden: no pins could be fetched yet: {error}\n")
            sys.stderr.flush()


def pin_by_hook_file(config: str, command: str) -> None:
    """
    Do the same for the file of ``pinwarden install-hook``, unless this process is the *command* ``pinwarden`` itself.

    The command repairs what is wrong and shows keys that are not pinned yet, so pins must not stand in its way. It
    arms the connections that it makes for an application by itself.

    Raises:
        ConfigError: as for :func:`pin_this_process`.
    """
    script, own = Path(sys.argv[0] if sys.argv else ""), Path(command)
    if script.name != own.name or script.resolve() != own.resolve():
        pin_this_process(config)


def is_pinned() -> bool:
    """Tell whether a hook has pinned this process."""
    return _pinned_by is not None


def run_next_sitecustomize(folder: str) -> None:
    """Import the ``sitecustomize`` that the one in *folder* hides, if there is one; its errors are its own."""
    others = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)
