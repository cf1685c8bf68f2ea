"""
What every step of a transaction is made of.

It may import SQLAlchemy. It knows no table, and commits nothing.
"""

from typing import Any, cast

from sqlalchemy import Connection, CursorResult, Executable


class Steps:
    """Statements on the connection of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: Executable) -> None:
        """Run a statement for its effect."""
        self._connection.execute(statement)

    def count(self, statement: Executable) -> int:
        """Run a statement and return how many rows it touched."""
        return cast("CursorResult[Any]", self._connection.execute(statement)).rowcount

    def exists(self, query: Executable) -> bool:
        """Tell whether *query* finds anything."""
        return self._connection.execute(query).first() is not None
