"""
Start-up hook of ``pinwarden run``: this folder stands first in PYTHONPATH, so every Python process that starts with
that environment imports this module before the program.

It imports ``pinwarden.startup`` and nothing else of ours. A process that cannot be pinned ends here with code 3,
whatever the reason: Python itself would swallow the exception and run the program unpinned. Every Python, version 2
too, can read this file, so that none passes it by a syntax error.
"""

import os
import sys

try:
    from pinwarden import startup

    startup.pin_this_process()
except BaseException as error:  # noqa: BLE001 - an interrupt too must not let the program run
    try:
        what = str(error) or type(error).__name__
        if "subinterpreter" in what:
            what += "; a program that makes sub-interpreters cannot be pinned as a whole"
        elif isinstance(error, ImportError):
            what += "; is pinwarden installed for this Python?"
        sys.stderr.write("error: pinwarden run: " + sys.executable + " cannot be pinned, so it ends: " + what + "\n")
        sys.stderr.flush()
    finally:
        os._exit(3)

startup.run_next_sitecustomize(os.path.dirname(os.path.abspath(__file__)))
