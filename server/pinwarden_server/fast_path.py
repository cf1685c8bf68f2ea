"""
The public answers, given before Flask sees the request: a dictionary look-up and the bytes as they were signed.

It may import the public table and the counters. It never touches the database, a signer or a request object: what it
does for each request is paid by every client in the field at every poll.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pinwarden_server.public_table import Entry, PublicTable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Called with path, tag in force and the client's Pinwarden-Held header.
Count = Callable[[str, str, str | None], None]


class FastPath:
    """
    A WSGI application that answers what is published, and passes everything else on.

    Attributes:
        application: what gets the rest: unknown addresses, other methods, the admin side.
    """

    def __init__(self, application: "WSGIApplication", table: PublicTable, count: Count) -> None:
        self.application = application
        self._find = table.get
        self._count = count

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "GET" or method == "HEAD":
            path = environ["PATH_INFO"]
            if path.startswith("/v1/"):
                entry = self._find(path)
                if entry is not None:
                    if entry.tag:
                        self._count(path, entry.tag, environ.get("HTTP_PINWARDEN_HELD"))
                    condition = environ.get("HTTP_IF_NONE_MATCH")
                    if condition is not None and is_match(condition, entry.etag):
                        start_response("304 NOT MODIFIED", not_modified_headers(entry))
                        return ()
                    # A copy: servers and middleware may add to the list they are given.
                    start_response("200 OK", entry.headers.copy())
                    return () if method == "HEAD" else (entry.body,)
        return self.application(environ, start_response)

    def __getattr__(self, name: str) -> Any:
        """Look like the application that stands behind; gunicorn's hooks reach it so."""
        return getattr(self.application, name)


def is_match(condition: str, etag: str) -> bool:
    """Tell whether the value of If-None-Match names *etag* (RFC 9110 section 13.1.2: weak comparison)."""
    if condition == etag:
        return True
    return any(part.strip().removeprefix("W/") in (etag, "*") for part in condition.split(","))


def not_modified_headers(entry: Entry) -> list[tuple[str, str]]:
    """Return what a 304 repeats of the 200 (RFC 9110 section 15.4.5)."""
    return [("ETag", entry.etag), ("Cache-Control", entry.cache_control)]
