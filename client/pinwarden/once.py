"""
A value that is computed when somebody first looks, and kept.

It may import the standard library. It holds no lock: ``functools.cached_property`` holds one of the whole class before
Python 3.12, and a child that is forked while another thread computes would wait for it for ever.
"""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801 - reads as the decorator that it is
    """
    A property whose value is computed at the first look and kept in the object, which needs a ``__dict__``.

    Threads that look at the same time may each compute it; what is kept is the last one's.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> "Self | Value":
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
