"""
How the play is told: a header, each step as it happens, and a table at the end.

It may import rich. It prints what was measured and decides nothing; colours and the spinner are for terminals only.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from pinwarden_demo.play import Outcome
from pinwarden_demo.sabotage import SABOTAGES
from pinwarden_demo.stage import Stage
from pinwarden_demo.steps import Step

WIDTH = 100
NAME_WIDTH, OUTCOME_WIDTH = 13, 14
# In words and in a colour; None is a step that was not played.
VERDICTS = {True: ("held", "green"), False: ("DID NOT HOLD", "bold red"), None: ("not played", "yellow")}


class SilentStory:
    """Tells nothing; for `--json`."""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Surround the play."""
        yield

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
        self._console.width = min(self._console.width, WIDTH) if self._console.is_terminal else WIDTH
        self._spinner = self._console.status("starting the parts", spinner_style="cyan")
        self._number = 0

    @contextmanager
    def told(self) -> Iterator[None]:
        """Surround the play: begin, and take the spinner away however it ends."""
        self._console.print(Text("Pinwarden demo", "bold") + Text(": real servers, real TLS, on this machine alone."))
        self._console.print()
        self._spinner.start()
        try:
            yield
        finally:
            self._spinner.stop()

    def stage_is_set(self, stage: Stage, seconds: float, sabotaged: str | None) -> None:
        """Say what there is."""
        services = " and ".join(f"https://{host.name}" for host in stage.hosts)
        for name, text in (
            ("pin server", f"gunicorn on {stage.server.url}; authority {stage.authority}, founded for this run"),
            ("services", f"{services}, certified by a private CA"),
            ("interceptors", "one for each, certified by another CA; the applications trust both CAs"),
            ("set up in", f"{seconds:.1f} s"),
        ):
            self._paragraph(Text(f"  {name:<14}", "dim"), text)
        if sabotaged:
            self._console.print()
            self._paragraph(Text("! ", "bold yellow"), f"Sabotaged on purpose: {SABOTAGES[sabotaged]}.", "bold yellow")

    def step_begins(self, step: Step) -> None:
        """Announce *step*."""
        self._number += 1
        self._console.print()
        self._console.print(Text(f"{self._number} {step.name:<11} ", "bold") + Text(step.promise))
        self._spinner.update(step.name)
        self._spinner.start()

    def step_ends(self, outcome: Outcome) -> None:
        """Tell what was measured and what came of it."""
        self._spinner.stop()
        if outcome.facts is not None:
            for line in outcome.step.tell(outcome.facts):
                self._paragraph(Text("  - ", "dim"), line)
        for sentence in outcome.unmet:
            self._paragraph(Text("  ! ", "bold red"), f"Expected, and not so: {sentence}.", "red")
        word, style = VERDICTS[outcome.held]
        why = f"{outcome.seconds:.2f} s" if outcome.held is not None else f"step {outcome.step.needs} did not hold"
        sabotaged = " (sabotaged)" if outcome.sabotaged else ""
        self._console.print(Text("  ") + Text(word, style) + Text(f"{sabotaged}, {why}"))

    def ends(self, outcomes: Sequence[Outcome], seconds: float, kept: str | None) -> None:
        """Close with the table."""
        self._console.print()
        self._row(Text("step", "dim"), Text("outcome", "dim"), ("time", "leaked"), "what it proves", "dim")
        for one in outcomes:
            word, style = VERDICTS[one.held]
            leaked = f"{one.facts.leaked} B" if one.facts is not None else "-"
            figures = (f"{one.seconds:.2f} s", leaked)
            self._row(Text(one.step.name), Text(word, style), figures, one.step.promise)
        held = sum(one.held is True for one in outcomes)
        style = "bold green" if held == len(outcomes) else "bold red"
        ending = f"The folder was kept: {kept}" if kept else "Everything was stopped and removed."
        self._console.print()
        self._console.print("leaked: application bytes that reached someone who must get none", style="dim")
        self._console.print(
            Text(f"{held} of {len(outcomes)} steps held", style) + Text(f" in {seconds:.1f} s. {ending}")
        )

    def _row(self, name: Text, outcome: Text, figures: tuple[str, str], proves: str, style: str = "") -> None:
        name.pad_right(NAME_WIDTH - len(name))
        outcome.pad_right(OUTCOME_WIDTH - len(outcome))
        self._paragraph(name + outcome + Text(f"{figures[0]:>6}  {figures[1]:>6}  ", style), proves, style)

    def _paragraph(self, lead: Text, text: str, style: str = "") -> None:
        """Print *text* after *lead*, wrapped at words, its further lines below its first."""
        lines = textwrap.wrap(text, self._console.width - len(lead), break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            self._console.print((lead if number == 0 else Text(" " * len(lead))) + Text(line, style), soft_wrap=True)
