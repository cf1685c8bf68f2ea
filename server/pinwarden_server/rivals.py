"""
Changes that exclude each other: made for the same version in force, or to create the same pin set.

It may import the store's values and the errors. It refuses nothing: who is right is settled by approvals, and whoever
proposes second should only not learn it last.
"""

from collections.abc import Iterable

from pinwarden_server.errors import Violation
from pinwarden_server.planning import NEW_LIFE, RENEW
from pinwarden_server.store import ChangeRow

WAITING = "WAITING"  # the code of the warning
_SHOWN = 4


def excludes_others(action: str) -> bool:
    """Tell whether a publication of that kind ends what else waits: the same content anew does not."""
    return action not in (RENEW, NEW_LIFE)


def rival_warnings(waiting: Iterable[ChangeRow]) -> tuple[Violation, ...]:
    """Return the warning, if any, that changes of *waiting* are for what a new draft is for."""
    rivals = [row for row in waiting if not row.is_policy and excludes_others(row.action)]
    if not rivals:
        return ()
    named = ", ".join(f"{row.id} by {row.owner}" for row in rivals[:_SHOWN])
    more = f" and {len(rivals) - _SHOWN} more" if len(rivals) > _SHOWN else ""
    do = "create" if rivals[0].base is None else "replace"
    what = f"what waits already to {do} this pin set is change {named}{more}: the first to be published ends the others"
    hint = "Look at it with `pinwarden change show`, agree with its author, and reject what shall not be."
    return (Violation(WAITING, "", what, hint, blocking=False),)
