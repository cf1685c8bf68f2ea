"""
Every operation of the HTTP API, as one table: which right it needs, what it takes, and every answer that it gives.

It may import the kinds of problems and the rights. The views ask for rights themselves; tests call every operation as
everybody and compare, so that neither this table nor a view can be alone in what it says.
"""

from pinwarden_server.auth import Right
from pinwarden_server.operation import Operation, Reach
from pinwarden_server.problems import (
    CHANGE_CLOSED,
    CONFLICT,
    INVALID,
    LINT_REFUSED,
    NOT_SERVED_YET,
    PUBLICATION_REFUSED,
    SIGNATURE_REFUSED,
    SIGNER_UNAVAILABLE,
    SIGNING_REFUSED,
    STORAGE_FULL,
    Kind,
)

_SIGNS = (CONFLICT, SIGNER_UNAVAILABLE, SIGNING_REFUSED, PUBLICATION_REFUSED, NOT_SERVED_YET, STORAGE_FULL)
_PINSETS, _PINSET, _CHANGE = "/admin/v1/pinsets", "/admin/v1/pinsets/{name}", "/admin/v1/changes/{change_id}"


def _reads(
    id_: str,
    path: str,
    summary: str,
    answer: str,
    *,
    reach: Reach,
    right: Right = Right.READ,
    query: tuple[str, ...] = (),
) -> Operation:
    return Operation(id_, "GET", path, summary, ((200, answer),), right, reach, query=query)


def _changes(
    id_: str, verb: str, summary: str, *, body: str, method: str = "POST", refusals: tuple[Kind, ...] = ()
) -> Operation:
    path, created = f"{_PINSET}{verb}", method == "PUT"
    answers = ((200, "Published"), *(((201, "Published"),) if created else ()), (202, "Change"))
    return Operation(
        id_,
        method,
        path,
        summary,
        answers,
        Right.PUBLISH,
        Reach.PINSET,
        body=body,
        replaces=True,
        creates=created,
        repeatable=True,
        refusals=(*refusals, *_SIGNS),
    )


def _fetches(id_: str, path: str, summary: str, answer: str) -> Operation:
    return Operation(id_, "GET", path, summary, ((200, answer),))


def _observes(id_: str, path: str, summary: str, answer: str) -> Operation:
    return Operation(id_, "GET", path, summary, ((200, answer),), Right.METRICS, Reach.ALL, metrics_token=True)


