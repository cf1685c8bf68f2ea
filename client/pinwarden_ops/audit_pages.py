"""
The audit log of a server, page by page.

It may import this package. It asks and changes nothing, and judges nothing.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from pinwarden.envelope import CHECKPOINT_TYPE, ROOT_TYPE, Envelope
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.audit_chain import Row, read_row

PAGE = 500


def fetch_rows(
    api: AdminClient, *, after: int = 0, limit: int | None = None, only: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """
    Yield the rows that follow number *after*, *limit* of them at most, as they come.

    Args:
        only: filters of ``GET /audit``.

    Raises:
        OpsError: no answer, or a refusal. MalformedError: an answer that is no page.
    """
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        answer = api.ask("GET", f"/audit?{urlencode({'after': after, 'limit': size, **(only or {})})}")
        rows = Fields(answer.value, "answer").each("rows", read_row)[:size]
        yield from rows
        if len(rows) < size:
            return
        if rows[-1].seq <= after:
            raise MalformedError("the page does not go on after the row that was asked for", got=rows[-1].seq)
        after, left = rows[-1].seq, None if left is None else left - len(rows)


def fetch_roots(api: AdminClient) -> list[Envelope]:
    """Return every root that the server has, version 1 first; errors as :func:`fetch_rows`."""
    roots = Fields(api.ask("GET", "/roots").value, "answer")
    return [_envelope(value, path, ROOT_TYPE) for value, path in roots.each("roots", lambda value, path: (value, path))]


def fetch_checkpoints(api: AdminClient) -> list[Envelope]:
    """Return every checkpoint that the server has, the shortest first; errors as :func:`fetch_rows`."""
    found: list[Envelope] = []
    after = 0
    while True:
        page = Fields(api.ask("GET", f"/audit/checkpoints?after={after}&limit={PAGE}").value, "answer")
        shown = page.each("checkpoints", lambda value, path: (value, path))
        found += [_envelope(value, path, CHECKPOINT_TYPE) for value, path in shown]
        if len(shown) < PAGE:
            return found
        following = page.integer("next")
        if following <= after:
            raise MalformedError("the page does not go on after the checkpoint that was asked for", got=following)
        after = following


def _envelope(value: object, path: str, kind: str) -> Envelope:
    return Envelope.from_json(Fields(value, path).get("envelope", dict), expect=kind)
