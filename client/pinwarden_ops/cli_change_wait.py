"""
``pinwarden change wait``: stay until a change is published, or never will be.

It may import click and this package. It asks and changes nothing, shows a bar on a terminal only, and outlives a server
that is away for a while.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import CONFLICT, DONE, REFUSED, WAITING, say
from pinwarden.cli.teaching import examples
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_policy import approvals_in
from pinwarden_ops.commands import JSON, NUMBER, OpsCommand, with_api
from pinwarden_ops.errors import OpsUnavailable

CODES = {
    "waiting": WAITING,
    "published": DONE,
    "review": DONE,
    "rejected": REFUSED,
    "expired": REFUSED,
    "stale": CONFLICT,
}
Progress = Callable[["Seen"], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A change as the server tells it: *signed* of *threshold* keys or approvals, None where it does not say."""

    name: str
    version: str
    state: str
    signed: int | None = None
    threshold: int | None = None


@click.command(
    "wait",
    cls=OpsCommand,
    epilog=examples("pinwarden change wait $CHANGE --timeout-seconds 1   # exit code 5"),
)
@click.argument("number", type=NUMBER)
@click.option("--timeout-seconds", type=click.FloatRange(0), help="Give up after this long; default: never.")
@click.option(
    "--poll-seconds", type=click.FloatRange(0.2, 3600), default=5, show_default=True, help="Between questions."
)
@JSON
@with_api
@click.pass_context
def wait(
    ctx: click.Context,
    api: AdminClient,
    number: int,
    timeout_seconds: float | None,
    poll_seconds: float,
    json_wanted: bool,
) -> None:
    """
    Wait until the change NUMBER is published, rejected, stale or expired, whatever it waits for.

    Exits with 0 when it is published, 1 when it is rejected or has expired, 4 when another version was published
    instead, 5 when it still waits at the end of the time.
    """
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    with _bar(number) as show:
        seen = _look(api, number)
        show(seen)
        while seen.state == "waiting" and (left := _left(end, poll_seconds)) > 0:
            time.sleep(left)
            try:
                seen = _look(api, number)
            except OpsUnavailable as error:
                say("note", f"{error.what}; asking again")
                continue
            show(seen)
    if json_wanted:
        print_json({"change": number, "name": seen.name, "version": seen.version, "state": seen.state})
    else:
        click.echo(f"change {number}, {seen.name} {seen.version}: {seen.state}")
    ctx.exit(CODES[seen.state])


def _left(end: float | None, poll_seconds: float) -> float:
    return poll_seconds if end is None else min(poll_seconds, end - time.monotonic())


def _look(api: AdminClient, number: int) -> Seen:
    """Return the change as the server tells it; MalformedError when that makes no sense."""
    told = api.ask("GET", f"/changes/{number}").value
    fields = Fields(told, "answer")
    state = fields.choice("state", tuple(CODES))
    name = printable(fields.text("name"))
    version = "its policy" if told.get("version") is None else printable(fields.text("version"))
    if told.get("tally") is not None:
        tally = fields.child("tally")
        return Seen(name, version, state, len(tally.texts("signed")), tally.integer("threshold"))
    if told.get("signer") != "server":
        return Seen(name, version, state)
    approved = fields.child("approved")
    return Seen(name, version, state, len(approved.get("given", list)), approvals_in(approved, "required"))


def progress_on() -> TextIO:
    """Return where progress is shown."""
    return sys.stderr


@contextmanager
def _bar(number: int) -> Iterator[Progress]:
    """Yield what shows progress: a bar where a person looks, nothing elsewhere."""
    screen = progress_on()
    if not screen.isatty():
        yield lambda seen: None
        return
    with click.progressbar(length=1, label=f"change {number}", show_eta=False, show_pos=True, file=screen) as bar:

        def show(seen: Seen) -> None:
            bar.length = seen.threshold or 1
            bar.pos = bar.length if seen.state == "published" else min(seen.signed or 0, bar.length)
            bar.render_progress()

        yield show
