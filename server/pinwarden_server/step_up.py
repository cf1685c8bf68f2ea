"""
Step-up: what a person may do only soon after they logged in (RFC 9470).

It may import the table of operations, which says for each whether it is such a one. A token that an administrator
issued to a machine has no person behind it who could log in again, and is let through.
"""

from datetime import datetime

from pinwarden_server.auth import Principal
from pinwarden_server.errors import StepUpNeeded
from pinwarden_server.operations import OPERATIONS

_ROUTES = frozenset((each.method, each.path) for each in OPERATIONS if each.step_up)


def needs_recent_login(method: str, rule: str) -> bool:
    """Tell whether the table wants a recent login for *method* of a Flask *rule* such as ``/x/<name>``."""
    return (method, rule.replace("<", "{").replace(">", "}")) in _ROUTES


def check_recent_login(principal: Principal, now: datetime, *, max_age: int) -> None:
    """
    Return when *principal* is no session, or one that began at most *max_age* seconds ago; 0 seconds: always.

    Raises:
        StepUpNeeded: the session is older.
    """
    if principal.session is None or max_age == 0:
        return
    age = int((now - principal.session.authenticated_at).total_seconds())
    if age > max_age:
        raise StepUpNeeded(
            "this needs a recent login",
            max_age=max_age,
            expected=f"a login at most {max_age} seconds ago",
            got=f"{age} seconds ago",
            hint="Run `pinwarden login` again, then repeat the request.",
        )
