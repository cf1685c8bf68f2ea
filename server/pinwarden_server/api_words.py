"""
What the page of the HTTP API says beside the table of operations: examples, and the way out of every refusal.

It may import nothing. Tests send every example as it is shown, find every command, and compare the ways out with
docs/admin-api.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LIVE, _NEXT = "JHYQ9N7dSrckfQfb2hnIHKmBf4WCB0LK1J1Af/rp5O0=", "xsHJqchUPx5M2YAGTPFiXuthqQcDskZP/wOfIWglCLM="
_VAULT = "zy2XBnNpgvsmFlbS5xI0TDw4vZSzSkROpPPOl1kc1I8="
_HOST = {
    "host": "api.example.com",
    "pins": [{"sha256": _LIVE}],
    "backups": [{"sha256": _NEXT}, {"sha256": _VAULT}],
}
_DRAFT: dict[str, Any] = {"hosts": [_HOST], "reason": "rotation of June"}
_SIG = "ZXhhbXBsZSBvZiA2NCBieXRlcywgd2hpY2ggYXJlIG5vIHNpZ25hdHVyZSBvZiBhbnlvbmUsIG5vdC4uLg=="


@dataclass(frozen=True, slots=True)
class Example:
    """
    One request as people would send it.

    Attributes:
        values: of the parameters in the path. headers: beside the token. body: of which JSON is made, or None.
        command: the same as ``pinwarden`` does it; empty where no command does.
        status: what the server of the examples answers; what needs a person, a key or a session is refused there.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    command: str = ""
    status: int = 200


