"""
Every operation of the HTTP API, as one table: what it is called, which right it needs, how far a token's names reach.

It may import ``auth``. The views ask for rights themselves; tests call every operation as everybody and compare, so
that neither this table nor a view can be alone in what it says.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from pinwarden_server.auth import RIGHTS, Right, Role

_PARAMETER = re.compile(r"\{([a-z_]+)\}")


class Reach(StrEnum):
    """Which of a token's names an operation minds."""

    EVERYONE = "no token is needed"
    WHATEVER = "any names"
    SHOWN = "lists what the names match"
    PINSET = "names that match the pin set"
    CHANGE = "names that match the pin set of the change"
    ALL = "tokens for `*` only"


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method of one address.

    Attributes:
        path: with its parameters in braces.
        right: what a token must have for it; None: open to everyone.
        metrics_token: the token of the setting ``metrics_token_file`` opens it as well.
    """

    id: str
    method: str
    path: str
    summary: str
    right: Right | None = None
    reach: Reach = Reach.EVERYONE
    metrics_token: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return tuple(_PARAMETER.findall(self.path))

    def is_open_to(self, role: Role | None) -> bool:
        """Tell whether a token of *role* that reaches everything may do this; None: a request without a token."""
        return self.right is None or (role is not None and self.right in RIGHTS[role])


def _admin(id_: str, method: str, path: str, right: Right, reach: Reach, summary: str) -> Operation:
    return Operation(id_, method, f"/admin/v1{path}", summary, right, reach)


def _open(id_: str, path: str, summary: str) -> Operation:
    return Operation(id_, "GET", path, summary)


def _observing(id_: str, path: str, summary: str) -> Operation:
    return Operation(id_, "GET", path, summary, Right.METRICS, Reach.ALL, metrics_token=True)


_PINSET, _CHANGE = "/pinsets/{name}", "/changes/{change_id}"

OPERATIONS: tuple[Operation, ...] = (
    _admin("listPinSets", "GET", "/pinsets", Right.READ, Reach.SHOWN, "List pin sets"),
    _admin("showPinSet", "GET", _PINSET, Right.READ, Reach.PINSET, "Show what is in force"),
    _admin("publishPinSet", "PUT", _PINSET, Right.PUBLISH, Reach.PINSET, "Publish a pin set"),
    _admin("previewPinSet", "POST", f"{_PINSET}/preview", Right.PREVIEW, Reach.PINSET, "Preview a draft"),
    _admin("listVersions", "GET", f"{_PINSET}/versions", Right.READ, Reach.PINSET, "List versions"),
    _admin("showVersion", "GET", f"{_PINSET}/versions/{{version}}", Right.READ, Reach.PINSET, "Show a version"),
    _admin("rollBack", "POST", f"{_PINSET}/rollback", Right.PUBLISH, Reach.PINSET, "Publish old content again"),
    _admin("renew", "POST", f"{_PINSET}/renewal", Right.PUBLISH, Reach.PINSET, "Renew the content in force"),
    _admin("listChanges", "GET", "/changes", Right.READ, Reach.SHOWN, "List changes"),
    _admin("showChange", "GET", _CHANGE, Right.READ, Reach.CHANGE, "Show a change"),
    _admin("signChange", "POST", f"{_CHANGE}/signatures", Right.SIGN, Reach.CHANGE, "Hand in a signature"),
    _admin("rejectChange", "POST", f"{_CHANGE}/rejection", Right.SIGN, Reach.CHANGE, "Reject a change"),
    _admin("listAudit", "GET", "/audit", Right.AUDIT, Reach.ALL, "Show the audit log"),
    _admin("listRoots", "GET", "/roots", Right.READ, Reach.WHATEVER, "List roots"),
    _admin("showRoot", "GET", "/roots/{version}", Right.READ, Reach.WHATEVER, "Show a root"),
    _admin("publishRoot", "POST", "/roots", Right.ROOTS, Reach.ALL, "Publish a root"),
    _admin("previewRoot", "POST", "/roots/preview", Right.ROOTS, Reach.ALL, "Preview a root"),
    _admin("issueToken", "POST", "/tokens", Right.TOKENS, Reach.ALL, "Issue a token"),
    _admin("listTokens", "GET", "/tokens", Right.TOKENS, Reach.ALL, "List tokens"),
    _admin("revokeToken", "DELETE", "/tokens/{token_id}", Right.TOKENS, Reach.ALL, "Revoke a token"),
    _open("fetchBundle", "/v1/bundles/{name}/{root}", "Fetch a bundle"),
    _open("fetchTimestamp", "/v1/pinsets/{name}/timestamp", "Fetch a timestamp"),
    _open("fetchVersion", "/v1/pinsets/{name}/versions/{tag}", "Fetch a version"),
    _open("fetchRoot", "/v1/roots/{version}", "Fetch a root"),
    _open("fetchHistory", "/v1/history/{name}", "Fetch the newest segment of a history"),
    _open("fetchSegment", "/v1/pinsets/{name}/history/{segment}", "Fetch a full segment of a history"),
    _open("isAlive", "/livez", "Ask whether the process answers"),
    _open("isReady", "/readyz", "Ask whether published documents can be served"),
    _observing("showStatus", "/statusz", "Show components, alerts and expiries"),
    _observing("showMetrics", "/metrics", "Show metrics"),
)
