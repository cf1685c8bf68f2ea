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
        self._width = min(self._console.width, WIDTH) if self._console.is_terminal else WIDTH
        self._spinner = self._console.status("starting the parts", spinner_style="cyan")
        self._number = 0

    @contextmanager
    def told(self) -> Iterator[None]:
        """Surround the play: begin, and take the spinner away however it ends."""
        self._line(("Pinwarden demo", "bold"), ": real servers, real TLS, on this machine alone.")
        self._line()
        self._spinner.start()
        try:
            yield
        finally:
            self._spinner.stop()

    def stage_is_set(self, stage: Stage, seconds: float, sabotaged: str | None) -> None:
        """Say what there is."""
        self._spinner.stop()
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
        self._spinner.update(step.name)
        self._spinner.start()

    def step_ends(self, outcome: Outcome) -> None:
        """Tell what was measured and what came of it."""
        self._spinner.stop()
        word, style = VERDICTS[outcome.held]
        if outcome.held is None:
            self._line(
                (f"\n- {outcome.step.name:<12}", "bold"), (word, style), f", step {outcome.step.needs} did not hold"
            )
            return
        if outcome.facts is not None:
            for line in outcome.step.tell(outcome.facts):
                self._paragraph(("  - ", "dim"), line)
        for sentence in outcome.unmet:
            self._paragraph(("  ! ", "bold red"), f"Expected, and not so: {sentence}.", "red")
        self._line("  ", (word, style), f"{' (sabotaged)' if outcome.sabotaged else ''}, {outcome.seconds:.2f} s")

    def ends(self, outcomes: Sequence[Outcome], seconds: float, kept: str | None) -> None:
        """Close with the table."""
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