_SHOP = {"name": "shop"}
EXAMPLES: dict[str, Example] = {
    "listPinSets": Example(command="pinwarden set list"),
    "showPinSet": Example(_SHOP, command="pinwarden set show shop"),
    "publishPinSet": Example(
        _SHOP,
        {"If-Match": '"1.1"'},
        _DRAFT,
        "pinwarden set put shop shop.json --replaces 1.1 --reason 'rotation of June'",
    ),
    "previewPinSet": Example(_SHOP, body=_DRAFT, command="pinwarden set preview shop shop.json"),
    "listVersions": Example(_SHOP, command="pinwarden set history shop"),
    "showVersion": Example({**_SHOP, "version": "1.1"}, command="pinwarden set show shop --version 1.1"),
    "rollBack": Example(
        _SHOP,
        {"If-Match": '"1.2"'},
        {"to": 1, "reason": "the new key does not work"},
        "pinwarden set rollback shop --to 1 --replaces 1.2 --reason 'the new key does not work'",
    ),
    "renew": Example(_SHOP, {"If-Match": '"1.3"'}, {"lifetime_seconds": 2592000}, "pinwarden change renew shop"),
    "setPolicy": Example(
        _SHOP,
        body={"approvals_required": 1, "replaces": 0, "reason": "four eyes from now on"},
        command="pinwarden set policy shop --approvals 1 --reason 'four eyes from now on'",
    ),
    "listChanges": Example(command="pinwarden change list"),
    "showChange": Example({"change_id": "7"}, command="pinwarden change show 7", status=404),
    "signChange": Example(
        {"change_id": "7"},
        body={"keyid": "a" * 64, "sig": _SIG},
        command="pinwarden change sign 7 --key alice.key",
        status=404,
    ),
    "approveChange": Example(
        {"change_id": "7"},
        body={"sha256": "a" * 64, "reason": "compared by telephone"},
        command="pinwarden change approve 7 --reason 'compared by telephone'",
        status=404,
    ),
    "reviewChange": Example(
        {"change_id": "7"},
        body={"verdict": "approved", "reason": "the key had to go at once"},
        command="pinwarden change review 7 --verdict approved --reason 'the key had to go at once'",
        status=404,
    ),
    "rejectChange": Example(
        {"change_id": "7"},
        body={"reason": "the key is not ours"},
        command="pinwarden change reject 7 --reason 'the key is not ours'",
        status=404,
    ),
    "listAudit": Example(command="pinwarden audit show"),
    "listCheckpoints": Example(command="pinwarden audit verify --root root.json"),
    "listRoots": Example(command="pinwarden root verify 1.root.json"),
    "showRoot": Example({"version": "1"}),
    "publishRoot": Example(
        body={"root": {"payloadType": "application/vnd.pinwarden.root.v1+json", "payload": "", "signatures": []}},
        command="pinwarden root publish 2.root.json",
        status=422,
    ),
    "previewRoot": Example(
        body={"root": {"payloadType": "application/vnd.pinwarden.root.v1+json", "payload": "", "signatures": []}},
        status=422,
    ),
    "issueToken": Example(
        body={"role": "editor", "names": ["shop"], "lifetime_seconds": 86400, "label": "deploy job"},
        command="pinwarden token create --role editor",
        status=201,
    ),
    "listTokens": Example(command="pinwarden token list"),
    "revokeToken": Example({"token_id": "0" * 16}, command=f"pinwarden token revoke {'0' * 16}", status=404),
    "issueLink": Example(
        body={"owner": "alice", "role": "editor", "names": ["shop"]},
        command="pinwarden server one-time-url --role editor --owner alice --name shop",
        status=201,
    ),
    "listLinks": Example(command="pinwarden session links"),
    "withdrawLink": Example({"link_id": "0" * 16}, command=f"pinwarden session withdraw {'0' * 16}", status=404),
    "logIn": Example(body={"link": f"pwl_{'0' * 16}_{'A' * 43}"}, command="pinwarden login", status=401),
    "logOut": Example(command="pinwarden logout", status=404),
    "listSessions": Example(),
    "endSession": Example({"session_id": "0" * 16}, command=f"pinwarden server revoke {'0' * 16}", status=404),
    "fetchBundle": Example({**_SHOP, "root": "1"}, command="pinwarden refresh"),
    "fetchTimestamp": Example(_SHOP),
    "fetchVersion": Example({**_SHOP, "tag": "1.1"}),
    "fetchRoot": Example({"version": "1"}),
    "fetchHistory": Example(
        _SHOP, command="pinwarden audit history https://pins.example.com --pinset shop --root root.json"
    ),
    "fetchSegment": Example({**_SHOP, "segment": "1"}, status=404),
    "fetchCheckpoint": Example(),
    "describe": Example(command="pinwarden server openapi"),
    "showPage": Example(command="pinwarden server openapi --html api.html"),
    "showStyle": Example(),
    "isAlive": Example(),
    "isReady": Example(),
    "showStatus": Example(),
    "showMetrics": Example(),
}

WAYS_OUT: dict[str, str] = {
    "bad-request": "read expected",
    "malformed-json": "send one JSON object in UTF-8",
    "unauthenticated": "get a token",
    "step-up-needed": "pinwarden login, then repeat",
    "forbidden": "ask for the expected role or name",
    "not-found": "list what exists",
    "method-not-allowed": "use one of expected",
    "conflict": "see detail",
    "change-closed": "look at what is in force; propose it again",
    "stale-version": "fetch, look, repeat",
    "too-large": "divide the hosts among pin sets",
    "unsupported-media-type": "Content-Type: application/json",
    "invalid": "correct what violations point at",
    "lint-refused": "correct, or force with a reason",
    "approval-refused": "let another person do it; look at the change again",
    "signature-refused": "sign the payload of this very change with your own key",
    "signing-refused": "detail says by which rule; ask people for their approval, or correct the process's settings",
    "idempotency-key-reused": "a fresh key",
    "precondition-required": "name the version that you replace",
    "too-many-attempts": "wait for Retry-After; a valid token is taken at once",
    "internal": "look the id up",
    "publication-refused": "look at the server's clock and root",
    "store-unavailable": "repeat after Retry-After",
    "signer-unavailable": "repeat; look at signers",
    "issuer-unavailable": "repeat after Retry-After; look at the log",
    "not-served-yet": "repair the disk, then repeat with the same Idempotency-Key (a root: repeat)",
    "storage-full": "free space, then repeat",
}
