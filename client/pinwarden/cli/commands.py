"""
The group ``pinwarden``: a table of its own commands, and the groups that other parts register as entry points.

It may import click, ``elsewhere`` and ``refusals``. It imports a command only when that command is called, so that
``--help`` is as fast with every part installed as with none.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import click

from pinwarden.cli.elsewhere import EntryPointGroup, write_section
from pinwarden.cli.refusals import INTERRUPTED, USAGE, say
from pinwarden.cli.session import FOLDER, Session, moment
from pinwarden.cli.streams import answering

ENTRY_POINTS = "pinwarden.commands"

# name: (where the command is, its line in --help)
OWN = {
    "check": ("pinwarden.cli.check:check", "Connect to a host under the pins in force and print the verdict."),
    "init": ("pinwarden.cli.state:init", "Found a folder for --state-dir: root, settings and cache in one place."),
    "install-hook": (
        "pinwarden.cli.install_hook:install_hook",
        "Pin every process of this Python, also where variables are cleaned.",
    ),
    "pin": ("pinwarden.cli.pin:pin", "Print the pins of a live host, or of a certificate, request or key file."),
    "refresh": ("pinwarden.cli.state:refresh", "Fetch the pin set once, verify and keep it."),
    "run": ("pinwarden.cli.run:run", "Run a Python program with every TLS connection pinned."),
    "status": ("pinwarden.cli.state:status", "Print what is trusted, and for how long."),
    "verify": ("pinwarden.cli.verify:verify", "Verify a bundle or document offline, and print what it says."),
}

WITH_STATE_DIR = ("check", "init", "refresh", "run", "status")

# Lines of --help for groups that live elsewhere: a name that is missing here still works.
ELSEWHERE = {
    "audit": "Watch a server's history from a second machine; read its audit log.",
    "change": "Propose, show and sign changes of pin sets that people sign.",
    "completion": "Print the script that completes this command in your shell.",
    "context": "Name the servers that you work with, and choose one.",
    "demo": "Show the whole product on real TLS connections.",
    "dev": "Start a server with a throw-away authority.",
    "keys": "Make and look at signing keys.",
    "login": "Begin a session by a one-time link, an account or an ID token.",
    "logout": "End the session in the token file.",
    "root": "Draft, sign and assemble the root: who may sign what.",
    "server": "Install, run and mend a Pinwarden server.",
    "signer": "Hold the server's signing keys in a process of its own.",
    "session": "List and end the sessions of people and jobs, and the links that begin them.",
    "set": "List, compare, publish and roll back pin sets; apply a folder of them.",
    "token": "List, issue and revoke tokens of the admin API.",
}

# Raised from click 8.2 on by a group that is called without a command.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())

_EXAMPLES = """\b
Examples:
  pinwarden pin example.com
  pinwarden check example.com --url https://pins.example.com --pinset app --root root.json
  pinwarden run -- python app.py
"""


class TopGroup(EntryPointGroup):
    """Finds commands by name without importing the others, and words every refusal the same way."""

    entry_group: ClassVar[str] = ENTRY_POINTS
    spoken: ClassVar[str] = "pinwarden"
    lines: ClassVar[Mapping[str, str]] = ELSEWHERE

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands; imports none."""
        return sorted({*OWN, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or return one that says what to install."""
        if cmd_name not in OWN:
            return super().get_command(ctx, cmd_name)
        module, _, name = OWN[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the static lines."""
        write_section(formatter, "For applications", ((name, line) for name, (_, line) in sorted(OWN.items())))
        write_section(formatter, "Keys and server", self.static_lines().items())

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments; ``--help`` and ``--version`` print here."""
        with answering():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an answer that cannot be written ends it before click takes that for a refusal."""
        with answering():
            return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run and end the process; errors of usage become the same lines as all others."""
        run: Any = super().main  # its overloads fit no arguments that are handed on
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        with answering():
            sys.exit(_worded(lambda: run(*args, standalone_mode=False, **extra)))


def _worded(run: Callable[[], Any]) -> int:
    """Return the exit code of *run*, having told misuse and interruption in our words."""
    try:
        code = run()
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):  # the help is its message
            error.show()
            return USAGE
        say("error", " ".join(error.format_message().split()))  # click gives each choice a line of its own
        if error.ctx is not None:
            say("hint", f"`{error.ctx.command_path} --help` shows how it is used.")
        return USAGE
    except click.ClickException as error:
        say("error", error.format_message())
        return error.exit_code
    except click.Abort:
        say("error", "interrupted")
        return INTERRUPTED
    return code if isinstance(code, int) else 0


@click.group(cls=TopGroup, epilog=_EXAMPLES, context_settings={"help_option_names": ["--help", "-h"]})
@click.version_option(package_name="pinwarden", message="pinwarden %(version)s")
@click.option(
    "--state-dir",
    type=FOLDER,
    help="Take root, settings and cache from this folder alone (see `init`), and nothing from the environment.",
)
@click.option(
    "--now",
    type=moment,
    metavar="TIME",
    help="With --state-dir: pretend that it is TIME, such as 2026-11-24T12:00:00Z.",
)
@click.pass_context
def pinwarden(ctx: click.Context, state_dir: Path | None, now: datetime | None) -> None:
    """TLS pins that are signed, expire and rotate: fetch, verify, check and enforce them."""
    if now is not None and state_dir is None:
        raise click.UsageError("--now needs --state-dir, so that a wrong clock never reaches the cache of a service")
    if state_dir is not None and ctx.invoked_subcommand not in WITH_STATE_DIR:
        raise click.UsageError(f"--state-dir goes with {', '.join(WITH_STATE_DIR)}, not with {ctx.invoked_subcommand}")
    if now is not None and ctx.invoked_subcommand == "run":
        raise click.UsageError("--now does not go with run: a program runs in the present")
    ctx.obj = Session(state_dir, now)