OPERATIONS: tuple[Operation, ...] = (
    _reads("listPinSets", _PINSETS, "List pin sets", "PinSetList", reach=Reach.SHOWN),
    _reads("showPinSet", _PINSET, "Show what is in force", "PinSet", reach=Reach.PINSET),
    _changes("publishPinSet", "", "Publish a pin set", method="PUT", body="DraftBody", refusals=(LINT_REFUSED,)),
    Operation(
        "previewPinSet",
        "POST",
        f"{_PINSET}/preview",
        "Say what a draft would mean, and store nothing",
        ((200, "Preview"),),
        Right.PREVIEW,
        Reach.PINSET,
        body="DraftBody",
        refusals=(CONFLICT,),
    ),
    _reads(
        "listVersions",
        f"{_PINSET}/versions",
        "List versions, newest first",
        "VersionList",
        reach=Reach.PINSET,
        query=("limit", "before"),
    ),
    _reads(
        "showVersion",
        f"{_PINSET}/versions/{{version}}",
        "Show a version as it was signed",
        "WholeVersion",
        reach=Reach.PINSET,
    ),
    _changes("rollBack", "/rollback", "Publish old content anew", body="RollbackBody", refusals=(LINT_REFUSED,)),
    _changes("renew", "/renewal", "Give the content in force a new life", body="RenewalBody"),
    _reads(
        "listChanges",
        "/admin/v1/changes",
        "List changes, newest first",
        "ChangeList",
        reach=Reach.SHOWN,
        query=("name", "state", "limit", "before"),
    ),
    _reads("showChange", _CHANGE, "Show a change and the bytes to be signed", "WholeChange", reach=Reach.CHANGE),
    Operation(
        "signChange",
        "POST",
        f"{_CHANGE}/signatures",
        "Hand in a signature",
        ((200, "Published"), (202, "Change")),
        Right.SIGN,
        Reach.CHANGE,
        body="SignatureBody",
        repeatable=True,
        refusals=(CHANGE_CLOSED, SIGNATURE_REFUSED, *_SIGNS),
    ),
    Operation(
        "rejectChange",
        "POST",
        f"{_CHANGE}/rejection",
        "End a waiting change for good",
        ((200, "Change"),),
        Right.SIGN,
        Reach.CHANGE,
        body="RejectionBody",
        repeatable=True,
        refusals=(CHANGE_CLOSED, STORAGE_FULL),
    ),
    _reads(
        "listAudit",
        "/admin/v1/audit",
        "Show who did what, oldest first",
        "AuditPage",
        right=Right.AUDIT,
        reach=Reach.ALL,
        query=("after", "limit"),
    ),
    _reads("listRoots", "/admin/v1/roots", "List roots, version 1 first", "RootList", reach=Reach.WHATEVER),
    _reads("showRoot", "/admin/v1/roots/{version}", "Show a root", "Root", reach=Reach.WHATEVER),
    Operation(
        "publishRoot",
        "POST",
        "/admin/v1/roots",
        "Publish the next root",
        ((200, "PublishedRoot"), (201, "PublishedRoot")),
        Right.ROOTS,
        Reach.ALL,
        body="RootBody",
        refusals=(LINT_REFUSED, *_SIGNS),
    ),
    Operation(
        "previewRoot",
        "POST",
        "/admin/v1/roots/preview",
        "Say what a root would do, and store nothing",
        ((200, "RootPreview"),),
        Right.ROOTS,
        Reach.ALL,
        body="RootBody",
        refusals=(CONFLICT,),
    ),
    Operation(
        "issueToken",
        "POST",
        "/admin/v1/tokens",
        "Issue a token",
        ((201, "IssuedToken"),),
        Right.TOKENS,
        Reach.ALL,
        body="TokenBody",
        repeatable=True,
        refusals=(CONFLICT, STORAGE_FULL),
    ),
    _reads("listTokens", "/admin/v1/tokens", "List tokens", "TokenList", right=Right.TOKENS, reach=Reach.ALL),
    Operation(
        "revokeToken",
        "DELETE",
        "/admin/v1/tokens/{token_id}",
        "End a token at once",
        ((200, "Token"),),
        Right.TOKENS,
        Reach.ALL,
        refusals=(INVALID, STORAGE_FULL),
    ),
    _fetches("fetchBundle", "/v1/bundles/{name}/{root}", "Fetch all that a client needs", "Bundle"),
    _fetches("fetchTimestamp", "/v1/pinsets/{name}/timestamp", "Fetch the timestamp in force", "Envelope"),
    _fetches("fetchVersion", "/v1/pinsets/{name}/versions/{tag}", "Fetch a version", "Envelope"),
    _fetches("fetchRoot", "/v1/roots/{version}", "Fetch a root", "Envelope"),
    _fetches("fetchHistory", "/v1/history/{name}", "Fetch the newest segment of a history", "History"),
    _fetches("fetchSegment", "/v1/pinsets/{name}/history/{segment}", "Fetch a full segment of a history", "History"),
    _fetches("describe", "/openapi.json", "Fetch this description", "Description"),
    _fetches("showPage", "/docs/api", "Read this description as a page", "Page"),
    _fetches("showStyle", "/docs/api.css", "Fetch the style of that page", "Style"),
    _fetches("isAlive", "/livez", "Ask whether the process answers", "Alive"),
    Operation("isReady", "GET", "/readyz", "Ask whether documents can be served", ((200, "Ready"), (503, "Ready"))),
    _observes("showStatus", "/statusz", "Show components, alerts and every expiry", "Status"),
    _observes("showMetrics", "/metrics", "Show metrics in the text of Prometheus", "Metrics"),
)
