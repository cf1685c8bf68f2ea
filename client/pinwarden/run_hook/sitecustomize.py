"""
Start-up hook of ``pinwarden run``: this folder stands first in PYTHONPATH, so every Python process that starts with
that environment imports this module before the program.

It imports the SDK and nothing else of ours. A process that cannot be pinned ends here with code 3, whatever the reason:
Python itself would swallow an exception of this module and run the program unpinned. The syntax is as old as Python 3,
so that an interpreter for which the SDK is not installed says so.
"""

import os
import sys

UNPINNED = 3


def _pin_this_process():  # type: ignore[no-untyped-def]
    try:
        from pinwarden import PinClient

        PinClient.from_env().enforce()
    except BaseException as error:  # noqa: BLE001 - whatever it is, an interrupt too, the program must not run
        try:
            _say(error)  # type: ignore[no-untyped-call]
        finally:
            os._exit(UNPINNED)


def _say(error):  # type: ignore[no-untyped-def]
    what = str(error) or type(error).__name__
    if isinstance(error, ImportError):
        what = "the SDK cannot be imported by %s (%s); install pinwarden for it" % (sys.executable, what)  # noqa: UP031
    sys.stderr.write("error: pinwarden run: this process cannot be pinned, so it ends: %s\n" % what)  # noqa: UP031
    sys.stderr.flush()


def _run_the_next_one():  # type: ignore[no-untyped-def]
    """Import the sitecustomize that this one hides, if there is one; its errors are its own."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_pin_this_process()  # type: ignore[no-untyped-call]
_run_the_next_one()  # type: ignore[no-untyped-call]
