"""
A server whose pin sets require approvals, and the people who give them: each has tokens of their own, and one owner.

The server holds its own keys here. Pin sets that people sign, and approve besides, are in
``test_signatures_and_approvals.py``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden.strict_json import decode_base64, format_time
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.renewal import Renewer
from tests.ops.conftest import api, token_file
from tests.server.http.conftest import Service, serving

NAME = "/admin/v1/pinsets/payments"
ROLES = {"erin": "editor", "anna": "approver", "ben": "approver", "olga": "operator", "root": "admin"}

__all__ = ["api", "token_file"]


@dataclass
class Desk(Service):
    """The application, with what tests of approvals do most; people are named by their owner."""

    tokens: dict[str, str] = field(default_factory=dict)

    def token_of(self, owner: str, role: str | None = None, *names: str) -> str:
        """Issue a token of *owner* and return it."""
        body = {
            "role": role or ROLES[owner],
            "names": list(names or ("*",)),
            "lifetime_seconds": 90 * 24 * 3600,
            "owner": owner,
        }
        answer = self.ask("POST", "/admin/v1/tokens", body=body)
        assert answer.status_code == 201, answer.text
        token = str(answer.json["token"])
        # Its last use is recorded once a minute: now, so that a refusal is seen to change nothing at all.
        assert self.ask("GET", "/admin/v1/roots", token=token).status_code == 200
        return token

    def as_(self, owner: str) -> str:
        """Return the token of *owner*."""
        if owner not in self.tokens:
            self.tokens[owner] = self.token_of(owner)
        return self.tokens[owner]

    def actor(self, owner: str) -> str:
        """Return what the audit log calls the token of *owner*."""
        return f"token:{self.as_(owner).split('_')[1]}"

    def require(self, number: int, *, replaces: int = 0, by: str = "root", **fields: Any) -> Any:
        body = {"approvals_required": number, "replaces": replaces, **fields}
        return self.ask("PUT", f"{NAME}/policy", token=self.as_(by), body=body)

    def put(self, *words: str, base: str | None = "1.1", by: str = "erin", **fields: Any) -> Any:
        conditions = {"If_Match": f'"{base}"'} if base else {"If_None_Match": "*"}
        return self.ask("PUT", NAME, token=self.as_(by), body=self.draft(*words, **fields), **conditions)

    def propose(self, *words: str, base: str | None = "1.1", by: str = "erin", **fields: Any) -> int:
        """PUT a draft that has to wait, and return the number of the change."""
        answer = self.put(*words, base=base, by=by, **fields)
        assert answer.status_code == 202, answer.text
        return int(answer.json["id"])

    def change(self, number: int) -> dict[str, Any]:
        return dict(self.ask("GET", f"/admin/v1/changes/{number}").json)

    def payload(self, number: int) -> bytes:
        return decode_base64(self.change(number)["payload"], what="payload")

    def digest(self, number: int) -> str:
        return sha256(self.payload(number)).hexdigest()

    def at(self, **later: float) -> str:
        """Return a time so much later than now, as bodies spell it."""
        return format_time((self.clock() + timedelta(**later)).replace(microsecond=0))

    def approve(self, number: int, owner: str, *, token: str | None = None, **request: Any) -> Any:
        body = request.pop("body", None) or {"sha256": self.digest(number)}
        path = f"/admin/v1/changes/{number}/approvals"
        return self.ask("POST", path, token=token or self.as_(owner), body=body, **request)

    def reject(self, number: int, owner: str) -> Any:
        path = f"/admin/v1/changes/{number}/rejection"
        return self.ask("POST", path, token=self.as_(owner), body={"reason": "no"})

    def review(self, number: int, owner: str, verdict: str = "approved", **request: Any) -> Any:
        body = {"verdict": verdict, "reason": "looked at it"}
        return self.ask("POST", f"/admin/v1/changes/{number}/review", token=self.as_(owner), body=body, **request)

    def in_force(self, name: str = "payments") -> str:
        return str(self.ask("GET", f"/admin/v1/pinsets/{name}").json["version"])

    def tick(self) -> dict[int, str]:
        """Let the renewer look once; return the changes that it could not publish, with the reasons."""
        renewer = Renewer(self.node.site, holder="test", clock=self.clock)
        return renewer.tick().blocked

    def audit(self) -> list[tuple[str, dict[str, Any]]]:
        """Return action and detail of every audit row."""
        return [(action, json.loads(detail)) for action, detail in self.rows("SELECT action, detail FROM audit")]


@contextmanager
def desk_on(installation: Installation, **changes: Any) -> Iterator[Desk]:
    """Yield a desk in front of *installation*; *changes* are fields of its settings."""
    with serving(installation, **changes) as service:
        desk = Desk(service.installation, service.app, service.clock, service.admin)
        for owner in ROLES:
            desk.as_(owner)  # now, so that a refusal is seen to change nothing
        yield desk


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return init_development(tmp_path / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC))


@pytest.fixture
def desk(installation: Installation) -> Iterator[Desk]:
    """Version 1.1 of payments is in force, and requires two approvals."""
    with desk_on(installation) as desk:
        desk.create()
        assert desk.require(2).status_code == 200
        yield desk


@pytest.fixture
def refused(desk: Desk) -> Callable[..., dict[str, Any]]:
    """Return the problem document that *ask* is refused with; nothing stored may have moved."""

    def refusal(ask: Callable[[], Any], status: int, slug: str) -> dict[str, Any]:
        before = desk.stored()
        problem = desk.problem(ask(), status, slug)
        assert desk.stored() == before
        return problem

    return refusal
