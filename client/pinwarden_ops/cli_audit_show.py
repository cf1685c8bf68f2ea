"""
``pinwarden audit show``: who did what, with every row bound to the one before it by a hash that is computed here.

It may import click and this package. It asks and changes nothing, and shows no row that does not hold together.
"""

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.errors import MalformedError
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.audit_chain import Place, Row, follow, parse_place
from pinwarden_ops.audit_pages import fetch_rows
from pinwarden_ops.commands import JSON, OpsCommand, with_api
from pinwarden_ops.tables import loose, print_table

DETAILS = ("version", "replaces", "reason")


def place(text: str) -> Place:
    """Parse ``12:HASH``; a type for options."""
    try:
        return parse_place(text)
    except MalformedError as error:
        raise click.BadParameter(str(error)) from None


@click.command("show", cls=OpsCommand, epilog=examples("pinwarden audit show", "pinwarden audit show --limit 5 --json"))
@click.option(
    "--after",
    type=place,
    metavar="NUMBER:HASH",
    help="The last row that you know, as this command printed it: what comes after must continue it.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Rows at most.")
@JSON
@with_api
def show(api: AdminClient, after: Place | None, limit: int, json_wanted: bool) -> None:
    """
    Show the audit log, oldest first.

    Prints where it ended. Keep that elsewhere and give it to --after next time: whoever rewrites the log before it is
    found out. Exits with 1 when rows were changed, removed, added or moved.
    """
    known = after or Place()
    rows = list(follow(known, fetch_rows(api, after=known.seq, limit=limit)))
    end = rows[-1].place if rows else known
    if json_wanted:
        print_json({"rows": [row.told for row in rows], "end": str(end)})
        return
    print_table(
        ("row", "at", "by", "action", "subject", loose("what")),
        [
            (
                row.seq,
                printable(row.at),
                printable(row.actor),
                printable(row.action),
                printable(row.subject),
                _what(row),
            )
            for row in rows
        ],
        empty=f"nothing was written after row {known.seq}" if known.seq else "the audit log is empty",
    )
    say("note", f"{len(rows)} rows hold together; the log was seen up to {end}")


def _what(row: Row) -> str:
    said = [f"{name} {row.detail[name]}" for name in DETAILS if row.detail.get(name)]
    return printable(", ".join(said))
