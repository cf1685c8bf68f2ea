"""
The authorisation matrix in Markdown, for the page that shows it.

It may import the table of operations. It writes what the table says and nothing of its own.
"""

from pinwarden_server.auth import Role
from pinwarden_server.operation import Operation
from pinwarden_server.operations import OPERATIONS

CALLERS = ("nobody", *(role.value for role in Role), "metrics token")


def rights_table() -> str:
    """Return a table with a row for each operation and a column for each kind of caller: ``yes``, or the refusal."""
    head = ["operation", *CALLERS, "recent login", "reaches"]
    rows = [
        [f"`{each.method} {each.path}`", *_cells(each), "yes" if each.step_up else "", each.reach.value]
        for each in OPERATIONS
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def _cells(operation: Operation) -> list[str]:
    nobody = "yes" if operation.is_open_to(None) else "401"
    roles = ["yes" if operation.is_open_to(role) else "403" for role in Role]
    scraper = "yes" if operation.metrics_token else nobody
    return [nobody, *roles, scraper]
