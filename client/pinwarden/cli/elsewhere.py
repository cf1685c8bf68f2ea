"""
Groups that other parts extend: their commands are entry points, imported only when they are called.

It may import click and ``refusals``. Help shows a static line for such a command, so that it is as fast with every part
installed as with none; a part that cannot be imported is named together with what installs it.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar

import click

from pinwarden.cli.refusals import USAGE, RefusingGroup, say


class EntryPointGroup(RefusingGroup):
    """
    A group with commands of its own, and others that are registered as entry points.

    Attributes:
        entry_group: the name of the group of entry points.
        spoken: the words that lead to this group, for messages.
        lines: lines of --help for commands that live elsewhere; a name that is missing here still works.
    """

    entry_group: ClassVar[str]
    spoken: ClassVar[str]
    lines: ClassVar[Mapping[str, str]] = {}

    def elsewhere(self) -> dict[str, EntryPoint]:
        """Return the commands that other parts bring, by name; none is imported."""
        return {entry.name: entry for entry in entry_points(group=self.entry_group)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self.elsewhere()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of its own, import one from elsewhere, or return one that says what to install."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = self.elsewhere().get(cmd_name)
        return self._load(entry) if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each command, a static one for those from elsewhere."""
        own = {name: command.get_short_help_str(limit=80) for name, command in self.commands.items()}
        write_section(formatter, "Commands", sorted({**self.static_lines(), **own}.items()))

    def static_lines(self) -> dict[str, str]:
        """Return the line of each command from elsewhere."""
        return {name: self.lines.get(name, "") for name in sorted(self.elsewhere())}

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a library that is missing is named with what installs it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            entry = self.elsewhere().get(ctx.invoked_subcommand or "")
            if entry is None or _is_ours(error):
                raise
            self._say_missing(entry, error)
            ctx.exit(USAGE)

    def _load(self, entry: EntryPoint) -> click.Command:
        try:
            command: click.Command = entry.load()
        except ModuleNotFoundError as error:
            if _is_ours(error) and not entry.extras:
                raise
            return self._not_installed(entry, error)
        return command

    def _not_installed(self, entry: EntryPoint, error: ModuleNotFoundError) -> click.Command:
        @click.pass_context
        def explain(ctx: click.Context, /, **_: Any) -> None:
            self._say_missing(entry, error)
            ctx.exit(USAGE)

        anything = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
        settings = {"ignore_unknown_options": True, "help_option_names": []}
        return click.Command(entry.name, callback=explain, params=[anything], context_settings=settings)

    def _say_missing(self, entry: EntryPoint, error: ModuleNotFoundError) -> None:
        extras = f"[{','.join(entry.extras)}]" if entry.extras else ""
        say("error", f"`{self.spoken} {entry.name}` needs the Python module {error.name}, which is not installed")
        say("hint", f"pip install 'pinwarden{extras}'")


def write_section(formatter: click.HelpFormatter, title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Write *rows* under *title*; nothing when there is none."""
    if lines := list(rows):
        with formatter.section(title):
            formatter.write_dl(lines)


def _is_ours(error: ModuleNotFoundError) -> bool:
    return (error.name or "").startswith("pinwarden")
