"""Somebody else's deed exactly between the look and the commit of another, on any store, without a clock."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.store import Transaction, Writer


@contextmanager
def before_the_commit(deed: Callable[[], Any], *, later: int = 0) -> Iterator[None]:
    """
    Let *deed* happen when the next transaction, or the lock before it, is about to be taken: all was judged and signed.

    Args:
        later: so many transactions before that one are let through. Giving out numbers is never the one.
    """
    begin, reserve, lock = Writer.transaction, Writer.reserve, PublishedTree.locked
    left = [later]
    reserving: list[bool] = []

    def reached() -> None:
        if not reserving:
            left[0] -= 1
            if left[0] == -1:
                deed()

    def begun(writer: Writer) -> AbstractContextManager[Transaction]:
        reached()
        return begin(writer)

    def locked(tree: PublishedTree, name: str) -> AbstractContextManager[None]:
        reached()  # not within: a deed that publishes the same name would wait for ever
        return lock(tree, name)

    def reserved(writer: Writer, *arguments: Any, **named: Any) -> Any:
        reserving.append(True)
        try:
            return reserve(writer, *arguments, **named)
        finally:
            reserving.pop()

    with (
        mock.patch.object(Writer, "transaction", begun),
        mock.patch.object(PublishedTree, "locked", locked),
        mock.patch.object(Writer, "reserve", reserved),
    ):
        yield
    assert left[0] < 0, "nothing was committed, so nothing happened meanwhile"
