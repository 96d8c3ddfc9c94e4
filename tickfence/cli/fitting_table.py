"""A table that leaves columns out where the terminal is too narrow, rather than cut every one of them to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_PER_COLUMN, _EDGE = 3, 1


class Column(NamedTuple):
    """One column.

    Attributes:
        right: whether it is a column of numbers.
        spare: the higher, the sooner it is left out; 0: never.
        wraps: the width down to which its cells go over several lines; 0: they never do.
    """

    heading: str = ""
    right: bool = False
    spare: int = 0
    wraps: int = 0


class FittingTable:
    """Columns and rows, as :class:`rich.table.Table` shows those that fit.

    Parameters:
        columns: all there are.
        options: of the :class:`rich.table.Table`, such as its title.
    """

    def __init__(self, *columns: Column, **options: Any) -> None:
        self._columns, self._options = columns, options
        self._rows: list[tuple[str, ...]] = []
        self._widths = [cell_len(column.heading) for column in columns]

    def add_row(self, *cells: str) -> None:
        """One cell a column, in Rich's markup."""
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


def _plain(cell: str) -> str:
    return Text.from_markup(cell).plain if "[" in cell or "\\" in cell else cell
