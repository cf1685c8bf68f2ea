"""
Tables: laid out for the width of a terminal, and one line for each row where a program reads.

It may import click and, where it writes to a terminal and nowhere else, rich. No cell is cut, none is read as markup,
and no control character of what somebody stored reaches a screen.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pinwarden.cli import printing
from pinwarden.cli.refusals import say

if TYPE_CHECKING:
    from rich.text import Text

_GOOD, _WAITING, _ENDED = "green", "yellow", "red"
# What columns of states say, and the marks of differences.
COLOURS = {
    **dict.fromkeys(("published", "ok", "nothing", "create", "enforce", "+"), _GOOD),
    **dict.fromkeys(("waiting", "open", "review", "replace", "warn", "report", "~", "->"), _WAITING),
    **dict.fromkeys(("rejected", "stale", "expired", "drift", "bad", "-"), _ENDED),
}
GAP = 2  # between columns
INDENT = 4  # of what stands below a row
LEAST = 32  # characters that a loose column is given, unless all of it is shorter; in less, a sentence is a tower
KEY = 44  # characters of a pin; a longer word of a loose column is a path or an address, and may be broken
NARROWEST = 20  # below that, the terminal breaks lines as it likes

Cells = Sequence[object]


@dataclass(frozen=True, slots=True)
class Column:
    """
    A heading, and how cells under it are shown on a terminal.

    Attributes:
        is_loose: cells may go on in the next line. All others stay in one piece as long as the screen is as wide as
            they are: what is copied from a screen is an id, a key, a version or a time.
        is_state: cells are coloured by COLOURS.
        is_end: whatever a cell says but a dash is an end, and red.
    """

    heading: str
    is_loose: bool = False
    is_state: bool = False
    is_end: bool = False

    def style(self, cell: str) -> str:
        """Return the style of *cell*; empty for none."""
        if self.is_end:
            return _ENDED if cell.strip("-") else ""
        return COLOURS.get(cell, "") if self.is_state else ""


def loose(heading: str) -> Column:
    """Return a column of words, which may be broken."""
    return Column(heading, is_loose=True)


def states(heading: str) -> Column:
    """Return a column of states or marks."""
    return Column(heading, is_state=True)


def ended(heading: str) -> Column:
    """Return a column that says since when something is at its end, or a dash."""
    return Column(heading, is_end=True)


Columns = Sequence[str | Column]
# Of what stands below a row: a mark, whom it is about, words. Where there are two cells, the middle is missing.
_BELOW = (states(""), Column(""), loose(""))


def print_table(
    columns: Columns,
    rows: Sequence[Cells],
    *,
    empty: str = "",
    below: Sequence[Sequence[Cells]] = (),
    piped: Iterable[str] | None = None,
) -> None:
    """
    Print *rows* under their headings.

    Args:
        empty: says on stderr that there are no rows, and what to do. A pipe gets the headings all the same.
        below: for each row what belongs to it: marks and words, which a terminal shows indented under the row.
        piped: what a pipe gets instead; default: aligned columns, a line for each row.
    """
    if not rows and empty:
        say("note", empty)
    named = [Column(column) if isinstance(column, str) else column for column in columns]
    spelt = [_spell(row) for row in rows]
    if _is_terminal():
        if rows:
            _Screen().show_table(named, spelt, below)
    elif piped is None:
        printing.print_table([column.heading for column in named], spelt)
    else:
        for line in piped:
            click.echo(line)


def print_difference(rows: Sequence[Cells], *, piped: Iterable[str]) -> None:
    """Print what differs: marks, whom it is about, words; a pipe, or nobody where nothing differs, gets *piped*."""
    if rows and _is_terminal():
        _Screen().show_below(rows, indent=GAP)
        return
    for line in piped:
        click.echo(line)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _spell(row: Cells) -> list[str]:
    """Return the cells as text that moves no cursor and breaks no line."""
    return ["".join(letter if letter.isprintable() else "?" for letter in str(cell)) for cell in row]


class _Screen:
    """
    One terminal.

    rich measures letters, breaks lines and knows colours. Its own tables narrow all columns alike and cut what may not
    be broken, so columns are placed here: what finds no room beside the others goes below the row, with its heading.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False)
        self._width = max(self._console.width, NARROWEST)

    def show_table(
        self, columns: Sequence[Column], rows: Sequence[list[str]], below: Sequence[Sequence[Cells]]
    ) -> None:
        """Print headings and rows."""
        headings = [column.heading for column in columns]
        widths = self._widths(columns, [headings, *rows])
        self._show_beside([self._text(heading, "bold") for heading in headings], widths)
        for place, row in enumerate(rows):
            self._show_row(columns, row, widths)
            if below:
                self.show_below(below[place], indent=INDENT)

    def show_below(self, rows: Sequence[Cells], *, indent: int) -> None:
        """Print rows without headings: a mark, perhaps whom it is about, words."""
        spelt = [_spell(row) for row in rows]
        if not spelt:
            return
        columns = _BELOW if len(spelt[0]) == len(_BELOW) else (_BELOW[0], _BELOW[-1])
        widths = self._widths(columns, spelt, indent)
        for row in spelt:
            self._show_row(columns, row, widths, indent)

    def _widths(self, columns: Sequence[Column], rows: Sequence[list[str]], indent: int = 0) -> list[int]:
        """Return the widths of as many columns, from the left, as find room beside each other."""
        from rich.cells import cell_len

        whole = [max(cell_len(row[place]) for row in rows) for place in range(len(columns))]
        least = list(whole)
        for place, column in enumerate(columns):
            if column.is_loose:
                words = [cell_len(word) for row in rows for word in row[place].split(" ")]
                least[place] = max([min(whole[place], LEAST), *(length for length in words if length <= KEY)])
        room = self._width - indent
        count = next(n for n in range(len(columns), 0, -1) if n == 1 or sum(least[:n]) + GAP * (n - 1) <= room)
        widths = [min(width, room) for width in least[:count]]
        spare = room - sum(widths) - GAP * (count - 1)
        for place in range(count):
            more = min(whole[place] - widths[place], spare)
            widths[place], spare = widths[place] + more, spare - more
        return widths

    def _show_row(self, columns: Sequence[Column], row: list[str], widths: list[int], indent: int = 0) -> None:
        cells = [self._text(cell, column.style(cell)) for column, cell in zip(columns, row, strict=True)]
        self._show_beside(cells, widths, indent)
        said = []
        for column, cell in list(zip(columns, cells, strict=True))[len(widths) :]:
            if cell.plain.strip("-"):  # what says nothing needs no heading either
                said.append(self._text(f"{column.heading} ".lstrip(), "dim").append(cell))
        self._show_under(said, indent + INDENT)

    def _show_beside(self, cells: Sequence["Text"], widths: list[int], indent: int = 0) -> None:
        """Print the first cells in their columns; what is broken goes on below itself."""
        pieces = [self._broken(cell, width) for cell, width in zip(cells, widths, strict=False)]
        for number in range(max(map(len, pieces))):
            line = self._text(" " * indent)
            for piece, width in zip(pieces, widths, strict=True):
                part = piece[number] if number < len(piece) else self._text("")
                line.append(part).append(" " * (width - part.cell_len + GAP))
            self._show(line)

    def _show_under(self, said: Sequence["Text"], indent: int) -> None:
        """Print headings with their cells, as many on a line as fit whole."""
        room = self._width - indent
        lines: list[Text] = []
        for words in said:
            if lines and lines[-1].cell_len + GAP + words.cell_len <= room:
                lines[-1].append(" " * GAP).append(words)
            else:
                lines.append(words)
        for line in lines:
            for piece in self._broken(line, room):
                self._show(self._text(" " * indent).append(piece))

    def _broken(self, text: "Text", width: int) -> list["Text"]:
        return list(text.wrap(self._console, width, overflow="fold"))

    def _show(self, line: "Text") -> None:
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    @staticmethod
    def _text(content: str, style: str = "") -> "Text":
        from rich.text import Text

        return Text().append(content, style)
