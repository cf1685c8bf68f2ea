"""
What columns are made of: types that SQLite and PostgreSQL share, and the questions that are asked of texts.

It may import SQLAlchemy. Times are seconds since 1970; what a database could refuse, or only one of them, is refused
before it gets there.
"""

from datetime import UTC, datetime
from typing import cast

from sqlalchemy import BigInteger, Column, ColumnElement, Dialect, MetaData, String, Text, TypeDecorator, false, func
from sqlalchemy.types import TypeEngine

from pinwarden_server.errors import Unstorable

metadata = MetaData()  # whole as soon as anything of the package is imported, which imports every room of tables


class Moment(TypeDecorator[datetime]):
    """An aware time, stored as whole seconds since 1970: every database compares those alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is not None and value.tzinfo is None:
            raise Unstorable("a time without its zone cannot be stored", got=value.isoformat())
        return None if value is None else int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Whole(TypeDecorator[int]):
    """An integer that every database can hold: 64 bits with its sign."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if value is not None and not -(2**63) <= value < 2**63:
            raise Unstorable("a number is too large to be stored", expected="64 bits", got=f"{value.bit_length()} bits")
        return value


class Words(TypeDecorator[str]):
    """
    Text that every database can hold, of at most *length* characters when one is given.

    Each database refuses other things, some of them only sometimes; this refuses the same everywhere.

    Args:
        bytewise: sorted by code points, where a database would otherwise go by a language.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None, *, bytewise: bool = False) -> None:
        super().__init__()
        self.length = length
        self.bytewise = bytewise

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        collation = "C" if self.bytewise and dialect.name == "postgresql" else None
        wanted = Text() if self.length is None else String(self.length, collation=collation)
        return dialect.type_descriptor(wanted)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and not self.fits(value):
            limit = "" if self.length is None else f" of at most {self.length} characters"
            raise Unstorable("a text cannot be stored", expected=f"no NUL, no half surrogate pair{limit}")
        return value

    def fits(self, text: str) -> bool:
        """Tell whether *text* can be stored here."""
        if self.length is not None and len(text) > self.length:
            return False
        return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_text(column: Column[str], text: str) -> ColumnElement[bool]:
    """Return the condition that *column* is *text*, which may be anything that somebody sent."""
    # What cannot be stored is not there; PostgreSQL would take no NUL, not even in a question.
    return column == text if cast("Words", column.type).fits(text) else false()


def begins_with(column: Column[str], text: str) -> ColumnElement[bool]:
    """Return the condition that *column* begins with *text*; LIKE would not tell capitals apart on every database."""
    return is_text(cast("Column[str]", func.substr(column, 1, len(text), type_=column.type)), text)


# Names are compared and listed alike by every node, whatever language its database speaks.
NAME = Words(64, bytewise=True)
ACTOR = Words(200)
