"""
``pinwarden audit export``: the audit log as a file, for a spreadsheet, for another program, or to be kept elsewhere.

It may import click and this package. It asks and changes nothing, and holds no more of the log than a page at a time.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from pinwarden.answer import printable
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError, MalformedError
from pinwarden.strict_json import parse_time
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.audit_chain import Row
from pinwarden_ops.audit_files import FORMATS, write_rows
from pinwarden_ops.audit_pages import PAGE, fetch_rows
from pinwarden_ops.commands import OpsCommand, with_api


def moment(text: str) -> str:
    """Check a time of the API's spelling; a type for options."""
    try:
        parse_time(text, what="time")
    except MalformedError as error:
        raise click.BadParameter(str(error)) from None
    return text


@click.command(
    "export",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden audit export --format jsonl --output audit.jsonl",
        "pinwarden audit export --format csv --name payments --since 2026-01-01T00:00:00Z",
    ),
)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="CSV, or a JSON object on each line.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="New file (0600); default: stdout.")
@click.option("--since", type=moment, metavar="TIME", help="Only rows of this time or later: 2026-06-01T00:00:00Z.")
@click.option("--until", type=moment, metavar="TIME", help="Only rows before this time.")
@click.option("--name", help="Only this pin set.")
@click.option("--actor", help="Only rows by this actor; a beginning when it ends in *.")
@click.option("--action", help="Only this action; a beginning when it ends in *: 'pinset.*'.")
@with_api
def export(api: AdminClient, form: str, output: Path | None, **filters: str | None) -> None:
    """
    Write the audit log, oldest first.

    A file without filters can be verified later: `pinwarden audit verify FILE`.
    """
    only = {name: value for name, value in filters.items() if value is not None}
    with _destination(output) as file, _progress() as count:
        for line in write_rows(_counted(fetch_rows(api, only=only), count), form):
            file.write(line.encode("ascii"))
    if only:
        say("note", "this is a part of the log: only a whole one can be verified")


@contextmanager
def _destination(output: Path | None) -> Iterator[IO[bytes]]:
    """Yield where the file goes; a new file that could not be finished is not left behind."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"{output} cannot be made: {error.strerror}"
        raise ConfigError(what, hint="Name a new file in a folder that you may write to.") from None
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        output.unlink(missing_ok=True)
        raise ConfigError(f"{output} cannot be written: {error.strerror}", holds="Nothing is left of it.") from None
    except BaseException:
        output.unlink(missing_ok=True)
        raise


@contextmanager
def _progress() -> Iterator[Callable[[Row], Any]]:
    """Yield what is told of each row, and shows their number where a person looks."""
    screen = sys.stderr
    if not screen.isatty():
        yield lambda row: None
        return

    def show(row: Row) -> None:
        if row.seq % PAGE == 0:
            click.echo(f"\r{row.seq} rows, {printable(row.at)}", nl=False, file=screen)

    yield show
    click.echo("\r\033[K", nl=False, file=screen)


def _counted(rows: Iterable[Row], count: Callable[[Row], Any]) -> Iterator[Row]:
    for row in rows:
        count(row)
        yield row
