"""
`pinwarden demo` and `pinwarden dev`.

It may import click and, inside the commands, everything here: `--help` must not need what the [demo] extra brings.
Exit codes: 0 every step held, 1 some step did not, 2 usage, 3 something could not be started, 130 demo interrupted.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from pinwarden.cli.teaching import examples
from pinwarden.errors import PinwardenError
from pinwarden_demo.environment import interruptible
from pinwarden_demo.sabotage import SABOTAGES

NOT_HELD, CANNOT_START, INTERRUPTED = 1, 3, 130
NEEDED = ("flask", "gunicorn", "urllib3", "rich", "requests", "httpx", "aiohttp")
STEP = click.Choice(list(SABOTAGES))
EPILOG = examples("pinwarden demo", "pinwarden demo --only interceptor", "pinwarden demo --sabotage rollback")
EPILOG += f"\n\nSteps: {', '.join(SABOTAGES)}. docs/demo.md tells what each one shows."
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(epilog=EPILOG)
@click.option("--only", multiple=True, type=STEP, metavar="STEP", help="Play this step and what it needs. Repeatable.")
@click.option("--sabotage", type=STEP, metavar="STEP", help="Take this step's defence away: its promise must fail.")
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON instead of the story.")
@click.option("--keep", is_flag=True, help="Keep the folder with keys, logs and caches, and say where it is.")
def demo(only: tuple[str, ...], sabotage: str | None, as_json: bool, keep: bool) -> None:
    """
    Show the whole product on real TLS connections, on this machine alone.

    Exit codes: 0 every step held, 1 some step did not, 3 something could not be started, 130 interrupted.
    """
    if sabotage and only and sabotage not in only:
        raise click.UsageError(f"--sabotage {sabotage} is not among the steps that --only names")
    with _ending_well():
        held = _perform(only, sabotage, as_json=as_json, keep=keep)
        sys.exit(0 if held else NOT_HELD)


@click.command(epilog=examples("pinwarden dev", "pinwarden dev --folder ./try --port 8750"))
@click.option("--folder", type=FOLDER, help="Keep everything in this folder, and go on from what is there.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="NUMBER",
    help="Port of the pin server; default: a free one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead, for scripts.")
def dev(folder: Path | None, port: int, as_json: bool) -> None:
    """Start a pin server and a pinned TLS host on this machine, and keep them running until Ctrl-C."""
    with _ending_well(interrupted=0):
        from pinwarden_demo.dev import open_workbench

        with open_workbench(folder, port) as workbench:
            click.echo(json.dumps(workbench.to_json()) if as_json else workbench.text())
            sys.stdout.flush()
            workbench.server.wait_for_end()


def _perform(only: tuple[str, ...], sabotage: str | None, *, as_json: bool, keep: bool) -> bool:
    """Play and tell; return whether every step held."""
    from pinwarden_demo.play import chosen, play
    from pinwarden_demo.stage import open_stage
    from pinwarden_demo.story import SilentStory, Story

    story = SilentStory() if as_json else Story()
    start = time.monotonic()
    story.begins()
    with open_stage(keep=keep) as stage:
        story.stage_is_set(stage, time.monotonic() - start, sabotage)
        kept = str(stage.folder) if keep else None
        hosts = [host.name for host in stage.hosts]
        parts = {"authority": stage.authority, "pin_server": stage.server.url, "hosts": hosts}
        set_up = time.monotonic() - start
        outcomes = play(stage, chosen(only), sabotage=sabotage, before=story.step_begins, after=story.step_ends)
    held = all(one.held for one in outcomes)
    seconds = time.monotonic() - start
    story.ends(outcomes, seconds, kept)
    if as_json:
        report: dict[str, Any] = {"held": held, "sabotaged": sabotage, "seconds": round(seconds, 3)}
        report |= {"set_up_seconds": round(set_up, 3), "folder": kept, "parts": parts}
        click.echo(json.dumps({**report, "steps": [one.to_json() for one in outcomes]}, indent=2))
    return held


@contextmanager
def _ending_well(*, interrupted: int = INTERRUPTED) -> Iterator[None]:
    """Turn what may end a command into its exit code, after everything was stopped."""
    try:
        with interruptible():
            _check_installed()
            yield
    except KeyboardInterrupt:
        click.echo("\nInterrupted; everything was stopped." if interrupted else "\nStopped.", err=True)
        sys.exit(interrupted)
    except PinwardenError as error:
        from pinwarden.cli.refusals import complain

        complain(error)
        sys.exit(CANNOT_START)


def _check_installed() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from pinwarden_demo.errors import CannotStart

        raise CannotStart(
            f"the demo needs packages that are not installed: {', '.join(missing)}",
            hint="pip install 'pinwarden[demo]' brings them.",
        )
