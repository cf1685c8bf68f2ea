"""
Typed access to the members of a JSON object that went through the gate (spec P4).

It may import the gate and ``errors``. It never gives a missing or mistyped member a default, except where the protocol
names one.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from pinwarden.errors import MalformedError
from pinwarden.strict_json import MAX_INTEGER, decode_base64, kind_of, parse_time

Item = TypeVar("Item")
_ABSENT: Any = object()


class Fields:
    """
    The members of one object; every accessor raises MalformedError with the path of what it refused.

    Args:
        value: a value out of the gate; anything but an object is refused.
        path: where it stands, such as ``"pinset.hosts[3]"``.
    """

    __slots__ = ("_members", "path")

    def __init__(self, value: object, path: str) -> None:
        if type(value) is not dict:
            raise MalformedError(f"{path} has the wrong type", expected="object", got=kind_of(value), step="P4")
        self._members: dict[str, Any] = value
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> list[str]:
        """Return the names of all members, unknown ones included."""
        return list(self._members)

    def get(self, name: str, kind: type[Item], default: Item = _ABSENT) -> Item:
        """Return a member whose type is exactly *kind*: True is not 1."""
        value = self._members.get(name, default)
        if value is _ABSENT:
            raise MalformedError(f"{self.path} lacks {name!r}", step="P4")
        if type(value) is not kind:
            raise MalformedError(
                f"{self.path}.{name} has the wrong type", expected=_NAMES[kind], got=kind_of(value), step="P4"
            )
        return value

    def text(self, name: str) -> str:
        """Return a string member."""
        return self.get(name, str)

    def integer(self, name: str, *, most: int = MAX_INTEGER, default: int = _ABSENT) -> int:
        """Return an integer member between 1 and *most* (spec section 3)."""
        value = self.get(name, int, default)
        if not 1 <= value <= most:
            raise MalformedError(f"{self.path}.{name} is out of range", expected=f"1 to {most}", got=value, step="P4")
        return value

    def choice(self, name: str, choices: tuple[str, ...], *, default: str = _ABSENT) -> str:
        """Return a string member that is one of *choices*; an unknown one refuses the document (spec section 3)."""
        value = self.get(name, str, default)
        if value not in choices:
            raise MalformedError(
                f"{self.path}.{name} is unknown", expected=" or ".join(choices), got=repr(value[:64]), step="V8"
            )
        return value

    def time(self, name: str) -> datetime:
        """Return a time member (spec P6)."""
        return parse_time(self.get(name, str), what=f"{self.path}.{name}")

    def octets(self, name: str, length: int) -> bytes:
        """Return *length* bytes from a base64 member (spec P5)."""
        return decode_base64(self.get(name, str), what=f"{self.path}.{name}", length=length)

    def child(self, name: str) -> "Fields":
        """Return an object member."""
        return Fields(self.get(name, dict), f"{self.path}.{name}")

    def each(self, name: str, read: Callable[[object, str], Item], *, optional: bool = False) -> tuple[Item, ...]:
        """Return an array member, every element read by ``read(element, path)``."""
        elements: list[Any] = self.get(name, list, [] if optional else _ABSENT)
        return tuple(read(element, f"{self.path}.{name}[{index}]") for index, element in enumerate(elements))

    def texts(self, name: str, *, optional: bool = False) -> tuple[str, ...]:
        """Return an array member of strings."""
        return self.each(name, _read_text, optional=optional)


def _read_text(value: object, path: str) -> str:
    if type(value) is not str:
        raise MalformedError(f"{path} has the wrong type", expected="string", got=kind_of(value), step="P4")
    return value


_NAMES: dict[type, str] = {str: "string", int: "integer", dict: "object", list: "array", bool: "boolean"}
