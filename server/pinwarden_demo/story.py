"""
How the play is told: a header, each step as it happens, and a table at the end.

It may import rich. It prints what was measured and decides nothing. Colours, and what is under way, are for terminals.
"""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from pinwarden_demo.play import Outcome
from pinwarden_demo.sabotage import SABOTAGES
from pinwarden_demo.stage import Stage
from pinwarden_demo.steps import Step

WIDTH = 100
# In words and in a colour; None is a step that was not played.
VERDICTS = {True: ("held", "green"), False: ("DID NOT HOLD", "bold red"), None: ("not played", "yellow")}


class SilentStory:
    """Tells nothing; for `--json`."""

    def begins(self) -> None:
        """Say what this is."""

    def stage_is_set(self, stage: Stage, seconds: float, sabotaged: str | None) -> None:
        """Say what there is."""

    def step_begins(self, step: Step) -> None:
        """Announce *step*."""

    def step_ends(self, outcome: Outcome) -> None:
        """Tell what was measured and what came of it."""

    def ends(self, outcomes: Sequence[Outcome], seconds: float, kept: str | None) -> None:
        """Close with the table."""


class Story(SilentStory):
    """Tells one run on stdout."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._width = min(self._console.width, WIDTH) if self._console.is_terminal else WIDTH
        self._number = 0

    def begins(self) -> None:
        """Say what this is."""
        self._line(("Pinwarden demo", "bold"), ": real servers, real TLS, on this machine alone.")
        self._line()
        self._wait("starting the parts")

    def stage_is_set(self, stage: Stage, seconds: float, sabotaged: str | None) -> None:
        """Say what there is."""
        self._wait_no_longer()
        services = " and ".join(f"https://{host.name}" for host in stage.hosts)
        for name, text in (
            ("pin server", f"{stage.server.url} (gunicorn), throw-away authority {stage.authority}"),
            ("services", f"{services}, certified by a private CA"),
            ("interceptors", "one for each service, certified by another CA; the applications trust both"),
            ("set up in", f"{seconds:.1f} s"),
        ):
            self._paragraph((f"  {name:<14}", "dim"), text)
        if sabotaged:
            self._line()
            self._paragraph(("! ", "bold yellow"), f"Sabotaged on purpose: {SABOTAGES[sabotaged]}.", "bold yellow")

    def step_begins(self, step: Step) -> None:
        """Announce *step*."""
        self._number += 1
        self._line()
        self._paragraph((f"{self._number} {step.name:<12}", "bold"), step.promise)
        self._wait("measuring")

    def step_ends(self, outcome: Outcome) -> None:
        """Tell what was measured and what came of it."""
        self._wait_no_longer()
        if outcome.held is None:
            return  # the table says so
        if outcome.facts is not None:
            for line in outcome.step.tell(outcome.facts):
                self._paragraph(("  - ", "dim"), line)
        for sentence in outcome.unmet:
            self._paragraph(("  ! ", "bold red"), f"Expected, and not so: {sentence}.", "red")
        self._line(
            "  ", VERDICTS[outcome.held], f"{' (sabotaged)' if outcome.sabotaged else ''}, {outcome.seconds:.2f} s"
        )

    def ends(self, outcomes: Sequence[Outcome], seconds: float, kept: str | None) -> None:
        """Close with the table."""
        if unplayed := [one.step for one in outcomes if one.held is None]:
            self._line()
            names = ", ".join(step.name for step in unplayed)
            self._paragraph(("", ""), f"Not played, because {unplayed[0].needs} did not hold: {names}.")
        self._line()
        self._row("step", ("outcome", ""), ("time", "leaked"), "what it proves", "dim")
        for one in outcomes:
            seconds_told = f"{one.seconds:.2f} s" if one.held is not None else "-"
            leaked = f"{one.facts.leaked} B" if one.facts is not None else "-"
            self._row(one.step.name, VERDICTS[one.held], (seconds_told, leaked), one.step.promise)
        held = sum(one.held is True for one in outcomes)
        style = "bold green" if held == len(outcomes) else "bold red"
        self._line()
        self._line(("leaked: application bytes that reached someone who must get none", "dim"))
        ending = f"The folder was kept: {kept}" if kept else "Everything was stopped and removed."
        self._line((f"{held} of {len(outcomes)} steps held", style), f" in {seconds:.1f} s. {ending}")

    def _wait(self, text: str) -> None:
        """Show on a terminal what is under way, until :meth:`_wait_no_longer`; nothing animated, which could be cut."""
        if self._console.is_terminal:
            self._console.print(Text(f"  {text} ...", "dim"), end="")

    def _wait_no_longer(self) -> None:
        if self._console.is_terminal:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def _row(self, name: str, outcome: tuple[str, str], figures: tuple[str, str], proves: str, style: str = "") -> None:
        word, colour = outcome
        self._line(
            (f"{name:<13}", style),
            (f"{word:<14}", colour or style),
            (f"{figures[0]:>6}  {figures[1]:>6}  {proves}", style),
        )

    def _paragraph(self, lead: tuple[str, str], text: str, style: str = "") -> None:
        """Print *text* after *lead*, wrapped at words, its further lines below its first."""
        indent = len(lead[0])
        lines = textwrap.wrap(text, self._width - indent, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            self._line(lead if number == 0 else " " * indent, (line, style))

    def _line(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts), soft_wrap=True)
