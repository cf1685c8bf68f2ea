"""
``pinwarden set apply``: bring a server to what a folder of files says.

It may import click and this package. Everything is read, checked and shown to lint before the first write; it deletes
nothing, and it stops at the first refusal and says how far it came.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import WAITING, complain, say
from pinwarden.cli.teaching import examples
from pinwarden.errors import PinwardenError
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.apply_plan import MARK, WRITES, Step, lines_of, make_plan, summary
from pinwarden_ops.commands import JSON, OpsCommand, announce, confirm_option, violation_lines, with_api
from pinwarden_ops.draft_files import Draft, read_folder
from pinwarden_ops.errors import DraftRefused, OpsConflict, OpsRefused
from pinwarden_ops.previews import ask_preview
from pinwarden_ops.progress import shown
from pinwarden_ops.tables import loose, print_table, states
from pinwarden_ops.writes import Outcome, send

_FORCED = re.compile(r"([a-z0-9][a-z0-9._-]{0,63}):([A-Z]{3}[0-9]{3})", re.ASCII)
MAX_REASON = 900
Forced = Mapping[str, tuple[str, ...]]


@click.command(
    "apply",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden set apply -f pinsets --plan",
        "pinwarden set apply -f pinsets --reason 'commit 3f2c1d0'",
        "pinwarden set apply -f pinsets --plan --exit-code   # a second time there is nothing to do",
    ),
)
@click.option(
    "-f",
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with a file NAME.toml or NAME.json for each pin set.",
)
@click.option("--plan", "--dry-run", "plan", is_flag=True, help="Show what would happen, and publish nothing.")
@click.option("--exit-code", is_flag=True, help="With --plan: exit with 5 when there is something to apply.")
@click.option("--reason", default="", help="Kept with each version, such as the commit.")
@click.option(
    "--take-over", multiple=True, metavar="NAME", help="Replace it although it was changed by hand. Repeatable."
)
@click.option("--force", multiple=True, metavar="NAME:CODE", help="Publish NAME in spite of this finding. Repeatable.")
@JSON
@confirm_option
@with_api
@click.pass_context
def apply(
    ctx: click.Context,
    api: AdminClient,
    folder: Path,
    plan: bool,
    exit_code: bool,
    reason: str,
    take_over: tuple[str, ...],
    force: tuple[str, ...],
    json_wanted: bool,
) -> None:
    """
    Publish what a folder of files says.

    Creates and replaces pin sets; one that no file means stays as it is, and nothing is ever deleted. Stops before the
    first write when a file, lint or a change by hand is in the way, and at the first refusal after that.

    Exits with 0 when all is as the files say, 5 when something waits for people, 4 when somebody changed by hand or
    meanwhile, 1 when a file or lint refuses.
    """
    if exit_code and not plan:
        raise click.UsageError("--exit-code goes with --plan")
    if len(reason) > MAX_REASON:
        raise click.UsageError(f"--reason is longer than {MAX_REASON} characters")
    forced = _forced(force, reason)
    drafts = _read(folder)
    _check_names(drafts, (*take_over, *forced))
    steps = make_plan(api, drafts, take_over=take_over)
    if not json_wanted:
        _show(steps)
    elif plan:
        print_json({"steps": [step.to_json() for step in steps]})
    _check(api, steps, reason, forced)
    due = [step for step in steps if step.action in WRITES]
    outcomes = [] if plan else _publish(api, due, reason, forced)
    if json_wanted and not plan:
        print_json({"steps": [step.to_json() for step in steps], "published": [each.told for each in outcomes]})
    waits = any(step.action == "waiting" for step in steps) or any(each.change is not None for each in outcomes)
    if (exit_code and due) or (waits and not plan):
        ctx.exit(WAITING)


def _read(folder: Path) -> list[Draft]:
    try:
        return read_folder(folder)
    except DraftRefused as error:
        for other in error.others:
            complain(other)
        raise


def _forced(spelt: Sequence[str], reason: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in spelt:
        match = _FORCED.fullmatch(text)
        if match is None:
            raise click.BadParameter(f"{text[:80]!r} is not NAME:CODE, such as shop:PIN008", param_hint="--force")
        found[match[1]] = (*found.get(match[1], ()), match[2])
    if found and not reason:
        raise click.UsageError("--force needs a --reason, which is audited")
    return found


def _check_names(drafts: Sequence[Draft], named: Sequence[str]) -> None:
    """Refuse a name of --take-over or --force that no file has: misspelt, it would be passed over."""
    unknown = sorted(set(named) - {draft.name for draft in drafts})
    if unknown:
        raise click.UsageError(f"no file is about {', '.join(map(repr, unknown))}")


def _show(steps: Sequence[Step]) -> None:
    print_table(
        (states("step"), "pin set", loose("file")),
        [(step.action, step.name, step.about) for step in steps],
        below=[step.rows_shown for step in steps],
        piped=lines_of(steps),
    )
    click.echo(f"plan: {summary(steps)}")


def _body(step: Step, reason: str, forced: Forced) -> dict[str, Any]:
    if step.draft is None:
        raise ValueError(f"{step.name} has no file")
    return step.draft.body(reason=f"{MARK}{reason or 'from files'}", force=forced.get(step.name, ()))


def _check(api: AdminClient, steps: Sequence[Step], reason: str, forced: Forced) -> None:
    """
    Return when nothing is in the way that can be seen before the first write.

    Raises:
        OpsConflict: somebody published by hand, or while the plan was made. OpsRefused: lint refuses a file.
    """
    drifted = [step.name for step in steps if step.action == "drift"]
    if drifted:
        raise OpsConflict(
            f"published by hand since files were applied last: {', '.join(drifted)}",
            holds="Nothing was published.",
            hint=f"Take it into the file (`pinwarden set show {drifted[0]} --draft`), or replace it by "
            f"--take-over {drifted[0]}.",
        )
    refused, due = 0, [step for step in steps if step.action in WRITES]
    for number, step in enumerate(due, 1):
        with shown(f"{number} of {len(due)}: checking {step.name}"):
            preview = ask_preview(api, step.name, _body(step, reason, forced), replaces=step.version)
        refused += _is_refused(step, preview)
    if refused:
        raise OpsRefused(f"lint refuses {refused} of the files", holds="Nothing was published.")


def _is_refused(step: Step, shown: dict[str, Any]) -> bool:
    place = step.draft.file.name if step.draft else step.name
    for kind, member in (("warning", "warnings"), ("error", "violations")):
        for line in violation_lines(shown.get(member)):
            say(kind, f"{place}: {line}")
    return not shown["publishable"]


def _publish(api: AdminClient, due: Sequence[Step], reason: str, forced: Forced) -> list[Outcome]:
    """Publish *due* in order, each told as it happens; a refusal says how far it came."""
    outcomes: list[Outcome] = []
    if due:
        announce(api)
    for step in due:
        try:
            body = _body(step, reason, forced)
            outcomes.append(send(api, "PUT", step.name, "", body=body, replaces=step.version))
        except PinwardenError:
            left = ", ".join(each.name for each in due[len(outcomes) :])
            say("note", f"{len(outcomes)} of {len(due)} were done before the refusal; not done: {left}")
            raise
        say("note", outcomes[-1].words())
    return outcomes
