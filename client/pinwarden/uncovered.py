"""
The TLS stacks that no hook of Python's ``ssl`` reaches, by the module that brings each.

It may import only the standard library. It imports none of them, and what it tells is advice: nothing is judged here.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

log = logging.getLogger("pinwarden")

# Those that people meet; whoever brings a stack of his own need not be among them.
OTHER_STACKS = (
    "grpc",
    "psycopg",  # libpq
    "psycopg2",
    "MySQLdb",  # the C client of MySQL and MariaDB
    "_mysql_connector",
    "pymssql",
    "pyodbc",
    "pycurl",
    "curl_cffi",
    "OpenSSL",  # pyOpenSSL
    "urllib3.contrib.pyopenssl",
    "M2Crypto",
    "aioquic",
    "qh3",
    "awscrt",
    "confluent_kafka",
    "pulsar",
    "couchbase",
    "ldap",
    "pygit2",
    "PyQt6.QtNetwork",
    "PySide6.QtNetwork",
)


def uncovered_libraries() -> tuple[str, ...]:
    """Return the loaded modules whose TLS connections cannot be judged."""
    return tuple(name for name in OTHER_STACKS if name in sys.modules)


def tell(names: Sequence[str]) -> None:
    """Log that the connections of these modules are not pinned; nothing for none."""
    if names:
        log.warning("not pinned: %s (a TLS stack of its own, which pins do not reach)", ", ".join(names))


class ImportWatch:
    """
    Tells of each stack of :data:`OTHER_STACKS` when the program imports it; stands first in ``sys.meta_path``.

    It finds nothing itself, so imports go on as they would without it.
    """

    def __init__(self) -> None:
        self._awaited = set(OTHER_STACKS) - set(uncovered_libraries())

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Look whether *name* is there before it is told of: many programs try to import what they can do without."""
        if name in self._awaited:
            self._awaited.discard(name)  # the question below comes here again
            if find_spec(name) is None:
                self._awaited.add(name)
            else:
                tell([name])
        return None


def watch_imports() -> None:
    """Tell from now on of each such module that the program loads."""
    sys.meta_path.insert(0, ImportWatch())
