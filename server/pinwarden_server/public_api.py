"""
The public routes under Flask (spec section 4): the fast path's answers once more, and a problem for the rest.

It may import Flask and the public table. It never touches the database, the writer or a signer.
"""

from flask import Blueprint, Response, request

from pinwarden.checkpoint import CHECKPOINT_ADDRESS
from pinwarden.history import SEGMENT_ENTRIES
from pinwarden_server.errors import NotFound
from pinwarden_server.fast_path import is_match, not_modified_headers
from pinwarden_server.public_table import PublicTable

SERVED = "What is published is served on."


def public_api(table: PublicTable) -> Blueprint:
    """Return the routes that serve *table*."""
    public = Blueprint("public", __name__)

    @public.get("/v1/bundles/<name>/<root>")
    def bundle(name: str, root: str) -> Response:
        return _answer(
            table,
            f"no bundle of pin set {name[:80]!r} for root {root[:20]!r}",
            "The name is unknown, the root is not published yet, or it is more than 8 behind: walk /v1/roots/ first.",
        )

    @public.get("/v1/roots/<version>")
    def root(version: str) -> Response:
        return _answer(
            table, f"no root {version[:20]!r} is published", "The newest root is the one before the first 404."
        )

    @public.get("/v1/pinsets/<name>/versions/<tag>")
    def version(name: str, tag: str) -> Response:
        hint = "Versions are spelt <epoch>.<version>, and numbers may have gaps."
        return _answer(table, f"no version {tag[:40]!r} of pin set {name[:80]!r} is published", hint)

    @public.get("/v1/pinsets/<name>/timestamp")
    def timestamp(name: str) -> Response:
        return _answer(table, f"no pin set {name[:80]!r} is published", "Names are lower case; ask whoever publishes.")

    @public.get("/v1/history/<name>")
    def history(name: str) -> Response:
        return _answer(table, f"no pin set {name[:80]!r} is published", "Names are lower case; ask whoever publishes.")

    @public.get("/v1/pinsets/<name>/history/<segment>")
    def history_segment(name: str, segment: str) -> Response:
        hint = f"Segments have {SEGMENT_ENTRIES} entries; the newest one is at /v1/history/, under the name."
        return _answer(table, f"no full segment {segment[:20]!r} of the history of {name[:80]!r}", hint)

    @public.get(CHECKPOINT_ADDRESS)
    def checkpoint() -> Response:
        hint = "The server signs the first one within a minute of its start, when a timestamp key is open."
        return _answer(table, "no checkpoint of the audit log was signed yet", hint)

    return public


def _answer(table: PublicTable, missing: str, hint: str) -> Response:
    entry = table.get(request.path)
    if entry is None:
        raise NotFound(missing, holds=SERVED, hint=hint)
    condition = request.headers.get("If-None-Match")
    if condition is not None and is_match(condition, entry.etag):
        response = Response(status=304, headers=not_modified_headers(entry))
        del response.headers["Content-Type"]
        return response
    # A list of pairs keeps the order and the spelling of the fast path's headers.
    return Response(entry.body, headers=entry.headers)
