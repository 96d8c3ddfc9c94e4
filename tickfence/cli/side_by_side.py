"""Tables beside each other where the terminal is wide enough, else one below the other."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table

_GAP = 2


class SideBySide:
    """A row of renderables, or a column of them."""

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
