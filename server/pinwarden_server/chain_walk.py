"""
A walk over the audit chain in as many rounds as its length takes, which remembers between them how far it came.

It may import the audit chain and the store's reader. It reads a few rows at a time, each in a look of its own, and
holds nothing between them; what it remembers counts for the beginning that it was walked from, and for no other.
"""

from collections.abc import Callable

from pinwarden_server.audit import PAGE, ChainReport, check_end, follow
from pinwarden_server.store import Reader


class ChainWalk:
    """
    Walks to the end of the chain.

    Args:
        rows_at_once: how many rows one call judges at most; None: all there are.
        is_stopping: asked before each few rows; the walk rests as soon as it says yes.
    """

    def __init__(self, *, rows_at_once: int | None = None, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._rows_at_once = rows_at_once
        self._is_stopping = is_stopping
        self._since = self.reached = (0, "")

    def to_end(self, reader: Reader, since: tuple[int, str]) -> ChainReport | None:
        """
        Walk on from where the last call ended, and return what the chain ends in; None while rows are left to walk.

        Args:
            since: number and hash of the row to begin after; another one than before begins anew.

        Raises:
            AuditBroken: as for ``verify_chain``; the next call begins anew.
        """
        end, here = reader.audit_head(), self.reached if since == self._since else since
        self._since = self.reached = since  # what is refused now must not be walked on from
        rest = end[0] if self._rows_at_once is None else min(end[0], here[0] + self._rows_at_once)
        while here[0] < rest and not self._is_stopping():
            page = reader.audit(after=here[0], limit=PAGE)
            if not page:
                check_end(here, end)
            here = follow(page, here, until=rest)
        self.reached = here
        if here[0] < end[0]:
            return None
        check_end(here, end)
        return ChainReport(*here)
