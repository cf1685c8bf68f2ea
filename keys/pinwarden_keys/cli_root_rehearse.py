"""
The command ``pinwarden root rehearse``: the ceremony before the ceremony.

It may import click and everything in this package. It leaves no file behind, and opens no key but those that it made.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pinwarden.cli.teaching import examples
from pinwarden_keys.ceremony_rehearsal import Rehearsal
from pinwarden_keys.cli_root_draft import make_draft, read_plan
from pinwarden_keys.cli_root_files import (
    ALLOW,
    PREVIOUS,
    PUBLISHED,
    PUBLISHED_IN,
    judged,
    read_envelope,
    read_published,
)
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.prompts import FILE
from pinwarden_keys.root_plan import RootPlan

_LOSS = "ROOT007"


@click.command(
    "rehearse", epilog=examples("pinwarden root rehearse --plan plan.toml --previous root.1.json --without alice")
)
@click.option("--plan", type=FILE, help="The plan of the real ceremony; without it only the dates change.")
@PREVIOUS
@click.option("--without", multiple=True, metavar="NAME", help="Hold it without this person. Repeatable.")
@PUBLISHED
@PUBLISHED_IN
@ALLOW
def rehearse_root(
    plan: Path | None,
    previous: Path | None,
    without: tuple[str, ...],
    published: tuple[str, ...],
    published_in: tuple[Path, ...],
    allow: tuple[str, ...],
) -> None:
    """Hold the whole ceremony with throw-away keys.

    Takes the real plan and the real root, puts a key that it makes itself in place of each person's, and tells what
    happens: drafting, signing, assembling, what a client says, the next renewal, and the loss of each person in turn.
    Exits with 0 when the real ceremony would work. Leaves no file behind.
    """
    if plan is None and previous is None:
        raise click.UsageError("a first root needs --plan, the next one needs --previous")
    names, now = read_published(published, published_in), datetime.now(UTC)
    parsed = read_plan(plan) if plan else RootPlan()
    before = read_envelope(previous) if previous else None
    real = make_draft(parsed, before, now, timedelta(days=parsed.lifetime_days))
    for finding in judged(real, real.previous_root, now, allow, names):
        click.echo(f"accepted: {finding.code} {finding.message}")
    with tempfile.TemporaryDirectory(prefix="pinwarden-rehearsal-") as folder:
        lost = Rehearsal(real, Path(folder), now=now, say=lambda sentence: click.echo(f"  {sentence}")).run(without)
    if lost and not without and _LOSS not in allow:
        raise CeremonyError(
            f"the loss of one person would stop the real ceremony: {', '.join(lost)}",
            expected="that anyone may be missing",
            got="a threshold that needs all of them",
            hint=f"Add a key while everybody is still there, or accept it by --allow {_LOSS}.",
        )
    click.echo("the real ceremony would work" + (f", without {' and '.join(without)}" if without else ""))
