"""Renderables that fit the terminal: a table, tables beside each other, and a picture that is too high."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

_PER_COLUMN, _EDGE, _GAP = 3, 1, 2


class Column(NamedTuple):
    """One column of a :class:`FittingTable`.

    Attributes:
        heading: Its heading.
        right: Whether its cells are right-aligned, as numbers are.
        spare: The column with the highest value is left out first; 0: it is never left out.
        wraps: The width down to which its cells wrap over several lines; 0: they never wrap.
    """

    heading: str = ""
    right: bool = False
    spare: int = 0
    wraps: int = 0


class FittingTable:
    """A :class:`rich.table.Table` that leaves out columns on a narrow terminal instead of truncating all of them.

    Args:
        columns: All columns.
        options: Options of :class:`rich.table.Table`, such as its title.
    """

    def __init__(self, *columns: Column, **options: Any) -> None:
        self._columns, self._options = columns, options
        self._rows: list[tuple[str, ...]] = []
        self._widths = [cell_len(column.heading) for column in columns]

    def add_row(self, *cells: str) -> None:
        """Add a row: one cell a column, in Rich's markup."""
        self._rows.append(cells)
        for place, cell in enumerate(cells):
            self._widths[place] = max(self._widths[place], cell_len(_plain(cell)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._table(options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(options.max_width)

    def _table(self, width: int) -> Table:
        shown = self._fitting(width)
        left = max(0, width - self._needed(shown))
        widths = {place: self._least(place) for place in shown}
        for place in sorted(shown, key=lambda place: -self._widths[place]):
            more = min(left, self._widths[place] - widths[place])
            widths[place] += more
            left -= more
        table = Table(**self._options)
        for place in shown:
            column = self._columns[place]
            table.add_column(
                column.heading,
                justify="right" if column.right else "left",
                no_wrap=not column.wraps,
                width=widths[place],
            )
        for cells in self._rows:
            table.add_row(*(cells[place] for place in shown))
        return table

    def _fitting(self, width: int) -> Sequence[int]:
        """The places of the columns that fit."""
        shown = list(range(len(self._columns)))
        while self._needed(shown) > width:
            expendable = [place for place in shown if self._columns[place].spare]
            if not expendable:
                break
            shown.remove(max(expendable, key=lambda place: self._columns[place].spare))
        return shown

    def _needed(self, places: Sequence[int]) -> int:
        return sum(map(self._least, places)) + _PER_COLUMN * len(places) + _EDGE

    def _least(self, place: int) -> int:
        natural = self._widths[place]
        return min(natural, self._columns[place].wraps or natural)


class SideBySide:
    """Renderables beside each other where the terminal is wide enough, else one below the other.

    Args:
        parts: The renderables, from left to right.
    """

    def __init__(self, *parts: RenderableType) -> None:
        self._parts = parts

    def _widths(self, console: Console, options: ConsoleOptions) -> list[int]:
        return [Measurement.get(console, options, part).maximum for part in self._parts]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = self._widths(console, options)
        row = sum(widths) + _GAP * (len(widths) - 1)
        return Measurement(max(widths), row if row <= options.max_width else max(widths))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.__rich_measure__(console, options).maximum == max(self._widths(console, options)):
            yield from self._parts
            return
        row = Table.grid(padding=(0, _GAP, 0, 0))
        row.add_row(*self._parts)
        yield row


class Screenful:
    """The top of a picture that may be higher than the terminal, and how much is missing.

    Rich alone cuts it off without a word.

    Args:
        picture: The whole picture.
    """

    def __init__(self, picture: RenderableType) -> None:
        self._picture = picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._picture, options.update(height=None), pad=False)
        missing = len(lines) - console.height
        if missing > 0:
            missing += 1  # the line that says so takes the place of one
            lines = lines[:-missing]
        for line in lines:
            yield from line
            yield Segment.line()
        if missing > 0:
            yield Text(f"{missing} more lines; without --watch you see all", style="bold")


def _plain(cell: str) -> str:
    return Text.from_markup(cell, emoji=False).plain if "[" in cell or "\\" in cell else cell
